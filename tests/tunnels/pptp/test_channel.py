"""
Tests for L{pptpgw.tunnels.pptp.channel}: a run of encrypted frames has the same effect as its
frames one by one.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.datapath import channel as channelModule
from pptpgw.datapath import mppe
from pptpgw.datapath.mppe import DecryptorFactory, PythonDecryptor, PythonEncryptor
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recovery import FAILURE_LIMIT, UNKNOWN
from pptpgw.interfaces import Attachment, IChannelOwner, MPPEParameters
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ppp.wire.ppp import IPV4, IPV6, IPX, MPPE
from pptpgw.testing import MemoryGRE, MemoryTUN, MemoryWire
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.window import RECEIVE_WINDOW
from pptpgw.tunnels.pptp.wire.gre import NUMBERS

LOCAL, PEER = "192.0.2.1", "192.0.2.2"
SUBSCRIBER = IPv4Network("10.77.0.10/32")


@implementer(IChannelOwner)
class Owner:
    """
    The owner of a channel, which closes it when it is told that it failed, and may do so at the
    first request to resynchronise.
    """

    channel: GREChannel

    def __init__(self, isNervous: bool) -> None:
        self.told: list[object] = []
        self._isNervous = isNervous

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.told.append((protocol, information))

    def resyncNeeded(self) -> None:
        self.told.append("resync")
        if self._isNervous:
            self.channel.close()

    def confirmationNeeded(self) -> None:
        self.told.append("confirm")

    def confirms(self, protocol: int, information: bytes) -> bool:
        return False

    def channelFailed(self, reason: str) -> None:
        self.told.append(reason)
        self.channel.close()


class End:
    """
    A channel with its networks.

    @ivar packets: what was passed to the networks, in order.
    """

    def __init__(self, isNervous: bool) -> None:
        self.clock = Clock()
        self.packets: list[bytes] = []
        tun = MemoryTUN()
        tun.written = self.packets
        gre = MemoryGRE(MemoryWire(self.clock), LOCAL)
        self.owner = Owner(isNervous)
        host = PythonDataPath(self.clock, tun)
        self.channel = self.owner.channel = GREChannel(
            host, self.owner, Ends(LOCAL, PEER, 7, 9), gre
        )
        self.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), 1400))
        self.channel.openNetwork(IPX, Attachment((), 1400, receive=self.packets.append))

    def state(self) -> object:
        """
        All that doesn't depend on whether frames came in a run.
        """
        channel = self.channel
        figures = channel.counters.asDict()
        window = channel._window
        decryptor, recovery = channel._decryptor, channel._recovery
        return (
            self.packets,
            self.owner.told,
            figures,
            window.expected % NUMBERS if window.expected >= 0 else None,
            dict(window.held),
            decryptor and (decryptor.count, decryptor.rekeys),
            recovery and recovery.failures,
        )


def packet(source: str, payload: bytes) -> bytes:
    """
    An IPv4 packet.
    """
    addresses = IPv4Network(source).network_address.packed + b"\x0a\x01\x01\x01"
    header = (
        b"\x45\0" + (20 + len(payload)).to_bytes(2, "big") + b"\0\1\0\0\x40\x11\0\0" + addresses
    )
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


# What the peer encrypts: protocol number and packet.
PLAINTEXTS = st.one_of(
    *[st.binary(max_size=60).map(lambda octets: (b"\0\x21", packet("10.77.0.10", octets)))] * 4,
    st.binary(max_size=9).map(lambda octets: (b"\x21", packet("10.77.0.10", octets))),
    st.just((b"\0\x21", packet("10.77.0.11", b"spoofed"))),
    st.binary(max_size=20).map(lambda octets: (b"\0\x2b", octets)),
    # Not open, but known; known to nobody; nothing after an octet that isn't odd.
    st.just((IPV6.to_bytes(2, "big"), b"\x60 and so on")),
    st.just((b"\0\x77", b"noise")),
    st.just((b"\0", b"")),
)
# What becomes of the frame on its way, and how often.
FATES = st.sampled_from(
    [
        *["arrives"] * 12,
        "twice",
        "lost",
        "altered header",
        "another count",
        "forged",
        "short",
        "clear",
    ]
)
STEPS = st.lists(
    st.one_of(
        *[st.lists(st.tuples(PLAINTEXTS, FATES, st.integers(0, 4095)), min_size=1, max_size=24)]
        * 6,
        st.sampled_from(["another key", "gap", "reset", "wait"]),
        st.integers(2, 40),
    ),
    max_size=12,
)


class Peer:
    """
    The sender of frames, to two ends: in runs, and one by one.
    """

    def __init__(self, stateful: bool = False, isNervous: bool = False, sequence: int = 0) -> None:
        self.ends = End(isNervous), End(isNervous)
        self._stateful = stateful
        self._keys = 0
        self._sequence = sequence
        self.changeKey()

    def changeKey(self) -> None:
        """
        Use another key, at all ends.
        """
        self._keys += 1
        key = self._keys.to_bytes(16, "big")
        self.encryptor = PythonEncryptor(key, 128, self._stateful)
        for end in self.ends:
            if not end.channel._closed:
                end.channel.setReceiveMPPE(MPPEParameters(key, 128, self._stateful))

    def skip(self, numbers: int) -> None:
        """
        Leave out some of GRE's numbers.
        """
        self._sequence = (self._sequence + numbers) % NUMBERS

    def wait(self) -> None:
        """
        Let time pass in which gaps are given up.
        """
        for end in self.ends:
            end.clock.advance(0.7)

    def send(self, protocol: int, frames: list[bytes]) -> None:
        """
        Let frames arrive whose numbers follow each other. As ports do, no run passes 0.
        """
        while frames:
            first = self._sequence
            now, frames = frames[: NUMBERS - first], frames[NUMBERS - first :]
            self.skip(len(now))
            self.ends[0].channel.framesReceived(first, protocol, list(now))
            for place, frame in enumerate(now):
                self.ends[1].channel.framesReceived(first + place, protocol, [frame])
            assert self.ends[0].state() == self.ends[1].state()
            for end in self.ends:
                window = end.channel._window
                assert (window.expected - window.acknowledged) % NUMBERS < RECEIVE_WINDOW

    def frames(self, step: list[tuple[tuple[bytes, bytes], str, int]]) -> list[bytes]:
        """
        Encrypt packets, and have their fates befall the frames.
        """
        frames: list[bytes] = []
        for (field, octets), fate, number in step:
            frame = self.encryptor.encrypt(b"", field, octets)
            if fate == "lost":
                continue
            if fate == "altered header":
                frame = bytes([frame[0] ^ (0x20 if number & 1 else 0x80)]) + frame[1:]
            elif fate == "another count":
                frame = (int.from_bytes(frame[:2], "big") & 0xF000 | number).to_bytes(
                    2, "big"
                ) + frame[2:]
            elif fate == "forged":
                frame = frame[:2] + number.to_bytes(2, "big")
            elif fate == "short":
                frame = frame[: number % 4]
            elif fate == "clear":
                frame = octets
            frames += [frame] * (2 if fate == "twice" else 1)
        return frames


class TestRuns:
    """
    Tests of runs of encrypted frames.
    """

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from([PythonDecryptor, mppe.Decryptor]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0, 7, NUMBERS - 20]),
        STEPS,
    )
    def test_asOneByOne(
        self,
        decryptor: DecryptorFactory,
        stateful: bool,
        isNervous: bool,
        sequence: int,
        steps: list[list[tuple[tuple[bytes, bytes], str, int]] | str | int],
    ) -> None:
        with patch.object(channelModule, "Decryptor", decryptor):
            peer = Peer(stateful, isNervous, sequence)
            for step in steps:
                if step == "another key":
                    peer.changeKey()
                elif step == "gap":
                    peer.skip(3)
                elif step == "reset":
                    peer.encryptor.reset()
                elif step == "wait":
                    peer.wait()
                elif isinstance(step, int):
                    peer.send(MPPE, peer.frames([((b"\0\x2b", b"IPX"), "arrives", 0)] * step))
                elif isinstance(step, list):
                    peer.send(MPPE, peer.frames(step))
            assert peer.ends[0].state() == peer.ends[1].state()

    def test_noiseEndsTheChannelInTheMiddle(self) -> None:
        peer = Peer()
        noise = [((b"\0\x77", b"noise"), "arrives", 0)]
        good = [((b"\0\x21", packet("10.77.0.10", b"good")), "arrives", 0)]
        peer.send(MPPE, peer.frames(good * 3 + noise * (FAILURE_LIMIT - 100)))
        peer.send(MPPE, peer.frames(noise * 101 + good))
        for end in peer.ends:
            assert len(end.packets) == 3
            assert end.owner.told == [f"{FAILURE_LIMIT} frames in a row were no use: " + UNKNOWN]
            assert end.channel.counters.discards == {UNKNOWN: FAILURE_LIMIT}

    @pytest.mark.parametrize("closed", [IPV4, IPX])
    def test_aPacketClosesTheChannel(self, closed: int) -> None:
        """
        As with packets in clear, no packet is passed on after one that closes the channel.
        """
        peer = Peer()
        channel = peer.ends[0].channel
        ipx = Attachment((), 1400, receive=lambda packet: channel.close())
        channel.openNetwork(IPX, ipx)
        good = [((b"\0\x21", packet("10.77.0.10", b"good")), "arrives", 0)]
        last = [((b"\0\x2b", b"the last one"), "arrives", 0)]
        others = last if closed == IPX else good
        channel.framesReceived(0, MPPE, peer.frames(good))
        channel.framesReceived(1, MPPE, peer.frames(good + last + others * 4 + good))
        assert len(peer.ends[0].packets) == 2
        assert channel.counters.packetsReceived == (7 if closed == IPX else 3)

    def test_aRunIsDecryptedAtOnce(self, monkeypatch: pytest.MonkeyPatch) -> None:
        peer = Peer()
        good = [((b"\0\x21", packet("10.77.0.10", b"good")), "arrives", 0)]
        peer.send(MPPE, peer.frames(good))
        called: list[int] = []

        def encrypted(frame: bytes) -> None:
            called.append(len(frame))

        monkeypatch.setattr(GREChannel, "_encrypted", lambda channel, frame: encrypted(frame))
        peer.ends[0].channel.framesReceived(1, MPPE, peer.frames(good * 40))
        assert len(peer.ends[0].packets) == 41 and not called

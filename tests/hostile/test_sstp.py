"""
Tests for strangers at the port of SSTP, before they authenticate, and for callers who are hostile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.config.section import ListenSection
from pptpgw.testing import SessionRecorder
from pptpgw.tunnels.sstp import machine, wire
from pptpgw.tunnels.sstp.connection import BINDING, STRANGE
from pptpgw.tunnels.sstp.framer import EXCESS, UNBOUND, UNCONNECTED
from pptpgw.tunnels.sstp.machine import State
from pptpgw.tunnels.sstp.opening import LARGEST_HEAD
from pptpgw.tunnels.sstp.protocol import Opening
from pptpgw.tunnels.sstp.serverside import NAKS
from pptpgw.tunnels.sstp.wire import LONGEST_FRAME, Attribute, Kind, Message, encodeFrame
from tests.chapsecrets import secretsIn
from tests.tunnels.sstp.joined import BUFFER, OPENING, REQUEST, Peer, SSTPGateway

LCP = b"\xff\x03\xc0\x21"
ECHO = Message(Kind.ECHO_REQUEST).encode()


@pytest.fixture
def gateway(tmp_path: Path) -> SSTPGateway:
    return SSTPGateway(ChapSecretsChecker(secretsIn(tmp_path)))


def assertNothingLeft(gateway: SSTPGateway) -> None:
    """
    Assert that the gateway has nothing of its peers a minute later.
    """
    gateway.run(61, 0.5)
    assert not gateway.factory.entrance.connections
    assert not gateway.gateway.lines and not gateway.gateway.sessions
    assert not gateway.clock.getDelayedCalls()


class TestOpening:
    @pytest.mark.parametrize(
        ("octets", "answer", "why"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"404", Opening.OTHER),
            (OPENING.replace(b"SSTP_DUPLEX_POST", b"POST"), b"404", Opening.OTHER),
            (OPENING.replace(b"HTTP/1.1", b"HTTP/1.0"), b"404", Opening.OTHER),
            (OPENING.replace(b"BA19", b"BA18"), b"404", Opening.OTHER),
            (b"\r\n\r\n", b"400", Opening.STRANGE),
            (b"GET  / HTTP/1.1\r\n\r\n", b"400", Opening.STRANGE),
            (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"400", Opening.STRANGE),
            (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000, b"400", Opening.STRANGE),
            (b"GET / HTTP/1.1\r\nA: " + b"b" * LARGEST_HEAD, b"400", Opening.STRANGE),
            (bytes(LARGEST_HEAD + 1), b"400", Opening.STRANGE),
        ],
    )
    def test_otherRequests(
        self, octets: bytes, answer: bytes, why: Opening, gateway: SSTPGateway
    ) -> None:
        """
        Whatever isn't SSTP's request gets one answer, and the connection is closed.
        """
        one = gateway.meet(octets)
        assert one.heard.startswith(b"HTTP/1.1 " + answer) and one.isOver
        assert one.heard.count(b"HTTP/1.1 ") == 1
        assert gateway.discards[why.value] == 1
        assertNothingLeft(gateway)

    def test_aSlowHead(self, gateway: SSTPGateway) -> None:
        """
        The time for the head runs from the connection, and doesn't begin again with each octet.
        """
        slow, silent = gateway.meet(b"GET / HTTP/1.1\r\nA: "), gateway.meet()
        for _ in range(19):
            gateway.run(0.5, 0.1)
            slow.write(b"b")
        over = [slow.isOver, silent.isOver]
        gateway.run(1, 0.1)
        assert over == [False, False] and slow.isOver and silent.isOver and not slow.heard
        assert gateway.discards[Opening.SLOW.value] == 2
        assertNothingLeft(gateway)

    def test_connectionsOfOneSource(self, tmp_path: Path) -> None:
        """
        A source that opens connections and says nothing has as many as one may have, and keeps
        nobody else out.
        """
        checker = ChapSecretsChecker(secretsIn(tmp_path))
        listen = ListenSection(maxConnectionsPerHost=4, maxSilentConnections=6)
        gateway = SSTPGateway(checker, listen=listen)
        silent = [gateway.meet() for _ in range(20)]
        assert sum(not one.isOver for one in silent) == 4
        assert len(gateway.factory.entrance.connections) == 4
        other = gateway.meet(OPENING, source="192.0.2.8")
        assert other.heard.startswith(b"HTTP/1.1 200 OK")
        other.transport.loseConnection()
        assertNothingLeft(gateway)

    def test_whileDrained(self, gateway: SSTPGateway) -> None:
        gateway.gateway.drain(lambda: None)
        one = gateway.meet(OPENING)
        assert one.heard.startswith(b"HTTP/1.1 503") and one.isOver


class TestPackets:
    @pytest.mark.parametrize(
        "packet",
        [
            b"\x10\x00\x00\x00",
            b"\x10\x01\x00\x00",
            b"\x10\x01\x00\x03",
            b"\x00\x00\x00\x08" + bytes(4),
            b"\x11\x00\x00\x08" + bytes(4),
            b"GET / HTTP/1.1\r\n",
        ],
    )
    @pytest.mark.parametrize("requested", [False, True])
    def test_whatIsNoPacket(self, packet: bytes, requested: bool, gateway: SSTPGateway) -> None:
        """
        A stream that can't be divided into packets is given up at once, without an answer.
        """
        one = gateway.meet(OPENING, *[REQUEST] * requested)
        before = one.heard
        one.write(packet)
        gateway.run(0.01)
        assert one.isOver and one.heard == before
        counted = gateway.discards.get(STRANGE, 0)
        assert counted or gateway.gateway.counters.own.discards[STRANGE] == 1
        assertNothingLeft(gateway)

    @pytest.mark.parametrize("size", [0, 1, LONGEST_FRAME])
    def test_framesOfEverySize(self, size: int, gateway: SSTPGateway) -> None:
        """
        Frames are discarded before the call, and no network packet passes before the binding.
        """
        frame = (b"\xff\x03\x00\x21" * 1024)[:size]
        one = gateway.meet(OPENING, encodeFrame(frame), REQUEST, encodeFrame(frame))
        gateway.run(0.01)
        assert not one.isOver and one.heard.count(LCP)
        channel = one.connection.call.channel
        assert channel is not None
        assert (channel.counters.discards[UNCONNECTED], channel.counters.discards[UNBOUND]) == (
            1,
            1,
        )
        assert not gateway.tun.written
        one.transport.loseConnection()
        assertNothingLeft(gateway)

    def test_theLongestControlPacket(self, gateway: SSTPGateway) -> None:
        """
        A control packet of the greatest length whose attributes aren't known is answered by a
        packet that isn't longer.
        """
        count = (wire.LONGEST - 8) // 4
        message = Message(Kind.CALL_CONNECT_REQUEST, (Attribute(9, b""),) * count).encode()
        one = gateway.meet(OPENING, *[message] * (NAKS + 1))
        assert len(one.heard) < (NAKS + 1) * len(message)
        gateway.run(machine.ABORT_SECONDS + 1, 0.1)
        assert one.isOver
        assertNothingLeft(gateway)

    @pytest.mark.parametrize(
        "kind",
        [
            Kind.CALL_CONNECT_ACK,
            Kind.CALL_CONNECT_NAK,
            Kind.CALL_CONNECTED,
            Kind.CALL_DISCONNECT_ACK,
            Kind.ECHO_REQUEST,
            Kind.ECHO_RESPONSE,
        ],
    )
    def test_beforeItsPlace(self, kind: Kind, gateway: SSTPGateway) -> None:
        """
        A message that has no place before the Call Connect Request aborts the call, and what
        follows isn't answered.
        """
        one = gateway.meet(OPENING, Message(kind).encode(), ECHO, REQUEST)
        (abort,) = packetsOf(one)
        assert abort[4:6] == Kind.CALL_ABORT.to_bytes(2, "big")
        gateway.run(machine.ABORT_SECONDS + 1, 0.1)
        assert one.isOver
        assertNothingLeft(gateway)

    @pytest.mark.parametrize(
        "again", [REQUEST, Message(Kind.CALL_CONNECTED).encode(), Message(77).encode()]
    )
    def test_afterItsPlace(self, again: bytes, gateway: SSTPGateway) -> None:
        """
        A message of the set-up that is repeated in a call ends it.
        """
        peer, call = gateway.call()
        assert peer.connection.machine.state is State.CONNECTED
        peer.write(again)
        gateway.run(1, 0.01)
        assert not gateway.gateway.sessions
        assert "aborted" in str(call.ended.result)
        assertNothingLeft(gateway)

    def test_someoneWhoNeverAuthenticates(self, gateway: SSTPGateway) -> None:
        """
        The call ends with the negotiation timer, although the connection is never silent.
        """
        one = gateway.meet(OPENING, REQUEST)
        for _ in range(70):
            one.write(encodeFrame(LCP + b"\x09\x01\x00\x08" + bytes(4)))
            gateway.run(1, 0.1)
        assert one.isOver
        assertNothingLeft(gateway)


def packetsOf(peer: Peer) -> list[bytes]:
    """
    The packets that a peer got behind the answer to its HTTP request.
    """
    packets: list[bytes] = []
    splitter = wire.Splitter(packets.append, packets.append)
    splitter.feed(peer.heard.partition(b"\r\n\r\n")[2])
    return packets


class TestFloods:
    def test_echoesOfAPeerThatReads(self, gateway: SSTPGateway) -> None:
        """
        Each Echo Request gets one answer as long as itself, and nothing is kept.
        """
        peer, _ = gateway.call()
        before = len(peer.heard)
        peer.write(ECHO * 10_000)
        gateway.run(1, 0.01)
        answers = len(peer.heard) - before
        assert 10_000 * len(ECHO) <= answers < 10_000 * len(ECHO) + 1000
        assert len(gateway.gateway.sessions) == 1

    def test_echoesOfAPeerThatDoesNotRead(self, tmp_path: Path) -> None:
        """
        A peer that doesn't read costs a bounded buffer: packets for it are dropped and counted,
        and when too many answers wait it is disconnected.
        """
        recorder = SessionRecorder()
        checker = ChapSecretsChecker(secretsIn(tmp_path))
        gateway = SSTPGateway(checker, observers=[recorder])
        peer, call = gateway.call()
        (session,) = gateway.gateway.sessions
        ipv4: Any = call.protocols["ipv4"]
        address = bytes(map(int, ipv4.localAddress.split(".")))
        header = b"\x45\0\x05\x78" + bytes(4) + b"\x40\x01\0\0\x0a\x4d\0\x01" + address
        peer.theirs.reads = False
        for _ in range(100):
            gateway.tun.receiveAll([header.ljust(1400, b"x")] * 64)
            gateway.run(0.01)
        assert session.counters.discards["not sent: the transport takes none"] > 1000
        # One batch may have been on its way when the transport became full.
        assert len(peer.theirs.waiting) < 2 * BUFFER + 64 * 1500
        peer.write(ECHO * (2 * EXCESS // len(ECHO)))
        gateway.run(0.1)
        assert len(peer.theirs.waiting) < 2 * BUFFER + 64 * 1500 + EXCESS
        assert "doesn't read" in recorder.ended[0][1]
        assert not gateway.gateway.sessions
        assertNothingLeft(gateway)

    def test_callsOfOneWhoNeverGoesOn(self, gateway: SSTPGateway) -> None:
        """
        Calls that are requested and left alone end by themselves.
        """
        peers = [gateway.meet(OPENING, REQUEST, source=f"198.51.100.{n}") for n in range(1, 60)]
        assert len(gateway.gateway.lines) == len(peers)
        gateway.run(machine.NEGOTIATION_SECONDS + machine.ABORT_SECONDS + 1, 0.5)
        assert all(one.isOver for one in peers)
        assertNothingLeft(gateway)


def test_aWrongBinding(tmp_path: Path) -> None:
    """
    A caller who was shown another certificate is refused although its password is right. That is
    counted, and its own event.
    """
    recorder = SessionRecorder()
    gateway = SSTPGateway(ChapSecretsChecker(secretsIn(tmp_path)), observers=[recorder])
    _, call = gateway.call(certificate=b"that of somebody between")
    assert "VALUE_NOT_SUPPORTED" in str(call.ended.result)
    ((user, cause, _),) = recorder.ended
    assert user == "alice" and "binding doesn't hold" in cause and "certificate" in cause
    (attack,) = recorder.attacks
    assert (attack.user, attack.source, attack.tunnel) == ("alice", "192.0.2.7", "sstp")
    assert "another certificate" in attack.reason
    assert gateway.gateway.tally.attacks["sstp"] == 1
    ((session, _),) = recorder.detailsOf("ended")
    assert session.counters.discards[BINDING] == 1
    assert attack.session == session.identifier
    assert not recorder.detailsOf("opened") and not gateway.tun.written
    assertNothingLeft(gateway)

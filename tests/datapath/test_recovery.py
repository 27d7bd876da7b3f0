"""
Tests for L{pptpgw.datapath.recovery} and L{pptpgw.datapath.plausibility}: gaps and forged frames in
a session with MPPE, through a channel.
"""

from __future__ import annotations

from random import Random

import pytest

from pptpgw.counting.counters import DUPLICATE, LATE, LOST
from pptpgw.datapath import channel as channelModule
from pptpgw.datapath import mppe, recovery
from pptpgw.datapath.mppe import Encryptor, PythonDecryptor
from pptpgw.datapath.plausibility import isPlausible
from pptpgw.interfaces import Attachment, MPPEParameters
from pptpgw.tunnels.pptp.window import HELD_TIME, UNBELIEVABLE
from tests.datapath.test_python import CONFIRMING, KEY, Fixture, packet

MASK = (1 << 32) - 1


class Peer:
    """
    A peer that encrypts, and an attacker who sends frames in its name.

    @ivar number: the GRE number of the peer's next frame.
    """

    def __init__(self, stateful: bool = False, first: int = 0) -> None:
        self.path = Fixture()
        self.owner = self.path.owner
        self.discards = self.path.channel.counters.discards
        self.encryptor = Encryptor(KEY, 128, stateful)
        self.number = first
        self.sent = 0
        self.path.channel.setReceiveMPPE(MPPEParameters(KEY, 128, stateful))
        self.path.open()

    def _encrypt(self) -> bytes:
        self.sent += 1
        self.number = self.number + 1 & MASK
        payload = self.sent.to_bytes(4, "big")
        return self.encryptor.encrypt(b"", b"\x21", packet(payload=payload))

    def send(self, count: int = 1) -> list[bool]:
        """
        Send packets.

        @return: whether each was delivered.
        """
        return [self._sendOne() for _ in range(count)]

    def _sendOne(self) -> bool:
        number, frame = self.number, self._encrypt()
        self.forge(number, 0xFD, frame)
        written = self.path.tun.written
        return bool(written) and written[-1] == packet(payload=self.sent.to_bytes(4, "big"))

    def lose(self, count: int) -> None:
        """
        Send packets that are lost.
        """
        for _ in range(count):
            self.encryptor.encrypt(b"", b"", b"")
        self.sent += count
        self.number = self.number + count & MASK

    def say(self, protocol: int, information: bytes) -> None:
        """
        Send a frame in clear.
        """
        number, self.number = self.number, self.number + 1 & MASK
        self.forge(number, protocol, information)

    def forge(self, number: int, protocol: int, information: bytes) -> None:
        """
        Let a frame arrive, whether it is the peer's or the attacker's.
        """
        self.path.gre.receivers["192.0.2.2", 7](number & MASK, protocol, [information])

    def answer(self) -> None:
        """
        Answer a pending Reset-Request.
        """
        if self.owner.resyncs:
            self.owner.resyncs = 0
            self.encryptor.reset()

    def wait(self, seconds: float) -> None:
        """
        Let C{seconds} pass.
        """
        self.path.clock.advance(seconds)

    def noise(self, count: int, flags: int = 0x9000) -> bytes:
        """
        A frame with this coherency count that is encrypted with no key.
        """
        return (flags | count % 4096).to_bytes(2, "big") + bytes(range(60))

    @property
    def rekeys(self) -> int:
        """
        How often the receiving key has changed.
        """
        assert self.path.channel._decryptor is not None
        return self.path.channel._decryptor.rekeys


@pytest.fixture(params=[False, True], ids=["stateless", "stateful"])
def peer(request: pytest.FixtureRequest) -> Peer:
    return Peer(request.param)


class TestForgery:
    """
    Tests for an attacker's frames.
    """

    @pytest.mark.parametrize("ahead", [2, 100, 2000, 2047, 2048, 4095])
    @pytest.mark.parametrize("flags", [0x9000, 0x1000])
    def test_anotherCountInOrder(self, peer: Peer, ahead: int, flags: int) -> None:
        """
        A forged frame with the next GRE number costs the one packet of the peer that has that
        number.
        """
        assert all(peer.send(3))
        peer.forge(peer.number, 0xFD, peer.noise(2 + ahead, flags))
        assert peer.send() == [False]
        assert peer.discards[DUPLICATE] == 1
        peer.send()
        peer.answer()
        assert all(peer.send(100))
        assert peer.owner.failures == []

    @pytest.mark.parametrize("ahead", [1, 50, 60_000])
    @pytest.mark.parametrize("coherent", [True, False])
    def test_aNumberAhead(self, peer: Peer, ahead: int, coherent: bool) -> None:
        """
        A forged frame with a distant GRE number costs the peer nothing, neither while it is held
        nor later.
        """
        assert all(peer.send(3))
        peer.forge(peer.number + ahead, 0xFD, peer.noise(peer.sent + ahead + 700 * (not coherent)))
        if ahead < 60:
            # The forged frame takes the place of one of the peer's.
            assert all(peer.send(ahead))
            assert peer.send(2)[0] is False
            peer.answer()
        assert all(peer.send(3))
        peer.wait(HELD_TIME)
        assert all(peer.send(100))
        assert peer.owner.failures == []

    def test_aThousandAtRandom(self, peer: Peer) -> None:
        """
        A thousand forged frames with random numbers, among the peer's packets, cost the peer
        nothing.
        """
        random = Random(8)
        peer.send()
        for _ in range(1000):
            # The random numbers never include one of the peer's.
            ahead = random.randrange(2000, 1 << random.choice([17, 31]))
            protocol = random.choice([0xFD, 0xFD, 0x21, 0xC021, 0x80FD])
            information = peer.noise(random.randrange(4096), random.choice([0x9000, 0x1000]))
            peer.forge(peer.number + 1 + ahead, protocol, information)
            assert peer.send() == [True]
        assert peer.owner.failures == []
        assert {protocol for protocol, _ in peer.owner.frames} <= {0xC021, 0x80FD}

    def test_whileThePeerIsQuiet(self, peer: Peer) -> None:
        """
        Forged frames don't change the expected number while the peer sends nothing but answers to
        what it is asked.
        """
        assert all(peer.send(3))
        for number in range(1000):
            peer.forge(peer.number + 70_000 + number, 0xFD, peer.noise(peer.sent + number))
            peer.forge(peer.number + 1 + number, 0xC021, b"\x05\x01\x00\x04")
            peer.wait(0.1)
            if number % 10 == 0:
                assert peer.owner.asked
                peer.owner.asked = 0
                peer.say(*CONFIRMING)
        assert set(peer.owner.frames) == {CONFIRMING}
        # Forged frames don't count as signs of life.
        peer.wait(1)
        assert peer.path.channel.counters.framesReceived == 3 + 100
        assert all(peer.send(10))
        assert peer.owner.failures == []

    def test_noNewPlaceForAByChancePlausibleOne(self) -> None:
        """
        A forged frame may be believed by chance if its protocol's packets have no known form. The
        peer's next packet that proves to be its own restores the numbering.
        """
        peer = Peer()
        peer.path.channel.openNetwork(0x2B, Attachment(receive=lambda packet: None))
        assert all(peer.send(3))
        lucky = Encryptor(KEY, 128)
        for _ in range(500):
            lucky.encrypt(b"", b"", b"")
        peer.forge(peer.number + 497, 0xFD, lucky.encrypt(b"", b"\x2b", b"noise"))
        peer.wait(HELD_TIME)
        assert peer.discards[LOST] == 497
        assert not any(peer.send(3))
        assert peer.owner.asked == 1
        peer.say(*CONFIRMING)
        assert all(peer.send(10))
        # A forged frame doesn't change the numbering later either.
        peer.lose(700)
        peer.send()
        peer.wait(HELD_TIME)
        assert all(peer.send(10))
        assert peer.owner.failures == []

    def test_keyChangesAreLimited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Frames that claim gaps cause at most a share of a second's key changes at once, and at most
        a second's in a second.
        """
        changes = 0
        changeKey = PythonDecryptor._changeKey

        def counted(decryptor: PythonDecryptor) -> None:
            nonlocal changes
            changes += 1
            changeKey(decryptor)

        monkeypatch.setattr(PythonDecryptor, "_changeKey", counted)
        monkeypatch.setattr(channelModule, "Decryptor", PythonDecryptor)
        monkeypatch.setattr(mppe, "rekeysPerSecond", 1024)
        peer = Peer()
        peer.send(3)
        random = Random(43)

        def flood() -> int:
            before = changes
            for _ in range(200):
                ahead = random.randrange(100, 60_000)
                peer.forge(peer.number + ahead, 0xFD, peer.noise(peer.sent + ahead))
            peer.wait(HELD_TIME)
            return changes - before

        # Each frame that is tried changes the key once more.
        assert 0 < flood() <= 1024 * recovery.BURST + 200
        assert sum(flood() for _ in range(10)) <= 1024 + 10 * 200
        assert peer.discards[recovery.CAPPED] > 1000
        peer.wait(1)
        assert all(peer.send(10))


def assertRecovers(peer: Peer, lost: int) -> None:
    """
    Assert that the session goes on after C{lost} packets were lost, after the peer has answered
    what it is asked.
    """
    assert all(peer.send(3))
    peer.lose(lost)
    while not all(peer.send(10)[-1:]):
        assert peer.sent < lost + 1000
        peer.wait(HELD_TIME)
        peer.answer()
    assert peer.owner.failures == []
    assert all(peer.send(600))


class TestGaps:
    """
    Tests for the losses of honest peers.
    """

    @pytest.mark.parametrize(
        "lost", [1, 2, 63, 2046, 2047, 2048, 4095, 4096, 4097, 12_000, 65_000, 200_000]
    )
    @pytest.mark.parametrize("first", [0, MASK - 3])
    def test_anyNumberOfPacketsInARow(self, lost: int, first: int) -> None:
        """
        The session goes on after any number of lost packets, and sooner after fewer.
        """
        peer = Peer(first=first)
        assert all(peer.send(3))
        peer.lose(lost)
        while not all(peer.send(10)[-1:]):
            assert peer.sent < lost + 2000
            peer.wait(HELD_TIME)
            if peer.owner.asked:
                peer.owner.asked = 0
                peer.say(*CONFIRMING)
        assert peer.owner.failures == []
        assert all(peer.send(100))

    @pytest.mark.parametrize("lost", [1, 300, 2048, 5000, 12_000])
    def test_stateful(self, lost: int) -> None:
        """
        Stateful MPPE goes on after the peer has answered a Reset-Request.
        """
        assertRecovers(Peer(stateful=True), lost)

    def test_mostOfWhatIsSent(self) -> None:
        """
        A peer that sends more than can be taken loses packets and nothing else.
        """
        peer = Peer()
        through = 0
        for _ in range(100):
            peer.lose(2000)
            through += sum(peer.send(100))
            peer.wait(0.05)
        assert through > 3000
        assert peer.owner.failures == []
        peer.wait(HELD_TIME)
        assert all(peer.send(100))

    def test_controlFramesAmongThem(self) -> None:
        """
        Control frames among lost packets, which have GRE numbers and no coherency counts, don't
        hinder recovery.
        """
        peer = Peer()
        assert all(peer.send(3))
        for number in range(300):
            peer.say(0xC021, b"%d" % number)
        peer.number += 300
        peer.lose(3000)
        peer.send()
        peer.wait(HELD_TIME)
        assert all(peer.send(100))
        assert peer.discards == {LOST: 3300}

    def test_notNumberedAtAll(self) -> None:
        """
        Recovery works when a peer without a route encrypts packets that never get a GRE number.
        """
        peer = Peer()
        assert all(peer.send(3))
        number = peer.number
        peer.lose(1500)
        peer.number = number
        assert all(peer.send(100))
        assert peer.discards == {}

    def test_whatIsNotOpen(self) -> None:
        """
        A peer whose only packets are of a protocol that isn't open keeps its session.
        """
        peer = Peer()
        assert all(peer.send(3))
        number = peer.number
        peer.lose(100)
        for one in range(2 * recovery.FAILURE_LIMIT):
            peer.forge(number + one, 0xFD, peer.encryptor.encrypt(b"", b"\x2b", b"IPX"))
        assert peer.owner.failures == []
        assert peer.discards == {channelModule.NOT_OPEN: 2 * recovery.FAILURE_LIMIT}

    def test_aControlFrameThatIsLost(self, peer: Peer) -> None:
        """
        The packet after a lost control frame has the next coherency count.
        """
        assert all(peer.send(3))
        peer.number += 1
        peer.send()
        peer.wait(HELD_TIME)
        peer.answer()
        assert all(peer.send(10)[1:])

    def test_aNewNumbering(self, peer: Peer) -> None:
        """
        A peer that begins a new numbering confirms it when it is asked, and goes on.
        """
        peer.number = 500_000
        assert all(peer.send(3)[1:])
        peer.number = 7
        peer.send(3)
        assert peer.owner.asked == 1
        peer.say(*CONFIRMING)
        peer.encryptor.reset()
        assert all(peer.send(10)[1:])
        assert peer.owner.failures == []

    def test_aPeerThatCanNotAnswer(self) -> None:
        """
        A peer that can't answer is asked four times in two seconds, and then its numbering is
        believed.
        """
        peer = Peer()
        peer.send(3)
        peer.number = 5_000_000
        peer.say(0xC021, b"\x05")
        while not peer.owner.frames:
            peer.wait(0.1)
            peer.forge(peer.number - 1, 0xC021, b"\x05")
        assert 2 <= peer.path.clock.seconds() < 2.3
        assert peer.owner.asked == 4
        assert peer.owner.frames == [(0xC021, b"\x05")]
        assert all(peer.send(3))
        peer.wait(10)
        assert peer.path.clock.getDelayedCalls() == []

    @pytest.mark.parametrize("lost", [500, 70_000])
    def test_anyNumberOfAPeerThatCanNotAnswer(self, peer: Peer, lost: int) -> None:
        """
        Packets that a peer lost before its numbering is believed don't prevent recovery.
        """
        assertRecovers(peer, lost)

    def test_whatCanNotBeReadEndsTheSession(self) -> None:
        """
        A session ends when frames in order can't be decrypted, as a forger couldn't cause that.
        """
        peer = Peer()
        peer.encryptor = Encryptor(bytes(16), 128)
        while not peer.owner.failures:
            assert peer.sent < 20 * recovery.FAILURE_LIMIT
            peer.send()
        assert UNBELIEVABLE not in peer.discards and LATE not in peer.discards


class TestPlausible:
    """
    Tests for which plaintexts are plausible.
    """

    IPV6 = b"\x60\x00\x00\x00\x00\x05" + bytes(34) + b"12345"

    @pytest.mark.parametrize(
        ("protocol", "octets", "expected"),
        [
            (0x21, packet(), True),
            (0x21, packet() + b"padding", True),
            (0x21, packet()[:-1], False),
            (0x21, packet()[:8] + b"\x7f" + packet()[9:], False),
            (0x21, b"\x65" + packet()[1:], False),
            (0x21, b"\x44" + packet()[1:], False),
            (0x21, b"\x4f" + packet()[1:30], False),
            (0x21, b"", False),
            (0x57, IPV6, True),
            (0x57, IPV6 + b"more", True),
            (0x57, IPV6[:-1], False),
            (0x57, b"\x45" + IPV6[1:], False),
            (0x57, b"\x60", False),
            (0x2B, b"anything", True),
            (0x31, b"anything", False),
            (0xC021, b"\x05\x01\x00\x04", False),
        ],
    )
    def test_plausible(self, protocol: int, octets: bytes, expected: bool) -> None:
        for size in range(1 if protocol < 256 else 2, 3):
            plain = protocol.to_bytes(size, "big") + octets
            assert isPlausible(plain, {0x21, 0x2B}, False) is expected
            assert isPlausible(plain, {0x21, 0x2B}, True) is (expected or protocol == 0x31)

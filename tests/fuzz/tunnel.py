"""
Fuzzing of one call's data path: GRE numbers, gaps and MPPE, with frames that others forge.

Nothing may raise, and no more than permitted may be held. When the peer's own packets arrive again
they must soon be carried, unless the end of the call was asked for.
"""

from __future__ import annotations

from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.window import HELD_LIMIT
from tests.datapath.test_python import CONFIRMING
from tests.datapath.test_recovery import Peer
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing

STEPS = 64
"""
The most steps of an input.
"""

_ROUNDS = 40
_PACKETS = 40
_SECONDS = 0.5


def tunnel(stateful: bool) -> Target:
    """
    The target for one kind of MPPE.
    """

    def target(octets: bytes) -> None:
        reader = Reader(octets)
        with unfailing():
            peer = Peer(stateful, reader.choose((0, 1, 0xFFFFFFF0)))
            # MPPE opens on a call whose numbers are known.
            peer.send()
            _run(peer, reader)
            if not peer.owner.failures:
                assert _carries(peer), "the peer's packets don't come through any more"
            peer.path.channel.close()
        runOut(peer.path.clock)

    return target


def _run(peer: Peer, reader: Reader) -> None:
    for _ in range(STEPS):
        if not reader.more:
            break
        kind = reader.number()
        if kind < 0x30:
            peer.send(kind & 15)
        elif kind < 0x50:
            peer.lose(reader.number(1 + kind % 2) & 0x3FFF)
        elif kind < 0x60:
            peer.wait(reader.number() / 64)
        elif kind < 0x68:
            peer.answer()
        elif kind < 0x70:
            peer.say(reader.choose((ppp.LCP, ppp.IPCP, ppp.CCP, ppp.IPV4)), reader.chunk())
        else:
            number = _near(reader, peer.number, kind)
            if kind & 4:
                flags = reader.choose((0x9000, 0x1000, reader.number(2)))
                frame = peer.noise(_near(reader, peer.sent, kind >> 3), flags)
            else:
                frame = reader.chunk()
            peer.forge(number, reader.choose((ppp.MPPE, ppp.IPV4, ppp.LCP, ppp.CCP, 0)), frame)
        assert len(peer.path.channel._window.held) <= HELD_LIMIT


def _near(reader: Reader, number: int, kind: int) -> int:
    """
    A number near C{number}, before or after it, or any number.
    """
    distance = reader.number((1, 0, 2, 4)[kind & 3])
    return number - distance if kind & 64 else number + distance


def _carries(peer: Peer) -> bool:
    """
    Whether a complete round of packets is delivered after a few attempts.
    """
    for _ in range(_ROUNDS):
        if all(peer.send(_PACKETS)):
            return True
        peer.answer()
        if peer.owner.asked:
            peer.owner.asked = 0
            peer.say(*CONFIRMING)
        peer.wait(_SECONDS)
        if peer.owner.failures:
            return True
    return False


TARGETS: dict[str, Target] = {"stateful": tunnel(True), "stateless": tunnel(False)}
"""
Targets by name.
"""

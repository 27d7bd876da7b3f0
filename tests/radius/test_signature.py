"""
Tests for L{pptpgw.radius.signature}: whose requests are obeyed, and how answers are signed.
"""

from __future__ import annotations

from pptpgw.radius.packet import DISCONNECT_REQUEST
from tests.radius.authorized import HOST, World, assertDiscarded


def test_proxyState() -> None:
    """
    Every Proxy-State comes back unchanged and in order in any answer (section 3.1).
    """
    world = World()
    states = [("Proxy-State", b"one"), ("Proxy-State", b"two")]
    for attributes in ([("Acct-Session-Id", "run1")], [("Acct-Session-Id", "run9")]):
        reply = world.disconnect(*attributes, *states)
        assert reply is not None and reply["Proxy-State"] == [b"one", b"two"]


def test_noRoomForTheAnswer() -> None:
    """
    A request with so much Proxy-State that the answer would be too large gets no answer.
    """
    world = World(timestamps=False)
    states = [*[("Proxy-State", bytes(250))] * 16, ("Proxy-State", bytes(40))]
    assert world.disconnect(*states, when=None, signed=False) is None
    assert world.counters.discards == {"dynamic authorization: no room for an answer": 1}


def test_forged() -> None:
    """
    A request that is signed with a wrong secret gets no answer, even if it is another client's
    secret.
    """
    for secret in (b"wrong", b"another"):
        world = World()
        assert world.disconnect(("Acct-Session-Id", "run1"), secret=secret) is None
        assertDiscarded(world, "the authenticator is wrong")


def test_forgedMessageAuthenticator() -> None:
    """
    A Message-Authenticator in a request must be right.
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"), signed=False)
    packet[80] = [bytes(16)]
    assert world.send(packet) is None
    assertDiscarded(world, "the Message-Authenticator is wrong")


def test_withoutMessageAuthenticator() -> None:
    """
    A request needs no Message-Authenticator, as its authenticator signs all of it.
    """
    world = World()
    assert world.disconnect(("Acct-Session-Id", "run1"), signed=False) is not None


def test_flippedBits() -> None:
    """
    A request with any flipped bit gets no answer, unless the bit isn't signed, such as those of the
    identifier.
    """
    world = World()
    octets = bytearray(
        world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    )
    for bit in range(len(octets) * 8):
        octets[bit // 8] ^= 1 << bit % 8
        assert world.rules.received(bytes(octets), HOST, 4000) is None
        octets[bit // 8] ^= 1 << bit % 8
    world.assertNothingDone()
    assert world.rules.received(bytes(octets), HOST, 4000) is not None

"""
Tests of L{pptpgw.radius.signature}: whose requests are obeyed, and how answers are signed.
"""

from __future__ import annotations

from pptpgw.radius.packet import DISCONNECT_REQUEST
from tests.radius.authorized import HOST, World, assertDiscarded


def test_proxyState() -> None:
    """
    Each Proxy-State comes back as it was, in order, whatever the answer (section 3.1).
    """
    world = World()
    states = [("Proxy-State", b"one"), ("Proxy-State", b"two")]
    for attributes in ([("Acct-Session-Id", "run1")], [("Acct-Session-Id", "run9")]):
        reply = world.disconnect(*attributes, *states)
        assert reply is not None and reply["Proxy-State"] == [b"one", b"two"]


def test_noRoomForTheAnswer() -> None:
    """
    So much Proxy-State that the answer would be too large is not answered.
    """
    world = World(timestamps=False)
    states = [*[("Proxy-State", bytes(250))] * 16, ("Proxy-State", bytes(40))]
    assert world.disconnect(*states, when=None, signed=False) is None
    assert world.counters.discards == {"dynamic authorization: no room for an answer": 1}


def test_forged() -> None:
    """
    Nor is who doesn't know the secret; that of another client isn't its.
    """
    for secret in (b"wrong", b"another"):
        world = World()
        assert world.disconnect(("Acct-Session-Id", "run1"), secret=secret) is None
        assertDiscarded(world, "the authenticator is wrong")


def test_forgedMessageAuthenticator() -> None:
    """
    A Message-Authenticator that is there must be right.
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"), signed=False)
    packet[80] = [bytes(16)]
    assert world.send(packet) is None
    assertDiscarded(world, "the Message-Authenticator is wrong")


def test_withoutMessageAuthenticator() -> None:
    """
    It may be left out: the authenticator signs the whole request.
    """
    world = World()
    assert world.disconnect(("Acct-Session-Id", "run1"), signed=False) is not None


def test_flippedBits() -> None:
    """
    No bit of a request can be changed on its way; but for the bits of the identifier and such,
    everything is signed.
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

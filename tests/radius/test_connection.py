"""
Tests for L{pptpgw.radius.connection}: replies on a stream in memory, and identifiers.
"""

from __future__ import annotations

import pytest

from tests.radius.streamed import World, replyTo, requests


@pytest.mark.parametrize(
    "octets",
    [
        b"\x05\x00\x00\x13" + bytes(16),
        b"\x05\x00\x10\x01" + bytes(16),
        b"\x05\x00\x00\x15" + bytes(17),
        b"\x63\x00\x00\x14" + bytes(16),
        b"\x05\x00\x00\x14" + bytes(16),
    ],
)
def test_wrongReply(octets: bytes) -> None:
    """
    A reply that is malformed, isn't a reply or isn't the server's ends the connection (RFC 6613
    section 2.6.4).
    """
    world = World()
    asked = world.ask()
    transport = world.endpoint.accept()
    assert requests(transport)[0].id == 0
    world.endpoint.protocols[0].dataReceived(octets)
    assert transport.disconnecting and asked.called and len(world.failures) == 1
    assert world.counters.discards == {"RADIUS: malformed reply over TLS": 1}


def test_lateReply() -> None:
    """
    The identifier of an abandoned request isn't used again before its reply has come. That late
    reply doesn't end the connection.
    """
    world = World(limit=2)
    first = world.ask()
    transport = world.endpoint.accept()
    [late] = requests(transport)
    first.cancel()
    assert world.transport.free == 1
    world.ask()
    [other] = requests(transport)
    assert other.id != late.id
    world.endpoint.protocols[0].dataReceived(replyTo(late) + replyTo(other))
    assert len(world.replies) == 1 and not transport.disconnecting
    assert world.transport.free == 2
    assert world.counters.discards == {"RADIUS: reply that nobody waits for": 1}


def test_everyIdentifier() -> None:
    """
    As many requests are under way as there are identifiers, and no more, again and again.
    """
    world = World(limit=4096)
    world.ask()
    transport = world.endpoint.accept()
    for _ in range(3):
        while world.transport.free:
            world.ask()
        sent = requests(transport)
        assert sorted(packet.id for packet in sent) == list(range(256))
        for packet in sent:
            world.endpoint.protocols[0].dataReceived(replyTo(packet))
    assert len(world.replies) == 768

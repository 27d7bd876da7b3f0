"""
Tests for L{pptpgw.radius.radsec}: when there is a connection, and what is sent on it.
"""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from pptpgw.radius.packet import ACCESS_ACCEPT, ACCESS_REQUEST, ACCOUNTING_RESPONSE
from pptpgw.radius.radsec import LONGEST_PAUSE
from tests.radius.streamed import World, replyTo, requests


def test_oneConnectionForAll() -> None:
    """
    Requests of both services share one connection, and replies may come in any order and in any
    pieces.
    """
    world = World()
    world.ask()
    world.ask(ACCESS_REQUEST)
    transport = world.endpoint.accept()
    world.ask()
    sent = requests(transport)
    assert [packet.code for packet in sent] == [4, 1, 4]
    assert len({packet.id for packet in sent}) == 3
    octets = b"".join(
        replyTo(one, code=ACCESS_ACCEPT if one.code == 1 else ACCOUNTING_RESPONSE)
        for one in reversed(sent)
    )
    for place in range(len(octets)):
        world.endpoint.protocols[0].dataReceived(octets[place : place + 1])
    assert [reply.code for reply in world.replies] == [5, 2, 5]
    assert world.endpoint.asked == [] and not world.clock.getDelayedCalls()
    assert world.transport.heard == 0 and world.transport.free == 256


def test_nothingIsSentBeforeTheServerIsKnown() -> None:
    """
    Nothing is sent before the connection is made and the server has proven its identity.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept(trusted=False)
    assert transport.io.getvalue() == b""
    world.endpoint.protocols[0].handshakeCompleted()
    assert len(requests(transport)) == 1


def test_goesByTheNextConnection() -> None:
    """
    Requests that are under way when a good connection ends are sent on a new one at once.
    """
    world = World()
    world.ask()
    first = world.endpoint.accept()
    world.endpoint.protocols[0].dataReceived(replyTo(requests(first)[0]))
    world.ask(name="bob")
    assert len(requests(first)) == 1
    world.endpoint.protocols[0].connectionLost(Failure(ConnectionDone()))
    [packet] = requests(world.endpoint.accept())
    assert packet["User-Name"] == ["bob"]
    world.endpoint.protocols[1].dataReceived(replyTo(packet))
    assert len(world.replies) == 2 and world.failures == []


def test_noConnectionWithoutNeed() -> None:
    """
    An idle connection that the server closes isn't made again before the next request.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.endpoint.protocols[0].dataReceived(replyTo(requests(transport)[0]))
    world.endpoint.protocols[0].connectionLost(Failure(ConnectionDone()))
    assert world.endpoint.asked == []
    world.ask()
    assert len(world.endpoint.asked) == 1


@pytest.mark.parametrize("how", ["refused", "untrusted", "closed"])
def test_backsOff(how: str) -> None:
    """
    The waiting requests fail when a server can't be reached, isn't trusted or closes at once. The
    pause before the next attempt grows each time.
    """
    world = World()
    pauses = []
    for _ in range(9):
        world.ask()
        world.ask()
        if how == "refused":
            world.endpoint.refuse()
        else:
            world.endpoint.accept(trusted=how == "closed")
            world.endpoint.protocols[-1].connectionLost(Failure(ConnectionDone()))
        begin = world.clock.seconds()
        failed = len(world.failures)
        while not world.endpoint.asked:
            world.clock.advance(0.25)
            waiting = world.ask()
        pauses.append(world.clock.seconds() - begin)
        assert len(world.failures) > failed
        world.transport._waiting.popitem()[0].unanswered("")
        assert waiting.called
        world.endpoint.asked.clear()
        world.transport._connecting = None
    assert 0.8 <= pauses[0] <= 1.25
    assert all(0.8 * LONGEST_PAUSE <= pause <= LONGEST_PAUSE + 0.25 for pause in pauses[-2:])
    assert "too early" in world.failures[-2]


def test_silence() -> None:
    """
    A request without an answer ends the connection.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.clock.advance(5)
    assert transport.disconnecting and len(world.failures) == 1


def test_stop() -> None:
    """
    C{stop} makes requests that are under way fail. A later request opens a new connection.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.transport.stop()
    world.transport.stop()
    assert transport.disconnecting and len(world.failures) == 1
    assert not world.clock.getDelayedCalls()
    world.ask()
    assert len(world.endpoint.asked) == 1
    world.transport.stop()
    assert len(world.failures) == 2

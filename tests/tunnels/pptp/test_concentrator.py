"""
Tests for L{pptpgw.tunnels.pptp.concentrator}: calls are passed on to a PNS, as incoming calls.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import Forward, IForwarder, Stations
from pptpgw.testing import CALLER, PASSWORD, answering, joined, resultOf
from pptpgw.tunnels.pptp.call import PPTP
from pptpgw.tunnels.pptp.concentrator import PPTPConcentrator
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side
from tests.sessions.legs import PassingWorld

PNS = "198.51.100.1"
TEXT = f"""
[[forwarding.destination]]
name = "company"
tunnel = "pptp"
endpoints = ["{PNS}"]
called = ["{CALLER.called}"]
authenticated = false
"""


@implementer(IForwarder)
class Forwarder(PPTPConcentrator):
    """
    The part of a PPTP tunnel that passes calls on.
    """

    kind = PPTP


class World(PassingWorld):
    """
    A PAC that passes every call on to a PNS, which knows alice.

    @ivar permitted: the networks of the PACs that may offer the PNS calls.
    @ivar opened: the PAC's ends of the control connections between the two.
    """

    def __init__(self) -> None:
        self.permitted = [IPv4Network(f"{CALLER.called}/32")]
        self.opened: list[ControlConnection] = []
        users = [InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD)]
        super().__init__(TEXT, (), users)
        settings = ConnectionSettings(hostName=b"pop")
        self.concentrator = Forwarder(self.clock, settings, self._open)
        self.gateway.context.forwarding.forwarders = {"pptp": self.concentrator}

    def _open(
        self,
        settings: ConnectionSettings,
        owner: ConnectionOwner,
        source: str,
        peer: tuple[str, int],
    ) -> Deferred[ControlConnection]:
        address, _ = peer
        if address != PNS:
            return fail(ConnectionRefusedError())
        here = ControlConnection(
            self.clock, settings, self.callIDs, owner, Side.ORIGINATOR, CALLER.called, address
        )
        there = ControlConnection(
            self.clock,
            ConnectionSettings(hostName=b"company"),
            self.beyond.callIDs,
            answering(self.beyond.gateway, self.permitted),
            Side.RECEIVER,
            address,
            CALLER.called,
        )
        joined(self.clock, here, there)
        self.opened.append(here)
        return succeed(here)

    def call(self) -> Any:
        placed = self.placeCall(self.connect())
        self.run(1)
        return placed


def test_aCall() -> None:
    """
    PPP passes between the caller and the PNS, which authenticates the caller. Both calls end,
    whoever hangs up.
    """
    world = World()
    call = resultOf(world.call())
    (session,) = world.gateway.sessions
    (beyond,) = world.beyond.gateway.sessions
    assert (session.encryption, beyond.user) == ("passed on", "alice")
    (connection,) = world.opened
    assert connection.peerName == "company"
    assert beyond.stations == Stations(CALLER.address, CALLER.called)
    call.hangUp("enough")
    world.run(1)
    assert not connection.calls and not list(world.beyond.gateway.sessions)
    again = resultOf(world.call())
    (beyond,) = world.beyond.gateway.sessions
    beyond.hangUp("the PNS has enough")
    world.run(1)
    resultOf(again.ended)
    assert not list(world.gateway.sessions) and len(world.opened) == 1
    world.rest(61)
    assert not connection.isEstablished


def test_refused() -> None:
    """
    A PNS that doesn't know us refuses the call, and so does one that isn't there.
    """
    world = World()
    world.permitted.clear()
    with pytest.raises(CallError):
        resultOf(world.call())
    assert not list(world.gateway.sessions)


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (Forward("pptp", "203.0.113.9"), "Connection was refused"),
        (Forward("pptp", PNS, peerName="evil"), "calls itself 'company', and not 'evil'"),
    ],
)
def test_theServer(forward: Forward, why: str) -> None:
    """
    A PNS that doesn't listen, or has another name than it must, costs only the call.
    """
    world = World()
    owner: Any = None
    caller: Any = type("", (), {"called": "192.0.2.1", "caller": "192.0.2.7"})()
    placed = world.concentrator.place(forward, None, caller, owner)  # type: ignore[arg-type]
    world.run(1)
    with pytest.raises(CallError, match=why):
        resultOf(placed)
    stopped = world.concentrator.stop()
    world.run(1)
    resultOf(stopped)

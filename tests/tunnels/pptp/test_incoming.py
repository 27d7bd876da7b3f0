"""
Tests of incoming calls (RFC 2637 sections 2.9 to 2.11) from a PAC to the gateway as their PNS.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.interfaces import Stations
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.sessions.cause import Cause
from pptpgw.sessions.remedy import Remedy
from pptpgw.testing import CALLER, PASSWORD, World, resultOf


def incomingCall(world: World) -> ClientCall:
    """
    Offer C{world} a call from the end that a PAC would reach by telephone.
    """
    connection: Any = world.connect()
    identity = Identity(b"alice", PASSWORD, (MSCHAPV2,))
    call = ClientCall(
        world.clock,
        world.makeCallersDataPath(),
        LinkSettings(identity=identity),
        [IPCP(IPv4Settings.client(lambda packet: None))],
    )
    call.opened.addErrback(lambda failure: None)
    call.placed(connection._control.offerCall(call, Stations("0123", "555")))
    return call


class PNS(World):
    """
    A gateway to which the PACs of one network may offer calls.
    """

    concentrators = (IPv4Network(f"{CALLER.address}/32"),)

    def __init__(self) -> None:
        super().__init__("", [InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD)])


def test_anIncomingCall() -> None:
    """
    The gateway authenticates the caller of a PAC, as any other, and can hang up.
    """
    world = PNS()
    call = incomingCall(world)
    world.run(1)
    assert resultOf(call.opened) is call
    (session,) = world.gateway.sessions
    assert (session.user, session.encryption) == ("alice", "MPPE 128 bit stateless")
    assert (session.stations.calling, session.stations.called) == ("0123", "555")
    assert (session.concentrator, session.caller) == ("pptpgw", CALLER.address)
    session.hangUp("enough")
    world.run(1)
    assert resultOf(call.ended) == "the peer terminated LCP: enough"
    assert not list(world.gateway.sessions)


def test_aStranger() -> None:
    """
    A PAC that isn't named is refused, and the attempt says what to do.
    """
    world = World("", [InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD)])
    call = incomingCall(world)
    world.run(1)
    assert resultOf(call.ended) == "the peer refused the call: do not accept"
    (attempt,) = world.gateway.attempts
    assert isinstance(attempt.cause, Cause) and attempt.cause.remedy is Remedy.NOT_A_CONCENTRATOR
    assert not list(world.gateway.sessions)

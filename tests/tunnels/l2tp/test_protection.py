"""
Tests of IPsec beneath L2TP, as the tunnel sees it.
"""

from __future__ import annotations

from typing import Any

import pytest

from pptpgw.ipsec.associations import CHILD_UPDOWN
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.wire.code import MessageType
from tests.ipsec.charon import child
from tests.ipsec.test_associations import HERE, down, up
from tests.reload.test_l2tp import TEXT, Peer
from tests.reload.world import World
from tests.tunnels.l2tp.joined import CallOwner


class Site:
    """
    A gateway whose L2TP tunnel knows the associations that the test tells it of.
    """

    def __init__(self, clear: str) -> None:
        self.world = World(TEXT + f'clear = "{clear}"\n')
        tunnel: Any = self.world.service.tunnels["l2tp"]
        self.tunnel = tunnel
        self.associations = tunnel._protection._watch._associations

    def call(self, port: int) -> tuple[L2TPCall, CallOwner]:
        """
        Return a call from this port, and its owner.
        """
        peer = Peer(self.world, port)
        peer.begin()
        peer.say(MessageType.SCCCN)
        peer.call(1)
        (connection,) = (one for one in peer.port.connections.of(HERE) if one.peer[1] == port)
        (call,) = connection.calls.values()
        return call, call.owner

    def end(self, number: int, port: str) -> None:
        """
        End an association for good.
        """
        self.associations.heard(CHILD_UPDOWN, down(child(number, port), number=number))
        self.tunnel._unprotected(HERE)


@pytest.mark.parametrize("clear", ["refuse", "accept"])
def test_theEndOfIPsec(clear: str) -> None:
    """
    Calls name the association that they come through, and end with the last one, as by a lost
    carrier; others from the same address go on.
    """
    site = Site(clear)
    for number, port in ((1, "l2f"), (2, "l2f"), (3, "5000")):
        site.associations.heard(CHILD_UPDOWN, up(child(number, port), number=number))
    first, owner = site.call(1701)
    other, otherOwner = site.call(5000)
    assert first.encrypted and other.encrypted
    assert first.protection.startswith("IPsec ESP AES_CBC-256/HMAC_SHA1_96, pptpgw-psk[2], ")
    assert first.protection.endswith(" (or 1 more from there)")
    assert other.protection == "IPsec ESP AES_CBC-256/HMAC_SHA1_96, pptpgw-psk[3], from 10.0.0.9"
    site.end(2, "l2f")
    assert not owner.heard[1:] and ", pptpgw-psk[1], " in first.protection
    site.end(1, "l2f")
    assert codeOf(owner.heard[-1]) is Termination.LOST_CARRIER
    assert owner.heard[-1] == "the IPsec beneath it has ended"
    assert not otherOwner.heard[1:]
    site.end(3, "5000")
    assert otherOwner.heard[-1] == "the IPsec beneath it has ended"


def test_clear() -> None:
    """
    Where packets in clear are refused, whatever comes is protected, even if no association is
    known. Where they are accepted it isn't, and doesn't end with associations of others.
    """
    refused, _ = Site("refuse").call(1701)
    assert (refused.encrypted, refused.protection) == (True, "IPsec")
    site = Site("accept")
    site.associations.heard(CHILD_UPDOWN, up(child(1, "5000")))
    call, owner = site.call(1701)
    assert (call.encrypted, call.protection) == (False, "")
    site.end(1, "5000")
    assert not owner.heard[1:]

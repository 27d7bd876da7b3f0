"""
Ends of declared protocols that a test plays by hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import Clock

from pptpgw.networks.generic.control import GenericProtocol, GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import HUB, Declaration, Destination, Rule
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DrivenLink, makeProtocol

NONE: Mapping[int, Rule] = {}


def declare(*data: int, options: Mapping[int, Rule] = NONE, to: Destination = HUB) -> Declaration:
    """
    A declaration of a protocol with these options.
    """
    return Declaration("controller", 0x80C3, data or (0x00C3,), to, options=dict(options))


class Link(DrivenLink[GenericProtocol]):
    """
    One end: a declared protocol and its link.
    """

    def __init__(
        self,
        declaration: Declaration,
        assigned: dict[int, bytes] | None = None,
        clock: Clock | None = None,
        peerMRU: int = 1400,
    ) -> None:
        self.received: list[tuple[int, bytes]] = []
        settings = GenericSettings(
            receive=lambda number, packet: self.received.append((number, packet)),
            opened=lambda protocol: self.told.append(f"{protocol.name} opens"),
            closed=lambda protocol: self.told.append(f"{protocol.name} closes"),
            assigned=assigned or {},
        )
        super().__init__(protocolFor(declaration)(settings), peerMRU, clock)


def up(declaration: Declaration, assigned: dict[int, bytes] | None = None) -> Link:
    """
    An end whose link is up.
    """
    link = Link(declaration, assigned)
    link.protocol.lowerUp()
    return link


def pair(
    gateway: Declaration, client: Declaration, assigned: dict[int, bytes] | None = None
) -> tuple[Link, Link]:
    """
    Two ends that had time to agree.
    """
    clock = Clock()
    one, other = Link(gateway, assigned, clock), Link(client, None, clock)
    one.join(other)
    return one, other


def session(network: GenericNetwork, name: str = "alice") -> DrivenLink[GenericProtocol]:
    """
    The link of one session, whose peer the test plays.
    """
    link: DrivenLink[GenericProtocol] = DrivenLink(makeProtocol(network, Profile(name)))
    link.protocol.lowerUp()
    return link


def opened(network: GenericNetwork, name: str = "alice") -> DrivenLink[GenericProtocol]:
    """
    The link of a session on which the protocol is open.
    """
    link = session(network, name)
    link.agree()
    return link

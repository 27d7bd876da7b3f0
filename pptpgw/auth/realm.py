"""
The realm: from an avatar id to the subscriber that the gateway knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from zope.interface import Interface, implementer

from pptpgw.interfaces import ISubscriber


class AvatarID(bytes):
    """
    An account's name that carries the addresses its account allows.

    Checkers that know no addresses return plain C{bytes}, and their subscribers get any address
    from the pool.
    """

    addresses: tuple[IPv4Network, ...] | None

    def __new__(cls, name: bytes, addresses: tuple[IPv4Network, ...] | None = None) -> AvatarID:
        """
        @param addresses: as in L{ISubscriber}.
        """
        self = super().__new__(cls, name)
        self.addresses = addresses
        return self


@implementer(ISubscriber)
@dataclass(frozen=True, slots=True)
class Subscriber:
    """
    A caller whom a checker knows.
    """

    name: str
    addresses: tuple[IPv4Network, ...] | None = None


@implementer(IRealm)
class SubscriberRealm:
    """
    Makes subscribers; logging out means nothing to it.
    """

    def requestAvatar(
        self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """
        The L{ISubscriber} called C{avatarId}.

        @raise UnauthorizedLogin: it is anonymous.
        @raise NotImplementedError: something else than an L{ISubscriber} is asked for.
        """
        if ISubscriber not in interfaces:
            raise NotImplementedError("this realm has subscribers only")
        if not avatarId:
            raise UnauthorizedLogin("nobody calls anonymously")
        addresses = avatarId.addresses if isinstance(avatarId, AvatarID) else None
        name = bytes(avatarId).decode("utf-8", "backslashreplace")
        return ISubscriber, Subscriber(name, addresses), _logout


def _logout() -> None:
    """
    A session ends with its call.
    """

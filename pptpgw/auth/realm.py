"""
The realm: from an avatar id to the subscriber that the gateway knows.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from zope.interface import Interface, implementer

from pptpgw.interfaces import ISubscriber
from pptpgw.sessions.naming import nameOf
from pptpgw.sessions.profile import Profile


class AvatarID(bytes):
    """
    An account's name that carries its profile.

    Checkers that know no profiles return plain C{bytes}, and to their users the configuration
    applies.
    """

    profile: Profile

    def __new__(cls, profile: Profile) -> AvatarID:
        """
        That of the account that C{profile} belongs to.
        """
        self = super().__new__(cls, profile.name.encode("utf-8"))
        self.profile = profile
        return self


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
        if isinstance(avatarId, AvatarID):
            profile = avatarId.profile
        else:
            profile = Profile(nameOf(bytes(avatarId)))
        return ISubscriber, profile, _logout


def _logout() -> None:
    """
    A session ends with its call.
    """

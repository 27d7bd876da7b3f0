"""
The realm of twisted.cred, which makes an L{ISubscriber} of an avatar identifier.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from zope.interface import Interface, implementer

from pptpgw.interfaces import ISubscriber
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf


class AvatarID(bytes):
    """
    The name of an account together with its profile.

    Checkers that know no profiles return plain C{bytes}; the configuration decides everything for
    their users.
    """

    profile: Profile

    def __new__(cls, profile: Profile) -> AvatarID:
        """
        Make the identifier of the account that C{profile} belongs to.
        """
        self = super().__new__(cls, profile.name.encode("utf-8"))
        self.profile = profile
        return self


@implementer(IRealm)
class SubscriberRealm:
    """
    Makes subscribers. Their logout does nothing.
    """

    def requestAvatar(
        self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """
        Return the L{ISubscriber} whose name is C{avatarId}.

        @raise UnauthorizedLogin: C{avatarId} is anonymous.
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
    Do nothing: a session ends with its call, not by a logout.
    """

"""
A session: one authenticated caller, from the proof of who it is to the end of its call.

It is a record that the gateway keeps true and that observers, a management interface or another
service in the same process read.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from time import monotonic

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ISubscriber, TunnelKind
from pptpgw.sessions.profile import Profile

UNKNOWN = TunnelKind("", "")
"""
The tunnel of a session that isn't of a call.
"""


class Session:
    """
    A session: what is known of one authenticated call.

    @ivar number: its number, unique while the gateway runs.
    @ivar identifier: a text that no other session has, not even one of another run.
    @ivar profile: what its user's account allows it now.
    @ivar user: the user's name, as the account has it.
    @ivar caller: the address, in text, that the call came from; C{called}: ours that it went to.
    @ivar tunnel: what tunnel it came by.
    @ivar since: when it began, in seconds since 1970, for people and records; L{duration} says for
        how long it has gone on.
    @ivar authentication: the name of the method that proved it, C{mschapv2} for one.
    @ivar encryption: what is encrypted and how, in words.
    @ivar networks: the networks of each network protocol that is open, by the protocol's name.
    @ivar counters: the figures of its call.
    """

    __slots__ = (
        "_began",
        "_changed",
        "_hangUp",
        "_seconds",
        "authentication",
        "called",
        "caller",
        "counters",
        "encryption",
        "identifier",
        "networks",
        "number",
        "profile",
        "since",
        "tunnel",
    )

    def __init__(
        self,
        number: int,
        identifier: str,
        subscriber: ISubscriber,
        caller: str,
        since: float,
        counters: Counters,
        hangUp: Callable[[str], None],
        changed: Callable[[Session], None],
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """
        @param seconds: the clock that its duration is measured by.
        """
        self.number = number
        self.identifier = identifier
        self.profile: Profile = subscriber.profile
        self.caller = caller
        self.since = since
        self.counters = counters
        self.called = ""
        self.tunnel = UNKNOWN
        self.authentication = "none"
        self.encryption = "not encrypted"
        self.networks: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {}
        self._hangUp = hangUp
        self._changed = changed
        self._seconds = seconds
        self._began = seconds()

    @property
    def user(self) -> str:
        """
        The user's name.
        """
        return self.profile.name

    @property
    def duration(self) -> float:
        """
        The seconds since it began, by a monotonic clock.
        """
        return self._seconds() - self._began

    def change(self, profile: Profile) -> None:
        """
        Allow it what C{profile}, of the same user, allows from now on; observers hear of it.
        """
        self.profile = profile
        self._changed(self)

    def hangUp(self, cause: str) -> None:
        """
        End the session; observers hear of it when the call is over.
        """
        self._hangUp(cause)

    def __repr__(self) -> str:
        return f"<Session {self.number} of {self.user!r} from {self.caller}>"

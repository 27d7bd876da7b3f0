"""
A session: one authenticated caller, from the proof of who it is to the end of its call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from time import monotonic

from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import (
    UNKNOWN_STATIONS,
    AgreedProtocol,
    Direction,
    ISession,
    ISubscriber,
    LinkQuality,
    TunnelEnds,
    TunnelKind,
)
from pptpgw.sessions.gate import Gate
from pptpgw.sessions.profile import Profile

UNKNOWN = TunnelKind("", "")
"""
The tunnel of a session that isn't of a call.
"""


@implementer(ISession)
class Session:
    """
    The record of a session. See L{ISession}.

    @ivar carrier: what is known of the tunnel beside its addresses; None for nothing.
    @ivar gate: the L{Gate} that its packets pass; None if no filters are configured.
    @ivar agreed: see L{ISession.agreed}.
    @ivar quality: see L{ISession.quality}.
    """

    __slots__ = (
        "_began",
        "_changed",
        "_hangUp",
        "_seconds",
        "agreed",
        "authentication",
        "called",
        "caller",
        "carrier",
        "concentrator",
        "counters",
        "direction",
        "encryption",
        "gate",
        "identifier",
        "interface",
        "networks",
        "number",
        "passedTo",
        "path",
        "profile",
        "quality",
        "since",
        "stations",
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
        gate: Gate | None = None,
        agreed: Callable[[], Sequence[AgreedProtocol]] = tuple,
        quality: Callable[[], LinkQuality | None] = lambda: None,
    ) -> None:
        """
        @param hangUp: ends the session's call, for a cause.
        @param changed: called when the session has another profile.
        @param seconds: the clock that its duration is measured by.
        @param agreed: returns what the control protocols of its link have agreed on.
        @param quality: returns what the reports on its link have shown.
        """
        self.number = number
        self.identifier = identifier
        self.profile: Profile = subscriber.profile
        self.caller = caller
        self.since = since
        self.counters = counters
        self.gate = gate
        self.agreed = agreed
        self.quality = quality
        self.called = self.concentrator = ""
        self.stations = UNKNOWN_STATIONS
        self.tunnel = UNKNOWN
        self.direction = Direction.IN
        self.carrier: TunnelEnds | None = None
        self.passedTo: TunnelEnds | None = None
        self.authentication = "none"
        self.encryption = "not encrypted"
        self.interface = ""
        self.path = ""
        self.networks: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {}
        self._hangUp = hangUp
        self._changed = changed
        self._seconds = seconds
        self._began = seconds()

    @property
    def user(self) -> str:
        """
        See L{ISession.user}.
        """
        return self.profile.name

    @property
    def other(self) -> str:
        """
        See L{ISession.other}.
        """
        isOurs = self.direction is Direction.OUT
        return f"to {self.called}" if isOurs else f"from {self.caller}"

    @property
    def ends(self) -> TunnelEnds:
        """
        See L{ISession.ends}.
        """
        return self.carrier or TunnelEnds(self.tunnel, self.caller, self.called)

    @property
    def duration(self) -> float:
        """
        See L{ISession.duration}.
        """
        return self._seconds() - self._began

    def change(self, profile: Profile) -> None:
        """
        See L{ISession.change}.
        """
        self.profile = profile
        self._changed(self)

    def hangUp(self, cause: str) -> None:
        """
        See L{ISession.hangUp}.
        """
        self._hangUp(cause)

    def __repr__(self) -> str:
        return f"<Session {self.number} of {self.user!r} from {self.caller}>"

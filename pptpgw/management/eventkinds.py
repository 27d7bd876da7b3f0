"""
The kinds of events that the operation of events sends, each with what it tells.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pptpgw.management.eventlog import Gap
from pptpgw.management.status import DrainView


class SessionStarted(Struct, frozen=True, tag_field="kind", tag="session-started"):
    """
    A session begins.

    @ivar time: when that was, in seconds since 1970, as in all events.
    @ivar session_id: the identifier of the session.
    @ivar user: the name of the user.
    @ivar caller: the address that the call came from.
    @ivar called: the address that was called.
    @ivar tunnel: the kind of tunnel.
    @ivar authentication: the protocol by which the user authenticated.
    """

    time: float
    session_id: str
    user: str
    caller: str
    called: str
    tunnel: str
    authentication: str


class SessionChanged(Struct, frozen=True, tag_field="kind", tag="session-changed"):
    """
    A session changes.

    @ivar session_id: the identifier of the session.
    @ivar user: the name of the user.
    @ivar change: a network protocol opened or closed, the user's networks changed, or the limits,
        rates or filter did.
    @ivar protocol: the network protocol that opened or closed; empty unless one did.
    @ivar networks: the addresses and networks that the user has now, by network protocol.
    """

    time: float
    session_id: str
    user: str
    change: Literal["opened", "closed", "networks", "limits"]
    protocol: str
    networks: dict[str, list[str]]


class SessionEnded(Struct, frozen=True, tag_field="kind", tag="session-ended"):
    """
    A session is over.

    @ivar session_id: the identifier of the session.
    @ivar user: the name of the user.
    @ivar caller: the address that the call came from.
    @ivar tunnel: the kind of tunnel.
    @ivar cause: why, in words.
    @ivar code: the code of the cause, RADIUS's Acct-Terminate-Cause (RFC 2866 section 5.10).
    @ivar uptime_seconds: how long it has lasted.
    @ivar octets_received: octets from the user; the other figures likewise.
    """

    time: float
    session_id: str
    user: str
    caller: str
    tunnel: str
    cause: str
    code: int
    uptime_seconds: float
    octets_received: int
    octets_sent: int
    packets_received: int
    packets_sent: int


class CallerRefused(Struct, frozen=True, tag_field="kind", tag="caller-refused"):
    """
    A caller was turned away.

    @ivar caller: the address that the call came from.
    @ivar tunnel: the kind of tunnel.
    @ivar user: the name that the caller gave; empty if the call itself was refused.
    @ivar authentication: the authentication protocol; empty if the call itself was refused.
    @ivar reason: why, in words.
    @ivar omitted: how many refusals and attacks before this one aren't told, since there were too
        many.
    """

    time: float
    caller: str
    tunnel: str
    user: str
    authentication: str
    reason: str
    omitted: int


class CallAttacked(Struct, frozen=True, tag_field="kind", tag="call-attacked"):
    """
    A call shows signs of an attack, and is ended.

    @ivar session_id: the identifier of the call's session, which it may not have had yet.
    @ivar user: the name of the user; empty if none is known.
    @ivar caller: the address that the call came from.
    @ivar tunnel: the kind of tunnel.
    @ivar reason: the signs, in words.
    @ivar omitted: how many attacks and refusals before this one aren't told, since there were too
        many.
    """

    time: float
    session_id: str
    user: str
    caller: str
    tunnel: str
    reason: str
    omitted: int


class LockoutBegan(Struct, frozen=True, tag_field="kind", tag="lockout-began"):
    """
    A user, or everybody at an address, is locked out.

    @ivar of: whether that is a user or a source.
    @ivar subject: the name of the user, or the address.
    @ivar failures: the number of false claims.
    @ivar until: when it ends, in seconds since 1970.
    """

    time: float
    of: Literal["user", "source"]
    subject: str
    failures: int
    until: float


class ServerChanged(Struct, frozen=True, tag_field="kind", tag="radius-server-changed"):
    """
    A RADIUS server answers no more, or answers again.

    @ivar server: its address.
    @ivar service: what it is asked for.
    @ivar alive: whether it answers.
    """

    time: float
    server: str
    service: str
    alive: bool


class ConfigurationReloaded(Struct, frozen=True, tag_field="kind", tag="reloaded"):
    """
    The configuration was read again.

    @ivar applied: the keys whose new values are in force.
    @ivar kept: the keys whose new values need a restart.
    @ivar error: why it failed; empty if it didn't.
    """

    time: float
    applied: list[str]
    kept: list[str]
    error: str


class DrainChanged(Struct, frozen=True, tag_field="kind", tag="drain-changed"):
    """
    A drain began, has another deadline, has no call left, or was ended.

    @ivar drain: the drain; null if it was ended.
    """

    time: float
    drain: DrainView | None


class FaultsChanged(Struct, frozen=True, tag_field="kind", tag="faults-changed"):
    """
    A tunnel, a network or another part has a fault, or none any more.

    @ivar faults: why the gateway takes no calls, a text for each reason; empty if it takes some.
    """

    time: float
    faults: list[str]


AnyEvent = (
    SessionStarted
    | SessionChanged
    | SessionEnded
    | CallerRefused
    | CallAttacked
    | LockoutBegan
    | ServerChanged
    | ConfigurationReloaded
    | DrainChanged
    | FaultsChanged
    | Gap
)

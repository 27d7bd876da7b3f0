"""
A gateway that runs, as programs, plugins and operators see it, and the values that tell what became
of a reload or a drain.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.attempt import IAttempts
from pptpgw.interfaces.network import INetwork
from pptpgw.interfaces.session import ISessions
from pptpgw.interfaces.tunnel import ITunnel

if TYPE_CHECKING:
    from pptpgw.counting.counters import Totals


class Effect(Enum):
    """
    What the new value of a configuration key applies to.
    """

    NEW = "calls to come"
    """
    Calls that begin later. The current sessions go on with the old value.
    """

    LIVE = "calls to come and current sessions"
    """
    Everything from now on, the current sessions too.
    """

    RESTART = "a restart"
    """
    Nothing until the gateway is restarted.
    """


@dataclass(frozen=True, slots=True)
class Change:
    """
    A key whose value differs between two configurations.

    @ivar section: the name of its section: C{ipv4}.
    @ivar key: its name in the section: C{pool}.
    @ivar effect: what the new value applies to.
    @ivar reason: why the new value needs a restart, in words; empty unless it does.
    """

    section: str
    key: str
    effect: Effect
    reason: str = ""

    @property
    def name(self) -> str:
        """
        The key with its section, as in C{[ipv4] pool}.
        """
        return f"[{self.section}] {self.key}"


@dataclass(frozen=True, slots=True)
class Reloaded:
    """
    What a reload changed, or would change.

    @ivar changes: every key whose value differs, in the order of the sections.
    """

    changes: tuple[Change, ...] = ()

    @property
    def applied(self) -> tuple[Change, ...]:
        """
        The keys whose new values are in force.
        """
        return tuple(one for one in self.changes if one.effect is not Effect.RESTART)

    @property
    def kept(self) -> tuple[Change, ...]:
        """
        The keys whose old values stay in force until a restart.
        """
        return tuple(one for one in self.changes if one.effect is Effect.RESTART)

    @property
    def sections(self) -> tuple[str, ...]:
        """
        The names of the sections that L{changes} are in.
        """
        return tuple(dict.fromkeys(one.section for one in self.changes))


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """
    The outcome of one reload.

    @ivar time: when it ended, in seconds since 1970.
    @ivar reloaded: what it changed; None if it failed.
    @ivar error: why it failed, a line for each fault; empty if it didn't.
    """

    time: float
    reloaded: Reloaded | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """
    A drain that goes on: the gateway takes no calls.

    @ivar since: when it began, in seconds since 1970.
    @ivar deadline: when the calls that are left are ended, in seconds since 1970; None for never.
    @ivar stop: whether the gateway stops when no call is left.
    """

    since: float
    deadline: float | None = None
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Operated:
    """
    What an operator has done, or tried to do.

    @ivar operator: the operator's name; of a login that failed, the name that was given.
    @ivar source: where the request came from: an address, or the user ID at the other end of a Unix
        socket.
    @ivar action: what was asked for, as in C{DELETE /sessions/{session_id}}; or C{login},
        C{logout} or C{lockout}.
    @ivar target: what it was asked for, as in C{/api/v1/sessions/0c1d}.
    @ivar outcome: C{done}, or why it wasn't.
    """

    operator: str
    source: str
    action: str
    target: str
    outcome: str


class IGatewayService(Interface):
    """
    A gateway that runs. L{pptpgw.service.GatewayService} provides it.
    """

    configuration: Any = Attribute(
        "The L{pptpgw.config.configuration.Configuration} in force. A reload replaces it."
    )
    sections: Sequence[Any] = Attribute(
        "The sections of the configuration in force, each a "
        "L{pptpgw.config.reload.SectionInForce}, with the defaults of those that the file leaves "
        "out."
    )
    plugged: Sequence[Any] = Attribute(
        "The objects that plugins have made, each a L{pptpgw.config.environment.Plugged}."
    )
    started: float | None = Attribute(
        "When the gateway began to take calls, in seconds since 1970; None if it doesn't run."
    )
    sessions: ISessions = Attribute("The current sessions.")
    lines: Collection[Any] = Attribute(
        "The current callers, each a L{pptpgw.sessions.line.Line}. Those whose C{session} is None "
        "are being set up."
    )
    attempts: IAttempts = Attribute(
        "The attempts: what became of each call, and of callers that were turned away."
    )
    networks: Mapping[str, INetwork] = Attribute(
        "The networks, by the names of the network protocols."
    )
    tunnels: Mapping[str, ITunnel] = Attribute("The tunnels, by the names of their plugins.")
    dialling: Any = Attribute(
        "The calls that the gateway dials, a L{pptpgw.dialling.service.Dialling}."
    )
    radius: Any = Attribute(
        "The L{pptpgw.radius.client.RADIUSClient}; None if the configuration names no server."
    )
    spool: Any = Attribute(
        "The L{pptpgw.radius.spool.Spool} of accounting records that no server has answered yet; "
        "None if none are sent."
    )
    store: Any = Attribute(
        "The L{pptpgw.store.interface.IStore} where each session has a row; None if there is none."
    )
    stores: Sequence[Any] = Attribute(
        "The L{pptpgw.store.interface.IStore}s of accounts that the checkers ask."
    )
    lockouts: Any = Attribute(
        "The lockouts after wrong passwords, a L{pptpgw.sessions.lockout.Lockout}."
    )
    counters: Totals = Attribute("The figures of the whole gateway.")
    tally: Any = Attribute("What has become of callers, a L{pptpgw.sessions.tally.Tally}.")
    faults: Sequence[str] = Attribute(
        "Why the gateway takes no calls at present, a text for each reason; empty if it takes some."
    )
    lastReload: ReloadOutcome | None = Attribute(
        "The outcome of the last reload; None if there was none."
    )
    draining: Drain | None = Attribute("The drain that goes on; None if there is none.")
    drained: bool = Attribute("Whether a drain goes on, and no call is left.")

    def reload(configuration: Any = None) -> Deferred[Reloaded]:
        """
        Put another configuration in force as far as that is possible without a restart. Reloads
        that are asked for at the same time are made one after the other.

        @param configuration: the new L{pptpgw.config.configuration.Configuration}; None to read
            the file again that the gateway was started with.
        @return: fires with what was changed. It fails with
            L{pptpgw.error.ConfigurationError} if the configuration can't be used, and with any
            L{pptpgw.error.PPTPGWError} if it can't be put in force; nothing was changed then.
        """

    def wouldChange(configuration: Any = None) -> Reloaded:
        """
        Tell what L{reload} would change, and change nothing.

        @raise pptpgw.error.PPTPGWError: the configuration can't be used; the text says why.
        """

    def judge(profile: Any) -> None:
        """
        Check that a session could be given what C{profile}, a
        L{pptpgw.sessions.profile.Profile}, names.

        @raise pptpgw.error.ConfigurationError: it couldn't; the text says why.
        """

    def drain(deadline: float | None = None, stop: bool = False) -> Deferred[bool]:
        """
        Take no more calls, so that the current ones become fewer. Calling this again replaces the
        deadline and what comes after.

        @param deadline: the seconds after which the calls that are left are ended, in order; None
            to wait for however long they last.
        @param stop: whether the gateway stops when no call is left.
        @return: fires with True when no call is left, and with False if L{undrain} ends the drain
            before.
        """

    def undrain() -> None:
        """
        Take calls again. Do nothing if no drain goes on.
        """

    def operated(act: Operated) -> None:
        """
        Tell the observers that are L{IOperatorObserver}s what an operator has done.
        """


class IServiceObserver(Interface):
    """
    A session observer that is also told of what happens to the gateway as a whole. An observer
    (L{pptpgw.interfaces.ISessionObserver}) may provide this too.
    """

    def reloaded(outcome: ReloadOutcome) -> None:
        """
        A reload ended, or failed.
        """

    def drainChanged(drain: Drain | None, drained: bool) -> None:
        """
        A drain began, has another deadline, has no call left, or was ended.

        @param drain: the drain; None if it was ended.
        @param drained: whether no call is left.
        """


class IOperatorObserver(Interface):
    """
    A session observer that is also told of what operators do. An observer
    (L{pptpgw.interfaces.ISessionObserver}) may provide this too.
    """

    def operated(act: Operated) -> None:
        """
        An operator has done something that changes the gateway, or has logged in, or tried to.
        """

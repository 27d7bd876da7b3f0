"""
Makers of the values that plugins are given: callers, claims, grants, environments and sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.environment import Environment
from pptpgw.config.section import LimitsSection, ListenSection
from pptpgw.counting.counters import Counters
from pptpgw.interfaces import (
    Caller,
    Claim,
    IAuthenticationProtocol,
    ICallTaker,
    IKernelInterface,
    INetwork,
    ISubscriber,
)
from pptpgw.log import Quota
from pptpgw.sessions.attempts import Attempts
from pptpgw.sessions.places import Known
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.sessions.tally import Tally
from pptpgw.testing.exchange import PASSWORD, ExchangePair
from pptpgw.tunnels.environment import TunnelEnvironment
from pptpgw.tunnels.pptp.call import PPTP

Result = TypeVar("Result")

CALLER = Caller("192.0.2.7", "192.0.2.1", 1, "0000000100000001", PPTP)
"""
A caller, for tests of networks and pools without a gateway.
"""

ALICE = Profile("alice")
"""
A user whose account leaves everything to the configuration.
"""


def makeClaim(
    method: IAuthenticationProtocol,
    name: bytes = b"alice",
    password: bytes = PASSWORD,
    caller: Caller | None = None,
) -> Claim:
    """
    Make the first claim of a peer that authenticates by the protocol C{method}.
    """
    pair = ExchangePair(method, name, password).run()
    return replace(pair.ours.claims[0], caller=caller)


def makeEnvironment(
    text: str = "",
    clock: Any = None,
    counters: Counters | None = None,
    interface: IKernelInterface | None = None,
) -> Environment:
    """
    Make the environment of a gateway whose configuration file has the content C{text}.

    @param clock: the reactor that plugins are given; None for a new L{twisted.internet.task.Clock}.
    @param counters: the figures of everything outside of sessions; None for new ones.
    @param interface: the interface of the data path, if it has one.
    @raise pptpgw.error.ConfigurationError: there is a mistake in C{text}.
    """
    environment = Environment(clock or Clock(), parse(text, "test"), counters or Counters())
    environment.interface = interface
    return environment


def makeTunnelEnvironment(
    calls: ICallTaker, listen: ListenSection | None = None, clock: Any = None
) -> TunnelEnvironment:
    """
    Make the environment of a tunnel that belongs to no gateway.

    @param calls: what the tunnel offers its calls to.
    @param listen: the section C{[listen]}; None for its defaults.
    @param clock: as for L{makeEnvironment}.
    """
    configuration = Configuration(listen=listen or ListenSection())
    environment = Environment(clock or Clock(), configuration)
    reactor, counters = environment.reactor, environment.counters
    return TunnelEnvironment(
        reactor,
        calls,
        counters,
        Quota(reactor, counters),
        Attempts(reactor, reactor.seconds, LimitsSection().attempts),
        Tally(),
        Known(reactor.seconds, 1),
        environment,
    )


def makeProtocol(
    network: INetwork, subscriber: ISubscriber = ALICE, caller: Caller = CALLER
) -> Any:
    """
    Make the network protocol of one session of C{network}. The Deferred of the network must have
    fired.

    @return: the L{pptpgw.interfaces.INetworkProtocol}, or None if the session does without.
    @raise Exception: the network refuses the session, by this exception.
    """
    return resultOf(network.makeProtocol(subscriber, caller))


def resultOf(deferred: Deferred[Result]) -> Result:
    """
    Return the result that C{deferred} has fired with.

    @raise Exception: the exception that it has failed with.
    """
    results: list[Any] = []

    def fired(result: Any) -> Any:
        results.append(result)
        return None if isinstance(result, Failure) else result

    deferred.addBoth(fired)
    assert results, "the Deferred hasn't fired"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    found: Result = results[0]
    return found


def makeSession(
    profile: ISubscriber = ALICE,
    number: int = 1,
    *,
    identifier: str = "",
    caller: str = CALLER.address,
    seconds: Callable[[], float] = lambda: 0.0,
    since: float | None = None,
    counters: Counters | None = None,
    hangUp: Callable[[str], None] = lambda cause: None,
    changed: Callable[[Session], None] = lambda session: None,
) -> Session:
    """
    Make a session that belongs to no gateway.

    @param identifier: the identifier of the session; empty for C{cafe} and the number in
        hexadecimal.
    @param seconds: the clock that the duration is measured by.
    @param since: the time of the beginning, in seconds since 1970; None for the value of
        C{seconds}.
    @param hangUp: called with the cause to end the session.
    @param changed: called with the session when its profile was changed.
    """
    return Session(
        number,
        identifier or f"cafe{number:08x}",
        profile,
        caller,
        seconds() if since is None else since,
        counters or Counters(),
        hangUp,
        changed,
        seconds,
    )

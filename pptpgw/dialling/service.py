"""
Calls that this gateway dials and keeps up, as services of Twisted.

L{Dialling} has a L{DialService} for each C{[[dial]]} of the configuration. A program may have
others of its own, which share the gateway's tunnels, networks and data path::

    from pptpgw.config.dial import Dial
    from pptpgw.dialling.service import DialService

    dial = Dial("office", "pptp", ("vpn.example.net",), "branch", "/etc/branch.password")
    office = DialService.of(gateway, dial)
    office.setServiceParent(gateway)

Then C{office.redial.state} tells how far it is, and its session is among C{gateway.sessions}, with
the name of the dial as its user and the direction C{OUT}. A network takes part in such calls if it
provides L{pptpgw.interfaces.IAskingNetwork}; a tunnel places them if it provides
L{pptpgw.interfaces.IDialler}. What a call needs of the configuration and of files is one
L{pptpgw.dialling.plan.DialPlan}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.dial import Dial
from pptpgw.config.reload import ReloadStep
from pptpgw.config.secrecy import privately
from pptpgw.dialling.line import DialledLine
from pptpgw.dialling.masquerade import DialMasquerade
from pptpgw.dialling.names import Names
from pptpgw.dialling.plan import DialPlan, Networks, Tunnels, planOf
from pptpgw.dialling.redial import DialState, Redial
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import ICall, ICallOwner, IDialler
from pptpgw.log import Logger
from pptpgw.sessions.cause import Cause, Termination, asCause
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.lifecycle import Stages

_STOPPING = Cause("the gateway is stopping", Termination.ADMIN_REBOOT, Remedy.STOPPING)
_REMOVED = Cause("the configuration doesn't have the call any more", Termination.ADMIN_RESET)
_CHANGED = Cause("the configuration of the call has changed", Termination.ADMIN_RESET)

PLACING = "dialling"
"""
The stage in which a call is placed.
"""


class DialResult(Enum):
    """
    What became of an attempt. The value is the word for programs.
    """

    OPENED = "opened"
    """
    A network opened.
    """

    FAILED = "failed"
    """
    The attempt ended before that.
    """


@implementer(ICallOwner)
class _Placed:
    """
    The owner of one call, from the attempt to place it to its end.

    @ivar placing: fires with the call.
    @ivar line: the line of the call; None before it is established, and after it has ended.
    """

    def __init__(self) -> None:
        self.placing: Deferred[Any] | None = None
        self.line: DialledLine | None = None

    def callEstablished(self, call: ICall) -> None:
        """
        See L{ICallOwner.callEstablished}. Nothing is done: see L{IDialler.dial}.
        """

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        See L{ICallOwner.callEnded}.
        """
        if self.line is not None:
            self.line.callEnded(call, cause)


class DialService(Service):
    """
    One call that this gateway dials and keeps up.

    @ivar plan: what it is; a reload may replace it for calls to come.
    @ivar redial: its state. Its methods C{up} and C{down} steer it.
    @ivar results: how many attempts had which result.
    """

    _log = Logger()

    def __init__(self, context: LineContext, tunnels: Tunnels, plan: DialPlan) -> None:
        """
        @param context: what the lines of the gateway share.
        @param tunnels: the gateway's tunnels, by name.
        """
        self.plan = plan
        self.redial = Redial(context.clock, context.now, plan.dial, self)
        Service.setName(self, f"dial {plan.dial.name}")
        self._context = context
        self._tunnels = tunnels
        self._names = self._makeNames()
        self.results: Counter[DialResult] = Counter()
        self._masquerade = DialMasquerade(context.clock, plan.dial.name)
        self._placed: _Placed | None = None
        self._stopped: Deferred[None] | None = None
        # What was logged last of calls that failed, so that it is logged once.
        self._told = ""

    @classmethod
    def of(cls, service: Any, dial: Dial) -> DialService:
        """
        Make the service of C{dial} for a gateway.

        @param service: the L{pptpgw.service.GatewayService}.
        @raise ConfigurationError: C{dial} can't be used; the text says why.
        """
        plan = planOf(service.configuration, dial, service.tunnels, service.networks)
        return cls(service.gateway.context, service.tunnels, plan)

    @property
    def line(self) -> DialledLine | None:
        """
        The line of the current call; None if there is none.
        """
        return None if self._placed is None else self._placed.line

    def startService(self) -> None:
        """
        Begin to dial, unless the call waits to be asked for.
        """
        Service.startService(self)
        self._names.tell(())
        if self.plan.dial.when == "always":
            self.redial.up()

    def stopService(self) -> Deferred[None]:
        """
        End the call.

        @return: fires when it is over.
        """
        Service.stopService(self)
        return self.end(_STOPPING)

    def change(self, plan: DialPlan) -> None:
        """
        Follow another plan. The call is placed anew if it is described in another way.
        """
        before, self.plan = self.plan, plan
        if plan.dial.resolvFile != before.dial.resolvFile:
            self._names.stop()
            self._names = self._makeNames()
        if plan.dial != before.dial:
            self.redial.change(plan.dial, _CHANGED)
            if plan.dial.when == "always" and self.running:
                self.redial.up()

    def end(self, cause: str) -> Deferred[None]:
        """
        End the call, and place no other one.

        @return: fires when it is over.
        """
        self.redial.down(cause)
        if self.redial.state is DialState.OFF:
            return self._cleared(None)
        if self._stopped is None:
            self._stopped = Deferred()
            self._stopped.addCallback(self._cleared)
        return self._stopped

    # pptpgw.dialling.redial.Placer

    def place(self, number: int) -> None:
        """
        Place a call to the address with this number.
        """
        plan = self.plan
        end = plan.ends[number]
        self._placed = placed = _Placed()
        dialler = IDialler(self._tunnels[plan.dial.tunnel])
        placed.placing = placing = maybeDeferred(dialler.dial, end, placed)
        placing.addCallback(self._established, placed, plan)
        placing.addErrback(self._failed, placed, end.endpoint)

    def giveUp(self, cause: str) -> None:
        """
        End the call, or the attempt to place it.
        """
        placed = self._placed
        assert placed is not None
        line = placed.line
        if line is not None and line.attempt.isUp:
            line.hangUp(cause)
        elif line is not None:
            line.drop(cause)
        elif placed.placing is not None:
            placed.placing.cancel()

    # pptpgw.dialling.line.DialListener

    def lineOpened(self, line: DialledLine) -> None:
        """
        Note that a network is open.
        """
        self._told = ""
        self.results[DialResult.OPENED] += 1
        self.redial.opened()

    def namesTold(self, servers: Sequence[str], domains: Sequence[str]) -> None:
        """
        Write the name servers of the other end to C{resolv-file}.
        """
        self._names.tell(servers, domains)

    def addressGiven(
        self, address: IPv4Address, interface: str, networks: Sequence[IPv4Network]
    ) -> None:
        """
        Masquerade what goes to C{networks} by C{address}, if the call is described so.
        """
        if self.plan.dial.masquerade and networks:
            self._masquerade.use(address, interface, networks)

    def addressGone(self) -> None:
        """
        Masquerade nothing any more.
        """
        self._masquerade.stop()

    def lineEnded(self, line: DialledLine, cause: str) -> None:
        """
        Note that the call is over.
        """
        if not line.attempt.isUp:
            self.results[DialResult.FAILED] += 1
        self._over(cause, line.caller.called)

    # What is private

    def _established(self, call: ICall, placed: _Placed, plan: DialPlan) -> None:
        placed.placing = None
        try:
            watched = plan.watched(partial(self._changed, plan))
            line = DialledLine(self._context, call, watched, self)
        except PPTPGWError as error:
            call.hangUp(Cause(str(error), Termination.NAS_ERROR))
            raise
        placed.line = line
        self._context.lines.join(line)
        line.callEstablished(call)

    def _changed(self, plan: DialPlan) -> None:
        """
        Use the new password from now on, since the other end has taken it.
        """
        if self.plan is plan:
            self.plan = plan.renewed()
        dial = plan.dial
        path = Path(dial.passwordFile)
        try:
            with privately(path, replace=True) as new:
                new.write_bytes(Path(dial.newPasswordFile).read_bytes())
        except OSError as error:
            self._log.error(
                "{name}: the other end has taken the password in {new}, and only that one from now "
                "on; write it to {path}: {error}",
                name=dial.name,
                new=dial.newPasswordFile,
                path=dial.passwordFile,
                error=str(error),
            )
        else:
            self._log.info(
                "{name}: the other end has taken the password in {new}, which is in {path} now",
                name=dial.name,
                new=dial.newPasswordFile,
                path=dial.passwordFile,
            )

    def _cleared(self, _: None) -> Deferred[None]:
        """
        Wait until nothing of the call is left on this machine.
        """
        clearing: Deferred[None] = self._masquerade.stop()
        return clearing.addCallback(lambda _: self._names.stop())

    def _makeNames(self) -> Names:
        dial = self.plan.dial
        return Names(self._context.clock, dial.name, dial.resolvFile)

    def _failed(self, failure: Failure, placed: _Placed, address: str) -> None:
        placed.placing = None
        self.results[DialResult.FAILED] += 1
        if failure.check(CancelledError) is None:
            cause = asCause(failure.getErrorMessage().removesuffix("."), Termination.LOST_CARRIER)
            self._notPlaced(cause, address)
        else:
            cause = asCause("given up", Termination.NAS_REQUEST)
        self._over(cause, address)

    def _notPlaced(self, cause: Cause, address: str) -> None:
        kind = IDialler(self._tunnels[self.plan.dial.tunnel]).kind
        self._context.attempts.turnedAway(
            address, kind, PLACING, cause, isRefused=False, dial=self.plan.dial.name
        )

    def _over(self, cause: str, address: str) -> None:
        redial = self.redial
        wasUp = redial.state is DialState.UP
        self._placed = None
        redial.over(cause)
        if not wasUp and redial.isWanted and redial.cause != self._told:
            self._told = str(redial.cause)
            report = self._log.error if _isHopeless(redial) else self._log.warn
            report(
                "{name}: no call to {address}: {cause}; dialled again as long as it is wanted, "
                "and told here only when something else is wrong",
                name=self.plan.dial.name,
                address=address,
                cause=redial.cause,
            )
        stopped = self._stopped
        if stopped is not None and redial.state is DialState.OFF:
            self._stopped = None
            stopped.callback(None)


def _isHopeless(redial: Redial) -> bool:
    return redial.cause is not None and redial.cause.remedy is Remedy.NOT_BELIEVED


class Dialling(Stages):
    """
    The calls of C{[[dial]]}, as services.

    @ivar dials: the services, by the names of the calls.
    """

    def __init__(
        self,
        context: LineContext,
        tunnels: Tunnels,
        networks: Networks,
        configuration: Configuration,
    ) -> None:
        """
        @raise ConfigurationError: a call can't be placed as it is described.
        """
        super().__init__(context.clock, "dialled calls", together=True)
        self.dials: dict[str, DialService] = {}
        self._context = context
        self._tunnels = tunnels
        self._networks = networks
        for plan in self._plans(configuration):
            self._add(plan)

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to dial as C{configuration} says. Calls whose description has changed are placed
        anew; what has changed elsewhere applies to calls to come.

        @raise ConfigurationError: a call can't be placed as it is described.
        """
        plans = {plan.dial.name: plan for plan in self._plans(configuration)}

        def apply() -> None:
            for name in self.dials.keys() - plans.keys():
                service = self.dials.pop(name)
                service.end(_REMOVED).addCallback(partial(self._ended, service))
            for name, plan in plans.items():
                if name in self.dials:
                    self.dials[name].change(plan)
                else:
                    self._add(plan)

        return ReloadStep("[[dial]]", apply)

    def _plans(self, configuration: Configuration) -> list[DialPlan]:
        return [
            planOf(configuration, dial, self._tunnels, self._networks)
            for dial in configuration.dial.dial
        ]

    def _add(self, plan: DialPlan) -> None:
        service = DialService(self._context, self._tunnels, plan)
        self.dials[plan.dial.name] = service
        self.addService(service)

    def _ended(self, service: IService, _: None) -> None:
        if service in self.services:
            self.removeService(service)

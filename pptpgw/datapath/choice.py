"""
The data path plugins C{auto} and C{kernel}: the kernel carries what it can, by a device for each
call, and this process carries the rest, by threads outside of the interpreter
(L{pptpgw.datapath.threaded}) where it can.

The path is chosen when a call is accepted, from what callers may have by the configuration. The
kernel has no buffer for packets that arrive out of order: it drops those that are late.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings, assertNoArgument
from pptpgw.config.section import AUTO, KERNEL
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.engine import NATIVE
from pptpgw.datapath.hindrance import (
    Machine,
    Probed,
    Seen,
    carriable,
    hindrance,
    hindrances,
    objections,
)
from pptpgw.datapath.kernel.path import FILES, GROUP, KernelDataPath
from pptpgw.datapath.threaded import NativeDataPath, ownPath
from pptpgw.error import ConfigurationError, NotCarried, PPTPGWError, Unavailable
from pptpgw.interfaces import (
    ICall,
    IChannel,
    IChannelOwner,
    IDataPathFactory,
    IEnvironment,
    IKernelCall,
    IPathChoice,
    ISessionFiles,
)
from pptpgw.log import Logger
from pptpgw.ports.clamping import Clamp


def instead(configuration: Configuration, why: str) -> str:
    """
    Return what carries the packets of calls that the kernel could carry and doesn't, and why. See
    L{IChannel.path}.

    @param why: why the kernel doesn't.
    """
    own, _, further = ownPath(configuration).partition(": ")
    return f"{own}: {why}" if why.startswith(further) else f"{own}: {why}; {further}"


def foreseen(configuration: Configuration, machine: Probed | None = None) -> str:
    """
    Return what will carry the packets of calls on this machine, and why. See L{IChannel.path}.

    @param machine: None for the real one.
    """
    if configuration.datapath.path == NATIVE:
        return ownPath(configuration)
    if not configuration.datapath.mayBeKernel:
        return configuration.datapath.path
    why = hindrances(configuration, machine or Machine(), carriable(configuration))
    return _inWords(configuration, why)


def _inWords(configuration: Configuration, why: Mapping[str, str]) -> str:
    """
    Return what carries the packets of calls, and why. See L{IChannel.path}.

    @param why: see L{hindrances}.
    """
    reasons = dict.fromkeys(why.values())
    if not any(reasons):
        return KERNEL
    if len(reasons) == 1:
        return instead(configuration, *reasons)
    others = (
        f"those of {name} by {instead(configuration, one)}" for name, one in why.items() if one
    )
    return f"{KERNEL}, {', '.join(others)}"


def _refusal(why: str) -> str:
    return f'[datapath] path = "{KERNEL}": {why}; "{AUTO}" is possible'


@implementer(IPathChoice, ISessionFiles)
class ChosenDataPath(NativeDataPath):
    """
    The data path that chooses for each call.
    """

    _log = Logger()

    def __init__(
        self, environment: IEnvironment, strict: bool, machine: Probed | None = None
    ) -> None:
        """
        @param strict: whether a call that the kernel can't carry is refused.
        @param machine: as for L{foreseen}.
        """
        self._strict = strict
        super().__init__(environment)
        self._machine = machine or Machine()
        self._kernel = KernelDataPath(environment.reactor, environment.mru)
        interface = environment.configuration.network.interface
        self._clamp = Clamp(environment.reactor, interface, GROUP)
        self._seen = Seen()
        self._protocols = carriable(environment.configuration)
        # Whose privileges the process had then.
        self._user = os.geteuid()
        # Why calls pass through this process, as far as the log has it.
        self._said: set[str] = set()
        # Which calls are kept in this process.
        self._wanted: list[Callable[[ICall], bool]] = []

    def lacking(self) -> Iterator[str]:
        """
        See L{pptpgw.interfaces.IPreparable.lacking}.
        """
        yield from super().lacking()
        if self._strict:
            yield from (_refusal(why) for why in self._lacking(self._machine))

    @property
    def filesPerSession(self) -> int:
        """
        See L{ISessionFiles}.
        """
        return 0 if self._hindrance() else FILES

    @property
    def path(self) -> str:
        """
        See L{pptpgw.interfaces.IDataPath.path}.
        """
        why = self._hindrance()
        if why and self._strict:
            return f"{KERNEL}, which refuses calls: {why}"
        configuration = self._environment.configuration
        return _inWords(configuration, hindrances(configuration, self._seen, self._protocols))

    def start(self) -> None:
        """
        See L{NativeDataPath.start}.

        @raise ConfigurationError: the kernel can't carry calls, and nothing else may.
        """
        self._look()
        for why in self._lacking(self._seen) if self._strict else ():
            raise ConfigurationError(_refusal(why))
        super().start()
        self._kernel.start()
        self._follow()
        # L{path} is in the first line of the log.
        self._said = {self._hindrance(), *map(self._lackingFor, self._protocols)}

    def stop(self) -> Deferred[None] | None:
        """
        See L{NativeDataPath.stop}.

        @return: fires when captured frames are written and devices are removed.
        """
        waiting: list[Deferred[None]] = [self._clamp.set(False)]
        waiting += [one for one in (self._kernel.stop(), super().stop()) if one is not None]
        done = DeferredList(waiting, consumeErrors=True)
        return done.addCallback(lambda _: None)

    def reload(self, settings: NoSettings) -> None:
        """
        See L{pptpgw.datapath.plugin.PortDataPath.reload}. Calls to come take the path that the new
        configuration permits.
        """
        super().reload(settings)
        self._kernel.mru = self._environment.mru
        self._follow()
        self._said &= {self._hindrance(), *map(self._lackingFor, self._protocols)}

    def _follow(self) -> None:
        """
        Clamp if a call may pass within the kernel.
        """
        self._seen = self._seen._replace(tables=self._machine.lackingTables())
        self._clamp.set(self._mssClamp and not self._hindrance())

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> IChannel:
        """
        See L{pptpgw.interfaces.IDataPath.openChannel}.

        @raise Unavailable: the kernel can't carry the call, and nothing else may.
        """
        why = self._hindrance()
        if not why and not IKernelCall.providedBy(call):
            why = f"the kernel carries no calls of {call.tunnel.name}"
        why = why or self._lackingFor(call.tunnel.name)
        if not why and any(wanted(call) for wanted in self._wanted):
            why = "a capture waits for a caller"
        if not why:
            try:
                return self._kernel.openChannel(call, owner, number)
            except (OSError, PPTPGWError) as error:
                why = str(error)
        if self._strict:
            raise Unavailable(f"the kernel can't carry this call: {why}")
        if why not in self._said:
            self._said.add(why)
            self._log.info("packets of a call pass through this process: {why}", why=why)
        channel = super().openChannel(call, owner, number)
        if isinstance(channel, Channel):
            channel.carriedHere(why)
        return channel

    def keepHere(self, wanted: Callable[[ICall], bool]) -> Callable[[], None]:
        """
        See L{IPathChoice.keepHere}.
        """
        if self._strict:
            raise NotCarried(_refusal("the kernel alone carries packets"))
        self._wanted.append(wanted)
        return partial(self._wanted.remove, wanted)

    def _hindrance(self) -> str:
        """
        See L{hindrance}.
        """
        changed = os.geteuid() != self._user
        if changed:
            # C{twistd --uid} has given up the privileges with which the ports were opened.
            self._look()
        why = hindrance(self._environment.configuration, self._seen, self._protocols)
        if changed:
            self._said.add(why)
        return why

    def _look(self) -> None:
        """
        Try with the present privileges whether the kernel can carry calls.
        """
        self._user = os.geteuid()
        pppox = {one: self._machine.lackingPPPoX(one) for one in self._protocols.values()}
        self._seen = self._seen._replace(ppp=self._machine.lackingPPP(), pppox=pppox)

    def _lackingFor(self, tunnel: str) -> str:
        """
        Return why the kernel carries no calls of one tunnel, if it carries calls.
        """
        protocol = self._protocols.get(tunnel)
        return "" if protocol is None else self._seen.lackingPPPoX(protocol)

    def _lacking(self, machine: Probed) -> Iterator[str]:
        """
        Return what the kernel lacks for the calls of some tunnel.
        """
        yield from filter(None, (machine.lackingPPP(),))
        yield from filter(None, map(machine.lackingPPPoX, self._protocols.values()))

    def _wantsThreads(self) -> bool:
        """
        See L{NativeDataPath._wantsThreads}.
        """
        return not self._strict and super()._wantsThreads()


@implementer(IDataPathFactory)
class ChosenDataPathFactory:
    """
    The plugins C{auto} and C{kernel}. See L{IDataPathFactory}.
    """

    settings = NoSettings

    def __init__(self, name: str, description: str, strict: bool) -> None:
        self.name = name
        self.description = description
        self._strict = strict

    def makeDataPath(
        self, argument: str, settings: NoSettings, environment: IEnvironment
    ) -> ChosenDataPath:
        """
        See L{IDataPathFactory.makeDataPath}.
        """
        assertNoArgument("[datapath] path", self.name, argument)
        for objection in objections(environment.configuration) if self._strict else ():
            raise ConfigurationError(_refusal(objection))
        return ChosenDataPath(environment, self._strict)


auto = ChosenDataPathFactory(
    AUTO, "By the kernel where it can, otherwise as native, or as python.", False
)
kernel = ChosenDataPathFactory(KERNEL, "By the kernel's own PPTP, PPP and MPPE alone.", True)

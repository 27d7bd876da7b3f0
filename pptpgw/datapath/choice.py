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
from contextlib import suppress
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.discovery import find
from pptpgw.config.kind import NoSettings, assertNoArgument
from pptpgw.config.section import AUTO, KERNEL, NamedFilter
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.engine import NATIVE
from pptpgw.datapath.kernel.channel import CARRIED
from pptpgw.datapath.kernel.judging import judging
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
    IKernelTunnelFactory,
    IPathChoice,
    ISessionFiles,
    ITunnelFactory,
)
from pptpgw.log import Logger
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled, TooLarge
from pptpgw.ports.clamping import Clamp
from pptpgw.ports.nft import lackingTables
from pptpgw.ports.pppox import lackingPPPoX
from pptpgw.ports.pppprobe import lackingPPP
from pptpgw.sessions.filter import Filter

# What sections of declared network protocols begin with.
_DECLARED = "network."
# Room for the networks of a session, which are compared before its filter is asked.
_NETWORKS = (bpf.result(bpf.DROP),) * 256


def objections(configuration: Configuration) -> Iterator[str]:
    """
    Return what callers may have, by the configuration, that the kernel can't give them: the key of
    each, and why.
    """
    for name in configuration.network.protocols:
        if name not in CARRIED.values():
            yield f"[network] protocols has {name}, which the kernel doesn't carry"
    if 56 in configuration.link.encryptionBits:
        yield "[link] encryption-bits has 56, which the kernel's MPPE hasn't"
    if configuration.link.encryptionStateful:
        yield (
            "[link] encryption-stateful is set, and the kernel doesn't recover from losses "
            "in stateful MPPE"
        )
    if configuration.link.compression:
        yield "[link] compression is set, and the kernel's calls aren't compressed"
    if configuration.link.multilink:
        yield "[link] multilink is set, and fragments are put together in this process"
    if configuration.capture.file:
        yield "[capture] file is set, and the kernel's packets don't pass there"
    for name in configuration.sections:
        if name.startswith(_DECLARED):
            yield f"[[{name}]] declares protocols, which the kernel doesn't carry"
    yield from _tooLarge(configuration.network.filter)


@lru_cache(4)
def _tooLarge(filters: tuple[NamedFilter, ...]) -> tuple[str, ...]:
    """
    Return objections to filters that are too large, which takes milliseconds to find out.
    """
    found = []
    for one in filters:
        try:
            Assembled(_NETWORKS, judging(Filter(one.rules)))
        except TooLarge as error:
            found.append(f'[[network.filter]] name = "{one.name}": it is {error}')
    return tuple(found)


def carriable(configuration: Configuration) -> dict[str, int]:
    """
    Return the tunnels that the gateway has whose calls Linux can carry, by name, each with its
    protocol of the family PPPoX.
    """
    found = {}
    for name in configuration.listen.tunnels:
        with suppress(ConfigurationError):
            factory = find(ITunnelFactory, name)
            if IKernelTunnelFactory.providedBy(factory):
                found[name] = IKernelTunnelFactory(factory).pppox
    return found


class Machine:
    """
    This machine, as far as the choice depends on it.
    """

    lackingPPP = staticmethod(lackingPPP)
    lackingPPPoX = staticmethod(lackingPPPoX)
    lackingTables = staticmethod(lackingTables)


class Probed(Protocol):
    """
    A machine that is asked what its kernel has: L{Machine}, or one that a test has made.
    """

    def lackingPPP(self) -> str:
        """
        Return why the kernel can't carry calls; an empty text if it can.
        """

    def lackingPPPoX(self, protocol: int) -> str:
        """
        Return why the kernel can't carry those of one tunnel; an empty text if it can.
        """

    def lackingTables(self) -> str:
        """
        Return why there can be no tables of nftables; an empty text if there can.
        """


class Seen(NamedTuple):
    """
    What a machine lacked when it was asked.
    """

    ppp: str = "the data path hasn't started"
    tables: str = ""
    pppox: Mapping[int, str] = MappingProxyType({})

    def lackingPPP(self) -> str:
        """
        See L{Probed}.
        """
        return self.ppp

    def lackingPPPoX(self, protocol: int) -> str:
        """
        See L{Probed}.
        """
        return self.pppox.get(protocol, "")

    def lackingTables(self) -> str:
        """
        See L{Probed}.
        """
        return self.tables


def unclamped(configuration: Configuration, machine: Probed) -> str:
    """
    Return why calls that the kernel carries would lack a clamped MSS, where there is another way to
    carry them; an empty text if they won't.
    """
    if not configuration.network.mssClamp or configuration.datapath.path == KERNEL:
        return ""
    why = machine.lackingTables()
    return why and f"[network] mss-clamp is set, and {why}"


def hindrance(configuration: Configuration, machine: Probed, protocols: Mapping[str, int]) -> str:
    """
    Return why the kernel carries no calls; an empty text if it carries those of some tunnel.

    @param protocols: see L{carriable}.
    """
    if why := next(objections(configuration), "") or machine.lackingPPP():
        return why
    lacking = [machine.lackingPPPoX(protocol) for protocol in protocols.values()]
    if lacking and all(lacking):
        return "; ".join(lacking)
    return unclamped(configuration, machine)


def hindrances(
    configuration: Configuration, machine: Probed, protocols: Mapping[str, int]
) -> dict[str, str]:
    """
    Return why the kernel carries no calls of a tunnel, by the names of the tunnels; an empty text
    if it carries them.

    @param protocols: see L{carriable}.
    """
    why = hindrance(configuration, machine, protocols)
    return {name: why or machine.lackingPPPoX(one) for name, one in protocols.items()} or {"": why}


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

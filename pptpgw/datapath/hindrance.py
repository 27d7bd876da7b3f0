"""
Why the kernel doesn't carry calls: what the configuration gives callers that it doesn't have, and
what this machine lacks. L{pptpgw.datapath.choice} chooses by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

from pptpgw.config.configuration import Configuration
from pptpgw.config.discovery import find
from pptpgw.config.section import KERNEL, NamedFilter
from pptpgw.datapath.kernel.channel import CARRIED
from pptpgw.datapath.kernel.judging import judging
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IKernelTunnelFactory, ITunnelFactory
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled, TooLarge
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

"""
What is done with prefixes that are delegated to this gateway: the networks behind it get a part of
them, each by an address of the interface that leads there. A prefix that overlaps one that the
gateway or another call has isn't used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol as TypingProtocol

from pptpgw.counting.bucket import Bucket
from pptpgw.log import Logger

LENGTH = 64
"""
The length of the part that each interface gets, in bits.
"""


LINES = (1 / 60, 10)
"""
The lines of the log that the prefixes of one call may cause: each second, and at once.
"""


class SiteDevices(TypingProtocol):
    """
    What a L{Site} needs of the kernel. The methods return why the kernel refuses, in words; an
    empty text if it doesn't. L{pptpgw.networks.ipv6.port.Devices} is the real one.
    """

    def addAddress(self, name: str, address: IPv6Interface) -> str:
        """
        Give the interface called C{name} an address.
        """

    def removeAddress(self, name: str, address: IPv6Interface) -> str:
        """
        Take an address from an interface.
        """

    def addUnreachable(self, network: IPv6Network) -> str:
        """
        Answer packets for what nothing uses of C{network}, instead of sending them back.
        """

    def removeUnreachable(self, network: IPv6Network) -> str:
        """
        Undo L{addUnreachable}.
        """


class Site:
    """
    The networks behind the gateway that one call serves.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        interfaces: Sequence[str],
        devices: SiteDevices,
        gateways: Sequence[IPv6Network],
        taken: set[IPv6Network],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param name: the name of the dialled call, for the log.
        @param interfaces: the interfaces that get a part each, in the order of the parts.
        @param gateways: the networks that the gateway has.
        @param taken: the prefixes that calls use. The site adds and removes its own.
        @param seconds: the clock by which the lines of the log are limited.
        """
        self._name = name
        self._interfaces = tuple(interfaces)
        self._devices = devices
        self._gateways = gateways
        self._taken = taken
        self._lines = Bucket(seconds, LINES)
        self._prefixes: tuple[IPv6Network, ...] = ()
        self._addresses: dict[tuple[str, IPv6Interface], None] = {}

    def use(self, prefixes: Sequence[IPv6Network]) -> None:
        """
        Use these prefixes, and no others any more. What stays is left alone.
        """
        self._taken.difference_update(self._prefixes)
        prefixes = self._free(prefixes)
        wanted = dict.fromkeys(_parts(prefixes, self._interfaces))
        for name, address in self._addresses.keys() - wanted.keys():
            self._tell(self._devices.removeAddress(name, address), f"{address} of {name}")
        for prefix in self._prefixes:
            if prefix not in prefixes:
                self._tell(self._devices.removeUnreachable(prefix), str(prefix))
        for prefix in prefixes:
            if prefix not in self._prefixes:
                if self._lines.take():
                    self._log.info(
                        "{name}: the other end delegates {prefix}", name=self._name, prefix=prefix
                    )
                self._tell(self._devices.addUnreachable(prefix), str(prefix))
        for name, address in wanted.keys() - self._addresses.keys():
            self._tell(self._devices.addAddress(name, address), f"{address} for {name}")
        self._prefixes, self._addresses = tuple(prefixes), wanted
        self._taken.update(prefixes)

    def _free(self, prefixes: Sequence[IPv6Network]) -> list[IPv6Network]:
        """
        Return those of C{prefixes} that nobody else has.
        """
        free: list[IPv6Network] = []
        for prefix in prefixes:
            if any(map(prefix.overlaps, (*self._gateways, *self._taken, *free))):
                self._tell("the other end delegates it, and it is in use already", str(prefix))
            else:
                free.append(prefix)
        return free

    def _tell(self, why: str, what: str) -> None:
        if why and self._lines.take():
            self._log.error("{name}: {what}: {why}", name=self._name, what=what, why=why)


def _parts(
    prefixes: Sequence[IPv6Network], interfaces: Sequence[str]
) -> Sequence[tuple[str, IPv6Interface]]:
    """
    Return the address of each interface: the first one of the part that it gets of each prefix. An
    interface gets none of a prefix that is too small for all.
    """
    parts = []
    for prefix in prefixes:
        for number, name in enumerate(interfaces[: 1 << LENGTH - prefix.prefixlen]):
            first = int(prefix.network_address) + (number << LENGTH) + 1
            parts.append((name, IPv6Interface((IPv6Address(first), LENGTH))))
    return parts


MakeDevices = Callable[[], SiteDevices]
"""
A function that makes the L{SiteDevices} of this machine.
"""

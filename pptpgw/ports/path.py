"""
The Python data path with its ports: GRE sockets, one TUN device, and what the kernel is told of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from pptpgw.config import Configuration
from pptpgw.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IDataPathFactory
from pptpgw.ports.gre import GREPort
from pptpgw.ports.netlink import NetlinkPort
from pptpgw.ports.tun import TUNPort

EVERY_ADDRESS = ""


class PortDataPath(PythonDataPath):
    """
    A L{PythonDataPath} that opens its own ports.
    """

    def __init__(
        self, reactor: Any, addresses: Sequence[str], interface: str, mtu: int, mssClamp: bool
    ) -> None:
        """
        @param addresses: where GRE is served, dotted; none: every address.
        @param interface: the name of the TUN device.
        @param mtu: its MTU, in octets.
        """
        counters = Counters()
        self._ports = {
            address: GREPort(reactor, address, counters)
            for address in addresses or (EVERY_ADDRESS,)
        }
        self._device = TUNPort(reactor, interface, counters)
        self._netlink = NetlinkPort(interface)
        self._mtu = mtu
        super().__init__(reactor, self._portFor, self._device, mssClamp, self._netlink)
        self.counters = counters

    def start(self) -> None:
        """
        Open GRE and the TUN device.

        @raise pptpgw.error.PPTPGWError: the text says why it can't be and what to do.
        """
        for address, port in self._ports.items():
            try:
                port.startListening()
            except OSError as error:
                raise ConfigurationError(
                    f"can't receive GRE at {address}: {error.strerror}; [listen] addresses are "
                    "addresses of this machine"
                ) from error
        self._device.startReading()
        self._netlink.name = self._device.name
        self._netlink.configure(self._mtu)

    def stop(self) -> None:
        """
        Close them.
        """
        self._netlink.remove()
        self._device.stop()
        for port in self._ports.values():
            port.stopListening()

    def _portFor(self, localAddress: str) -> GREPort:
        return self._ports.get(localAddress) or self._ports[EVERY_ADDRESS]


@implementer(IDataPathFactory)
class PythonDataPathFactory:
    """
    See L{IDataPathFactory}.
    """

    name = "python"
    description = "In this process, by raw sockets and one TUN device; it takes no argument."

    def makeDataPath(
        self, argument: str, reactor: Any, configuration: Configuration
    ) -> PortDataPath:
        """
        See L{IDataPathFactory.makeDataPath}.
        """
        if argument:
            raise ConfigurationError(
                f'[plugins] data-path = "python:{argument}": it takes no argument'
            )
        network = configuration.network
        return PortDataPath(
            reactor,
            [str(one) for one in configuration.listen.addresses],
            network.interface,
            configuration.link.mru,
            network.mssClamp,
        )

"""
The Python data path with its ports: GRE sockets, one TUN device, and what the kernel is told of it;
and with the files of a capture, where that is configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.config import Configuration
from pptpgw.counters import Counters
from pptpgw.datapath.capture import Capture, CapturingChannel
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IChannelOwner,
    IDataPathFactory,
    IHealth,
    INetworkProtocol,
    IPreparable,
    Tunnel,
)
from pptpgw.ports.capture import CaptureFile
from pptpgw.ports.device import Device
from pptpgw.ports.gre import GREPort
from pptpgw.ports.machine import lackingAddress, lackingFile
from pptpgw.session.observer import SessionObserver
from pptpgw.session.session import Session

EVERY_ADDRESS = ""


@implementer(IPreparable, IHealth)
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
        self._device = Device(reactor, interface, mtu, counters)
        super().__init__(reactor, self._portFor, self._device, mssClamp, self._device.kernel)
        self.counters = counters

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        for address in self._ports:
            if fault := lackingAddress(address):
                yield f"[listen] addresses: {fault}"

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
        self._device.start()

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        faults = [self._device.fault, *(port.fault for port in self._ports.values())]
        return next(filter(None, faults), "")

    def stop(self) -> Deferred[None] | None:
        """
        Close them.
        """
        self._device.stop()
        for port in self._ports.values():
            port.stopListening()
        return None

    def _portFor(self, localAddress: str) -> GREPort:
        port = self._ports.get(localAddress) or self._ports.get(EVERY_ADDRESS)
        if port is None:
            raise ConfigurationError(
                f"no GRE is received at {localAddress}, which isn't among [listen] addresses"
            )
        return port


class CapturingDataPath(PortDataPath, SessionObserver):
    """
    A L{PortDataPath} whose calls are captured.
    """

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[str],
        interface: str,
        mtu: int,
        mssClamp: bool,
        file: Path,
        size: int,
        files: int,
    ) -> None:
        """
        @param file: the file of the capture.
        @param size: the octets after which it is full.
        @param files: how many are kept, this one included.
        """
        super().__init__(reactor, addresses, interface, mtu, mssClamp)
        self._path = str(file)
        self._file = CaptureFile(reactor, file, files, self.counters)
        self._capture = Capture(self._file, size, self.counters)

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        yield from super().lacking()
        if fault := lackingFile(self._path):
            yield f"[capture] file = {fault}"

    def start(self) -> None:
        """
        Open the file too.

        @raise pptpgw.error.PPTPGWError: the text says why it can't be and what to do.
        """
        super().start()
        self._file.start()
        self._capture.start()

    def stop(self) -> Deferred[None]:
        """
        Close the data path.

        @return: fires when everything that was captured is written.
        """
        super().stop()
        return self._file.stop()

    def openChannel(self, tunnel: Tunnel, owner: IChannelOwner) -> Channel:
        """
        See L{pptpgw.interfaces.IDataPath.openChannel}.

        @raise ConfigurationError: no GRE is received at the tunnel's local address.
        @raise ValueError: the call's id is in use with this peer.
        """
        port = self._portFor(tunnel.localAddress)
        return CapturingChannel(self._capture, self._clock, tunnel, owner, port, self)

    # ISessionObserver

    def sessionStarted(self, session: Session) -> None:
        """
        A call has a user.
        """
        self._capture.rename(session.counters, f"{session.user}@{session.caller}")

    def protocolOpened(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        Of no account.
        """

    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        Of no account.
        """


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
        network, capture = configuration.network, configuration.capture
        arguments = (
            reactor,
            [str(one) for one in configuration.listen.addresses],
            network.interface,
            configuration.link.mru,
            network.mssClamp,
        )
        if not capture.file:
            return PortDataPath(*arguments)
        return CapturingDataPath(*arguments, Path(capture.file), capture.size << 20, capture.files)


factory = PythonDataPathFactory()

"""
The data path plugin C{python}: the Python data path with its TUN device, and with the files of a
capture if one is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings
from pptpgw.counting.counters import Counters
from pptpgw.datapath.capture import Capture, Capturing, capturing
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    ICall,
    IChannel,
    IChannelOwner,
    IDataPathFactory,
    IEnvironment,
    IHealth,
    IPreparable,
    ISession,
)
from pptpgw.ports.capturefile import CaptureFile
from pptpgw.ports.device import Device
from pptpgw.ports.machine import lackingFile
from pptpgw.sessions.observer import SessionObserver


@implementer(IHealth)
class PortDataPath(PythonDataPath):
    """
    A L{PythonDataPath} that opens the TUN device itself.
    """

    def __init__(self, reactor: Any, interface: str, mtu: int, mssClamp: bool) -> None:
        """
        @param interface: the name of the TUN device.
        @param mtu: the MTU of the TUN device, in octets.
        @param mssClamp: whether to clamp the MSS of TCP, both ways.
        """
        counters = Counters()
        self._device = Device(reactor, interface, mtu, counters)
        super().__init__(reactor, self._device, mssClamp, self._device.kernel)
        self.counters = counters

    def start(self) -> None:
        """
        Open the TUN device.

        @raise pptpgw.error.PPTPGWError: the text says what failed and what to do.
        """
        self._device.start()

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._device.fault

    def stop(self) -> Deferred[None] | None:
        """
        Close the TUN device. See L{IDataPath.stop}.
        """
        self._device.stop()
        return None


@implementer(IPreparable)
class CapturingDataPath(PortDataPath, SessionObserver):
    """
    A L{PortDataPath} that captures the frames of all calls.
    """

    def __init__(
        self,
        reactor: Any,
        interface: str,
        mtu: int,
        mssClamp: bool,
        file: Path,
        size: int,
        files: int,
    ) -> None:
        """
        @param file: the path of the current file of the capture.
        @param size: octets after which a file is full.
        @param files: the most files that are kept, the current one included.
        """
        super().__init__(reactor, interface, mtu, mssClamp)
        self._path = str(file)
        self._file = CaptureFile(reactor, file, files, self.counters)
        self._capture = Capture(self._file, size, self.counters)

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if fault := lackingFile(self._path):
            yield f"[capture] file = {fault}"

    def start(self) -> None:
        """
        Open the TUN device and the file of the capture.

        @raise pptpgw.error.PPTPGWError: the text says what failed and what to do.
        """
        super().start()
        self._file.start()
        self._capture.start()

    def stop(self) -> Deferred[None]:
        """
        Close the TUN device and the file of the capture.

        @return: fires when all captured frames are written.
        """
        super().stop()
        return self._file.stop()

    def openChannel(self, call: ICall, owner: IChannelOwner) -> IChannel:
        """
        See L{pptpgw.interfaces.IDataPath.openChannel}.
        """
        channel = super().openChannel(call, owner)
        assert isinstance(channel, Capturing)
        channel.captureBy(self._capture, call.caller)
        return channel

    def channelClass(self, plain: type[Any]) -> type[Any]:
        """
        See L{pptpgw.interfaces.IChannelHost.channelClass}.
        """
        return capturing(plain)

    # ISessionObserver

    def sessionStarted(self, session: ISession) -> None:
        """
        Name the call's interface in the capture after its user.
        """
        self._capture.rename(session.counters, f"{session.user}@{session.caller}")


@implementer(IDataPathFactory)
class PythonDataPathFactory:
    """
    The plugin C{python}. See L{IDataPathFactory}.
    """

    name = "python"
    settings = NoSettings
    description = "In this process, by one TUN device; it takes no argument."

    def makeDataPath(
        self, argument: str, settings: NoSettings, environment: IEnvironment
    ) -> PortDataPath:
        """
        See L{IDataPathFactory.makeDataPath}.
        """
        if argument:
            raise ConfigurationError(
                f'[plugins] data-path = "python:{argument}": it takes no argument'
            )
        configuration: Configuration = environment.configuration
        network, capture = configuration.network, configuration.capture
        arguments = (
            environment.reactor,
            network.interface,
            configuration.link.mru,
            network.mssClamp,
        )
        if not capture.file:
            return PortDataPath(*arguments)
        return CapturingDataPath(*arguments, Path(capture.file), capture.size << 20, capture.files)


factory = PythonDataPathFactory()

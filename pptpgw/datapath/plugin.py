"""
The data path plugin C{python}: the Python data path with its TUN device, and with the files of a
capture if one is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings, assertNoArgument
from pptpgw.config.section import CaptureSection
from pptpgw.counting.counters import Counters
from pptpgw.datapath.capture import Capture
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import startRecording
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.interfaces import (
    ICall,
    IChannel,
    IChannelOwner,
    IDataPathFactory,
    IEnvironment,
    IHealth,
    IPreparable,
    IReloadable,
    ISession,
)
from pptpgw.ports.capturefile import CaptureFile
from pptpgw.ports.device import Device
from pptpgw.ports.machine import lackingFile
from pptpgw.sessions.observer import SessionObserver

_MEBIBYTE = 1 << 20


@implementer(IHealth, IPreparable, IReloadable)
class PortDataPath(PythonDataPath, SessionObserver):
    """
    A L{PythonDataPath} that opens the TUN device itself, and captures the frames of all calls if a
    capture is configured.
    """

    def __init__(self, environment: IEnvironment) -> None:
        configuration: Configuration = environment.configuration
        network, counters = configuration.network, Counters()
        self._environment = environment
        self._device = self._makeDevice(counters)
        super().__init__(environment.reactor, self._device, network.mssClamp, self._device.kernel)
        self.counters = counters
        self._file = self._made(configuration.capture)
        size = configuration.capture.size * _MEBIBYTE
        self._capture = Capture(self._file, size, counters)

    def _makeDevice(self, counters: Counters) -> Device:
        """
        Make the TUN device, which isn't opened yet.
        """
        configuration: Configuration = self._environment.configuration
        name, mtu = configuration.network.interface, configuration.link.largest
        return Device(self._environment.reactor, name, mtu, counters)

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if self._file is not None and (fault := lackingFile(str(self._file.path))):
            yield f"[capture] file = {fault}"

    def judge(self, settings: NoSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}.
        """
        path = self._environment.configuration.capture.file
        if path and not self._capturesTo(path) and (fault := lackingFile(path)):
            raise ConfigurationError(f"[capture] file = {fault}")
        return {}

    def reload(self, settings: NoSettings) -> None:
        """
        See L{IReloadable.reload}: serve calls to come by other settings. A capture goes on in
        another file, and begins with calls to come or ends.
        """
        configuration: Configuration = self._environment.configuration
        capture, mtu = configuration.capture, configuration.link.largest
        self._mssClamp = configuration.network.mssClamp
        self._capture.size = capture.size * _MEBIBYTE
        if self._file is not None:
            self._file.keep(capture.files)
        try:
            if mtu != self._device.mtu:
                self._device.mtu = mtu
                self._device.kernel.setMTU(mtu)
            if not self._capturesTo(capture.file):
                self._move(self._made(capture))
        except PPTPGWError as error:
            self._log.error("{why}", why=str(error))

    def _capturesTo(self, path: str) -> bool:
        return path == ("" if self._file is None else str(self._file.path))

    def _move(self, file: CaptureFile | None) -> None:
        """
        Capture to another file from now on, or to none.

        @raise ConfigurationError: the file can't be opened. Nothing is captured any more.
        """
        old, self._file = self._file, None
        self._capture.to(None)
        if old is not None:
            old.stop()
        if file is not None:
            file.start()
            self._file = file
            self._capture.to(file)

    def _made(self, capture: CaptureSection) -> CaptureFile | None:
        if not capture.file:
            return None
        reactor = self._environment.reactor
        return CaptureFile(reactor, Path(capture.file), capture.files, self.counters)

    def start(self) -> None:
        """
        Open the TUN device, and the file of the capture.

        @raise pptpgw.error.PPTPGWError: the text says what failed and what to do.
        """
        self._device.start()
        if self._file is not None:
            self._file.start()
            self._capture.start()

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._device.fault

    def stop(self) -> Deferred[None] | None:
        """
        Close the TUN device, and the file of the capture. See L{IDataPath.stop}.

        @return: fires when all captured frames are written.
        """
        self._device.stop()
        return self._file.stop() if self._file is not None else None

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> IChannel:
        """
        See L{pptpgw.interfaces.IDataPath.openChannel}.
        """
        channel = super().openChannel(call, owner, number)
        if self._file is not None and isinstance(channel, Channel):
            recorder = self._capture.open(call.caller, call.tunnel.name, channel.counters)
            startRecording(channel, recorder)
        return channel

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
        assertNoArgument("[datapath] path", self.name, argument)
        return PortDataPath(environment)


factory = PythonDataPathFactory()

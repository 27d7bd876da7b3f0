"""
The capture of the frames of all calls, decrypted, in pcapng format.

The rules:

 - Every session is an interface of the capture, named C{USER@CALLER} and described by the name of
   its tunnel. The user isn't known before authentication, so up to L{WAITING_LIMIT} frames at the
   beginning of a call are kept until it is. The interface of a caller that isn't authenticated is
   named after the caller's address.
 - A file is a section of its own. When it is full another file begins, in which each interface is
   described again before its next frame.
 - Frames that the file can't keep up with are counted and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Protocol

from pptpgw import __version__
from pptpgw.counting.counters import Counters
from pptpgw.datapath.wire.pcapng import enhancedPacket, interfaceDescription, sectionHeader

WAITING_LIMIT = 32
"""
The most frames of a call that wait for the name of its user.
"""

LEFT_OUT = "left out of the capture"


class Sink(Protocol):
    """
    The destination of a capture's octets: a series of files.
    """

    @property
    def full(self) -> bool:
        """
        Whether nothing may be written at present.
        """

    def write(self, octets: bytes) -> None:
        """
        Write octets to the current file.
        """

    def rotate(self) -> None:
        """
        Begin another file.
        """


class Recorder:
    """
    The recorder of one call's frames, a L{pptpgw.datapath.recording.FrameRecorder}.

    @ivar name: the name of the call's interface.
    """

    __slots__ = ("_capture", "_counters", "_interface", "_section", "_tunnel", "_waiting", "name")

    def __init__(self, capture: Capture, name: str, tunnel: str, counters: Counters) -> None:
        self.name = name
        self._tunnel = tunnel
        self._capture = capture
        self._counters = counters
        self._section = -1
        self._interface = 0
        self._waiting: list[tuple[int, int, bytes]] | None = []

    def record(self, direction: int, frame: bytes) -> None:
        """
        Record a frame, or keep it while the user isn't known.

        @param direction: see L{pptpgw.datapath.recording.FrameRecorder.record}.
        """
        now = self._capture.now()
        if self._waiting is None:
            self._write(now, direction, frame)
        else:
            self._waiting.append((now, direction, frame))
            if len(self._waiting) == WAITING_LIMIT:
                self.release()

    def closed(self) -> None:
        """
        See L{pptpgw.datapath.recording.FrameRecorder.closed}.
        """
        self._capture.close(self._counters)

    def rename(self, name: str) -> None:
        """
        Give the interface the name C{name}, since the user is known now, and record the frames that
        waited.
        """
        self.name = name
        self._section = -1
        self.release()

    def release(self) -> None:
        """
        Record the frames that waited, whether the user is known or not.
        """
        waiting, self._waiting = self._waiting, None
        for now, direction, frame in waiting or ():
            self._write(now, direction, frame)

    def _write(self, now: int, direction: int, frame: bytes) -> None:
        capture = self._capture
        if not capture.ready():
            return
        if self._section != capture.section:
            self._interface = capture.describe(self.name, self._tunnel)
            self._section = capture.section
        capture.write(enhancedPacket(self._interface, now, direction, frame))


class Capture:
    """
    The capture of all calls, in one series of files.

    @ivar section: the number of the current section, which is that of the file.
    @ivar size: octets after which a section is full.
    """

    def __init__(
        self, sink: Sink | None, size: int, counters: Counters, now: Callable[[], float] = time
    ) -> None:
        """
        @param sink: the files; None to capture nothing until there are some (L{to}).
        @param size: octets after which a section is full.
        @param now: returns the time of day in seconds since 1970.
        """
        self.section = 0
        self.size = size
        self._time = now
        self._sink = sink
        self._counters = counters
        self._recorders: dict[Counters, Recorder] = {}
        self._written = 0
        self._interfaces = 0

    def start(self) -> None:
        """
        Begin the first section.
        """
        self._begin()

    def to(self, sink: Sink | None) -> None:
        """
        Write to other files from now on, or capture nothing if C{sink} is None.
        """
        self._sink = sink
        if sink is not None:
            self.section += 1
            self._begin()

    def open(self, name: str, tunnel: str, counters: Counters) -> Recorder:
        """
        Return the recorder for a new call.

        @param name: the name of the call until its user is known.
        @param tunnel: the name of its tunnel.
        @param counters: the call's counters, which identify the call.
        """
        recorder = self._recorders[counters] = Recorder(self, name, tunnel, counters)
        return recorder

    def rename(self, counters: Counters, name: str) -> None:
        """
        Name the call with these counters after its user.
        """
        recorder = self._recorders.get(counters)
        if recorder is not None:
            recorder.rename(name)

    def close(self, counters: Counters) -> None:
        """
        Forget the call with these counters, because it has ended. Calling this again does nothing.
        """
        recorder = self._recorders.pop(counters, None)
        if recorder is not None:
            recorder.release()

    # Methods for recorders

    def now(self) -> int:
        """
        Return the time of day in microseconds since 1970.
        """
        return int(self._time() * 1_000_000)

    def ready(self) -> bool:
        """
        Return whether a frame may be written, and begin another section if the current one is full.
        If the frame may not be written it is counted.
        """
        if self._sink is None:
            return False
        if self._sink.full:
            self._counters.discard(LEFT_OUT)
            return False
        if self._written >= self.size:
            self._sink.rotate()
            self.section += 1
            self._begin()
        return True

    def describe(self, name: str, tunnel: str) -> int:
        """
        Write the description of an interface, and return its number in the current section.
        """
        self.write(interfaceDescription(name, tunnel))
        self._interfaces += 1
        return self._interfaces - 1

    def write(self, block: bytes) -> None:
        """
        Write a block to the current section.
        """
        self._written += len(block)
        if self._sink is not None:
            self._sink.write(block)

    def _begin(self) -> None:
        self._written = self._interfaces = 0
        self.write(sectionHeader(f"pptpgw {__version__}"))

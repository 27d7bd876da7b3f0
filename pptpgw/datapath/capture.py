"""
The capture of frames, decrypted, in pcapng format.

The rules:

 - Every session is an interface of the capture, named C{USER@CALLER}. The user isn't known before
   authentication, so up to L{WAITING_LIMIT} frames at the beginning of a call are kept until it is.
   The interface of a caller that isn't authenticated is named after the caller's address.
 - A received frame is recorded once it is in order and, with MPPE, decrypted; a frame that doesn't
   get that far isn't recorded. An encrypted frame is recorded as if it weren't encrypted, so the
   capture has no MPPE frames.
 - A file is a section of its own. When it is full another file begins, in which each interface is
   described again before its next frame.
 - Frames that the file can't keep up with are counted and left out.
 - Channels that are captured belong to a class of their own, so the others don't get slower.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any, Protocol

from pptpgw import __version__
from pptpgw.counting.counters import Counters
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.mppe import DecryptorType
from pptpgw.datapath.wire.pcapng import (
    RECEIVED,
    SENT,
    enhancedPacket,
    interfaceDescription,
    sectionHeader,
)
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE

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
    The recorder of one call's frames.

    @ivar name: the name of the call's interface.
    """

    __slots__ = ("_capture", "_interface", "_section", "_waiting", "name")

    def __init__(self, capture: Capture, name: str) -> None:
        self.name = name
        self._capture = capture
        self._section = -1
        self._interface = 0
        self._waiting: list[tuple[int, int, bytes]] | None = []

    def record(self, direction: int, frame: bytes) -> None:
        """
        Record a frame, or keep it while the user isn't known.

        @param direction: L{RECEIVED} or L{SENT}.
        """
        now = self._capture.now()
        if self._waiting is None:
            self._write(now, direction, frame)
        else:
            self._waiting.append((now, direction, frame))
            if len(self._waiting) == WAITING_LIMIT:
                self.release()

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
            self._interface = capture.describe(self.name)
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

    def open(self, name: str, counters: Counters) -> Recorder:
        """
        Return the recorder for a new call.

        @param name: the name of the call until its user is known.
        @param counters: the call's counters, which identify the call.
        """
        recorder = self._recorders[counters] = Recorder(self, name)
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

    def describe(self, name: str) -> int:
        """
        Write the description of an interface, and return its number in the current section.
        """
        self.write(interfaceDescription(name))
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


class RecordingDecryptor:
    """
    A decryptor that records what it decrypts.
    """

    __slots__ = ("_decryptor", "_recorder")

    def __init__(self, decryptor: DecryptorType, recorder: Recorder) -> None:
        self._decryptor = decryptor
        self._recorder = recorder

    @property
    def count(self) -> int:
        """
        See L{DecryptorType}.
        """
        return self._decryptor.count

    @property
    def rekeys(self) -> int:
        """
        See L{DecryptorType}.
        """
        return self._decryptor.rekeys

    def decrypt(self, frame: bytes, /) -> bytes | int:
        """
        See L{DecryptorType}. A plaintext begins with the protocol number.
        """
        plain = self._decryptor.decrypt(frame)
        if isinstance(plain, bytes):
            self._recorder.record(RECEIVED, ADDRESS_CONTROL + plain)
        return plain

    def skip(self, packets: int, /) -> None:
        """
        See L{DecryptorType}.
        """
        self._decryptor.skip(packets)

    def copy(self) -> DecryptorType:
        """
        See L{DecryptorType}. Frames that are tried on the copy aren't recorded.
        """
        return self._decryptor.copy()


class Capturing(Channel):
    """
    The recording of a channel's frames; L{capturing} combines this class with a tunnel's class of
    channels.
    """

    direct = False

    def captureBy(self, capture: Capture, name: str) -> None:
        """
        Record all frames from now on. This is called before the first frame.

        @param name: the name of the call until its user is known.
        """
        self._capture = capture
        self._recorder = capture.open(name, self.counters)

    def transmit(self, network: OpenProtocol, packet: bytes) -> None:
        """
        See L{Channel.transmit}.
        """
        if self._encryptor is not None or not self._required:
            self._record(SENT, network.protocol, packet)
        super().transmit(network, packet)

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{Channel.sendFrame}.
        """
        if not self._closed:
            self._record(SENT, protocol, information)
        super().sendFrame(protocol, information)

    def close(self) -> None:
        """
        See L{Channel.close}.
        """
        super().close()
        self._capture.close(self.counters)

    def _frame(self, protocol: int, information: bytes) -> None:
        """
        See L{Channel._frame}. Encrypted frames are recorded by the decryptor.
        """
        if protocol not in (0, MPPE):
            self._record(RECEIVED, protocol, information)
        super()._frame(protocol, information)

    def _setDecryptor(self, decryptor: DecryptorType | None) -> None:
        """
        See L{Channel._setDecryptor}.
        """
        if decryptor is not None:
            decryptor = RecordingDecryptor(decryptor, self._recorder)
        super()._setDecryptor(decryptor)

    def _record(self, direction: int, protocol: int, information: bytes) -> None:
        frame = b"%b%b%b" % (ADDRESS_CONTROL, protocol.to_bytes(2, "big"), information)
        self._recorder.record(direction, frame)


_derived: dict[type[Any], type[Any]] = {}


def capturing(plain: type[Any]) -> type[Any]:
    """
    Return the subclass of the channel class C{plain} whose frames are recorded.
    """
    if plain not in _derived:
        _derived[plain] = type(f"Capturing{plain.__name__}", (Capturing, plain), {})
    return _derived[plain]

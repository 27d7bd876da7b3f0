"""
Frames as they pass, decrypted, for a capture in pcapng's form.

The rules:

 - Every session is an interface, C{USER@CALLER}. Nobody knows the user while LCP and authentication
   pass: a call's first frames wait, up to L{WAITING_LIMIT} of them, and a caller that is never
   authenticated has its address for a name.
 - A frame is taken where it is in order and, with MPPE, decrypted: what never gets that far isn't
   there. What was encrypted stands there as it was before, so that no MPPE frame does.
 - A file is a section of its own: when it is full another begins, in which each interface is
   described again before its next frame.
 - What the file can't keep up with is counted and left out.
 - A capture costs what it costs: a channel that isn't captured is another class, and pays nothing.
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
Frames of a call that wait for its user's name, at most.
"""

LEFT_OUT = "left out of the capture"


class Sink(Protocol):
    """
    Where the octets go.
    """

    @property
    def full(self) -> bool:
        """
        Whether it takes nothing now.
        """

    def write(self, octets: bytes) -> None:
        """
        Take octets for the current file.
        """

    def rotate(self) -> None:
        """
        Begin another file.
        """


class Recorder:
    """
    One call's part of a capture.

    @ivar name: the name of its interface.
    """

    __slots__ = ("_capture", "_interface", "_section", "_waiting", "name")

    def __init__(self, capture: Capture, name: str) -> None:
        self.name = name
        self._capture = capture
        self._section = -1
        self._interface = 0
        self._waiting: list[tuple[int, int, bytes]] | None = []

    def record(self, way: int, frame: bytes) -> None:
        """
        A frame passes, this way.
        """
        now = self._capture.now()
        if self._waiting is None:
            self._write(now, way, frame)
        else:
            self._waiting.append((now, way, frame))
            if len(self._waiting) == WAITING_LIMIT:
                self.release()

    def rename(self, name: str) -> None:
        """
        The user is known.
        """
        self.name = name
        self._section = -1
        self.release()

    def release(self) -> None:
        """
        Let go what waits.
        """
        waiting, self._waiting = self._waiting, None
        for now, way, frame in waiting or ():
            self._write(now, way, frame)

    def _write(self, now: int, way: int, frame: bytes) -> None:
        capture = self._capture
        if not capture.ready():
            return
        if self._section != capture.section:
            self._interface = capture.describe(self.name)
            self._section = capture.section
        capture.write(enhancedPacket(self._interface, now, way, frame))


class Capture:
    """
    The capture of all calls.

    @ivar section: the number of the current section.
    """

    def __init__(
        self, sink: Sink, size: int, counters: Counters, now: Callable[[], float] = time
    ) -> None:
        """
        @param size: octets after which a section is full.
        @param now: gives the time of day, in seconds since 1970.
        """
        self.section = 0
        self._time = now
        self._sink = sink
        self._size = size
        self._counters = counters
        self._recorders: dict[Counters, Recorder] = {}
        self._written = 0
        self._interfaces = 0

    def start(self) -> None:
        """
        Begin the first section.
        """
        self._begin()

    def open(self, name: str, counters: Counters) -> Recorder:
        """
        A call begins.

        @param counters: the call's, by which it is known.
        """
        recorder = self._recorders[counters] = Recorder(self, name)
        return recorder

    def rename(self, counters: Counters, name: str) -> None:
        """
        The user of a call is known.
        """
        recorder = self._recorders.get(counters)
        if recorder is not None:
            recorder.rename(name)

    def close(self, counters: Counters) -> None:
        """
        A call is over. Calling this again does nothing.
        """
        recorder = self._recorders.pop(counters, None)
        if recorder is not None:
            recorder.release()

    # What recorders use

    def now(self) -> int:
        """
        Microseconds since 1970.
        """
        return int(self._time() * 1_000_000)

    def ready(self) -> bool:
        """
        Whether a frame may be written, in the section that is the current one afterwards.
        """
        if self._sink.full:
            self._counters.discard(LEFT_OUT)
            return False
        if self._written >= self._size:
            self._sink.rotate()
            self.section += 1
            self._begin()
        return True

    def describe(self, name: str) -> int:
        """
        Describe an interface; its number in the current section.
        """
        self.write(interfaceDescription(name))
        self._interfaces += 1
        return self._interfaces - 1

    def write(self, block: bytes) -> None:
        """
        Write a block.
        """
        self._written += len(block)
        self._sink.write(block)

    def _begin(self) -> None:
        self._written = self._interfaces = 0
        self.write(sectionHeader(f"pptpgw {__version__}"))


class RecordingDecryptor:
    """
    A decryptor whose plaintexts are recorded.
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
    What records the frames of a channel; L{capturing} adds it to the channels of a tunnel.
    """

    direct = False

    def captureBy(self, capture: Capture, name: str) -> None:
        """
        Record what passes from now on, before the first frame.

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

    def _record(self, way: int, protocol: int, information: bytes) -> None:
        frame = b"%b%b%b" % (ADDRESS_CONTROL, protocol.to_bytes(2, "big"), information)
        self._recorder.record(way, frame)


_derived: dict[type[Any], type[Any]] = {}


def capturing(plain: type[Any]) -> type[Any]:
    """
    The class of channels that are like those of the class C{plain}, with their frames recorded.
    """
    if plain not in _derived:
        _derived[plain] = type(f"Capturing{plain.__name__}", (Capturing, plain), {})
    return _derived[plain]

"""
A fake of C{/dev/ppp}.
"""

from __future__ import annotations

import ctypes
import struct
from errno import EEXIST, EIO

NAMES = {
    0x7434: "unbridge",
    0x40047435: "bridge",
    0x4004743A: "connect",
    0x40047438: "attach",
    0x40047452: "mru",
    0x40047459: "flags",
    0x4008744B: "mode",
    0x40107447: "filter",
    0x4010744D: "mppe",
    0x8004745A: "state",
    0xC004743E: "unit",
}


class FakePPPSystem:
    """
    See L{pptpgw.ports.ppp.PPPSystem}.

    @ivar calls: what was asked, by descriptor: name and arguments.
    @ivar taken: the numbers of units that others have.
    @ivar refused: the error of each request that fails, by name; C{open} too.
    @ivar state: the flags that the kernel tells.
    @ivar frames: what is read next, by descriptor; an error is raised.
    @ivar written: the frames that were written, by descriptor.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, object]] = []
        self.taken: set[int] = set()
        self.refused: dict[str, OSError] = {}
        self.state = 0
        self.frames: dict[int, list[bytes | OSError]] = {}
        self.written: list[tuple[int, bytes]] = []
        self.opened: set[int] = set()
        self._last = 100

    def open(self, path: str, flags: int) -> int:
        assert path == "/dev/ppp"
        if "open" in self.refused:
            raise self.refused["open"]
        self._last += 1
        self.opened.add(self._last)
        return self._last

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        assert descriptor in self.opened
        name = NAMES[request]
        if name in self.refused:
            raise self.refused[name]
        value: object
        if name == "mppe":
            address, size, isSent = struct.unpack("PIi", argument)
            value = (ctypes.string_at(address, size), bool(isSent))
        elif name == "mode":
            value = struct.unpack("=ii", argument)
        elif name == "filter":
            value = struct.unpack("@HP", argument)[0]
        elif name == "state":
            return struct.pack("=I", self.state)
        else:
            (value,) = struct.unpack("=i", argument)
        if name == "unit" and value in self.taken:
            raise OSError(EEXIST, "File exists")
        self.calls.append((descriptor, name, value))
        return argument

    def read(self, descriptor: int, size: int) -> bytes:
        waiting = self.frames.get(descriptor)
        if not waiting:
            raise BlockingIOError
        found = waiting.pop(0)
        if isinstance(found, OSError):
            raise found
        return found[:size]

    def write(self, descriptor: int, octets: bytes) -> int:
        if "write" in self.refused:
            raise self.refused["write"]
        self.written.append((descriptor, octets))
        return len(octets)

    def close(self, descriptor: int) -> None:
        self.opened.remove(descriptor)

    def index(self, name: str) -> int:
        return 1000 + int(name.removeprefix("ppp"))

    def asked(self, *names: str) -> list[tuple[str, object]]:
        """
        Return the calls, of C{names} alone if any are given, and forget them.
        """
        found = [(name, value) for _, name, value in self.calls if not names or name in names]
        self.calls.clear()
        return found


GONE = OSError(EIO, "Input/output error")
"""
What a read raises after the other end of a channel is gone.
"""

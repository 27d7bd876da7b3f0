"""
The system calls that every special file needs.
"""

from __future__ import annotations

import fcntl
import os
from typing import Protocol


class FileSystem(Protocol):
    """
    System calls for a special file, with the names and errors of the modules os and fcntl.
    """

    def open(self, path: str, flags: int) -> int:
        """
        See L{os.open}.
        """

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """
        See L{fcntl.ioctl}.
        """

    def close(self, descriptor: int) -> None:
        """
        See L{os.close}.
        """


class RealFileSystem:
    """
    The L{FileSystem} of this machine.
    """

    open = staticmethod(os.open)
    close = staticmethod(os.close)

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """
        See L{fcntl.ioctl}.
        """
        return fcntl.ioctl(descriptor, request, argument)

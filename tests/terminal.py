"""
A pseudoterminal in which tests run commands and type.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from typing import Any


class Terminal:
    """
    A pseudoterminal with a command in it.
    """

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self.text = ""

    def run(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """
        Start a command whose controlling terminal this is.

        @param options: those of C{Popen}.
        """
        terminal = self._theirs
        return subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            **options,
        )

    def waitFor(self, text: str, seconds: float = 60) -> None:
        """
        Wait until the terminal shows C{text}, and forget what it has shown so far.
        """
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            self._read(1)
        self.text = self.text.partition(text)[2]

    def type(self, octets: bytes) -> None:
        """
        Send octets as if they were typed.
        """
        os.write(self._ours, octets)

    def end(self, process: subprocess.Popen[bytes], seconds: float = 60) -> int:
        """
        Wait for the end of a command, and return its exit status.
        """
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.05)
        while self._read(0):
            pass
        return process.returncode

    def echoes(self) -> bool:
        """
        Return whether the terminal shows what is typed.
        """
        return bool(termios.tcgetattr(self._theirs)[3] & termios.ECHO)

    def close(self) -> None:
        """
        Close both ends of the pseudoterminal.
        """
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, seconds: float) -> bool:
        readable = bool(select.select([self._ours], [], [], seconds)[0])
        if readable:
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        return readable

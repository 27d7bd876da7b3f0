"""
A file that grows while others read it, and that only its owner may read; or standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pptpgw.error import ConfigurationError


class GrowingFile:
    """
    A file that is made when there is something to write.

    @ivar size: how many octets it has.
    """

    def __init__(self, path: str, replace: bool) -> None:
        """
        @param path: its path; C{-} for standard output.
        @raise ConfigurationError: there is such a file already.
        """
        self.size = 0
        self._path = path
        self._replace = replace
        self._descriptor = sys.stdout.fileno() if path == "-" else -1
        if path != "-" and not replace and Path(path).exists():
            raise ConfigurationError(f"{path}: there is such a file already; --force replaces it")

    def write(self, data: bytes) -> None:
        """
        Write octets, so that others see them at once.

        @raise ConfigurationError: they can't be written.
        """
        try:
            if self._descriptor < 0:
                if self._replace:
                    Path(self._path).unlink(missing_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o600)
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from error
        self.size += len(data)

"""
Files with secrets, which only their owner may read or write.
"""

from __future__ import annotations

from pathlib import Path

from pptpgw.error import ConfigurationError


def exposure(path: str | Path, mode: int) -> str:
    """
    Return why a file of this C{mode}, see L{os.stat}, can't hold secrets; an empty text if it can.
    """
    if mode & 0o066:
        return f"{path}: others than its owner may read or write it; chmod 600 {path}"
    return ""


def assertPrivate(path: str) -> None:
    """
    Check that only its owner may read and write the file at C{path}.

    @raise ConfigurationError: others may, or there is no such file.
    """
    try:
        fault = exposure(path, Path(path).stat().st_mode)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if fault:
        raise ConfigurationError(fault)


def readPassword(path: str) -> bytes:
    """
    Return the password in the file at C{path}. Line breaks at the end of the file don't belong to
    it.

    @raise ConfigurationError: others than its owner may read or write the file, it can't be read,
        or the password is empty.
    """
    assertPrivate(path)
    try:
        password = Path(path).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not password:
        raise ConfigurationError(f"{path}: the password is empty")
    return password

"""
Files with secrets, which only their owner may read or write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EEXIST
from pathlib import Path
from tempfile import NamedTemporaryFile

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


def readSecret(path: str) -> bytes:
    """
    Return the secret in the file at C{path}: a password, or a token. Line breaks at the end of the
    file don't belong to it.

    @raise ConfigurationError: others than its owner may read or write the file, it can't be read,
        or the secret is empty.
    """
    assertPrivate(path)
    try:
        secret = Path(path).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not secret:
        raise ConfigurationError(f"{path}: there is nothing in it")
    return secret


@contextmanager
def privately(path: Path, replace: bool = False) -> Iterator[Path]:
    """
    While this context lasts, give the path of a new file that only its owner may read or write,
    whatever the umask. The file gets the name C{path} when the context ends without an error.

    @param replace: whether a file at C{path} is replaced.
    @raise OSError: the file can't be made; C{FileExistsError} if there is one at C{path}.
    """
    if not replace and path.exists():
        raise _taken(path)
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            growing = Path(file.name)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        yield growing
        if not replace:
            # The name is taken before it is given to the file: two programs can't both have it.
            try:
                path.touch(mode=0o600, exist_ok=False)
            except FileExistsError as error:
                raise _taken(path) from error
        growing.replace(path)
    finally:
        growing.unlink(missing_ok=True)


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(EEXIST, "there is such a file already; --force replaces it", str(path))

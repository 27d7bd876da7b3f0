"""
Files with secrets, which only their owner may read or write.
"""

from __future__ import annotations

from twisted.python.filepath import FilePath

from pptpgw.error import ConfigurationError


def assertPrivate(path: str) -> None:
    """
    Check that only its owner may read and write the file at C{path}.

    @raise ConfigurationError: others may, or there is no such file.
    """
    try:
        permissions = FilePath(path).getPermissions()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if any(one.read or one.write for one in (permissions.group, permissions.other)):
        raise ConfigurationError(
            f"{path}: others than its owner may read or write it; chmod 600 {path}"
        )

"""
The secrets of the ends of control connections, by the names of the peers.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pptpgw.config.secrecy import assertPrivate
from pptpgw.error import ConfigurationError

EVERYBODY = b"*"
"""
The name in a file of secrets that stands for every peer that isn't named.
"""


class PeerTrust(NamedTuple):
    """
    What is agreed on with a peer.

    @ivar permitted: whether it may open control connections.
    @ivar secret: the secret that it has to know; empty for none.
    @ivar isNamed: whether the secret is its own, and not one that it shares with others.
    """

    permitted: bool = True
    secret: bytes = b""
    isNamed: bool = False

    @property
    def isBelieved(self) -> bool:
        """
        Whether the peer is believed what it tells of callers, once it has proved that it knows the
        secret.
        """
        return self.isNamed and bool(self.secret)

    def __repr__(self) -> str:
        return f"PeerTrust(permitted={self.permitted}, isNamed={self.isNamed})"


def nobody(name: bytes) -> PeerTrust:
    """
    Return what is agreed on with a peer where there are no secrets: none is needed.
    """
    return PeerTrust()


def trusting(secret: bytes) -> Callable[[bytes], PeerTrust]:
    """
    Return a function like L{nobody} for an end that has one secret with every peer; empty for none.
    """
    return lambda name: PeerTrust(True, secret)


class TunnelSecrets:
    """
    The secrets in a file, one in each line behind the peer's name, with the quoting of a shell. A
    peer that the file doesn't have may not open a control connection; C{*} stands for all others,
    and an empty secret means that they need none.
    """

    def __init__(self, path: str) -> None:
        """
        @raise ConfigurationError: the file can't be read, others than its owner may read it, or a
            line isn't understood.
        """
        assertPrivate(path)
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        self._secrets = dict(_rows(path, text.decode("utf-8", "surrogateescape")))

    def trust(self, name: bytes) -> PeerTrust:
        """
        Return what is agreed on with the peer of this name.
        """
        if name != EVERYBODY and name in self._secrets:
            return PeerTrust(True, self._secrets[name], isNamed=True)
        secret = self._secrets.get(EVERYBODY)
        return PeerTrust(False) if secret is None else PeerTrust(True, secret)


def _rows(path: str, text: str) -> Iterator[tuple[bytes, bytes]]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from error
        if not words:
            continue
        if len(words) != 2:
            # Nothing of the line is shown, since one of its words is a secret.
            raise ConfigurationError(f"{path}, line {number}: needs a name and a secret")
        name, secret = (word.encode("utf-8", "surrogateescape") for word in words)
        yield name, secret

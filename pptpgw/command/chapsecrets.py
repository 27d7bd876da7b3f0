"""
The command C{pptpgw import}, which takes users from a chap-secrets file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pptpgw.auth.chapsecrets import WILDCARD, Secret, Secrets, parse
from pptpgw.command.base import Named, shown
from pptpgw.command.profilecheck import checkProfile
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf
from pptpgw.store.attribute import ATTRIBUTES
from pptpgw.store.error import Taken
from pptpgw.store.interface import IStore

_ADDRESS = ATTRIBUTES["address"]


class Import(Named):
    """
    C{pptpgw import FILE}: take the users of a file in the format of pppd's chap-secrets; C{-} is
    standard input.
    """

    creates = True
    synopsis = "FILE [options]"
    optParameters: Sequence[Sequence[object]] = [
        ["server", None, None, "The gateway's name in the file. Instead of [link] name."],
    ]
    optFlags: Sequence[Sequence[object]] = [
        ["recoverable", None, "Store the passwords themselves too, encrypted: CHAP needs them."],
    ]

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        try:
            with onInterrupt(sys.exit):
                content = _read(self.name)
        except OSError as error:
            raise ConfigurationError(f"{self.name}: {error.strerror}") from error
        secrets = parse(content, self.name)
        server = (self["server"] or self.configuration.link.name).encode()
        await store.open()
        added = 0
        for client in secrets.clients:
            try:
                await self._add(store, client, _choose(secrets, client, server))
            except (_LeftOut, Taken) as error:
                print(f"{shown(nameOf(client))} is left out: {error}", file=sys.stderr)
            else:
                added += 1
        leftOut = len(secrets.clients) - added
        print(f"{added} users are added, {leftOut} left out.")
        if leftOut:
            raise SystemExit(1)

    async def _add(self, store: IStore, client: bytes, secret: Secret) -> None:
        attributes = {}
        try:
            checkProfile(self.configuration, Profile("", secret.addresses))
        except ConfigurationError as error:
            raise _LeftOut(str(error)) from error
        if secret.addresses is not None:
            attributes[_ADDRESS.option] = _ADDRESS.write(secret.addresses)
        recoverable = bool(self["recoverable"])
        await store.addAccount(
            nameOf(client), secret.secret, recoverable=recoverable, attributes=attributes
        )


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


class _LeftOut(Exception):
    """
    A user that isn't imported; the text says why.
    """


def _choose(secrets: Secrets, client: bytes, server: bytes) -> Secret:
    """
    Return the line of C{client} that the gateway itself would use. A warning is printed if other
    lines fit as well.
    """
    if client == WILDCARD:
        raise _LeftOut("a store has no user that stands for all others")
    lines = [line for line in secrets.of(client) if line.server in (server, WILDCARD)]
    if not lines:
        raise _LeftOut("it is for other servers; --server NAME takes those of one")
    best = max(lines, key=lambda line: line.rank)
    if not best.secret:
        raise _LeftOut("its password is empty")
    more = sum(line.rank == best.rank for line in lines) - 1
    if more:
        print(
            f"{shown(nameOf(client))} has {more} more lines like its first one, which is taken",
            file=sys.stderr,
        )
    return best

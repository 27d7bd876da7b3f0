"""
Tests of C{pptpgw test radius}, with a server of pyrad's making and with FreeRADIUS.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pyrad import packet as pyrad
from twisted.internet import reactor as running
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import DatagramProtocol

from tests.command.invocation import Command
from tests.radius.freeradius import PROGRAM, SECRET, FreeRADIUS, freePort
from tests.radius.wire import answer

reactor: Any = running


class Echo(DatagramProtocol):
    """
    A server that accepts everything, and signs with its secret.

    @ivar signs: whether its answers have a Message-Authenticator.
    """

    noisy = False

    def __init__(self) -> None:
        self.secret = SECRET.encode()
        self.signs = True
        self.codes: list[int] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.codes.append(datagram[0])
        packet = answer(datagram, secret=self.secret, message_authenticator=self.signs)
        assert self.transport is not None
        self.transport.write(packet, addr)


@asynccontextmanager
async def serving(configuration: Path) -> AsyncIterator[Echo]:
    """
    While this context lasts, the configuration's server answers.
    """
    made = Echo()
    port = reactor.listenUDP(0, made, interface="127.0.0.1")
    configure(configuration, port.getHost().port)
    try:
        yield made
    finally:
        await maybeDeferred(port.stopListening)


def configure(configuration: Path, port: int, acctPort: int = 0, more: str = "") -> None:
    configuration.chmod(0o600)
    with configuration.open("a") as file:
        file.write(
            f'[radius]\ntimeout = 1\n[[radius.server]]\nhost = "127.0.0.1"\nauth-port = {port}\n'
            f'acct-port = {acctPort}\nsecret = "{SECRET}"\n{more}'
        )


async def test_answers(pptpgw: Command, configuration: Path) -> None:
    """
    A Status-Server packet is answered, and the answer is signed.
    """
    async with serving(configuration) as server:
        done = await pptpgw("test", "radius", "--json")
    (found,) = json.loads(done.out)["servers"]
    assert (done.status, server.codes) == (0, [pyrad.StatusServer])
    assert (found["answered"], found["message_authenticator"]) == (True, True)
    assert 0 < found["seconds"] < 1 and not found["advice"]


async def test_unsigned(pptpgw: Command, configuration: Path) -> None:
    """
    An answer without Message-Authenticator is one, and a warning.
    """
    async with serving(configuration) as server:
        server.signs = False
        done = await pptpgw("test", "radius")
    assert done.status == 0
    assert ", without Message-Authenticator\n" in done.out
    assert "require-message-authenticator = false" in done.out


async def test_anotherSecret(pptpgw: Command, configuration: Path) -> None:
    """
    An answer that is signed with another secret isn't taken for silence.
    """
    async with serving(configuration) as server:
        server.secret = b"another"
        done = await pptpgw("test", "radius")
    assert done.status == 1
    assert "signed with another secret" in done.out


@pytest.mark.parametrize("words", [(), ("bob", "--stdin")])
async def test_nobodyListens(pptpgw: Command, configuration: Path, words: tuple[str, ...]) -> None:
    configure(configuration, freePort())
    done = await pptpgw("test", "radius", *words, stdin="sesame\n")
    assert done.status == 1
    assert "nobody listens there" in done.out and "is the server running" in done.out


async def test_silence(pptpgw: Command, configuration: Path) -> None:
    """
    The usual causes of silence are told.
    """
    async with serving(configuration) as server:
        server.datagramReceived = lambda datagram, addr: None  # type: ignore[method-assign]
        done = await pptpgw("test", "radius")
    assert done.status == 1
    for cause in ("a client there", "the secret", "a firewall"):
        assert cause in done.out


async def test_noServer(pptpgw: Command) -> None:
    done = await pptpgw("test", "radius")
    assert (done.status, done.out) == (1, "") and "[[radius.server]]" in done.error


@pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")
async def test_freeRADIUS(pptpgw: Command, configuration: Path, tmp_path: Path) -> None:
    """
    FreeRADIUS judges a login by MS-CHAPv2: a right password, and a wrong one.
    """
    freeradius = FreeRADIUS(tmp_path / "freeradius", 'bob Cleartext-Password := "sesame"\n')
    configure(configuration, freeradius.authPort, 0, "require-message-authenticator = false\n")
    freeradius.start()
    try:
        done = await pptpgw("test", "radius", "bob", "--stdin", "--json", stdin="sesame\n")
        (found,) = json.loads(done.out)["servers"]
        assert (done.status, found["accepted"], found["answered"]) == (0, True, True)
        done = await pptpgw("test", "radius", "bob", "--stdin", stdin="open\n")
        assert done.status == 1
        assert "answers in" in done.out and "bob by mschapv2: no such user or wrong" in done.out
    finally:
        freeradius.stop()

"""
Tests that the management interface follows a reload.
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import DNSName
from twisted.internet import reactor as loop
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.test.requesthelper import DummyChannel, DummyRequest

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.management.problem import Problem
from pptpgw.testing import resultOf
from tests.certificates import SERVER, Authority
from tests.reload.world import World, shows

running: Any = loop


def request(host: str = "localhost") -> Any:
    """
    A request over TCP, by a name of the gateway.
    """
    made: Any = DummyRequest([b"metrics"])
    made.channel = DummyChannel()
    made.getHost = lambda: IPv4Address("TCP", "127.0.0.1", 8723)
    made.requestHeaders.setRawHeaders("host", [host])
    made.getCookie = lambda name: None
    made.isSecure = lambda: False
    return made


@shows("[management] metrics-public")
def test_publicMetrics() -> None:
    """
    Whoever can connect may read the metrics while the configuration says so.
    """
    world = World()
    management: Any = world.service.management

    def read() -> None:
        resultOf(Deferred.fromCoroutine(management._assertMayRead(request())))

    with pytest.raises(Problem):
        read()
    world.reload("[management]\nmetrics-public = true")
    read()
    world.reload()
    with pytest.raises(Problem):
        read()


@shows("[management] hosts")
def test_hosts() -> None:
    """
    The names by which browsers may address the interface.
    """
    world = World()
    management: Any = world.service.management
    access = management.operating.access
    with pytest.raises(Problem):
        access.check(request("gate.example"))
    world.reload('[management]\nhosts = ["gate.example"]')
    access.check(request("gate.example"))


@shows("[management] endpoints")
def test_otherEndpoints(tmp_path: Path) -> None:
    """
    A new endpoint is listened on before an old one is closed. One that can't be opened changes
    nothing.
    """

    def text(*places: str) -> str:
        listed = ", ".join(f'"{place}"' for place in places)
        return f"[management]\nendpoints = [{listed}]\n"

    first, second = (f"unix:{tmp_path}/{name}.sock" for name in ("first", "second"))
    world = World(text(first))
    management: Any = world.service.management
    management.privilegedStartService()
    management.startService()
    assert management.places == (first,)
    world.reload(text(first, second))
    assert management.places == (first, second)
    assert len(world.clock.unixServers) == 2
    with pytest.raises(NotPermitted, match="can't be opened"):
        world.reload(text(first, "unix:/proc/nowhere/socket"))
    assert management.places == (first, second)
    closed: list[str] = []
    management._open[first].close = lambda: closed.append("first")
    world.reload(text(second))
    assert (closed, management.places) == (["first"], (second,))
    world.reload(text())
    assert management.places == ()


class Secured(World):
    """
    A gateway whose management interface has TLS, on a real port.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self._context = ssl.create_default_context(cafile=str(self.authority.certificate))
        self.certificate, self.key = folder / "certificate", folder / "key"
        self.serial = self.issue()
        self.text = (
            f'[management]\nendpoints = ["ssl:0:interface=127.0.0.1:privateKey={self.key}'
            f':certKey={self.certificate}"]\n'
        )
        super().__init__(self.text)
        self.clock.listenTCP = running.listenTCP

    def issue(self) -> str:
        """
        Replace the files by a new certificate, and return its serial number.
        """
        certificate, key = self.authority.issue("gate", SERVER, [DNSName("localhost")])
        self.certificate.write_bytes(certificate.read_bytes())
        self.key.write_bytes(key.read_bytes())
        serial: str = ssl._ssl._test_decode_cert(str(certificate))["serialNumber"]  # type: ignore[attr-defined]
        return serial

    @property
    def management(self) -> Any:
        return self.service.management

    async def reached(self) -> tuple[http.client.HTTPSConnection, str]:
        """
        Connect, and return the connection and the serial number of the certificate.
        """
        ((port,),) = (one.ports for one in self.management._open.values())
        number = port.getHost().port

        def do() -> tuple[http.client.HTTPSConnection, str]:
            made = http.client.HTTPSConnection(
                "localhost", number, timeout=30, context=self._context
            )
            made.connect()
            secured: Any = made.sock
            return made, secured.getpeercert()["serialNumber"]

        return await deferToThread(do)


def status(connection: http.client.HTTPSConnection) -> int:
    """
    Ask for a page that everybody may see, and return the status.
    """
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status


async def test_anotherCertificate(tmp_path: Path) -> None:
    """
    After a reload new connections get the certificate that is in the files then, and those that are
    open go on. Files that can't be used change nothing, whatever else the configuration has.
    """
    world = Secured(tmp_path)
    world.management.privilegedStartService()
    connections = []
    try:
        first, serial = await world.reached()
        connections.append(first)
        assert serial == world.serial
        assert await deferToThread(status, first) == 200
        renewed = world.issue()
        other, serial = await world.reached()
        connections.append(other)
        assert serial == world.serial
        world.reload(world.text)
        second, serial = await world.reached()
        connections.append(second)
        assert serial == renewed != world.serial
        kept = world.key.read_bytes()
        world.issue()
        for broken in (b"", kept):
            world.key.write_bytes(broken)
            with pytest.raises(ConfigurationError, match="certificate and key can't be used"):
                world.reload(f"{world.text}[limits]\nmax-sessions = 1\n")
            assert world.service.configuration.limits.maxSessions == 0
            third, serial = await world.reached()
            connections.append(third)
            assert serial == renewed
        for one in connections:
            assert await deferToThread(status, one) == 200
    finally:
        for one in connections:
            one.close()
        await world.management.stopService()

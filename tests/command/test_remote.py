"""
Tests of the client of the management interface, against servers on this machine.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor as running
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from pptpgw.command import remote
from pptpgw.command.place import fromEndpoints
from pptpgw.command.remote import NotDone, RunningGateway
from pptpgw.command.status import Unreachable
from pptpgw.config.section import ManagementSection

reactor: Any = running
SOURCE = "pptpgw.toml"


class Answers(Resource):
    """
    A resource that answers every request in the same way, and keeps what it was asked.
    """

    isLeaf = True

    def __init__(self, status: int = 200, octets: bytes = b"{}") -> None:
        Resource.__init__(self)
        self.status, self.octets = status, octets
        self.asked: list[tuple[bytes, bytes, bytes]] = []

    def render(self, request: Request) -> bytes | int:
        assert request.content is not None
        self.asked.append((request.method, request.uri, request.content.read()))
        request.setResponseCode(self.status)
        return self.octets


class Silence(Answers):
    """
    A resource that never answers.
    """

    def render(self, request: Request) -> bytes | int:
        return NOT_DONE_YET


class HangsUp(Protocol):
    """
    A server that hangs up at the first octets.
    """

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


async def served(tmp_path: Path, factory: Any) -> tuple[Any, str]:
    """
    Serve on a Unix socket, and return the port and its endpoint string.
    """
    place = f"unix:{tmp_path}/management.sock:mode=600"
    port = await serverFromString(reactor, place).listen(factory)
    return port, place


def gatewayAt(*places: str) -> RunningGateway:
    """
    Return the gateway with these endpoints.
    """
    return RunningGateway(reactor, fromEndpoints(reactor, ManagementSection(places), SOURCE))


def site(resource: Resource) -> Site:
    made = Site(resource)
    made.displayTracebacks = False
    return made


class TestAsk:
    async def test_overAUnixSocket(self, tmp_path: Path) -> None:
        answers = Answers(octets=b'{"state": "serving"}')
        port, place = await served(tmp_path, site(answers))
        gateway = gatewayAt("systemd:domain=INET:index=0", place)
        try:
            assert await gateway.ask("GET", "/status") == {"state": "serving"}
            query = {"user": "a&b *"}
            await gateway.ask("PATCH", "/sessions/ä", query, {"volume_octets": None})
        finally:
            await port.stopListening()
        assert answers.asked == [
            (b"GET", b"/api/v1/status", b""),
            (b"PATCH", b"/api/v1/sessions/%C3%A4?user=a%26b+%2A", b'{"volume_octets": null}'),
        ]

    async def test_overTCP(self) -> None:
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site(Answers()))
        number = port.getHost().port
        try:
            for place in (f"tcp:{number}:interface=127.0.0.1", f"tcp:port={number}"):
                assert await gatewayAt(place).ask("GET", "/status") == {}
        finally:
            await port.stopListening()

    async def test_nothingToSay(self, tmp_path: Path) -> None:
        port, place = await served(tmp_path, site(Answers(204, b"")))
        try:
            assert await gatewayAt(place).ask("DELETE", "/drain") is None
        finally:
            await port.stopListening()

    async def test_allPages(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A list is asked for until all of it is there, and if it shrinks meanwhile until no more
        comes.
        """
        monkeypatch.setattr(remote, "PAGE", 2)

        class Pages(Answers):
            def render(self, request: Request) -> bytes:
                offset = int(request.args[b"offset"][0])
                items = list(range(5))[offset : offset + int(request.args[b"limit"][0])]
                return json.dumps({"items": items, "total": total}).encode()

        port, place = await served(tmp_path, site(Pages()))
        try:
            for total in (5, 7):  # noqa: B007
                assert await gatewayAt(place).list("/x") == [0, 1, 2, 3, 4]
        finally:
            await port.stopListening()

    async def test_refused(self, tmp_path: Path) -> None:
        """
        What the gateway says is the error.
        """
        problem = b'{"status": 404, "title": "Not Found", "detail": "there is no session x"}'
        port, place = await served(tmp_path, site(Answers(404, problem)))
        try:
            with pytest.raises(NotDone, match="there is no session x") as refused:
                await gatewayAt(place).ask("GET", "/sessions/x")
        finally:
            await port.stopListening()
        assert refused.value.status == 404


class TestUnreachable:
    async def complaint(self, place: str) -> str:
        with pytest.raises(Unreachable) as unreachable:
            await gatewayAt(place).ask("GET", "/status")
        return str(unreachable.value)

    async def test_nobody(self, tmp_path: Path) -> None:
        """
        There is no socket, or nobody listens on it any more.
        """
        path = tmp_path / "management.sock"
        begin = "the gateway isn't running, or [management] endpoints isn't where pptpgw.toml says"
        assert (await self.complaint(f"unix:{path}")).startswith(f"{begin}: unix:{path}")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        assert (await self.complaint(f"unix:{path}")).startswith(begin)
        with socket.create_server(("127.0.0.1", 0)) as server:
            number = server.getsockname()[1]
        assert (await self.complaint(f"tcp:{number}")).startswith(begin)

    @pytest.mark.parametrize(
        ("status", "octets"),
        [(200, b"<html>"), (404, b"<html>"), (404, b"{}"), (500, b"[]"), (404, b"")],
    )
    async def test_anotherProgram(self, tmp_path: Path, status: int, octets: bytes) -> None:
        port, place = await served(tmp_path, site(Answers(status, octets)))
        try:
            assert "another program, or a gateway of another version" in await self.complaint(place)
        finally:
            await port.stopListening()

    async def test_noHTTP(self, tmp_path: Path) -> None:
        port, place = await served(tmp_path, Factory.forProtocol(HangsUp))
        try:
            assert "doesn't speak HTTP, or has hung up" in await self.complaint(place)
        finally:
            await port.stopListening()

    async def test_noAnswer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.05)
        port, place = await served(tmp_path, site(Silence()))
        try:
            assert "nothing came from" in await self.complaint(place)
        finally:
            await port.stopListening()

    def test_permissionDenied(self) -> None:
        """
        The command ends with status 3, and says who may open the socket.
        """
        if os.geteuid() != 0:
            pytest.skip("needs root, to be another user")
        with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            reachable = Path(folder)
            reachable.chmod(0o711)
            path = reachable / "management.sock"
            server.bind(str(path))
            server.listen()
            path.chmod(0o600)
            file = reachable / "pptpgw.toml"
            file.write_text(f'[management]\nendpoints = ["unix:{path}"]\n')
            done = subprocess.run(
                [
                    *("setpriv", "--reuid=65534", "--clear-groups", sys.executable),
                    *("-m", "pptpgw.command", "status", "--config", str(file)),
                ],
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                timeout=60,
            )
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"pptpgw: this user may not open unix:{path}: run pptpgw as")

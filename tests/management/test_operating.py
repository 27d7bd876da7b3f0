"""
Tests for operators with what the gateway has: TLS and TCP, threads, and a store in a file that
another process changes too.
"""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import DNSName
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from pptpgw.interfaces import IOperatorObserver
from pptpgw.management.service import ManagementService
from pptpgw.sessions.observer import SessionObserver
from pptpgw.store.password import hashPassword, isPassword
from pptpgw.store.store import Store
from tests.certificates import SERVER, Authority
from tests.logged import loggedLines
from tests.management.managed import Managed

loop: Any = reactor
Reply = tuple[int, dict[str, str], Any]
Ask = Callable[..., Awaitable[Reply]]


class Running:
    """
    A management interface on a port, and a store in a file.
    """

    def __init__(self, folder: Path, tls: bool) -> None:
        self.url = f"sqlite:{folder}/accounts.sqlite"
        self.store = Store(reactor, self.url, str(folder / "key"), create=True)
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("gw", SERVER, [DNSName("localhost")])
        endpoint = (
            f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
            if tls
            else "tcp:0:interface=127.0.0.1"
        )
        self.tls = tls
        self.world = Managed(
            f'[accounts]\nstore = "{self.url}"\n[management]\nendpoints = ["{endpoint}"]'
        )
        self.service: Any = ManagementService(loop, self.world.configuration.management, self.world)

    def start(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()

    async def stop(self) -> None:
        await self.service.stopService()
        self.store.close()

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> Deferred[tuple[int, dict[str, str], Any]]:
        """
        Make a request, in a thread.
        """
        ((port,),) = (one.ports for one in self.service._open.values())
        number = port.getHost().port

        def do() -> Reply:
            connection: http.client.HTTPConnection
            if self.tls:
                context = ssl.create_default_context(cafile=str(self.authority.certificate))
                connection = http.client.HTTPSConnection(
                    "localhost", number, timeout=30, context=context
                )
            else:
                connection = http.client.HTTPConnection("localhost", number, timeout=30)
            try:
                octets = None if body is None else json.dumps(body)
                every = {"Content-Type": "application/json"} | {
                    name.replace("_", "-"): text for name, text in headers.items()
                }
                connection.request(method, f"/api/v1{path}", octets, every)
                answer = connection.getresponse()
                text = answer.read()
                found = {name.lower(): value for name, value in answer.getheaders()}
                return answer.status, found, json.loads(text) if text else None
            finally:
                connection.close()

        return deferToThread(do)


def running(
    folder: Path, test: Callable[[Running], Awaitable[None]], tls: bool = False
) -> Deferred[None]:
    """
    Run C{test} with a management interface that runs.
    """

    async def run() -> None:
        made = Running(folder, tls)
        # The store makes its file.
        await made.store.addOperator("ann", "operator", hashPassword(b"sesame"))
        made.start()
        try:
            await test(made)
        finally:
            await made.stop()

    return ensureDeferred(run())


def test_aSessionByTLS(tmp_path: Path) -> Deferred[None]:
    """
    An operator logs in by TLS, and is out as soon as another process has changed the password.
    """

    async def test(made: Running) -> None:
        login = {"name": "ann", "password": "sesame"}
        status, headers, me = await made.ask("POST", "/login", login)
        assert (status, me["role"]) == (200, "operator")
        assert headers["set-cookie"].startswith("__Host-pptpgw-")
        assert "; Secure" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert (await made.ask("GET", "/sessions", Cookie=cookie))[0] == 200
        assert (await made.ask("DELETE", "/sessions?user=x", Cookie=cookie))[0] == 403
        done = await made.ask(
            "DELETE", "/sessions?user=x", Cookie=cookie, X_CSRF_Token=me["csrf_token"]
        )
        assert done[0] == 200
        assert (await made.ask("GET", "/operators", Cookie=cookie))[0] == 403
        await made.store.changeOperator("ann", password=hashPassword(b"other"))
        assert (await made.ask("GET", "/sessions", Cookie=cookie))[0] == 401
        assert (await made.ask("POST", "/login", login))[0] == 401

    return running(tmp_path, test, tls=True)


def test_programs(tmp_path: Path) -> Deferred[None]:
    """
    Programs log in by a token, or by name and password; a token that was removed is of no use at
    once.
    """

    async def test(made: Running) -> None:
        token = await made.store.addToken("ann", "script")
        bearer = f"Bearer {token}"
        basic = "Basic " + b64encode(b"ann:sesame").decode()
        for authorization in (bearer, basic):
            status, _, me = await made.ask("GET", "/me", Authorization=authorization)
            assert (status, me["name"], me["csrf_token"]) == (200, "ann", None)
        await made.store.removeToken("ann", "script")
        assert (await made.ask("GET", "/me", Authorization=bearer))[0] == 401
        assert (await made.ask("GET", "/me", Authorization=basic))[0] == 200
        assert (await made.ask("GET", "/me"))[0] == 401

    return running(tmp_path, test)


def test_inThreads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deferred[None]:
    """
    The reactor is never blocked by a hash.
    """
    threads: list[bool] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            threads.append(isInIOThread())
            return function(*arguments)

        return noted

    monkeypatch.setattr("pptpgw.management.credentials.isPassword", noting(isPassword))
    monkeypatch.setattr("pptpgw.management.operators.hashPassword", noting(hashPassword))

    async def test(made: Running) -> None:
        await made.store.changeOperator("ann", role="admin")
        for name in ("ann", "nobody"):
            status, _, _ = await made.ask("POST", "/login", {"name": name, "password": "wrong"})
            assert status == 401
        bearer = f"Bearer {await made.store.addToken('ann', 'script')}"
        body = {"name": "bob", "role": "viewer", "password": "sesame"}
        assert (await made.ask("POST", "/operators", body, Authorization=bearer))[0] == 200
        assert threads == [False] * 3

    return running(tmp_path, test)


def test_itIsTold(tmp_path: Path) -> Deferred[None]:
    """
    The session observers that want to know are told what operators do.
    """
    acts: list[Any] = []

    @implementer(IOperatorObserver)
    class Observer(SessionObserver):
        def operated(self, act: Any) -> None:
            acts.append(act)

    async def test(made: Running) -> None:
        made.world.sessions.addObserver(Observer())
        bearer = f"Bearer {await made.store.addToken('ann', 'script')}"
        await made.ask("DELETE", "/sessions?user=x", Authorization=bearer)
        await made.ask("DELETE", "/operators/ann", Authorization=bearer)
        await made.ask("POST", "/login", {"name": "eve", "password": "x"})
        assert [(one.operator, one.source, one.action) for one in acts] == [
            ("ann", "127.0.0.1", "DELETE /sessions"),
            ("ann", "127.0.0.1", "DELETE /operators/{name}"),
            ("eve", "127.0.0.1", "login"),
        ]
        assert acts[0].outcome == "done" and acts[1].outcome != "done" != acts[2].outcome

    return running(tmp_path, test)


def test_noStore(tmp_path: Path) -> Deferred[None]:
    """
    Without a store the gateway starts, says so, and lets nobody in; once there is one, operators
    log in.
    """

    async def run() -> None:
        made = Running(tmp_path, tls=False)
        with loggedLines() as lines:
            made.start()
        assert any("no operator can log in" in one and "there is no store" in one for one in lines)
        try:
            basic = "Basic " + b64encode(b"ann:sesame").decode()
            assert (await made.ask("GET", "/me", Authorization=basic))[0] == 503
            await made.store.addOperator("ann", "viewer", hashPassword(b"sesame"))
            assert (await made.ask("GET", "/me", Authorization=basic))[0] == 200
        finally:
            await made.stop()

    return ensureDeferred(run())

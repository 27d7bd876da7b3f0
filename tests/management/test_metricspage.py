"""
Tests for the pages of L{pptpgw.management.service} that aren't operations, over TCP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from pptpgw.management.service import ManagementService
from pptpgw.store.password import hashPassword
from pptpgw.store.store import Store
from tests.management.asking import CHEAP
from tests.management.managed import Managed
from tests.radius.freeradius import freePort

SECTION = """
[management]
endpoints = ["tcp:{port}:interface=127.0.0.1"]
metrics-public = {public}
[accounts]
store = "{store}"
"""

loop: Any = reactor
Get = Callable[..., Awaitable[tuple[int, str]]]


def serving(
    test: Callable[[Managed, int, Get], Awaitable[None]], public: bool, store: str = ""
) -> Deferred[None]:
    """
    Run C{test} with a gateway, the port of its management interface, and a function that gets a
    page, as an operator with a token or as a stranger: its status and its text.
    """

    async def run() -> None:
        port = freePort()
        settings = {"public": str(public).lower(), "store": store or "sqlite:/nowhere"}
        world = Managed(SECTION.format(port=port, **settings))
        service: Any = ManagementService(loop, world.configuration.management, world)
        service.privilegedStartService()
        service.startService()
        pool = HTTPConnectionPool(loop, persistent=False)
        agent: Any = Agent(loop, pool=pool)

        async def get(path: str, token: str = "") -> tuple[int, str]:
            headers = Headers({"Authorization": [f"Bearer {token}"]} if token else {})
            url = f"http://127.0.0.1:{port}{path}".encode()
            answer = await agent.request(b"GET", url, headers)
            return answer.code, (await readBody(answer)).decode()

        try:
            await test(world, port, get)
        finally:
            await service.stopService()

    return ensureDeferred(run())


def test_whoMayRead() -> Deferred[None]:
    """
    Whoever can connect may read the metrics where the configuration says so, and nobody else.
    """

    async def closed(world: Managed, port: int, get: Get) -> None:
        status, text = await get("/metrics")
        assert status == 401 and "pptpgw_" not in text
        assert (await get("/healthz"))[0] == 200

    return serving(closed, False)


def test_whoMayReadAPublicPage() -> Deferred[None]:
    """
    The page has the gateway's figures and those of the process, and follows what happens.
    """

    async def opened(world: Managed, port: int, get: Get) -> None:
        world.setUpCall()
        status, text = await get("/metrics")
        assert status == 200
        samples = {
            (one.name, *sorted(one.labels.values())): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }
        assert samples["pptpgw_sessions", "active", "pptp"] == 1
        assert samples["process_resident_memory_bytes",] > 1e6
        assert (await get("/api/v1/status"))[0] == 401

    return serving(opened, True)


def test_operatorsMayReadToo(tmp_path: Path) -> Deferred[None]:
    """
    Where the page isn't public, a viewer reads it with a token, as Prometheus does.
    """
    url = f"sqlite:{tmp_path}/accounts.sqlite"

    async def byToken(world: Managed, port: int, get: Get) -> None:
        store = Store(loop, url, f"{tmp_path}/accounts.key", create=True)
        world.stores = (store,)
        try:
            await store.addOperator("prometheus", "viewer", hashPassword(b"unused", CHEAP))
            token = await store.addToken("prometheus", "scrapes")
            status, text = await get("/metrics", token)
            assert status == 200 and "pptpgw_sessions" in text
            assert (await get("/metrics", token + "x"))[0] == 401
        finally:
            store.close()

    return serving(byToken, False, url)


def test_whoHangsUp() -> Deferred[None]:
    """
    A reader that hangs up before it is answered does no harm.
    """

    async def hanging(world: Managed, port: int, get: Get) -> None:
        for _ in range(5):
            protocol: Any = await TCP4ClientEndpoint(loop, "127.0.0.1", port).connect(
                Factory.forProtocol(Protocol)
            )
            protocol.transport.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await deferLater(loop, 0.002)
            protocol.transport.abortConnection()
        assert (await get("/metrics"))[0] == 200

    return serving(hanging, True)

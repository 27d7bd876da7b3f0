"""
Tests for L{pptpgw.management.service}: where the management interface listens.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock

from pptpgw.config.section import ManagementSection
from pptpgw.error import ConfigurationError
from pptpgw.management import service
from pptpgw.management.service import ManagementService
from pptpgw.ports.listening import isLoopback, wordsOf
from tests.management.managed import Managed


class Reactor(MemoryReactorClock):
    """
    A reactor in memory whose ports say where they listen.
    """

    def listenTCP(self, port: int, factory: Any, *others: Any, **more: Any) -> Any:
        base: Any = super()
        made = base.listenTCP(port, factory, *others, **more)
        made.getHost = lambda: IPv4Address("TCP", more.get("interface") or "0.0.0.0", port)
        return made


# Twisted's class has no annotations.
makeReactor: Any = Reactor


def made(*endpoints: str, reactor: Any = None) -> ManagementService:
    return ManagementService(reactor or makeReactor(), ManagementSection(endpoints), Managed())


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:8723",
        "tcp:8723:interface=",
        "tcp:8723:interface=0.0.0.0",
        "tcp:8723:interface=192.0.2.1",
        "tcp:port=8723",
        "tcp6:8723",
        "tcp6:8723:interface=\\:\\:",
        "tcp:8723:interface=127.0.0.1.example.net",
    ],
)
def test_inClear(endpoint: str) -> None:
    """
    Passwords never pass over a network in clear: such an endpoint is refused, with what to do.
    """
    with pytest.raises(ConfigurationError, match=r"interface=127\.0\.0\.1, or by TLS, as in ssl:"):
        made(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["tcp:8723:interface=127.0.0.1", "tcp6:8723:interface=\\:\\:1", "unix:/tmp/x"]
)
def test_onThisMachine(endpoint: str) -> None:
    """
    What only this machine can reach needs no TLS.
    """
    made(endpoint)


def test_otherKinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A port that another program has opened, as by C{systemd:}, is judged by where it listens.
    """
    reactor = makeReactor()

    class Endpoint:
        def __init__(self, interface: str) -> None:
            self._interface = interface

        def listen(self, factory: Any) -> Any:
            return reactor.listenTCP(8723, factory, interface=self._interface)

    monkeypatch.setattr(
        service,
        "endpointFromString",
        lambda reactor, section, text: Endpoint(wordsOf(text).named["there"]),
    )
    made("systemd:there=127.0.0.1", reactor=reactor).privilegedStartService()
    with pytest.raises(ConfigurationError, match="would pass in clear"):
        made("systemd:there=192.0.2.1", reactor=reactor).privilegedStartService()


def test_wordsOf() -> None:
    """
    The parts of an endpoint string are told apart, and a backslash protects a colon.
    """
    assert wordsOf("unix:/run/a\\:b:mode=660") == ("unix", ("/run/a:b",), {"mode": "660"})
    words = wordsOf("unix:address=/run/x")
    assert (words.first, words.named) == ("", {"address": "/run/x"})
    assert wordsOf("tcp6:8723:interface=\\:\\:1") == ("tcp6", ("8723",), {"interface": "::1"})


@pytest.mark.parametrize(
    ("host", "is_"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_isLoopback(host: str, is_: bool) -> None:
    """
    Addresses that stand for all interfaces are no loopback addresses.
    """
    assert isLoopback(host) is is_

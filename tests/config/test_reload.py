"""
Tests for L{pptpgw.config.reload} and L{pptpgw.ports.signals}, and for the services that use them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.cred.portal import Portal
from twisted.internet.testing import MemoryReactorClock

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import parse
from pptpgw.error import ConfigurationError
from pptpgw.networks.ipv4.plugin import IPv4Sessions
from pptpgw.ports.signals import Signals
from pptpgw.service import GatewayService
from pptpgw.sessions.profile import Profile
from pptpgw.tap import CommandService, Options
from pptpgw.testing import CALLER, resultOf

START = """
[pptp]
port = 1000
[network]
protocols = ["ipv4", "ipv6"]
[ipv4]
pool = ["10.77.0.10"]
"""


def started(text: str = START) -> GatewayService:
    """
    A service with this configuration, which opens nothing.
    """
    configuration = parse(text, "test")
    return GatewayService(MemoryReactorClock(), configuration, Portal(SubscriberRealm(), []))


def given(service: GatewayService) -> Any:
    """
    IPv4's protocol of the next session.
    """
    network = service.networks["ipv4"]
    assert isinstance(network, IPv4Sessions)
    results: list[Any] = []
    network.makeProtocol(Profile("alice"), CALLER).addBoth(results.append)
    return results[0]


def test_whatChangesAndWhatDoesnt(log: list[str]) -> None:
    """
    A reload changes IPv4's pools and name servers. Other changed keys are named as needing a
    restart, also at the next reload.
    """
    service = started()
    assert given(service).settings.peerAddress == "10.77.0.10"
    again = """
    [pptp]
    port = 1001
    [network]
    protocols = ["ipv4", "ipv6"]
    [ipv4]
    local = "10.77.0.2"
    pool = ["10.78.0.10"]
    dns = ["192.0.2.53"]
    [ipv6]
    dns = ["2001:db8::53"]
    [auth]
    checkers = ["accounts"]
    """
    for _ in range(2):
        service.reload(parse(again, "test"))
    settings = given(service).settings
    assert (settings.localAddress, settings.peerAddress) == ("10.77.0.1", "10.78.0.10")
    assert settings.dns == ("192.0.2.53",)
    kept = [
        "[auth] checkers needs a restart: "
        "the program that runs the gateway has chosen the checkers",
        "[pptp] port needs a restart: the port is open",
        "[ipv4] local needs a restart: it is this end's address on every link",
    ]
    assert log == [
        "the configuration was read again; for calls to come: [ipv4] pool, [ipv4] dns, [ipv6] dns",
        *kept,
        "the configuration was read again; nothing is different",
        *kept,
    ]


def test_whatTheFileSaysNoMoreIsTheDefault(log: list[str]) -> None:
    service = started()
    service.reload(parse(START.partition("[ipv4]")[0], "test"))
    assert log == ["the configuration was read again; for calls to come: [ipv4] pool"]
    addresses = [given(service).settings.peerAddress for _ in range(2)]
    assert addresses == ["10.77.0.10", "10.77.0.11"]


def test_whatCannotBeUsedChangesNothing(log: list[str]) -> None:
    service = started()
    text = START + '[[ipv4.pools]]\nname = "a"\nranges = ["10.77.0.10"]\n'
    with pytest.raises(ConfigurationError, match=r"both have 10\.77\.0\.10"):
        resultOf(service.reload(parse(text, "test")))
    assert given(service).settings.peerAddress == "10.77.0.10"
    fault = "[[ipv4.pools]] a and default both have 10.77.0.10; an address belongs to one"
    assert log == [f"the configuration is unchanged: {fault}"]
    assert service.lastReload is not None
    assert (service.lastReload.error, service.lastReload.reloaded) == (fault, None)


class Threads:
    """
    A reactor whose C{callFromThread} and signals the test controls.
    """

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[..., object], *_: object, **__: object) -> None:
        self.calls.append(call)


def test_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A signal is handled in a turn of the reactor, unless it is ignored or handled already. The
    earlier handlers are restored at the end.
    """
    threads: Any = Threads()
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before: tuple[Any, ...] = (signal.SIG_DFL, signal.SIG_IGN, lambda *_: told.append("its own"))
    told: list[str] = []
    signals = Signals(threads, {one.name: partial(told.append, one.name) for one in numbers})
    found = [signal.signal(*one) for one in zip(numbers, before, strict=True)]
    try:
        signals.stop()
        signals.start()
        for number in numbers:
            os.kill(os.getpid(), number)
        assert told == ["its own"]
        (call,) = threads.calls
        call()
        assert told == ["its own", "SIGHUP"]
        signals.stop()
        signals.stop()
        assert tuple(map(signal.getsignal, numbers)) == before
    finally:
        for number, handler in zip(numbers, found, strict=True):
            signal.signal(number, handler)


def test_theCommandReadsItsFileAgain(tmp_path: Path, log: list[str]) -> None:
    """
    A reload reads the file again and keeps the command line's options. A file with a fault changes
    nothing.
    """
    path, secrets = tmp_path / "pptpgw.toml", tmp_path / "chap-secrets"
    secrets.touch(0o600)
    path.write_text('[ipv4]\npool = ["10.77.0.10"]\n')
    options = Options()
    cast(Any, options).parseOptions(
        ["--config", str(path), "--network", "ipv4,ipv6", "--auth", f"chap-secrets:{secrets}"]
    )
    service = CommandService(MemoryReactorClock(), options)
    path.write_text('[ipv4]\npool = ["10.79.0.10"]\n')
    service._readAgain()
    assert given(service).settings.peerAddress == "10.79.0.10"
    path.write_text('[ipv4]\npol = ["10.79.0.10"]\n')
    service._readAgain()
    assert log == [
        "the configuration was read again; for calls to come: [ipv4] pool",
        f"the configuration is unchanged: {path}: unknown key pol in [ipv4]: did you mean pool?",
    ]

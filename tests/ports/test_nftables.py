"""
Tests for L{pptpgw.ports.nftables}, with a fake of nft and with the real one.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports.nft import TIMEOUT
from pptpgw.ports.nftables import FORWARDING, ROUTES, Masquerade
from tests.ports.namespace import Readers, inNamespace

TABLE = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
wlan0\t00000000\t010071CB\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010071CB\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
"""


class Transport:
    """
    The pipes of one run of nft.
    """

    def __init__(self) -> None:
        self.script = b""
        self.ended = False
        self.pid = 4242
        self.signals: list[str] = []

    def write(self, octets: bytes) -> None:
        self.script += octets

    def closeStdin(self) -> None:
        self.ended = True

    def signalProcess(self, signal: str) -> None:
        self.signals.append(signal)


class Reactor(Readers):
    """
    A reactor that keeps the processes that are started.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[ProcessProtocol, Transport]] = []

    def spawnProcess(
        self, protocol: ProcessProtocol, path: str, arguments: Sequence[str], env: object
    ) -> Transport:
        assert (path, arguments) == ("/usr/sbin/nft", ["nft", "-f", "-"])
        transport = Transport()
        self.runs.append((protocol, transport))
        protocol.makeConnection(cast(IProcessTransport, transport))
        return transport

    def end(self, complaint: bytes = b"", output: bytes = b"") -> None:
        protocol, _ = self.runs[-1]
        protocol.outReceived(output)
        if complaint:
            protocol.errReceived(complaint)
            protocol.processEnded(Failure(ProcessTerminated(1)))
        else:
            protocol.processEnded(Failure(ProcessDone(0)))


class MemorySystem:
    """
    The kernel's files in memory.
    """

    def __init__(self) -> None:
        self.files = {FORWARDING: "0\n", ROUTES: TABLE}
        self.programs = ["/usr/sbin/nft"]
        self.error: OSError | None = None

    def which(self, name: str) -> list[str]:
        assert name == "nft"
        return self.programs

    def read(self, path: Path) -> str:
        return self.files[path]

    def write(self, path: Path, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.files[path] = text


class Fixture:
    """
    A masquerade with its reactor and system.
    """

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.system = MemorySystem()
        self.masquerade = Masquerade(self.reactor, "pptp-0", 7, self.system)

    def fails(self, deferred: Deferred[None], kind: type[Exception]) -> str:
        failures: list[Failure] = []
        deferred.addErrback(failures.append)
        (failure,) = failures
        assert failure.check(kind)
        return failure.getErrorMessage()

    def begin(self, left: bytes = b"") -> Deferred[None]:
        """
        Start, up to the run of nft that makes the table.

        @param left: a table that an earlier run left.
        """
        started = self.masquerade.start()
        assert self.reactor.runs[-1][1].script == b"list table ip pptpgw_pptp_0\n"
        self.reactor.end(b"" if left else b"Error: No such file or directory\n", left)
        return started

    @property
    def forwarding(self) -> str:
        return self.system.files[FORWARDING].strip()


@pytest.fixture
def path() -> Fixture:
    return Fixture()


def result(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addCallback(results.append)
    return results


class TestMasquerade:
    """
    Tests for the commands to nft, and for errors.
    """

    def test_startAndStop(self, path: Fixture) -> None:
        started = result(path.begin())
        _, transport = path.reactor.runs[1]
        script = transport.script.decode()
        assert transport.ended
        assert script.startswith("add table ip pptpgw_pptp_0\ndelete table ip pptpgw_pptp_0\n")
        assert 'iifname "pptp-0" oifname "eth0" masquerade' in script
        assert "chain ip_forward_was_0 {}" in script
        assert started == [] and path.forwarding == "0"
        path.reactor.end()
        assert started == [None] and path.forwarding == "1"
        stopped = result(path.masquerade.stop())
        assert path.forwarding == "0"
        assert path.reactor.runs[2][1].script == (
            b"add table ip pptpgw_pptp_0\ndelete table ip pptpgw_pptp_0\n"
        )
        path.reactor.end()
        assert stopped == [None]
        assert result(path.masquerade.stop()) == [None]
        assert len(path.reactor.runs) == 3
        assert path.reactor.getDelayedCalls() == []

    def test_afterARunThatWasKilled(self, path: Fixture) -> None:
        """
        Masquerade restores the value of ip_forward that a killed run had found.
        """
        path.system.files[FORWARDING] = "1\n"
        path.begin(b"table ip pptpgw_pptp_0 {\n\tchain ip_forward_was_0 {\n\t}\n}\n")
        assert b"chain ip_forward_was_0 {}" in path.reactor.runs[1][1].script
        path.reactor.end()
        assert path.forwarding == "1"
        path.masquerade.stop()
        assert path.forwarding == "0"

    def test_somebodyElseTurnsItOff(self, path: Fixture) -> None:
        path.system.files[FORWARDING] = "1\n"
        path.begin()
        path.reactor.end()
        path.system.files[FORWARDING] = "0\n"
        path.masquerade.stop()
        assert path.forwarding == "0"

    def test_forwardingAlready(self, path: Fixture) -> None:
        path.system.files[FORWARDING] = "1\n"
        path.begin()
        assert b"ip_forward_was" not in path.reactor.runs[1][1].script
        path.reactor.end()
        path.masquerade.stop()
        assert path.forwarding == "1"

    def test_forwardingRefused(self, path: Fixture) -> None:
        path.system.error = OSError(errno.EROFS, "Read-only file system")
        started = path.begin()
        path.reactor.end()
        text = path.fails(started, NotPermitted)
        assert "net.ipv4.ip_forward" in text and "Read-only" in text
        # The runs make the table and delete it again.
        path.masquerade.stop()
        assert len(path.reactor.runs) == 3

    def test_forwardingCannotBePutBack(self, path: Fixture) -> None:
        """
        The table is deleted even if forwarding can't be restored.
        """
        path.begin()
        path.reactor.end()
        path.system.error = OSError(errno.EROFS, "Read-only file system")
        stopped = path.masquerade.stop()
        path.reactor.end()
        assert "sysctl net.ipv4.ip_forward=0" in path.fails(stopped, NotPermitted)

    def test_noProgram(self, path: Fixture) -> None:
        path.system.programs = []
        text = path.fails(path.masquerade.start(), ConfigurationError)
        assert "package nftables" in text

    def test_noDefaultRoute(self, path: Fixture) -> None:
        path.system.files[ROUTES] = TABLE.splitlines()[0]
        assert "default route" in path.fails(path.masquerade.start(), ConfigurationError)
        assert path.reactor.runs == []

    def test_refused(self, path: Fixture) -> None:
        started = path.begin()
        path.reactor.end(b"Error: Operation not permitted\n")
        assert "Operation not permitted" in path.fails(started, NotPermitted)
        assert path.system.files[FORWARDING] == "0\n"
        assert result(path.masquerade.stop()) == [None]

    def test_tooSlow(self, path: Fixture) -> None:
        started = path.masquerade.start()
        path.reactor.advance(TIMEOUT)
        assert path.reactor.runs[0][1].signals == ["KILL"]
        assert "10 seconds" in path.fails(started, NotPermitted)
        path.reactor.end(b"killed")

    def test_kernel(self) -> None:
        inNamespace("nftables", "nft")

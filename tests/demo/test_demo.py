"""
Tests for L{pptpgw.demo}: its table, its results, and the whole demo where that is possible.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock

from pptpgw.config import discovery
from pptpgw.config.configuration import parse
from pptpgw.demo.__main__ import carry, row, table
from pptpgw.demo.probe import PROBES, ROUNDS, TIMEOUT, MPLSProbe
from pptpgw.demo.sites import SiteTrial
from pptpgw.demo.tunnels import TRIALS, sections
from pptpgw.error import CallError
from pptpgw.interfaces import INetworkProtocol, ITunnelFactory
from pptpgw.ports import privileges
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.testing import DrivenLink, MemoryDataPath, MemoryNetwork

ROOT = Path(__file__).parent.parent.parent


class Call(ClientCall):
    """
    A call whose protocols open or fail.
    """

    def __init__(self, opened: Deferred[None]) -> None:
        clock = Clock()
        super().__init__(clock, MemoryDataPath(MemoryNetwork(clock)), LinkSettings(), [])
        self._answer = opened

    def whenOpen(self, protocol: INetworkProtocol) -> Deferred[None]:
        return self._answer


class Looped(MPLSProbe):
    """
    A probe whose ends are joined directly.
    """

    lose = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        for end in self.ends:
            DrivenLink(end, clock=clock)

    def send(self, sender: int, packet: bytes) -> None:
        if not self.lose:
            (self._secondReceived if sender == 0 else self._firstReceived)(packet)


def test_carried() -> None:
    """
    Each round has a question and its answer.
    """
    clock = Clock()
    probe = Looped(clock)
    ensureDeferred(carry(clock, probe, [Call(succeed(None)), Call(succeed(None))]))
    assert probe.fault == ""
    assert probe.sent[0] == probe.received[0] == len(probe.times) == ROUNDS
    assert row(probe)[:3] == ("MPLS", "MPLSCP", "Starting")
    octets = str(probe.sent[1])
    assert row(probe)[3:7] == (str(ROUNDS), octets, str(ROUNDS), octets)
    assert row(probe)[7:] == ("0.00 ms", "nothing, it has no options")


def test_lost() -> None:
    """
    A probe without an answer isn't reported as carried.
    """
    clock = Clock()
    probe = Looped(clock)
    probe.lose = True
    ensureDeferred(carry(clock, probe, [Call(succeed(None)), Call(succeed(None))]))
    assert probe.fault == ""
    clock.advance(TIMEOUT)
    assert (
        probe.fault == "nothing came within 2 s" and probe.sent[0] == 1 and probe.received[0] == 0
    )
    assert row(probe)[7:] == ("-", probe.fault)


def test_notOpen() -> None:
    """
    A protocol that one of the calls can't open is reported with the reason.
    """
    clock = Clock()
    probe = Looped(clock)
    calls = [Call(succeed(None)), Call(fail(CallError("the peer doesn't know mpls")))]
    ensureDeferred(carry(clock, probe, calls))
    assert probe.fault == "the peer doesn't know mpls" and probe.sent == [0, 0]


def test_table() -> None:
    """
    The columns are aligned, and no line ends in blanks.
    """
    assert table([("a", "bb"), ("cccc", "d")]) == "a     bb\ncccc  d"


def test_theTunnelsOfTheTable() -> None:
    """
    Each row is of a tunnel that the gateway of the demo serves.
    """
    names = list(dict.fromkeys(one.tunnel for one in TRIALS))
    assert set(names) <= set(discovery.installed(ITunnelFactory))
    assert list(parse(sections("/tmp"), "the demo").listen.tunnels) == names


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace of its own")
def test_theWholeDemo() -> None:
    """
    Every protocol opens on both calls and is carried in both directions, encrypted.
    """
    lacking = privileges.missing()
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
    done = subprocess.run(
        [sys.executable, "-m", "pptpgw.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MPPE 128 bit stateless" in done.stdout
    for probe in PROBES:
        (line,) = re.findall(rf"(?m)^{probe.title} .*$", done.stdout)
        assert f" {probe.control} " in line and " Opened " in line
        assert re.search(rf" Opened +{ROUNDS} +\d+ +{ROUNDS} +\d+ +\d+\.\d\d ms ", line)
    for trial in TRIALS:
        (line,) = re.findall(rf"(?m)^{trial.name} .*$", done.stdout)
        found = re.fullmatch(
            rf"{trial.name} +\d+ ms +\d+\.\d\d ms +(\d+)\.\d +"
            r"mschapv2, .+, 10\.77\.0\.\d+, MRU 1520",
            line,
        )
        # More than PPP's own header, and less than another packet.
        assert found is not None and 2 < int(found[1]) < 200, line
    (line,) = re.findall(rf"(?m)^{SiteTrial.name} .*$", done.stdout)
    assert re.fullmatch(
        rf"{SiteTrial.name} +\d+ ms +\d+\.\d\d ms +- +mschapv2 of both ends, "
        r"MPPE 128 bit stateless, 10\.2\.0\.2 to 10\.1\.0\.2, MRU 1520",
        line,
    )
    assert done.stdout.endswith("Every protocol was carried both ways, by every tunnel.\n")
    assert done.stderr == ""

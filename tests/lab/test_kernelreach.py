"""
Tests for what the data path within the kernel gives sessions: filters, IPv6 with its routers and
delegated prefixes, and rate limits.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.lab.peers import (
    INSIDE_ADDRESS,
    INSIDE_ADDRESS6,
    LOCAL_ADDRESS,
    Network,
    Process,
    run,
)
from tests.lab.server import ALICE, StartGateway, toml
from tests.lab.test_ipv6 import GATEWAY, addressOf

KERNEL = {"path": "kernel"}
SHAPING = ("sch_htb", "sch_fq_codel", "cls_u32", "sch_ingress", "act_mirred", "ifb")
"""
The kernel's modules for rate limits.
"""


def test_ipv6(ipv6: Network, startGateway: StartGateway) -> None:
    """
    A caller makes an address of its prefix, and reaches the router of its link, the gateway and a
    host behind it.
    """
    gateway = startGateway(datapath=KERNEL, network={"protocols": ["ipv4", "ipv6"]})
    caller = ipv6.host().call(*ALICE, "require-mppe-128", "+ipv6").up()
    router = caller.waitFor(r"remote LL address (\S+)")[1]
    address = addressOf(caller)
    for destination in (router, GATEWAY, INSIDE_ADDRESS6):
        caller.ping(destination, count=1)
    ipv6.inside.ping(address, count=1)
    caller.ping()
    text = caller.host.run("rdisc6", "-1", "-w", "5000", caller.interface)
    assert re.search(r"from fe80::", text)
    answers = caller.host.run("ping", "-c", "1", "-W", "1", f"{router}%{caller.interface}")
    assert "DUP" not in answers
    print(gateway.text)


class Store:
    """
    A gateway on the kernel's path, with one user of an account store.

    @ivar network: the sections about the network, which a test may change before L{reload}.
    """

    def __init__(
        self, startGateway: StartGateway, folder: Path, options: list[str], **network: object
    ) -> None:
        self.sections: dict[str, dict[str, object]] = {
            "accounts": {"store": f"sqlite:{folder}/accounts.sqlite", "key": f"{folder}/key"},
            "datapath": {"path": "kernel"},
            "network": {"protocols": ["ipv4", "ipv6"]},
            **cast(Any, network),
        }
        self._folder = folder
        self._configuration = folder / "users.toml"
        self._configuration.write_text(toml(self.sections))
        self.pptpgw("user", "add", ALICE[0], "--stdin", *options)
        self.gateway = startGateway(auth="accounts", **self.sections)

    def pptpgw(self, *words: str) -> None:
        """
        Run a command.
        """
        command = [sys.executable, "-m", "pptpgw.command", *words, "-c", str(self._configuration)]
        run(*command, stdin=f"{ALICE[1]}\n")

    def reload(self) -> None:
        """
        Put other sections in force.
        """
        path = self._folder / "gateway-0" / "pptpgw.toml"
        path.write_text(toml({"management": {"endpoints": []}, **self.sections}))
        before = self.gateway.text.count("was read again")
        os.kill(self.gateway.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self.gateway.text.count("was read again") == before:
            assert time.monotonic() < deadline, self.gateway.text
            time.sleep(0.05)


def test_filter(ipv6: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    A filter applies to both directions and both families, a change of it applies at once, and
    nothing passes if it is taken away.
    """
    only = "permit icmp from any to {0}", "permit icmp from {0} to any"

    def filtered(*addresses: str) -> dict[str, object]:
        return {"name": "some", "rules": [one.format(to) for to in addresses for one in only]}

    store = Store(
        startGateway,
        tmp_path,
        ["--filter=some"],
        **{"[network.filter]": filtered(LOCAL_ADDRESS, GATEWAY)},
    )
    caller = ipv6.host().call(*ALICE, "require-mppe-128", "+ipv6").up()
    address = addressOf(caller)
    caller.ping(count=1)
    caller.ping(GATEWAY, count=1)
    for there in (INSIDE_ADDRESS, INSIDE_ADDRESS6):
        assert not caller.host.reaches(there)
    assert not ipv6.inside.reaches(caller.address)
    assert not ipv6.inside.reaches(address)
    store.sections["[network.filter]"] = filtered(INSIDE_ADDRESS, INSIDE_ADDRESS6)
    store.reload()
    for there in (INSIDE_ADDRESS, INSIDE_ADDRESS6):
        caller.ping(there, count=1)
    for there in (LOCAL_ADDRESS, GATEWAY):
        assert not caller.host.reaches(there)
    store.sections["[network.filter]"]["name"] = "other"
    store.reload()
    for there in (LOCAL_ADDRESS, GATEWAY, INSIDE_ADDRESS, INSIDE_ADDRESS6):
        assert not caller.host.reaches(there)
    # The link itself goes on: its router answers.
    caller.ping(caller.waitFor(r"remote LL address (\S+)")[1], count=1)


@pytest.mark.parametrize("down", [False, True])
def test_rates(down: bool, network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    What a caller sends is limited to 2 Mbit/s, and so is what it receives.
    """
    run("modprobe", "-d", "/run/lab/modroot", "-a", *SHAPING)
    limits = [f"--{'send' if down else 'receive'}-rate=2000000"]
    Store(startGateway, tmp_path, limits, link={"encryption": "off"})
    caller = network.host().call(*ALICE).up()
    caller.host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
    log = tmp_path / "iperf3-server.log"
    server = Process(network.inside.command("iperf3", "-s", "-1", "--forceflush", "-f", "k"), log)
    server.waitFor("listening")
    flood = ["iperf3", "-c", INSIDE_ADDRESS, "-u", "-b", "3M", "-l", "1300", "-t", "6", "-f", "k"]
    flood += ["--forceflush", *(["-R"] if down else [])]
    client = Process(caller.host.command(*flood), tmp_path / "iperf3-client.log")
    client.wait()
    receiver = client if down else server
    found = re.findall(r" ([\d.]+) Kbits/sec +[\d.]+ ms +\d+/\d+ \([^)]*\) *$", receiver.text, re.M)
    # Each packet has 28 octets of headers, too.
    rates = [float(one) * 1328 / 1300 for one in found]
    print(rates)
    # A machine that is busy with other things makes packets slower, and then some faster.
    assert max(rates) > 1800 and statistics.median(rates) < 2200, rates

"""
Tests of the unit C{tap/pptpgw.service} under Debian's systemd, installed as C{tap/README.md} says.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.test_documents import blocks
from tests.lab.machine import SECONDS, Machine
from tests.lab.peers import INSIDE_ADDRESS, Caller, Network, Process
from tests.lab.server import ALICE, Sections, toml

UNIT = "pptpgw.service"
CONFIGURATION = "/etc/pptpgw/pptpgw.toml"
HOOK = "/etc/pptpgw/ip-up"
CAPABILITIES = f"{1 << 12 | 1 << 13:016x}"
"""
CAP_NET_ADMIN and CAP_NET_RAW, in the form of proc(5).
"""
FOLDERS = ("/dev", "/etc", "/home", "/usr", "/var/lib/pptpgw", "/var/log")
SCRIPT = f"""\
#!/bin/sh
for folder in {" ".join(FOLDERS)}; do
    touch $folder/hook && wrote="$wrote $folder"
done
echo "$(id -un) wrote to$wrote"
"""
"""
A script of C{[hooks]}, which says who it is, and where it could write. What it prints is logged.
"""


@pytest.fixture(scope="module")
def booted(wires: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """
    A machine on which the gateway is a service.
    """
    made = Machine(wires.gateway, tmp_path_factory.mktemp("machine") / "boot.log")
    made.write(CONFIGURATION, "", "640")
    name, password = ALICE
    made.run("/opt/pptpgw/bin/pptpgw", "user", "add", name, "--stdin", stdin=password)
    service, *_ = blocks("tap/README.md", "As a systemd service")
    made.run("sh", "-ec", service)
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture
def machine(booted: Machine, network: Network) -> Machine:
    """
    The machine, whose journal is printed if the test fails.
    """
    Process.logs.append(booted.journal.log)
    return booted


def configure(machine: Machine, sections: Sections) -> None:
    """
    Replace the configuration.
    """
    machine.write(CONFIGURATION, toml(sections), "640")


def dial(network: Network) -> Caller:
    """
    Place a call, whose packets reach the gateway and the host behind it.
    """
    # A call that starts the gateway waits for it.
    patience = ("lcp-max-configure", "100")
    caller = network.host().call(*ALICE, "require-mppe-128", *patience).up(SECONDS)
    caller.ping()
    caller.host.ip(f"route replace {INSIDE_ADDRESS} dev {caller.interface}")
    caller.ping(INSIDE_ADDRESS)
    return caller


def test_itsLife(machine: Machine, network: Network) -> None:
    """
    The service has its user, its two capabilities and its filters, serves calls, tells its state,
    reloads, and ends in order.
    """
    machine.run("systemctl", "start", UNIT)
    assert machine.property(UNIT, "StatusText") == "Takes calls; sessions: 0"
    process = machine.property(UNIT, "MainPID")
    status = dict(
        line.split(":\t", 1) for line in machine.run("cat", f"/proc/{process}/status").splitlines()
    )
    user = machine.run("id", "-u", "pptpgw").strip()
    assert status["Uid"].split() == [user] * 4
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert status[name] == CAPABILITIES
    # Seccomp's mode 2 is a filter of system calls.
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

    machine.write(HOOK, SCRIPT, "755")
    configure(machine, {"hooks": {"ip-up": HOOK}})
    machine.run("systemctl", "reload", UNIT)
    caller = dial(network)
    machine.becomes(UNIT, "StatusText", "Takes calls; sessions: 1")
    machine.journal.waitFor("(?m): pptpgw wrote to /var/lib/pptpgw$")

    configure(machine, {"hooks": {"ip-up": "/nonexistent"}})
    assert machine.fails("systemctl", "reload", UNIT)
    text = machine.property(UNIT, "StatusText")
    assert text.startswith("Takes calls; sessions: 1; the last reload failed: "), text
    assert machine.property(UNIT, "ActiveState") == "active"
    assert machine.property(UNIT, "MainPID") == process
    caller.ping()

    machine.run("systemctl", "stop", UNIT)
    assert machine.property(UNIT, "Result") == "success"
    caller.wait(10)
    assert caller.received("LCP TermReq")
    assert "pptpgw0" not in [link["ifname"] for link in network.gateway.show("link")]

    entries = machine.entries(UNIT)
    for text, priority in (("answers on every", "6"), ("the configuration is unchanged", "3")):
        assert {one["PRIORITY"] for one in entries if text in one["MESSAGE"]} == {priority}
    (first,) = [one["MESSAGE"] for one in entries if "answers on every" in one["MESSAGE"]]
    assert "packets pass by kernel" in first
    assert not [one for one in entries if re.search("^<|Traceback|#critical", one["MESSAGE"])]


def test_aBlockedOneIsRestarted(machine: Machine, network: Network) -> None:
    """
    systemd kills a gateway that gives no sign of life, without a core dump, and starts another one.
    """
    machine.write(f"/etc/systemd/system/{UNIT}.d/watchdog.conf", "[Service]\nWatchdogSec=5\n")
    machine.run("systemctl", "daemon-reload")
    configure(machine, {})
    machine.run("systemctl", "restart", UNIT)
    dial(network)
    # One that isn't blocked outlives that time.
    time.sleep(6)
    assert machine.property(UNIT, "NRestarts") == "0"
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    machine.journal.waitFor("Watchdog timeout", SECONDS)
    machine.journal.waitFor("code=killed, status=6/ABRT", SECONDS)
    machine.becomes(UNIT, "ActiveState", "active")
    assert machine.property(UNIT, "NRestarts") == "1"
    network.host().kill()
    dial(network)


def test_sockets(machine: Machine, network: Network) -> None:
    """
    A first caller starts the service by a socket that systemd has opened.
    """
    machine.run("systemctl", "stop", UNIT)
    machine.write("/etc/systemd/system/pptpgw.socket", "[Socket]\nListenStream=0.0.0.0:1723\n")
    configure(machine, {"pptp": {"endpoints": ["systemd:domain=INET:index=0"]}})
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "pptpgw.socket")
    assert machine.property(UNIT, "ActiveState") == "inactive"
    dial(network)
    assert machine.property(UNIT, "StatusText").startswith("Takes calls")

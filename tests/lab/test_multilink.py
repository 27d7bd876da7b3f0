"""
Tests for bundles of links (RFC 1990), with Debian's pppd and the kernel's multilink as the other
end.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.lines import Damage, NullModem, nothing
from tests.lab.peers import INSIDE_ADDRESS, LOCAL_ADDRESS, Caller, Host, Network, Process
from tests.lab.server import ALICE, BOB, Gateway, StartGateway
from tests.lab.transfer import OCTETS

LISTEN = {"tunnels": ["pptp", "hdlc"]}
MULTILINK = {"multilink": True, "encryption": "off", "echo-interval": 1, "echo-failures": 2}
BUNDLED = ("multilink", "mrru", "1614", "lcp-echo-interval", "1", "lcp-echo-failure", "2")
ONE_SESSION = {"max-sessions-per-user": 1, "per-user": "deny"}
TRANSFER = Path(__file__).with_name("transfer.py")


@pytest.fixture
def lines() -> Iterator[list[NullModem]]:
    """
    Three null modems.
    """
    made = [NullModem(), NullModem(), NullModem()]
    yield made
    for one in made:
        one.close()


def overLine(host: Host, line: NullModem, *options: str) -> Caller:
    """
    Call over a null modem.
    """
    return host.callBy([line.devices[0], "115200", "local"], *ALICE, *BUNDLED, *options)


def attached(caller: Caller) -> Caller:
    """
    Wait until pppd has attached a link to the device of an earlier one.
    """
    caller.waitFor(r"Link attached to ppp")
    return caller


def startOnLines(startGateway: StartGateway, lines: list[NullModem], **link: object) -> Gateway:
    endpoints = [f"serial:{one.devices[1]}:115200" for one in lines]
    return startGateway(listen=LISTEN, hdlc={"endpoints": endpoints}, link={**MULTILINK, **link})


class Transfer:
    """
    A transfer by TCP to the host inside and back, through a caller's device.
    """

    def __init__(self, network: Network, caller: Caller, octets: int = len(OCTETS)) -> None:
        serving = network.inside.command(sys.executable, str(TRANSFER), "serve", INSIDE_ADDRESS)
        Process(serving, network.folder / "transfer.log").waitFor("serving")
        caller.reachInside()
        words = caller.host.command(sys.executable, str(TRANSFER), "echo", INSIDE_ADDRESS)
        self._process = Process(words, network.folder / "echo.log")

    def assertEqual(self) -> None:
        """
        Wait for the end: the same octets must have come back.
        """
        self._process.waitFor("equal|different", 150)
        assert "equal" in self._process.text


def assertSessions(gateway: Gateway, opened: int, joined: int, ended: int) -> None:
    """
    Assert that the log tells, now or soon, of so many sessions that opened IPv4, links that joined
    one, and sessions that ended.
    """
    patterns = (r": ipv4 \S+ open", r"is a further link", r": ended after")
    deadline = time.monotonic() + 5
    while True:
        found = [len(re.findall(one, gateway.text)) for one in patterns]
        if found == [opened, joined, ended]:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("short", [False, True])
def test_twoLines(
    short: bool, network: Network, startGateway: StartGateway, lines: list[NullModem]
) -> None:
    """
    Two serial lines are one session, whose packets both carry. A transfer ends well although one
    line is cut in its middle, and the session ends with the other line.
    """
    gateway = startOnLines(startGateway, lines, **{"short-sequence-numbers": short})
    network.gateway.sysctl("net.ipv4.conf.all.forwarding=1")
    host = network.host()
    options = ("mpshortseq",) if short else ("nompshortseq",)
    first = overLine(host, lines[0], *options).up()
    assert "<mrru 1614>" in first.sent("LCP ConfAck")[-1]
    assert ("<ssnhf>" in first.sent("LCP ConfAck")[-1]) is short
    assert re.search(r"<endpoint \[local:[0-9a-f.]+\]>", first.received("LCP ConfReq")[0])
    second = attached(overLine(host, lines[1], *options))
    assertSessions(gateway, 1, 1, 0)
    passed = [[0, 0], [0, 0]]
    for place, line in enumerate(lines[:2]):
        line.damage[:] = [counting(passed[place], way) for way in (0, 1)]
    first.flood(200)
    first.ping(LOCAL_ADDRESS, "-s", "1500", count=5)
    assert min(passed[0] + passed[1]) > 5000, "both lines carry packets, both ways"
    transfer = Transfer(network, first)
    lines[0].damage[:] = [nothing, nothing]
    gateway.waitFor("the session goes on")
    transfer.assertEqual()
    second.hangUp()
    gateway.waitFor("ended after")
    assertSessions(gateway, 1, 1, 1)


def counting(passed: list[int], way: int) -> Damage:
    """
    Return a function that adds to C{passed[way]} how many octets pass it.
    """

    def count(octets: bytes) -> bytes:
        passed[way] += len(octets)
        return octets

    return count


def dial(host: Host, *options: str) -> Caller:
    """
    Call by PPTP.
    """
    return host.call(*ALICE, *BUNDLED, *options)


@pytest.mark.parametrize(
    ("path", "mppe"),
    [("python", "nomppe"), ("python", "require-mppe-128"), ("native", "require-mppe-128")],
    indirect=["path"],
)
def test_twoPPTPCalls(path: str, mppe: str, network: Network, startGateway: StartGateway) -> None:
    """
    Two calls by PPTP of one user are one session, with the encryption of the first. The network
    between loses, delays and mixes up packets; a transfer ends well, although one call ends in its
    middle.
    """
    gateway = startGateway(link={**MULTILINK, "encryption": "prefer"}, limits=ONE_SESSION)
    network.gateway.sysctl("net.ipv4.conf.all.forwarding=1")
    host = network.host()
    first = dial(host, mppe).up()
    second = attached(dial(host, mppe))
    assertSessions(gateway, 1, 1, 0)
    encrypted = mppe == "require-mppe-128"
    assert ("MPPE 128 bit" in gateway.text) is encrypted
    first.flood(500)
    # Linux decrypts no packet of more than 1,500 octets, whatever the MRRU.
    for size in ("1400", "1472" if encrypted else "1580"):
        first.ping(LOCAL_ADDRESS, "-s", size, count=5)
    host.impair("delay", "5ms", "3ms", "loss", "1%")
    transfer = Transfer(network, first)
    second.hangUp()
    gateway.waitFor("the session goes on")
    transfer.assertEqual()
    host.restore()
    first.hangUp()
    gateway.waitFor("ended after")
    assertSessions(gateway, 1, 1, 1)


def test_theFirstLinkEndsFirst(
    network: Network, startGateway: StartGateway, lines: list[NullModem]
) -> None:
    """
    The session goes on by the second link after the first one, on which it began, has ended; and by
    a third one, which replaces both.
    """
    gateway = startOnLines(startGateway, lines)
    host = network.host()
    first = overLine(host, lines[0]).up()
    attached(overLine(host, lines[1]))
    lines[0].damage[:] = [nothing, nothing]
    gateway.waitFor("the session goes on")
    # pppd takes a while to give up a link.
    assert first.reaches(20)
    attached(overLine(host, lines[2]))
    lines[1].damage[:] = [nothing, nothing]
    gateway.waitFor(r"(?s)the session goes on.*the session goes on")
    assert first.reaches(20)
    assertSessions(gateway, 1, 2, 0)
    lines[2].damage[:] = [nothing, nothing]
    gateway.waitFor("ended after")
    assertSessions(gateway, 1, 2, 1)


def test_othersAreNotBundled(network: Network, startGateway: StartGateway) -> None:
    """
    Calls of another user, and from another host, have sessions of their own, and so has a call
    without multilink. A call that would be one link too many is refused.
    """
    gateway = startGateway(link=MULTILINK, limits={"max-links": 2})
    hosts = network.hosts(2)
    first = dial(hosts[0], "bundle", "one").up()
    attached(dial(hosts[0], "bundle", "one"))
    # pppd tells bundles from each other by their names, not by users.
    other = hosts[1].call(*BOB, *BUNDLED, "bundle", "two").up()
    same = dial(hosts[1], "bundle", "three").up()
    plain = hosts[1].call(*ALICE).up()
    assertSessions(gateway, 4, 1, 0)
    addresses = {one.address for one in (first, other, same, plain)}
    assert len(addresses) == 4
    for one in (first, other, same, plain):
        one.ping(count=2)
    dial(hosts[0], "bundle", "one")
    gateway.waitFor("the session has 2 links")
    first.ping(count=2)


def test_aRestartedPeer(
    network: Network, startGateway: StartGateway, lines: list[NullModem]
) -> None:
    """
    A peer that vanished without a word and calls again doesn't join its dead link.
    """
    gateway = startOnLines(startGateway, lines, **{"echo-interval": 30})
    host = network.host()
    overLine(host, lines[0]).up().stop(signal.SIGKILL)
    # Its own table of bundles still has the first one.
    second = overLine(host, lines[1], "bundle", "anew").up()
    second.ping(count=3)
    gateway.waitFor("the peer doesn't answer on this link")
    assertSessions(gateway, 2, 0, 1)

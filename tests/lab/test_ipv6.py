"""
Tests for IPv6 with pppd and the kernel's own autoconfiguration.
"""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any, cast

from tests.lab.peers import INSIDE_ADDRESS6, Caller, Network
from tests.lab.server import ALICE, BOTH, StartGateway

GATEWAY = "fc00:0:1::1"
NETWORK = {"protocols": ["ipv4", "ipv6"]}
ENCRYPTED = ("require-mppe-128", "+ipv6")


def addressOf(caller: Caller, timeout: float = 15) -> str:
    """
    The address that the caller's host makes from the advertised prefix.
    """
    deadline = time.monotonic() + timeout
    show = ("-6", "address", "show", "dev", caller.interface, "scope", "global")
    while not (shown := cast(Any, caller.host.show(*show))):
        assert time.monotonic() < deadline, "no Router Advertisement came"
        time.sleep(0.02)
    return str(shown[0]["addr_info"][0]["local"])


@BOTH
def test_threeCallersAtOnce(ipv6: Network, startGateway: StartGateway) -> None:
    """
    Three callers have a prefix each, and reach the gateway, a host behind it and each other.
    """
    startGateway(network=NETWORK)
    callers = [host.call(*ALICE, *ENCRYPTED) for host in ipv6.hosts(3)]
    addresses = []
    for caller in callers:
        caller.up().waitFor("remote LL address")
        began = time.monotonic()
        addresses.append(addressOf(caller))
        print(f"{addresses[-1]} in {time.monotonic() - began:.2f} s")
    assert {address[:11] for address in addresses} == {f"fc00:0:1:{one}:" for one in (1, 2, 3)}
    for caller, address in zip(callers, addresses[1:] + addresses[:1], strict=True):
        router = caller.waitFor(r"remote LL address (\S+)")[1]
        for destination in (router, GATEWAY, INSIDE_ADDRESS6, address):
            caller.ping(destination, count=1)
    ipv6.inside.ping(addresses[0], count=1)


@BOTH
def test_whatTheRouterSays(ipv6: Network, startGateway: StartGateway) -> None:
    """
    rdisc6 reads the router's advertisement as the gateway means it, and the sender of a packet
    that is too large for the caller is sent Packet Too Big.
    """
    given = {"dns": ["2001:db8::53", "2001:db8::54"], "search": ["lab.example"]}
    startGateway(network=NETWORK, ipv6=given)
    caller = ipv6.host().call(*ALICE, *ENCRYPTED, "mru", "1300").up()
    address = addressOf(caller)
    text = caller.host.run("rdisc6", "-1", "-w", "5000", caller.interface)
    for said in (
        r"Stateful other conf\. *: *Yes",
        r"Stateful address conf\. *: *No",
        r"Prefix *: fc00:0:1:1::/64\n *On-link *: *No\n *Autonomous address conf\.: *Yes",
        r"Valid time *: *7200 .*\n *Pref\. time *: *3600 ",
        r"MTU *: *1296 bytes",
        r"Recursive DNS server *: 2001:db8::53\n",
        r"Recursive DNS server *: 2001:db8::54\n",
        r"DNS search list *: lab\.example",
        r"from fe80::",
    ):
        assert re.search(said, text), f"no {said!r} in:\n{text}"
    command = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1300", address]
    done = subprocess.run(ipv6.inside.command(*command), capture_output=True, text=True)
    assert "Packet too big: mtu=1296" in done.stdout, done.stdout
    ipv6.inside.ping(address, "-M", "do", "-s", str(1296 - 48), count=1)


def test_theEndOfIPv6LeavesIPv4Alone(ipv6: Network, startGateway: StartGateway) -> None:
    """
    A host without IPv6 ends IPV6CP when it has opened, and IPv4 goes on.
    """
    gateway = startGateway(network=NETWORK)
    host = ipv6.host()
    host.setIPv6(False)
    caller = host.call(*ALICE, *ENCRYPTED).up()
    caller.waitFor("rcvd .IPV6CP TermAck")
    caller.ping()
    gateway.waitFor("ipv6 is over: the peer terminated ipv6")
    caller.ping()

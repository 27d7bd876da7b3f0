"""
Three network namespaces for measurements: that of the gateway, that of its callers, and that of a
host behind it. Everything that measures uses these, and none may outlive it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SERVER = "192.0.2.1"
PEER = "192.0.2.2"
GATE = "10.88.0.1"
BEYOND = "10.88.0.2"
NEIGHBOUR = "02:00:00:00:00:01"
SOURCES = tuple(f"192.0.2.{number}" for number in range(101, 121))
"""
More addresses of the callers, as the calls of one address are limited.
"""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """
    The names of the namespaces.

    @ivar gateway: has the address L{SERVER} on the device C{out}, and L{GATE} on C{beyond}.
    @ivar callers: has L{PEER} and L{SOURCES} on C{out}.
    @ivar inside: has L{BEYOND} on C{beyond}, and reaches everything else by the gateway.
    """

    gateway: str
    callers: str
    inside: str


def run(*commands: str) -> None:
    """
    Run commands, each of which must succeed.
    """
    for command in commands:
        subprocess.run(command.split(), check=True)


@contextmanager
def namespaces() -> Iterator[Namespaces]:
    """
    The namespaces, as long as the context lasts.
    """
    gateway, callers, inside = (f"bench-{os.getpid()}-{letter}" for letter in "abc")
    try:
        run(*(f"ip netns add {name}" for name in (gateway, callers, inside)))
        run(
            f"ip link add out netns {gateway} type veth peer name out netns {callers}",
            f"ip link add beyond netns {gateway} type veth peer name beyond netns {inside}",
            f"ip -n {gateway} address add {SERVER}/24 dev out",
            f"ip -n {callers} address add {PEER}/24 dev out",
            f"ip -n {gateway} address add {GATE}/24 dev beyond",
            f"ip -n {inside} address add {BEYOND}/24 dev beyond",
            f"ip -n {gateway} link set lo up",
            f"ip -n {gateway} link set out up",
            f"ip -n {gateway} link set beyond up",
            f"ip -n {callers} link set lo up",
            f"ip -n {callers} link set out up",
            f"ip -n {inside} link set beyond address {NEIGHBOUR} up",
            # Packets that wait for ARP would be lost.
            f"ip -n {gateway} neighbor replace {BEYOND} lladdr {NEIGHBOUR} dev beyond",
            f"ip -n {inside} route add default via {GATE}",
            f"ip netns exec {gateway} sysctl -qw net.ipv4.ip_forward=1",
        )
        run(*(f"ip -n {callers} address add {source}/24 dev out" for source in SOURCES))
        yield Namespaces(gateway, callers, inside)
    finally:
        for name in (gateway, callers, inside):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def drop(namespace: str, device: str) -> None:
    """
    Drop IP packets that enter the namespace by this device.
    """
    _rule(namespace, device, "ether type { ip, ip6 } drop")


def dropDatagrams(namespace: str, device: str) -> None:
    """
    Drop GRE and UDP packets that enter the namespace by this device.
    """
    _rule(namespace, device, "ip protocol { gre, udp } drop")


def lose(namespace: str, device: str, percent: float) -> None:
    """
    Drop this share of the GRE packets that enter the namespace by a device.
    """
    share = round(percent * 100)
    _rule(namespace, device, f"ip protocol gre numgen random mod 10000 < {share} drop")


def segment(namespace: str, device: str) -> None:
    """
    Have the kernel split messages of several datagrams before they leave by a device, as it does
    for network adapters that don't split them.
    """
    run(f"ip -n {namespace} link set {device} gso_max_segs 1")


def _rule(namespace: str, device: str, rule: str) -> None:
    rules = (
        f"table netdev bench {{ chain arrive {{ type filter hook ingress device {device} "
        f"priority 0; {rule}; }}; }}"
    )
    command = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    subprocess.run(command, input=rules, text=True, check=True)

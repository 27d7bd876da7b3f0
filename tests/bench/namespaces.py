"""
Two network namespaces joined by a veth pair, for a server and for its peer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

SERVER = "192.0.2.1"
PEER = "192.0.2.2"
GATE = "10.88.0.1"
BEYOND = "10.88.0.2"


def run(*commands: str) -> None:
    """
    Run commands, each of which must succeed.
    """
    for command in commands:
        subprocess.run(command.split(), check=True)


@contextmanager
def namespaces(beyond: bool = False) -> Iterator[tuple[str, str]]:
    """
    The names of two namespaces. The first has the address L{SERVER} and the second L{PEER}.

    @param beyond: whether the first forwards, and a second pair, L{GATE} and L{BEYOND}, leads to a
        network behind it.
    """
    near, far = f"bench-{os.getpid()}-a", f"bench-{os.getpid()}-b"
    try:
        run(
            f"ip netns add {near}",
            f"ip netns add {far}",
            f"ip link add out netns {near} type veth peer name out netns {far}",
            f"ip -n {near} address add {SERVER}/24 dev out",
            f"ip -n {far} address add {PEER}/24 dev out",
            f"ip -n {near} link set lo up",
            f"ip -n {near} link set out up",
            f"ip -n {far} link set out up",
        )
        if beyond:
            run(
                f"ip link add beyond netns {near} type veth peer name beyond netns {far}",
                f"ip -n {near} address add {GATE}/24 dev beyond",
                f"ip -n {near} link set beyond up",
                f"ip -n {far} link set beyond up",
                f"ip -n {near} neighbor replace {BEYOND} lladdr 02:00:00:00:00:01 dev beyond",
                f"ip netns exec {near} sysctl -qw net.ipv4.ip_forward=1",
            )
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def drop(namespace: str, device: str) -> None:
    """
    Drop IP packets that enter the namespace by this device.
    """
    rules = (
        f"table netdev bench {{ chain arrive {{ type filter hook ingress device {device} "
        "priority 0; ether type { ip, ip6 } drop; }; }"
    )
    command = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    subprocess.run(command, input=rules, text=True, check=True)

"""
What the lab's kernel has for calls that it carries.
"""

from __future__ import annotations

import time

from tests.lab.peers import Network, run


def loadL2TP() -> None:
    """
    Load the module of L2TP, which isn't loaded when a kernel boots.
    """
    run("modprobe", "-d", "/run/lab/modroot", "l2tp_ppp")


def devices(network: Network) -> list[str]:
    """
    Return the PPP devices of the gateway.
    """
    names = (str(link["ifname"]) for link in network.gateway.show("link"))
    return [name for name in names if name.startswith("ppp")]


def tunnels(network: Network) -> str:
    """
    Return what the kernel says of the gateway's tunnels of L2TP.
    """
    lines = network.gateway.run("cat", "/proc/net/pppol2tp").splitlines()
    return "\n".join(line for line in lines if line.startswith(("TUNNEL '", "  SESSION '")))


def connected(network: Network) -> list[str]:
    """
    Return the peers of the gateway's UDP sockets for L2TP.
    """
    rows = [line.split() for line in network.gateway.run("cat", "/proc/net/udp").splitlines()[1:]]
    return [row[2] for row in rows if row[1].endswith(":06A5") and row[2] != "00000000:0000"]


def assertGone(network: Network) -> None:
    """
    Assert that soon nothing is left of calls: no device, no tunnel in the kernel, and no socket.
    """
    deadline = time.monotonic() + 10
    while left := (devices(network), tunnels(network), connected(network)):
        if left == ([], "", []):
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.05)

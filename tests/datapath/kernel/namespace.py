"""
The packet socket of the real kernel. This file is run as a script in a network namespace.
"""

from __future__ import annotations

import fcntl
import socket
import subprocess
import time
from typing import Any, cast

from scapy.layers.dhcp6 import DHCP6_Solicit
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_RS, IPv6

from pptpgw.counting.counters import Counters
from pptpgw.datapath.kernel.local import LocalPackets
from pptpgw.ports.tun import TUNPort
from tests.ports.namespace import Readers

# From linux/if_tun.h and linux/if_arp.h.
TUNSETLINK, PPP = 0x400454CD, 512
ASKING = (
    IPv6(src="fe80::2", dst="ff02::2") / ICMPv6ND_RS(),
    IPv6(src="fe80::2", dst="fe80::1") / UDP(sport=546, dport=547) / DHCP6_Solicit(),
)
OTHERS = (
    IPv6(src="fe80::2", dst="ff02::1") / ICMPv6EchoRequest(),
    IPv6(src="fe80::2", dst="fe80::1") / UDP(sport=546, dport=548),
    IP(src="10.77.0.10", dst="10.77.0.1") / UDP(dport=547),
)


def device(name: str, kind: int | None) -> TUNPort:
    """
    A device that is up.

    @param kind: what its kind is said to be; None for that of a TUN device.
    """
    made = TUNPort(cast(Any, Readers()), name, Counters())
    made.startReading()
    if kind is not None:
        fcntl.ioctl(made.fileno(), TUNSETLINK, kind)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return made


def asking() -> None:
    """
    A router is given what hosts ask it by its own PPP device, and nothing else.
    """
    one, two, other = (device(name, PPP) for name in ("ppp7", "ppp8", "ppp9"))
    plain = device("pptp0", None)
    packets = LocalPackets(cast(Any, Readers()))
    found: dict[str, list[bytes]] = {"ppp7": [], "ppp8": [], "pptp0": []}
    numbers = [socket.if_nametoindex(name) for name in found]
    for number, got in zip(numbers, found.values(), strict=True):
        packets.add(number, got.append)
    for sent in (*OTHERS, *ASKING):
        for tun in (one, other, plain):
            tun.write(bytes(sent))
    two.write(bytes(ASKING[0]))
    deadline = time.monotonic() + 5
    while len(found["ppp7"]) < len(ASKING) or not found["ppp8"]:
        assert time.monotonic() < deadline, found
        packets.doRead()
    packets.doRead()
    asked = [bytes(sent) for sent in ASKING]
    assert found == {"ppp7": asked, "ppp8": asked[:1], "pptp0": []}
    for number in numbers:
        packets.remove(number)


if __name__ == "__main__":
    asking()

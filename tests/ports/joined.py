"""
Tests of joined packets with the real kernel, in a network namespace: see L{tests.ports.namespace}.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, cast

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from tests.ports.namespace import GATEWAY, SUBSCRIBER, Readers, ip


def datagrams() -> None:
    """
    The kernel makes the same datagrams of those that were joined, or gets them one by one if it is
    too old.
    """
    from pptpgw.counting.counters import Counters
    from pptpgw.ports.tun import TUNPort

    tun = TUNPort(cast(Any, Readers()), "test%d", Counters())
    tun.startReading()
    ip(f"address add {GATEWAY}/24 dev {tun.name}")
    ip(f"link set {tun.name} up")
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((GATEWAY, 5000))
    receiver.settimeout(20)
    payloads = [os.urandom(1200) for _ in range(9)] + [os.urandom(333)]
    packet = IP(src=SUBSCRIBER, dst=GATEWAY, flags="DF") / UDP(sport=7, dport=5000)
    assert tun.writeAll([bytes(packet / Raw(payload)) for payload in payloads]) == 0
    assert [receiver.recv(2000) for _ in payloads] == payloads
    tun.stop()
    receiver.close()


if __name__ == "__main__":
    {"datagrams": datagrams}[sys.argv[1]]()

"""
The load of L{tests.bench.packets}: processes that send as fast as the server receives.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

from tests.bench.namespaces import SERVER

KEY = bytes(range(16))
CALL = 7
"""
The server's call id.
"""

AHEAD = 1024
BURST = 256
PAUSE = 0.0005


def sendGRE(encrypted: bool, protocol: int, packet: bytes) -> None:
    """
    Run the peer, which sends GRE with this packet as fast as it is acknowledged.
    """
    from pptpgw.datapath.mppe import Encryptor

    gre = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
    gre.connect((SERVER, 0))
    gre.setblocking(False)
    field = protocol.to_bytes(2 if protocol > 0xFF else 1, "big")
    encryptor = Encryptor(KEY, 128)
    header = struct.Struct("!IHHI").pack
    # MPPE has a protocol number and a header of its own before that of the packet.
    length = len(field) + len(packet) + (3 if encrypted else 0)
    sequence, acknowledged = 0, 0
    while True:
        while sequence - acknowledged > AHEAD - BURST:
            # Let the server have the CPU, and don't wake at every acknowledgement.
            time.sleep(PAUSE)
            with suppress(BlockingIOError):
                while True:
                    octets = gre.recv(2048)
                    if octets[20] & 0x20 and octets[21] & 0x80:
                        acknowledged = struct.unpack_from("!I", octets, 28)[0]
        for _ in range(BURST):
            head = header(0x3001880B, length, CALL, sequence)
            if encrypted:
                gre.send(encryptor.encrypt(head + b"\xfd", field, packet))
            else:
                gre.send(head + field + packet)
            sequence += 1


def sendUDP(address: str, octets: int) -> None:
    """
    Run the host behind the gateway, which sends more datagrams to the peer than the server can
    take.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.connect((address, 9))
    payload = bytes(octets)
    while True:
        for _ in range(BURST):
            with suppress(OSError):
                udp.send(payload)
        time.sleep(PAUSE)

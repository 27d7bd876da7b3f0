"""
The load of L{tests.bench.channels}: processes that send as fast as the server receives.

C{python -m tests.bench.load gre ENCRYPTED PROTOCOL PACKET}, C{many PACKET SESSIONS SERVER}, or
C{udp ADDRESS OCTETS}; over a line C{line SERVER ENCRYPTED PROTOCOL PACKET} or C{drain
SERVER ADDRESS OCTETS}. They share the processor of the server unless the last word is C{apart}.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from tests.bench.namespaces import SERVER
from tests.bench.process import settle

KEY = bytes(range(16))
CALL, PEER_CALL = 7, 9
"""
The server's call id and the peer's; more sessions have the server's ids that follow.
"""

MANY = "10.100.0.0"
"""
Where the addresses of the sessions after the first one begin, each with the next one.
"""

SEALED = slice(10, 16)
"""
The checksum and the source of an IPv4 header.
"""

AHEAD = 1024
BURST = 256
PAUSE, STALL, PATIENCE = 0.0005, 0.2, 2.0
NICE = -10


def sendGRE(encrypted: bool, protocol: int, packet: bytes) -> None:
    """
    Run the peer, which sends GRE with this packet as fast as it is acknowledged.
    """
    from pptpgw.datapath.mppe import Encryptor

    gre = _opened()
    field = protocol.to_bytes(2 if protocol > 0xFF else 1, "big")
    encryptor = Encryptor(KEY, 128)
    header = struct.Struct("!IHHI").pack
    # MPPE has a protocol number and a header of its own before that of the packet.
    length = len(field) + len(packet) + (3 if encrypted else 0)
    sequence, acknowledged = 0, 0
    while True:
        # The first packets pass through the interpreter, which can't take more of them at once.
        until = time.monotonic() + PATIENCE
        while sequence - acknowledged > (AHEAD - BURST if acknowledged else 0):
            # Let the server have the CPU, and don't wake at every acknowledgement.
            time.sleep(PAUSE)
            with suppress(BlockingIOError):
                while True:
                    octets = gre.recv(2048)
                    if octets[20] & 0x20 and octets[21] & 0x80:
                        acknowledged = struct.unpack_from("!I", octets, 28)[0]
            if time.monotonic() > until:
                # What is missing was lost.
                acknowledged = sequence
        for _ in range(BURST):
            head = header(0x3001880B, length, CALL, sequence)
            if encrypted:
                gre.send(encryptor.encrypt(head + b"\xfd", field, packet))
            else:
                gre.send(head + field + packet)
            sequence += 1


def sendMany(packet: bytes, sessions: int, server: int) -> None:
    """
    Run the peer of many sessions, which sends an encrypted IPv4 packet in each in turn. It sends
    ahead only as far as the server process forwards, so that nothing is lost.

    All sessions have the same key, so their packets with the same number differ only where their
    addresses do. They are made of one, because an encryptor of each session would displace the
    server's memory from the cache of the processor that both share.

    @param server: the process id of the server.
    """
    from pptpgw.datapath.mppe import Encryptor

    gre = _opened()
    # The first session has the address of the packet; the source of the others is in its place.
    first = number(packet[SEALED])
    changes = [0] + [
        number(sourced(packet, (IPv4Address(MANY) + one).packed)[SEALED]) ^ first
        for one in range(1, sessions)
    ]
    encryptor = Encryptor(KEY, 128)
    header = struct.Struct("!IHHI").pack
    before, sent, sequence = forwarded(server), 0, 0
    while True:
        frame = encryptor.encrypt(b"\xfd", b"\x21", packet)
        start = len(frame) - len(packet)
        begin, end = frame[: start + SEALED.start], frame[start + SEALED.stop :]
        sealed = number(frame[start + SEALED.start : start + SEALED.stop])
        for each in range(sessions):
            head = header(0x3001880B, len(frame), CALL + each, sequence)
            gre.send(head + begin + (sealed ^ changes[each]).to_bytes(6, "big") + end)
            sent += 1
            if not sent % BURST:
                until = time.monotonic() + STALL
                while sent - forwarded(server) + before > AHEAD - BURST:
                    time.sleep(PAUSE)
                    if time.monotonic() > until:
                        # What is missing was lost.
                        before = forwarded(server) - sent
        sequence += 1


def number(octets: bytes) -> int:
    """
    Return the number of octets, the first of which counts most.
    """
    return int.from_bytes(octets, "big")


def forwarded(server: int) -> int:
    """
    Return how many packets the namespace of a server process has sent to the host inside.
    """
    table = Path(f"/proc/{server}/net/dev").read_text()
    (line,) = (one for one in table.splitlines() if "beyond:" in one)
    return int(line.split()[10])


def line(server: int) -> str:
    """
    Return the path of the Unix socket that stands for the line of a server process, in the abstract
    namespace of the network namespace.
    """
    return f"\0pptpgw-bench-{server}"


def sendFrames(server: int, encrypted: bool, protocol: int, packet: bytes) -> None:
    """
    Run the other end of a line, which sends this packet as fast as it is read.
    """
    from pptpgw.datapath.mppe import Encryptor
    from pptpgw.tunnels.hdlc.wire import encode, escapesOf

    stream = _connected(server)
    field = protocol.to_bytes(2 if protocol > 0xFF else 1, "big")
    encryptor, escapes = Encryptor(KEY, 128), escapesOf(0)
    frames = BURST * encode(field + packet, escapes)
    while True:
        if encrypted:
            each = (encryptor.encrypt(b"\xfd", field, packet) for _ in range(BURST))
            frames = b"".join(encode(frame, escapes) for frame in each)
        stream.sendall(frames)


def drain(server: int, address: str, octets: int) -> None:
    """
    Read what comes from a line in a process of its own, and run the host behind the gateway.
    """
    stream = _connected(server)
    # The server opens the call meanwhile.
    if os.fork():
        time.sleep(STALL)
        sendUDP(address, octets)
    while stream.recv(1 << 18):
        pass


def _connected(server: int) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(line(server))
    return stream


def sourced(packet: bytes, source: bytes) -> bytes:
    """
    Return an IPv4 packet with another source, and the checksum that belongs to it.
    """
    from pptpgw.networks.wire.checksum import checksum

    header = packet[:10] + bytes(2) + source + packet[16:20]
    return packet[:10] + struct.pack("!H", checksum(header)) + source + packet[16:]


def _opened() -> socket.socket:
    gre = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
    gre.connect((SERVER, 0))
    gre.setblocking(False)
    return gre


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


if __name__ == "__main__":
    settle(server=sys.argv[-1] != "apart")
    # It goes first on their processor, or a server with several threads would be faster, and wait.
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    match sys.argv[1:]:
        case ["gre", encrypted_, protocol_, packet_]:
            sendGRE(encrypted_ == "1", int(protocol_), bytes.fromhex(packet_))
        case ["many", packet_, sessions_, server_]:
            sendMany(bytes.fromhex(packet_), int(sessions_), int(server_))
        case ["line", server_, encrypted_, protocol_, packet_]:
            sendFrames(int(server_), encrypted_ == "1", int(protocol_), bytes.fromhex(packet_))
        case ["drain", server_, address_, octets_]:
            drain(int(server_), address_, int(octets_))
        case ["udp", address_, octets_, *_]:
            sendUDP(address_, int(octets_))

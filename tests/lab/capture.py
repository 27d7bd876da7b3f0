"""
Captures of a wire by tcpdump, parsed without any code of the gateway's.
"""

from __future__ import annotations

import signal
import struct
from pathlib import Path
from typing import NamedTuple

from tests.lab.peers import Namespace, Process

LCP, PAP, CHAP, CCP, IPCP, IPV4, COMPRESSED = (
    0xC021,
    0xC023,
    0xC223,
    0x80FD,
    0x8021,
    0x0021,
    0x00FD,
)
CONTROL = {LCP, PAP, CHAP, CCP, IPCP}
OUTGOING_CALL_REPLY = 8


class Packet(NamedTuple):
    """
    An IPv4 packet.

    @ivar time: the time at which it passed, in seconds.
    @ivar protocol: IPv4's protocol number.
    @ivar payload: the octets after the IPv4 header.
    """

    time: float
    source: str
    destination: str
    protocol: int
    payload: bytes


class Frame(NamedTuple):
    """
    A PPP frame in a GRE packet.

    @ivar compressed: whether address and control fields, and the first octet of the protocol field,
        were left out.
    """

    time: float
    source: str
    protocol: int
    information: bytes
    compressed: tuple[bool, bool]


class Capture:
    """
    A capture on one device of a namespace, which lasts until L{stop}.
    """

    def __init__(self, namespace: Namespace, device: str, folder: Path, *expression: str) -> None:
        self._path = folder / f"{namespace.name}-{device}.pcap"
        command = [
            "tcpdump",
            "-i",
            device,
            "-w",
            str(self._path),
            "-U",
            "--immediate-mode",
            # So small that many packets fit the kernel's buffer.
            "-s",
            "2048",
            "-Z",
            "root",
        ]
        self._tcpdump = Process(
            namespace.command(*command, *expression), self._path.with_suffix(".log")
        )
        self._tcpdump.waitFor("listening on")

    def stop(self) -> list[Packet]:
        """
        End the capture, and return the packets.
        """
        assert self._tcpdump.stop(signal.SIGINT) == 0
        assert "0 packets dropped by kernel" in self._tcpdump.text
        return packets(self._path.read_bytes())


def packets(pcap: bytes) -> list[Packet]:
    """
    Return the IPv4 packets, without fragments, of a capture on Ethernet, a ppp or a TUN device.
    """
    magic, kind = struct.unpack_from("<I16xI", pcap)
    assert magic == 0xA1B2C3D4
    header = {1: 14, 113: 16, 12: 0, 101: 0, 9: 4}[kind]
    found = []
    position = 24
    while position < len(pcap):
        seconds, microseconds, length = struct.unpack_from("<III", pcap, position)
        packet = pcap[position + 16 + header : position + 16 + length]
        position += 16 + length
        if (
            len(packet) < 20
            or packet[0] >> 4 != 4
            or struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
        ):
            continue
        total = struct.unpack_from("!H", packet, 2)[0]
        found.append(
            Packet(
                seconds + microseconds / 1e6,
                ".".join(map(str, packet[12:16])),
                ".".join(map(str, packet[16:20])),
                packet[9],
                packet[(packet[0] & 15) * 4 : total],
            )
        )
    return found


def frames(packets: list[Packet]) -> list[Frame]:
    """
    Return the PPP frames in C{packets} (RFC 2637 section 4.1, RFC 1661 section 2).
    """
    found = []
    for packet in packets:
        if packet.protocol != 47 or not packet.payload[0] & 0x10:
            continue
        length = struct.unpack_from("!H", packet.payload, 4)[0]
        start = 16 if packet.payload[1] & 0x80 else 12
        frame = packet.payload[start : start + length]
        acfc = frame[:2] != b"\xff\x03"
        frame = frame if acfc else frame[2:]
        pfc = bool(frame[0] & 1)
        protocol = frame[0] if pfc else struct.unpack_from("!H", frame)[0]
        information = frame[1 if pfc else 2 :]
        found.append(Frame(packet.time, packet.source, protocol, information, (acfc, pfc)))
    return found


def controlMessages(packets: list[Packet]) -> list[tuple[float, str, int]]:
    """
    Return time, source and type of each PPTP control message that begins a TCP segment.
    """
    found = []
    for packet in packets:
        if packet.protocol != 6:
            continue
        segment = packet.payload[(packet.payload[12] >> 4) * 4 :]
        if len(segment) >= 10 and segment[4:8] == b"\x1a\x2b\x3c\x4d":
            found.append((packet.time, packet.source, struct.unpack_from("!H", segment, 8)[0]))
    return found

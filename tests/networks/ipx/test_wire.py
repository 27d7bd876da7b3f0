"""
Tests for L{pptpgw.networks.ipx.wire}.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.fields import ByteField, IntField, MACField, ShortField
from scapy.layers.ppp import PPP
from scapy.packet import Packet as Layer
from scapy.packet import Raw, bind_layers

from pptpgw.error import Malformed
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.wire import (
    Header,
    IPXAddress,
    IPXService,
    RIPPacket,
    Route,
    SAPQuery,
    SAPResponse,
)
from pptpgw.ppp.wire import ppp
from tests.octets import encodeFrame

ONE = IPXAddress(0x77000000, bytes.fromhex("f20000000001"), 0x4003)
OTHER = IPXAddress(0x77000000, bytes.fromhex("f20000000002"), 0x4545)
SERVER = IPXService(4, b"SALES", IPXAddress(0x1A2B, bytes.fromhex("000000000001"), 0x0451), 2)

nodes = st.binary(min_size=6, max_size=6)
words = st.integers(0, 0xFFFF)
longs = st.integers(0, 0xFFFFFFFF)
addresses = st.builds(IPXAddress, longs, nodes, words)
routes = st.lists(st.builds(Route, longs, words, words), min_size=1, max_size=wire.ROUTES)
names = st.binary(min_size=1, max_size=47).filter(lambda name: b"\0" not in name)
services = st.lists(
    st.builds(IPXService, words, names, addresses, words), min_size=1, max_size=wire.SERVICES
)


class IPX(Layer):
    """
    IPX for scapy, which doesn't have it.
    """

    name = "IPX"
    fields_desc = [
        ShortField("checksum", 0xFFFF),
        ShortField("length", None),
        ByteField("hops", 0),
        ByteField("type", 0),
        IntField("network", 0),
        MACField("node", "ff:ff:ff:ff:ff:ff"),
        ShortField("socket", 0),
        IntField("sourceNetwork", 0),
        MACField("sourceNode", "00:00:00:00:00:00"),
        ShortField("sourceSocket", 0),
    ]


bind_layers(PPP, IPX, proto=ppp.IPX)


def shown(tmp_path: Path, *packets: bytes, fields: str) -> list[list[str]]:
    """
    The values that tshark finds for C{fields} in IPX packets in PPP, a list for each packet.
    """
    capture = tmp_path / "frames.pcap"
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9)
    for packet in packets:
        frame = encodeFrame(ppp.IPX, packet)
        octets += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    capture.write_bytes(octets)
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields"]
    for field in fields.split():
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_header() -> None:
    """
    The octets of a header are those of IPX.
    """
    packet = wire.encodePacket(wire.PACKET_EXCHANGE, OTHER, ONE, b"data")
    assert packet.hex() == ("ffff0022000477000000f20000000002454577000000f20000000001400364617461")
    header = wire.decodeHeader(packet)
    assert header == Header(0xFFFF, 34, 0, 4, *OTHER, *ONE)
    assert header.source == ONE


def test_padding() -> None:
    """
    Octets beyond the length aren't part of the packet.
    """
    assert wire.decodeHeader(wire.encodePacket(0, OTHER, ONE) + bytes(9)).length == 30


@pytest.mark.parametrize("length", [0, 29, 31, 0xFFFF])
def test_length(length: int) -> None:
    """
    A length below the header's, or beyond the end, is malformed.
    """
    packet = bytearray(wire.encodePacket(0, OTHER, ONE))
    packet[2:4] = length.to_bytes(2, "big")
    with pytest.raises(Malformed):
        wire.decodeHeader(bytes(packet))


def test_shortHeader() -> None:
    packet = wire.encodePacket(0, OTHER, ONE)
    for size in range(len(packet)):
        with pytest.raises(Malformed):
            wire.decodeHeader(packet[:size])


@given(st.integers(0, 255), addresses, addresses, st.binary(max_size=80))
def test_everyPacketComesBack(
    type_: int, destination: IPXAddress, source: IPXAddress, data: bytes
) -> None:
    packet = wire.encodePacket(type_, destination, source, data)
    header = Header(0xFFFF, 30 + len(data), 0, type_, *destination, *source)
    assert wire.decodeHeader(packet) == header
    assert packet[30:] == data


@given(st.sampled_from([wire.REQUEST, wire.RESPONSE]), routes)
def test_everyRIPPacketComesBack(operation: int, some: list[Route]) -> None:
    packet = RIPPacket(operation, tuple(some))
    assert wire.decodeRIP(wire.encodeRIP(*packet)) == packet


@given(st.sampled_from([wire.RESPONSE, wire.NEAREST_RESPONSE]), services)
def test_everySAPResponseComesBack(operation: int, some: list[IPXService]) -> None:
    packet = SAPResponse(operation, tuple(some))
    assert wire.decodeSAP(wire.encodeSAP(packet)) == packet


@given(st.sampled_from([wire.REQUEST, wire.NEAREST_REQUEST]), words)
def test_everySAPQueryComesBack(operation: int, type_: int) -> None:
    assert wire.decodeSAP(wire.encodeSAP(SAPQuery(operation, type_))) == SAPQuery(operation, type_)


DECODERS: list[Callable[[bytes], object]] = [
    wire.decodeHeader,
    wire.decodeRIP,
    wire.decodeSAP,
    lambda octets: wire.decodeNetworks(octets[1:], octets[0] if octets else 0),
]


@given(st.binary(max_size=200), st.sampled_from(DECODERS))
def test_anyOctets(octets: bytes, decode: Callable[[bytes], object]) -> None:
    """
    No octets raise anything but L{Malformed}.
    """
    try:
        decode(octets)
    except Malformed:
        pass


@given(
    st.sampled_from([b"\0\1", b"\0\2", b"\0\3", b"\0\4"]),
    st.binary(max_size=140),
    st.sampled_from(DECODERS[1:3]),
)
def test_anyOctetsOfAnOperation(
    operation: bytes, octets: bytes, decode: Callable[[bytes], object]
) -> None:
    try:
        decode(operation + octets)
    except Malformed:
        pass


@pytest.mark.parametrize(
    "data",
    ["", "00", "0001", "000100000001000100", "000300000001ffffffff", "00020000000100010001ff"],
)
def test_malformedRIP(data: str) -> None:
    """
    Packets of RIP without an operation or a route, with half a route, an unknown operation or
    octets left over are malformed.
    """
    with pytest.raises(Malformed):
        wire.decodeRIP(bytes.fromhex(data))


SERVER_OCTETS = wire.encodeSAP(SAPResponse(2, (SERVER,)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\1",
        b"\0\1\0",
        b"\0\3\0\4\0",
        b"\0\2",
        b"\0\5\0\4",
        SERVER_OCTETS[:-1],
        SERVER_OCTETS + b"\0",
        SERVER_OCTETS[:4] + bytes(48) + SERVER_OCTETS[52:],
        SERVER_OCTETS[:4] + b"A" * 48 + SERVER_OCTETS[52:],
    ],
)
def test_malformedSAP(data: bytes) -> None:
    """
    Packets of SAP with half an operation, a query of a wrong length, no server, an unknown
    operation, a cut server, octets left over, or a name that is empty or has no end are malformed.
    """
    with pytest.raises(Malformed):
        wire.decodeSAP(data)


def test_networks() -> None:
    """
    A packet of type 20 has as many networks as its transport control says, and no more than fit.
    """
    data = struct.pack("!8I", *range(8)) + b"rest"
    assert wire.decodeNetworks(data, 0) == ()
    assert wire.decodeNetworks(data, 3) == (0, 1, 2)
    assert wire.decodeNetworks(data, 8) == tuple(range(8))
    for hops in (9, 255):
        with pytest.raises(Malformed):
            wire.decodeNetworks(data * 40, hops)
    with pytest.raises(Malformed):
        wire.decodeNetworks(data[:11], 3)


def test_tsharkAgrees(tmp_path: Path) -> None:
    """
    tshark reads the header's fields as we do.
    """
    fields = (
        "ipx.checksum ipx.len ipx.hops ipx.packet_type ipx.dst.net ipx.dst.node ipx.dst.socket "
        "ipx.src.net ipx.src.node ipx.src.socket"
    )
    packet = wire.encodePacket(wire.PACKET_EXCHANGE, OTHER, ONE, b"data")
    assert shown(tmp_path, packet[:4] + b"\5" + packet[5:], fields=fields) == [
        [
            *("0xffff", "34", "5", "0x04", "0x77000000", "f2:00:00:00:00:02", "0x4545"),
            *("0x77000000", "f2:00:00:00:00:01", "0x4003"),
        ]
    ]


def test_tsharkReadsRIP(tmp_path: Path) -> None:
    source, everybody = (
        ONE._replace(socket=0x453),
        IPXAddress(0, wire.BROADCAST_NODE, wire.RIP_SOCKET),
    )
    some = (Route(0x1A2B, 2, 3), Route(0xFFFFFFFE, 15, 400))
    packets = [
        wire.encodePacket(wire.RIP, everybody, source, wire.encodeRIP(operation, some))
        for operation in (wire.REQUEST, wire.RESPONSE)
    ]
    fields = "ipxrip.packet_type ipxrip.route_vector ipxrip.hops ipxrip.ticks"
    rest = ["0x00001a2b,0xfffffffe", "2,15", "3,400"]
    assert shown(tmp_path, *packets, fields=fields) == [["1", *rest], ["2", *rest]]


def test_tsharkReadsSAP(tmp_path: Path) -> None:
    source, everybody = (
        ONE._replace(socket=0x452),
        IPXAddress(0, wire.BROADCAST_NODE, wire.SAP_SOCKET),
    )
    printer = IPXService(7, b"LASER", IPXAddress(0x77000000, ONE.node, 0x4005), 16)
    packets = [
        wire.encodePacket(wire.PACKET_EXCHANGE, everybody, source, wire.encodeSAP(packet))
        for packet in (
            SAPResponse(wire.RESPONSE, (SERVER, printer)),
            SAPResponse(wire.NEAREST_RESPONSE, (SERVER,)),
            SAPQuery(wire.NEAREST_REQUEST, 4),
        )
    ]
    fields = (
        "ipxsap.packet_type ipxsap.server.type ipxsap.server.name ipxsap.server.network "
        "ipxsap.server.node ipxsap.server.socket ipxsap.server.intermediate_networks"
    )
    assert shown(tmp_path, *packets, fields=fields) == [
        [
            *("2", "0x0004,0x0007", "SALES,LASER", "0x00001a2b,0x77000000"),
            *("00:00:00:00:00:01,f2:00:00:00:00:01", "0x0451,0x4005", "2,16"),
        ],
        ["4", "0x0004", "SALES", "0x00001a2b", "00:00:00:00:00:01", "0x0451", "2"],
        ["3", "0x0004", "", "", "", "", ""],
    ]


def test_scapy() -> None:
    """
    scapy, which is told the fields, decodes a frame as we do and encodes it the same.
    """
    frame = PPP(
        encodeFrame(ppp.IPX, wire.encodePacket(wire.NETBIOS, OTHER, ONE, b"data"), acfc=True)
    )
    layer = frame[IPX]
    assert (layer.checksum, layer.length, layer.hops, layer.type) == (0xFFFF, 34, 0, 20)
    assert (layer.network, layer.node, layer.socket) == (ONE.network, "f2:00:00:00:00:02", 0x4545)
    assert (layer.sourceNode, layer.sourceSocket) == ("f2:00:00:00:00:01", 0x4003)
    assert layer[Raw].load == b"data"
    octets = bytes(IPX(length=30, hops=3, type=5, network=1, socket=2))
    everybody = IPXAddress(1, wire.BROADCAST_NODE, 2)
    assert wire.decodeHeader(octets) == Header(
        0xFFFF, 30, 3, 5, *everybody, *IPXAddress(0, wire.NO_NODE, 0)
    )

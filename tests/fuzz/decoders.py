"""
Fuzzing of all decoders of octets from the network, which have no state.

A decoder may raise L{Malformed} and nothing else. A decoded value that can be encoded must be
decoded to the same again.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import accumulate
from typing import Any, TypeVar

from pptpgw.counting.counters import Counters
from pptpgw.datapath import ipv4, mppc, vj
from pptpgw.datapath import ipv6 as path6
from pptpgw.datapath import reassembly as multilinkFrames
from pptpgw.datapath.compressed import Compressor, Decompressor
from pptpgw.datapath.deflate import Deflater, Inflater
from pptpgw.datapath.mppe import split
from pptpgw.error import Malformed
from pptpgw.log import LONGEST, readable
from pptpgw.networks.ethernet import wire
from pptpgw.networks.ipv6.wire import dhcpv6, domain, ipv6, neighbor
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.mpls.wire import arp, mpls
from pptpgw.networks.wire import checksum
from pptpgw.networks.wire.ip import IPV6_HEADER, TCP, UDP
from pptpgw.ppp.eaptls import Reassembly
from pptpgw.ppp.wire import chap, eap, lqr, multilink, pap, ppp
from pptpgw.ppp.wire.ppp import COMPRESSED_TCP, UNCOMPRESSED_TCP
from pptpgw.sessions.filter import Filter
from pptpgw.tunnels.hdlc import wire as hdlc
from pptpgw.tunnels.l2tp.wire import header as l2tp
from pptpgw.tunnels.l2tp.wire import message as l2tpMessage
from pptpgw.tunnels.pptp.wire import framing, gre
from pptpgw.tunnels.pptp.wire import message as pptp
from pptpgw.tunnels.sstp import wire as sstp
from tests.fuzz.reader import Reader, Target
from tests.octets import encodeFrame

V = TypeVar("V")

_SOURCE = IPv6Address("fe80::1")
_DESTINATION = IPv6Address("ff02::2")
_HEADER = 20
_LONGEST = 1502
_SEGMENT = bytes.fromhex(
    "4500002d000140004006262c0a4d000a0a4d000103e80050000000010000000150101000000000006162636465"
)
_FILTER = Filter(
    (
        "permit tcp from any to any port 80,1000-2000",
        "deny icmp from any to 10.0.0.0/8",
        "permit udp from 2001:db8::/32 port 53 to any",
        "permit ip from any to any",
    )
)


def _compressed(
    octets: bytes, compressor: Compressor, ours: Decompressor, theirs: Decompressor
) -> None:
    """
    Compressed packets: ours arrive, though some frames are lost, and of whatever comes besides no
    more octets come than is permitted, or it is refused.
    """
    reader = Reader(octets)
    lost = False
    while reader.more:
        kind, protocol = reader.number() % 8, reader.choose((b"\x00\x21", b"\x02\x81"))
        packet = reader.chunk() * (1 + reader.number() % 4)
        number = int.from_bytes(protocol, "big")
        if kind < 3:
            frame = compressor.compress(protocol, packet)
            if kind == 2 and packet:
                lost = True
            elif frame is None:
                ours.passed(protocol, packet)
            else:
                try:
                    assert split(ours.decompress(frame)) == (number, packet)
                except Malformed:
                    assert lost
        elif kind == 3:
            lost = False
            compressor.reset()
            ours.reset()
        elif kind == 4:
            theirs.reset()
        else:
            try:
                if kind == 5:
                    theirs.passed(protocol, packet)
                else:
                    assert 0 < len(theirs.decompress(packet)) <= _LONGEST
            except Malformed:
                pass


def _deflate(octets: bytes) -> None:
    window = 9 + len(octets) % 7
    ours, theirs = Inflater(window, _LONGEST), Inflater(window, _LONGEST)
    _compressed(octets, Deflater(window), ours, theirs)


def _mppc(octets: bytes) -> None:
    compressor, ours, theirs = mppc.Compressor(), mppc.Decompressor(_LONGEST), _Counted(_LONGEST)
    _compressed(octets, compressor, ours, theirs)


class _Counted(mppc.Decompressor):
    """
    A decompressor that takes every frame for the next one.
    """

    def decompress(self, frame: bytes) -> bytes:
        if self._count is not None:
            self._count = int.from_bytes(frame[:2], "big") % mppc.COUNTS
        return super().decompress(frame)


def _headers(octets: bytes) -> None:
    """
    Compressed headers of TCP: packets that are ours arrive, and whatever comes besides is restored
    to IPv4 or refused.
    """
    reader = Reader(octets)
    compressor, decompressor = vj.Compressor(4, True), vj.Decompressor(4)
    other = vj.Decompressor(reader.number() % 17)
    while reader.more:
        kind, octets = reader.number() % 8, reader.chunk()
        if kind == 0:
            other.lost()
        elif kind < 4:
            # A packet of which a few octets are chosen.
            packet = bytearray(_SEGMENT)
            for place in range(0, len(octets) - 1, 2):
                packet[octets[place] % len(packet)] = octets[place + 1]
            protocol, sent = compressor.compress(bytes(packet))
            if protocol == UNCOMPRESSED_TCP:
                assert decompressor.remember(sent) == packet
            elif protocol == COMPRESSED_TCP:
                restored = decompressor.decompress(sent)
                # The checksum of IP's header is made anew.
                packet[10:12] = b"\0\0"
                packet[10:12] = checksum.checksum(bytes(packet[: (packet[0] & 15) * 4])).to_bytes(
                    2, "big"
                )
                assert restored == bytes(packet)
            else:
                assert sent == packet
        else:
            try:
                taken = other.remember(octets) if kind < 6 else other.decompress(octets)
            except Malformed:
                continue
            assert taken is None or (taken[9] == TCP and taken[0] >> 4 == 4)
    assert len(other._headers) <= 16


def decoder(decode: Callable[[bytes], V], encode: Callable[[V], bytes] | None = None) -> Target:
    """
    The target for a decoder and the encoder of its values.
    """

    def target(octets: bytes) -> None:
        try:
            value = decode(octets)
        except Malformed:
            return
        if encode is not None:
            assert decode(encode(value)) == value, value

    return target


def encoded(value: Any) -> bytes:
    """
    The octets of a value that encodes itself.
    """
    octets: bytes = value.encode()
    return octets


def _frame(octets: bytes) -> None:
    """
    A PPP frame, with each way of compressing its fields.
    """
    try:
        protocol, information = ppp.decodeFrame(octets)
    except Malformed:
        return
    # No protocol has these numbers (RFC 1661 sections 2 and 6.5).
    if protocol & 0x100 or protocol == 0xFF:
        return
    for acfc in (False, True):
        for pfc in (False, True):
            again = encodeFrame(protocol, information, acfc, pfc)
            assert ppp.decodeFrame(again) == (protocol, information)


def _stream(octets: bytes) -> None:
    """
    The TCP stream of a control connection. It must give the same messages however it is cut.
    """
    reader = Reader(octets)
    sizes = [1 + reader.number() for _ in range(4)]
    stream = reader.rest()

    def messages(cut: list[int]) -> list[bytes]:
        found: list[bytes] = []
        cutter = framing.Framing()
        at = 0
        for size in cut:
            cutter.feed(stream[at : at + size])
            at += size
            try:
                while (message := cutter.next()) is not None:
                    found.append(message)
            except Malformed:
                return [*found, b"malformed"]
        return found

    assert messages([*sizes, len(stream)]) == messages([len(stream)])


def _line(octets: bytes) -> None:
    """
    The octets of a line. They must give the same frames, and the same reasons for discarding
    others, however they are cut. A decoded frame must be decoded to the same again.
    """
    reader = Reader(octets)
    sizes = [1 + reader.number() for _ in range(4)]
    stream = reader.rest()

    def found(*pieces: bytes) -> list[bytes | str]:
        events: list[bytes | str] = []
        decoder = hdlc.StreamDecoder(1504, events.append)
        decoder.inserted = hdlc.insertedOf(0x000A0000)
        for piece in pieces:
            events += decoder.feed(piece)
        return events

    ends = [*accumulate(sizes), len(stream)]
    pieces = [stream[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    events = found(stream)
    frames = [event for event in events if isinstance(event, bytes)]
    cut = found(*pieces)
    assert [event for event in cut if isinstance(event, bytes)] == frames
    assert sorted(map(str, cut)) == sorted(map(str, events))
    again = hdlc.FLAG + b"".join(hdlc.encode(frame) for frame in frames)
    assert found(again) == frames


def _bridged(octets: bytes) -> None:
    """
    A bridged frame, with each way of sending it.
    """
    try:
        frame = wire.decode(octets)
    except Malformed:
        return
    for compress in (False, True):
        for summed in (False, True):
            assert wire.decode(wire.encode(frame, False, compress, summed)) == frame


def _bpdu(octets: bytes) -> None:
    """
    A BPDU, with and without the frame that it has on a LAN.
    """
    try:
        frame = wire.decodeBPDU(octets, bytes(6))
    except Malformed:
        pass
    else:
        assert wire.encodeBPDU(frame) == octets
    decoder(wire.encodeBPDU)(octets)


def _icmp(octets: bytes) -> None:
    """
    An ICMPv6 message with the right checksum, read as either kind of solicitation.
    """
    reader = Reader(octets)
    source = IPv6Address(reader.choose((_SOURCE.packed, bytes(16))))
    message = ipv6.ICMPv6Message(reader.number(), reader.number(), reader.rest())
    packet = ipv6.decode(ipv6.encodeMessage(source, _DESTINATION, message))
    assert ipv6.decodeMessage(packet) == message
    for check in (neighbor.checkRouterSolicitation, neighbor.neighborSolicited):
        try:
            check(packet, message)
        except Malformed:
            pass


def _datagram(octets: bytes) -> None:
    """
    A UDP datagram over IPv6, as it is and with the right checksum.
    """
    reader = Reader(octets)
    datagram = ipv6.Datagram(reader.number(2), reader.number(2), reader.rest())
    packet = ipv6.decode(ipv6.encodeDatagram(_SOURCE, _DESTINATION, datagram))
    assert ipv6.decodeDatagram(packet) == datagram
    made = ipv6.IPv6Packet(_SOURCE, _DESTINATION, UDP, octets)
    decoder(lambda _: ipv6.decodeDatagram(made))(octets)


def _labels(octets: bytes) -> None:
    """
    A label stack. C{topLabel} must agree with the whole decoder.
    """
    try:
        entries, packet = mpls.decode(octets)
    except Malformed:
        decoder(mpls.topLabel)(octets)
        return
    assert mpls.topLabel(octets) == entries[0].label
    assert mpls.decode(mpls.encode(entries, packet)) == (entries, packet)


def _avps(octets: bytes) -> None:
    """
    The AVPs of a control message of L2TP, read with a secret and without.
    """
    for secret in (b"", b"secret"):
        try:
            message = l2tpMessage.decode(octets, secret)
        except Malformed:
            continue
        assert l2tpMessage.decode(l2tpMessage.encode(message)).values == message.values


def _networks(octets: bytes) -> None:
    """
    The networks in a NetBIOS broadcast.
    """
    decoder(lambda data: ipx.decodeNetworks(data[1:], data[0]))(octets or b"\0")


def _fragments(octets: bytes) -> None:
    """
    The fragments of a TLS message in EAP.
    """
    reader, whole = Reader(octets), Reassembly()
    while reader.more:
        try:
            whole.add(reader.chunk())
        except Malformed:
            return


def _multilink(octets: bytes) -> None:
    """
    A fragment of a bundle, with each form of the header.
    """
    for short in (False, True):
        try:
            bits, number, part = multilink.decode(octets, short)
        except Malformed:
            continue
        again = multilink.encode(bits, number, part, short)
        assert multilink.decode(again, short) == (bits, number, part)


def _bundle(octets: bytes) -> None:
    """
    Fragments that two links deliver.
    """
    reader = Reader(octets)
    frames: list[bytes] = []
    counters = Counters()
    numbers = multilink.SHORT_NUMBERS
    reassembly = multilinkFrames.Reassembly(numbers, 64, frames.append, counters.discard)
    for link in (0, 1):
        reassembly.addLink(link)
    while reader.more:
        link = reader.number() & 1
        try:
            reassembly.add(link, *multilink.decode(reader.chunk(), True))
        except Malformed:
            continue
        assert len(reassembly._waiting) <= multilinkFrames.MOST_WAITING
    assert all(0 < len(one) <= 64 for one in frames)


def _readable(octets: bytes) -> None:
    """
    A peer's text for a log.
    """
    line = readable(octets)
    assert line.isprintable() and len(line) <= LONGEST


def _ipv4(octets: bytes) -> None:
    """
    The functions of the data path for IPv4, with packets of at least a header.
    """
    reader = Reader(octets)
    mtu = reader.number(2)
    packet = reader.rest().ljust(_HEADER, b"\0")
    assert len(ipv4.clampMSS(packet, mtu)) == len(packet)
    assert all(len(piece) <= mtu for piece in ipv4.fragment(packet, mtu))
    answer = ipv4.tooBig(packet, mtu)
    if answer is not None:
        assert checksum.checksum(answer[:_HEADER]) == 0
        assert checksum.checksum(answer[_HEADER:]) == 0
    ipv4.mayFragment(packet)


def _ipv6(octets: bytes) -> None:
    """
    The functions of the data path for IPv6, with packets of at least a header.
    """
    reader = Reader(octets)
    mtu = reader.number(2)
    packet = reader.rest().ljust(IPV6_HEADER, b"\0")
    assert len(path6.clampMSS(packet, mtu)) == len(packet)
    answer = path6.tooBig(packet, mtu)
    if answer is not None:
        ipv6.decodeMessage(ipv6.decode(answer))


def _values(octets: bytes) -> None:
    """
    The value of an attribute of SSTP, as each kind that has a form.
    """
    for decode in (
        sstp.decodeStatusInfo,
        sstp.decodeCryptoBinding,
        sstp.decodeCryptoBindingRequest,
    ):
        try:
            value: Any = decode(octets)
        except Malformed:
            continue
        assert decode(value.encode().value) == value


def _filtered(octets: bytes) -> None:
    """
    A packet of any octets that a filter judges.
    """
    _FILTER.permits(octets)


TARGETS: dict[str, Target] = {
    "arp": decoder(arp.decode, encoded),
    "bpdu": _bpdu,
    "bridge": _bridged,
    "chap": decoder(chap.decode, encoded),
    "chap-failure": decoder(chap.FailureMessage.decode, encoded),
    "chap-mschap": decoder(chap.MSCHAPResponse.decode, encoded),
    "chap-mschapv2": decoder(chap.MSCHAPV2Response.decode, encoded),
    "dhcpv6": decoder(dhcpv6.decode, encoded),
    "domain": decoder(domain.decodeNames, domain.encodeNames),
    "eap": decoder(eap.decode, encoded),
    "eap-fragment": decoder(eap.Fragment.decode, encoded),
    "deflate": _deflate,
    "eap-fragments": _fragments,
    "filter": _filtered,
    "gre": decoder(gre.decode, lambda value: gre.encode(*value)),
    "hdlc": _line,
    "icmpv6": _icmp,
    "ipv4-path": _ipv4,
    "ipv6": decoder(ipv6.decode, ipv6.encode),
    "ipv6-path": _ipv6,
    "ipv6-udp": _datagram,
    "ipx": decoder(ipx.decodeHeader),
    "ipx-netbios": _networks,
    "ipx-rip": decoder(ipx.decodeRIP, lambda packet: ipx.encodeRIP(*packet)),
    "ipx-sap": decoder(ipx.decodeSAP, ipx.encodeSAP),
    "l2tp-control": decoder(l2tp.decodeControl, lambda value: l2tp.encodeControl(*value)),
    "l2tp-data": decoder(l2tp.decodeData, l2tp.encodeData),
    "l2tp-message": _avps,
    "lqr": decoder(lqr.decode, lqr.encode),
    "mpls": _labels,
    "mppc": _mppc,
    "multilink": _multilink,
    "multilink-frames": _bundle,
    "pap": decoder(pap.decode, encoded),
    "ppp-frame": _frame,
    "ppp-options": decoder(ppp.decodeOptions, ppp.encodeOptions),
    "ppp-packet": decoder(ppp.decodePacket, lambda value: ppp.encodePacket(*value)),
    "pptp": decoder(pptp.decode, pptp.encode),
    "pptp-stream": _stream,
    "sstp": decoder(sstp.decodeMessage, encoded),
    "sstp-values": _values,
    "text": _readable,
    "vj": _headers,
}
"""
Targets by name.
"""

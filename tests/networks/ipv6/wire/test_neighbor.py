"""
Tests for L{pptpgw.networks.ipv6.wire.neighbor}, compared with scapy.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.packet import Raw

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.ipv6 import (
    ALL_NODES,
    ICMPv6Message,
    IPv6Packet,
    decode,
    decodeMessage,
    encodeMessage,
)
from pptpgw.networks.ipv6.wire.neighbor import (
    MAX_NAMES,
    MAX_PREFIXES,
    NeighborAdvertisement,
    PrefixInformation,
    RouterAdvertisement,
    checkRouterSolicitation,
    neighborSolicited,
    solicitedNode,
)

HERE = IPv6Address("fe80::1")
ROUTERS = "ff02::2"
TARGET = "fe80::1234:5678"
NODE = "ff02::1:ff34:5678"


def sent(packet: Any) -> tuple[IPv6Packet, ICMPv6Message]:
    """
    A packet of scapy's, decoded as a received one.
    """
    decoded = decode(bytes(packet))
    return decoded, decodeMessage(decoded)


def solicitation(source: str = TARGET, **fields: Any) -> Any:
    return IPv6(src=source, dst=ROUTERS, **fields)


class TestRouterAdvertisement:
    """
    Tests for Router Advertisements (RFC 4861 section 4.2).
    """

    def test_everything(self) -> None:
        advertisement = RouterAdvertisement(
            1800,
            (PrefixInformation(IPv6Network("fc00:0:1:7::/64"), 3600, 7200),),
            managed=True,
            other=True,
            mtu=1396,
            dns=(IPv6Address("2001:db8::53"), IPv6Address("2001:db8::54")),
            search=("example.net", "a.example"),
            dnsLifetime=900,
        )
        made = IPv6(src=str(HERE), dst=str(ALL_NODES), hlim=255) / ICMPv6ND_RA(
            chlim=64, M=1, O=1, routerlifetime=1800, prf=0
        )
        made /= ICMPv6NDOptPrefixInfo(
            prefixlen=64,
            L=0,
            A=1,
            validlifetime=7200,
            preferredlifetime=3600,
            prefix="fc00:0:1:7::",
        )
        made /= ICMPv6NDOptMTU(mtu=1396)
        made /= ICMPv6NDOptRDNSS(dns=["2001:db8::53", "2001:db8::54"], lifetime=900)
        # The names have 13 and 11 octets. With the eight octets before them the option's length is
        # a multiple of eight.
        made /= ICMPv6NDOptDNSSL(searchlist=["example.net", "a.example"], lifetime=900)
        assert encodeMessage(HERE, ALL_NODES, advertisement.message()) == bytes(made)

    def test_nothing(self) -> None:
        made = IPv6(src=str(HERE), dst=str(ALL_NODES), hlim=255) / ICMPv6ND_RA(
            chlim=64, routerlifetime=0, prf=0
        )
        assert encodeMessage(HERE, ALL_NODES, RouterAdvertisement(0).message()) == bytes(made)

    def test_flags(self) -> None:
        """
        Each flag of an advertisement and of a prefix is set by itself.
        """

        def flags(advertisement: RouterAdvertisement) -> tuple[int, ...]:
            made = ICMPv6ND_RA(b"\x86\0\0\0" + advertisement.message().body)
            prefix = made[ICMPv6NDOptPrefixInfo]
            return (made.M, made.O, prefix.L, prefix.A)

        network = IPv6Network("fc00::/64")
        prefix = PrefixInformation(network, 1, 2, onLink=True, autonomous=False)
        assert flags(RouterAdvertisement(0, (prefix,), managed=True)) == (1, 0, 1, 0)
        assert flags(RouterAdvertisement(0, (PrefixInformation(network, 1, 2),), other=True)) == (
            0,
            1,
            0,
            1,
        )

    @pytest.mark.parametrize("name", ["a", "ab.example", "abc.example.net", "x" * 63 + ".example"])
    def test_names(self, name: str) -> None:
        """
        The option with names is padded to a multiple of eight octets, whatever their length is.
        """
        body = RouterAdvertisement(0, search=(name,), dnsLifetime=1).message().body
        assert len(body) % 8 == 4
        option = ICMPv6NDOptDNSSL(body[12:])
        assert [one for one in option.searchlist if one != "."] == [name + "."]
        assert len(body) - 12 == option.len * 8


class TestNeighborAdvertisement:
    """
    Tests for Neighbor Advertisements (RFC 4861 section 4.4).
    """

    @pytest.mark.parametrize("solicited", [False, True])
    def test_asScapyHasIt(self, solicited: bool) -> None:
        made = IPv6(src=str(HERE), dst=str(ALL_NODES), hlim=255)
        made /= ICMPv6ND_NA(R=1, S=solicited, O=1, tgt=str(HERE))
        message = NeighborAdvertisement(HERE, solicited).message()
        assert encodeMessage(HERE, ALL_NODES, message) == bytes(made)


class TestRouterSolicitation:
    """
    Tests for the validation of Router Solicitations (RFC 4861 section 6.1.1).
    """

    @pytest.mark.parametrize(
        "packet",
        [
            solicitation(hlim=255) / ICMPv6ND_RS(),
            solicitation("::", hlim=255) / ICMPv6ND_RS(),
            solicitation(hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr="02::1"),
            solicitation(hlim=255) / ICMPv6ND_RS() / Raw(b"\xc8\x02" + bytes(14)),
        ],
        ids=["plain", "of nobody", "with a link-layer address", "with an unknown option"],
    )
    def test_valid(self, packet: Any) -> None:
        checkRouterSolicitation(*sent(packet))

    @pytest.mark.parametrize(
        "packet",
        [
            solicitation(hlim=254) / ICMPv6ND_RS(),
            solicitation(hlim=255) / ICMPv6ND_RS(code=1),
            solicitation("::", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(),
            solicitation(hlim=255) / ICMPv6ND_RS() / Raw(bytes(8)),
            solicitation(hlim=255) / ICMPv6ND_RS() / Raw(b"\x01"),
            solicitation(hlim=255) / ICMPv6ND_RS() / Raw(b"\x01\x02" + bytes(6)),
        ],
        ids=["forwarded", "code", "nobody's link-layer address", "no length", "cut", "too long"],
    )
    def test_invalid(self, packet: Any) -> None:
        with pytest.raises(Malformed):
            checkRouterSolicitation(*sent(packet))

    def test_short(self) -> None:
        packet = decode(encodeMessage(HERE, IPv6Address(ROUTERS), ICMPv6Message(133, 0, b"\0\0\0")))
        with pytest.raises(Malformed):
            checkRouterSolicitation(packet, decodeMessage(packet))


class TestNeighborSolicitation:
    """
    Tests for the validation of Neighbor Solicitations (RFC 4861 section 7.1.1).
    """

    @pytest.mark.parametrize(
        ("source", "destination"), [(str(HERE), TARGET), (str(HERE), NODE), ("::", NODE)]
    )
    def test_valid(self, source: str, destination: str) -> None:
        packet = IPv6(src=source, dst=destination, hlim=255) / ICMPv6ND_NS(tgt=TARGET)
        assert neighborSolicited(*sent(packet)) == IPv6Address(TARGET)

    @pytest.mark.parametrize(
        "packet",
        [
            IPv6(src=str(HERE), dst=TARGET, hlim=64) / ICMPv6ND_NS(tgt=TARGET),
            IPv6(src=str(HERE), dst=TARGET, hlim=255) / ICMPv6ND_NS(tgt=TARGET, code=1),
            IPv6(src=str(HERE), dst=TARGET, hlim=255) / ICMPv6ND_NS(tgt="ff02::1"),
            IPv6(src="::", dst=TARGET, hlim=255) / ICMPv6ND_NS(tgt=TARGET),
            IPv6(src="::", dst=NODE, hlim=255) / ICMPv6ND_NS(tgt=TARGET) / ICMPv6NDOptSrcLLAddr(),
        ],
        ids=["forwarded", "code", "multicast target", "nobody's to somebody", "link-layer address"],
    )
    def test_invalid(self, packet: Any) -> None:
        with pytest.raises(Malformed):
            neighborSolicited(*sent(packet))

    def test_short(self) -> None:
        packet = decode(encodeMessage(HERE, HERE, ICMPv6Message(135, 0, bytes(19))))
        with pytest.raises(Malformed):
            neighborSolicited(packet, decodeMessage(packet))


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 1))
def test_hostile(body: bytes, code: int) -> None:
    """
    No packets raise anything but L{Malformed}.
    """
    packet = IPv6Packet(HERE, ALL_NODES, 58, b"")
    for read in (checkRouterSolicitation, neighborSolicited):
        try:
            read(packet, ICMPv6Message(133, code, body))
        except Malformed:
            pass


def test_solicitedNode() -> None:
    assert solicitedNode(IPv6Address(TARGET)) == IPv6Address(NODE)


PREFIX_LISTS = st.lists(
    st.builds(
        PrefixInformation,
        st.builds(
            lambda number, length: IPv6Network((number, length), strict=False),
            st.integers(0, (1 << 128) - 1),
            st.integers(0, 128),
        ),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.booleans(),
        st.booleans(),
    ),
    max_size=MAX_PREFIXES,
)
ADVERTISEMENTS = st.builds(
    lambda names, **fields: RouterAdvertisement(
        dns=tuple(names[0]),
        search=tuple(names[1]),
        dnsLifetime=names[2] if names[0] or names[1] else 0,
        **fields,
    ),
    names=st.tuples(
        st.lists(st.integers(0, 1 << 127).map(IPv6Address), max_size=MAX_NAMES),
        st.lists(st.sampled_from(["example.net", "a.b", "x"]), max_size=MAX_NAMES),
        st.integers(1, 0xFFFFFFFF),
    ),
    lifetime=st.integers(0, 0xFFFF),
    prefixes=PREFIX_LISTS.map(tuple),
    managed=st.booleans(),
    other=st.booleans(),
    mtu=st.none() | st.integers(0, 0xFFFFFFFF),
    hopLimit=st.integers(0, 255),
)


@given(ADVERTISEMENTS)
def test_advertisementsAreDecodedAsTheyAreEncoded(advertisement: RouterAdvertisement) -> None:
    packet = decode(encodeMessage(HERE, ALL_NODES, advertisement.message()))
    assert RouterAdvertisement.decode(packet, decodeMessage(packet)) == advertisement


@given(st.binary(max_size=200))
def test_arbitraryAdvertisements(octets: bytes) -> None:
    """
    Arbitrary octets are an advertisement or L{Malformed}.
    """
    message = ICMPv6Message(134, 0, octets)
    packet = IPv6Packet(HERE, ALL_NODES, 58, b"", 255)
    with suppress(Malformed):
        decoded = RouterAdvertisement.decode(packet, message)
        assert len(decoded.prefixes) <= MAX_PREFIXES
        assert max(len(decoded.dns), len(decoded.search)) <= MAX_NAMES

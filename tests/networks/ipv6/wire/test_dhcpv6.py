"""
Tests for DHCPv6's messages and options, which are compared with scapy's in both directions.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import dhcp6
from scapy.packet import Packet

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    Address,
    AddressAssociation,
    DHCPv6Message,
    DHCPv6MessageType,
    Prefix,
    PrefixAssociation,
    TemporaryAssociation,
    decode,
    makeDUID,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    MAX_OPTIONS,
    PLAIN,
    ClientID,
    DHCPv6Option,
    DomainList,
    ElapsedTime,
    InformationRefreshTime,
    NameServers,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerID,
    SolicitMaximum,
    Status,
    StatusCode,
)

DUID = bytes.fromhex("00030001021122334455")
HOST = IPv6Address("fc00:0:1:5::7")
SITE = IPv6Network("fc00:1:0:100::/56")
HEADER = bytes.fromhex("01abcdef")

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
duids = st.binary(min_size=3, max_size=130)
ipv6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)
networks = st.tuples(ipv6, st.integers(0, 128)).map(lambda pair: IPv6Network(pair, strict=False))
statuses = st.builds(Status, u16, st.text(max_size=12))
addresses = st.builds(Address, ipv6, u32, u32, st.none() | statuses)
prefixes = st.builds(Prefix, networks, u32, u32, st.none() | statuses)
ofAddresses = st.lists(addresses, max_size=3).map(tuple)
ofPrefixes = st.lists(prefixes, max_size=3).map(tuple)
names = st.lists(st.sampled_from(["lan", "example.org", "a-b.c_d"]), max_size=3).map(tuple)
plain: dict[type[DHCPv6Option], st.SearchStrategy[DHCPv6Option]] = {
    ClientID: st.builds(ClientID, duids),
    ServerID: st.builds(ServerID, duids),
    OptionRequest: st.builds(OptionRequest, st.lists(u16, max_size=5).map(tuple)),
    Preference: st.builds(Preference, u8),
    ElapsedTime: st.builds(ElapsedTime, u16),
    Status: statuses,
    RapidCommit: st.just(RapidCommit()),
    NameServers: st.builds(NameServers, st.lists(ipv6, max_size=3).map(tuple)),
    DomainList: st.builds(DomainList, names),
    InformationRefreshTime: st.builds(InformationRefreshTime, u32),
    SolicitMaximum: st.builds(SolicitMaximum, u32),
}
options = st.one_of(
    *plain.values(),
    st.builds(AddressAssociation, u32, ofAddresses, st.none() | statuses, u32, u32),
    st.builds(PrefixAssociation, u32, ofPrefixes, st.none() | statuses, u32, u32),
    st.builds(TemporaryAssociation, u32, ofAddresses, st.none() | statuses),
)
messages = st.builds(
    DHCPv6Message,
    st.sampled_from(DHCPv6MessageType),
    st.integers(0, 0xFFFFFF),
    st.lists(options, max_size=6).map(tuple),
)

# Every option as ours and as scapy's. Scapy's that contain others have their lengths set.
BOTH = [
    (ClientID(DUID), dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL(lladdr="02:11:22:33:44:55"))),
    (ServerID(DUID), dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(lladdr="02:11:22:33:44:55"))),
    (OptionRequest((23, 24, 82)), dhcp6.DHCP6OptOptReq(reqopts=[23, 24, 82])),
    (Preference(255), dhcp6.DHCP6OptPref(prefval=255)),
    (ElapsedTime(1234), dhcp6.DHCP6OptElapsedTime(elapsedtime=1234)),
    (RapidCommit(), dhcp6.DHCP6OptRapidCommit()),
    (
        Status(StatusCode.NO_PREFIX_AVAIL, "none left"),
        dhcp6.DHCP6OptStatusCode(statuscode=6, statusmsg="none left"),
    ),
    (
        NameServers((HOST, IPv6Address("::1"))),
        dhcp6.DHCP6OptDNSServers(dnsservers=["fc00:0:1:5::7", "::1"]),
    ),
    (
        DomainList(("example.org", "lan")),
        dhcp6.DHCP6OptDNSDomains(dnsdomains=["example.org.", "lan."]),
    ),
    (InformationRefreshTime(600), dhcp6.DHCP6OptInfoRefreshTime(reftime=600)),
    (
        AddressAssociation(7, (Address(HOST, 300, 600),), None, 150, 240),
        dhcp6.DHCP6OptIA_NA(
            iaid=7,
            T1=150,
            T2=240,
            ianaopts=[dhcp6.DHCP6OptIAAddress(addr=str(HOST), preflft=300, validlft=600)],
        ),
    ),
    (
        TemporaryAssociation(8, (), Status(StatusCode.NO_ADDRS_AVAIL)),
        dhcp6.DHCP6OptIA_TA(
            iaid=8, iataopts=[dhcp6.DHCP6OptStatusCode(statuscode=2, statusmsg="")]
        ),
    ),
    (
        PrefixAssociation(9, (Prefix(SITE, 300, 600),), None, 150, 240),
        dhcp6.DHCP6OptIA_PD(
            iaid=9,
            T1=150,
            T2=240,
            iapdopt=[
                dhcp6.DHCP6OptIAPrefix(preflft=300, validlft=600, plen=56, prefix="fc00:1:0:100::")
            ],
        ),
    ),
]


@given(messages)
def test_roundTrip(message: DHCPv6Message) -> None:
    """
    A message is decoded to what was encoded.
    """
    assert decode(message.encode()) == message


def test_everyOptionIsTried() -> None:
    """
    The property above tries every option.
    """
    assert set(plain) == set(PLAIN)


@given(st.binary(max_size=120), st.sampled_from(DHCPv6MessageType), messages, st.data())
def test_arbitraryOctets(
    tail: bytes, messageType: DHCPv6MessageType, message: DHCPv6Message, draw: st.DataObject
) -> None:
    """
    Octets, whether arbitrary or valid ones with some replaced, are decoded to a message or raise
    L{Malformed}.
    """
    good = message.encode()
    place = draw.draw(st.integers(0, len(good)))
    for octets in (
        tail,
        bytes([messageType]) + tail,
        good[:place],
        good[:place] + tail[:2] + good[place + 2 :],
    ):
        try:
            found = decode(octets)
        except Malformed:
            continue
        # A decoded message can be encoded again.
        assert decode(found.encode()) == found


@pytest.mark.parametrize(("ours", "theirs"), BOTH, ids=lambda one: type(one).__name__)
def test_option(ours: DHCPv6Option, theirs: object) -> None:
    """
    An option has the octets of scapy's, and is decoded to the same.
    """
    message = DHCPv6Message(DHCPv6MessageType.REPLY, 0xABCDEF, (ours,))
    octets = bytes(dhcp6.DHCP6_Reply(trid=0xABCDEF) / theirs)
    assert message.encode() == octets
    assert decode(octets) == message


def test_readByScapy() -> None:
    """
    scapy reads a message with all options.
    """
    octets = DHCPv6Message(DHCPv6MessageType.REPLY, 1, tuple(ours for ours, _ in BOTH)).encode()
    layer: Packet = dhcp6.DHCP6_Reply(octets)
    for ours, theirs in BOTH:
        layer = layer.payload
        assert type(layer) is type(theirs)
        assert layer.optcode == ours.code
    assert not layer.payload


def test_messageTypes() -> None:
    """
    The types of messages are those of section 7.3.
    """
    for messageType in DHCPv6MessageType:
        name = messageType.name.title().replace("_", "")
        name = {"Reconfigure": "Reconf", "InformationRequest": "InfoRequest"}.get(name, name)
        octets = bytes(getattr(dhcp6, f"DHCP6_{name}")(trid=5))[:4]
        assert decode(octets) == DHCPv6Message(messageType, 5)


def test_unknownOptions() -> None:
    """
    Unknown options are left out, inside other options too, and the order of the others stays.
    """
    vendor = dhcp6.DHCP6OptVendorClass(vcdata=[dhcp6.VENDOR_CLASS_DATA(data=b"x")])
    octets = bytes(
        dhcp6.DHCP6_Solicit(trid=0xABCDEF)
        / vendor
        / dhcp6.DHCP6OptRapidCommit()
        / dhcp6.DHCP6OptReconfAccept()
        / dhcp6.DHCP6OptIA_PD(iaid=1, T1=2, T2=3, iapdopt=[vendor])
        / dhcp6.DHCP6OptElapsedTime(elapsedtime=4)
    )
    found = decode(octets).options
    assert found == (RapidCommit(), PrefixAssociation(1, (), None, 2, 3), ElapsedTime(4))


def test_misplacedLeases() -> None:
    """
    An address in an IA_PD, or outside of any association, is left out.
    """
    stray = Address(HOST).encode()
    octets = HEADER + b"\0\5\0\x18" + stray
    octets += b"\0\x19\0\x28" + bytes(12) + b"\0\5\0\x18" + stray
    assert decode(octets).options == (PrefixAssociation(0),)


def test_hostBits() -> None:
    """
    Bits beyond the length of a prefix are ignored (section 21.22).
    """
    prefix = bytes(8) + bytes([56]) + IPv6Address("fc00:1:0:1ff::1").packed
    assert Prefix.decode(prefix) == Prefix(SITE)


def test_statusOfForeignCharacters() -> None:
    """
    A status text that isn't UTF-8 doesn't make the message malformed.
    """
    assert Status.decode(b"\0\1\xff!").message == "\N{REPLACEMENT CHARACTER}!"


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "01abcd",
        "00abcdef",
        "0cabcdef",
        "0c00" + 32 * "00",
        "0d00" + 32 * "00",
        "ffabcdef",
        "01abcdef00",
        "01abcdef000100",
        "01abcdef00010004000300",
        "01abcdef0001ffff00030001",
        "01abcdef00010000",
        "01abcdef000100020003",
        "01abcdef00010083" + 131 * "00",
        "01abcdef0006000317",
        "01abcdef0007000200ff",
        "01abcdef00080001ff",
        "01abcdef000d000100",
        "01abcdef000e000100",
        "01abcdef0017000f" + 15 * "00",
        "01abcdef00180002" + "0361",
        "01abcdef0020000300ffff",
        "01abcdef0052000300ffff",
        "01abcdef0003000b" + 11 * "00",
        "01abcdef0004000300ffff",
        "01abcdef0019000b" + 11 * "00",
        "01abcdef0003000e" + 12 * "00" + "0005",
        "01abcdef00030010" + 12 * "00" + "00050018",
        "01abcdef00030013" + 12 * "00" + "00050003ffffff",
        "01abcdef00190028" + 12 * "00" + "001a0018" + 24 * "00",
        "01abcdef00190029" + 12 * "00" + "001a0019" + 8 * "00" + "81" + 16 * "00",
        "01abcdef0003002d" + 12 * "00" + "0005001d" + 24 * "00" + "000d000100",
    ],
)
def test_malformed(octets: str) -> None:
    """
    Short messages, relay agents' and unknown types, and wrong lengths of any option, nested ones
    too, are malformed.
    """
    with pytest.raises(Malformed):
        decode(bytes.fromhex(octets))


def test_tooManyOptions() -> None:
    """
    The number of options in a message, and inside an option, is limited, whether they are known or
    not.
    """
    many = MAX_OPTIONS * b"\xff\xff\0\0"
    assert decode(HEADER + many).options == ()
    with pytest.raises(Malformed):
        decode(HEADER + many + b"\xff\xff\0\0")
    inner = bytes(12) + many + b"\xff\xff\0\0"
    with pytest.raises(Malformed):
        decode(HEADER + b"\0\3" + len(inner).to_bytes(2, "big") + inner)


def test_whatCannotBeSentCannotBeBuilt() -> None:
    """
    Messages and options with values out of range can't be made.
    """
    for build in (
        lambda: ClientID(b"ab"),
        lambda: ServerID(bytes(131)),
        lambda: Preference(256),
        lambda: ElapsedTime(-1),
        lambda: OptionRequest((65536,)),
        lambda: Status(65536),
        lambda: Status(0, "\ud800"),
        lambda: DomainList(("a..b",)),
        lambda: Address(HOST, 1 << 32),
        lambda: Prefix(SITE, 0, -1),
        lambda: AddressAssociation(1 << 32),
        lambda: AddressAssociation(1, (Prefix(SITE),)),
        lambda: PrefixAssociation(1, (), None, 1 << 32),
        lambda: PrefixAssociation(1, (), None, 0, 1 << 32),
        lambda: DHCPv6Message(DHCPv6MessageType.SOLICIT, 1 << 24),
    ):
        with pytest.raises(ValueError):
            build()


def test_firstAndEvery() -> None:
    """
    C{first} and C{every} find options by their class.
    """
    one, two = PrefixAssociation(1), PrefixAssociation(2)
    message = DHCPv6Message(DHCPv6MessageType.RENEW, 1, (one, RapidCommit(), two))
    assert message.first(PrefixAssociation) is one
    assert message.every(PrefixAssociation) == [one, two]
    assert message.first(ClientID) is None


def test_makeDUID() -> None:
    """
    A DUID-UUID has the octets of scapy's.
    """
    uuid = UUID("12345678-9abc-def0-1234-56789abcdef0")
    assert makeDUID(uuid) == bytes(dhcp6.DUID_UUID(uuid=str(uuid)))

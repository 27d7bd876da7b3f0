"""
Tests for L{pptpgw.radius.record}: the contents of records, and their octets in the spool.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.counting.counters import LOST
from pptpgw.error import Malformed
from pptpgw.interfaces import Stations, TunnelEnds, TunnelKind
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import ACCOUNTING_REQUEST, RADIUSRequest
from pptpgw.radius.record import (
    INTERIM_UPDATE,
    ON,
    START,
    STOP,
    Networks,
    describe,
    figures,
    general,
    pack,
    prefix,
    unpack,
)
from pptpgw.radius.servers import Server
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import makeSession
from pptpgw.tunnels.l2tp.call import L2TP
from pptpgw.tunnels.pptp.call import PPTP

NAMED, UNNAMED = NAS(b"gate", (IPv4Address("192.0.2.1"),)), NAS(b"gate", ())


def sessionOf(user: str = "alice") -> Session:
    session = makeSession(
        Profile(user),
        (1 << 32) + 7,
        identifier="run1",
        caller="198.51.100.1",
        since=1000.0,
        seconds=iter((1000.0, 1009.9)).__next__,
    )
    session.called = "192.0.2.5"
    return session


@pytest.mark.parametrize(("nas", "address"), [(NAMED, "192.0.2.1"), (UNNAMED, "192.0.2.5")])
def test_who(nas: NAS, address: str) -> None:
    """
    The NAS address is the one that was called, unless the configuration names one.
    """
    record = dict(describe(nas, sessionOf(), {}, START))
    assert record["NAS-IP-Address"] == IPv4Address(address).packed
    assert record["NAS-Identifier"] == b"gate" and record["Called-Station-Id"] == b"192.0.2.5"
    assert record["Acct-Session-Id"] == b"run1" and record["NAS-Port"] == bytes((0, 0, 0, 7))


def test_ofNoSession() -> None:
    """
    A record of the gateway itself has no NAS address unless the configuration names one.
    """
    assert dict(general(UNNAMED, b"run", ON)) == {
        "Acct-Status-Type": bytes((0, 0, 0, 7)),
        "Acct-Session-Id": b"run",
        "NAS-Identifier": b"gate",
    }
    assert dict(general(NAMED, b"run", ON))["NAS-IP-Address"] == bytes((192, 0, 2, 1))


def test_longName() -> None:
    """
    A name is cut to the length of an attribute.
    """
    record = dict(describe(NAMED, sessionOf("x" * 300), {}, START))
    assert record["User-Name"] == b"x" * 253


def test_networks() -> None:
    """
    A record has one address, one prefix of the link and any number of delegated prefixes.
    """
    networks: Networks = {
        "ipv4": (IPv4Network("10.0.0.1"), IPv4Network("10.9.0.0/24")),
        "ipv6": tuple(map(IPv6Network, ("2001:db8::/64", "2001:db8:1::/56", "2001:db8:2::/56"))),
    }
    record = describe(NAMED, sessionOf(), networks, INTERIM_UPDATE)
    assert [name for name, _ in record if name.startswith(("Framed-I", "Delegated"))] == [
        "Framed-IP-Address",
        "Framed-IPv6-Prefix",
        "Delegated-IPv6-Prefix",
        "Delegated-IPv6-Prefix",
    ]


@pytest.mark.parametrize(
    ("network", "octets"),
    [("::/0", "0000"), ("2001:db8::/32", "002020010db8"), ("2001:db8:8000::/33", "002120010db880")],
)
def test_prefix(network: str, octets: str) -> None:
    """
    A prefix has as many octets as its length needs (RFC 3162 section 2.3).
    """
    assert prefix(IPv6Network(network)) == bytes.fromhex(octets)


def test_figures() -> None:
    """
    Octets are counted with 64 bits in two attributes and packets with 32 bits. The input is what
    the user sent.
    """
    session = sessionOf()
    session.counters.octetsReceived = (3 << 32) + 4
    session.counters.packetsSent = (1 << 32) + 9
    found = {name: int.from_bytes(value, "big") for name, value in figures(session)}
    assert found["Acct-Session-Time"] == 9
    assert (found["Acct-Input-Gigawords"], found["Acct-Input-Octets"]) == (3, 4)
    assert (found["Acct-Output-Gigawords"], found["Acct-Output-Octets"]) == (0, 0)
    assert (found["Acct-Input-Packets"], found["Acct-Output-Packets"]) == (0, 9)


_ATTRIBUTES = st.lists(
    st.tuples(
        st.text(max_size=40).filter(lambda name: len(name.encode()) < 256), st.binary(max_size=253)
    )
)


@given(happened=st.integers(0, 2**64 - 1), attributes=_ATTRIBUTES)
def test_packed(happened: int, attributes: list[tuple[str, bytes]]) -> None:
    """
    A record is unpacked to what was packed.
    """
    assert unpack(pack(happened, attributes)) == (happened, attributes)


@given(octets=st.binary(max_size=100))
def test_anyRecord(octets: bytes) -> None:
    """
    Octets that aren't a record raise L{Malformed} and nothing else.
    """
    try:
        unpack(octets)
    except Malformed:
        pass


def test_aTunnelOfPPTP() -> None:
    """
    A record has the call's tunnel attributes (RFC 2868 section 3).
    """
    session = sessionOf()
    session.tunnel = PPTP
    record = dict(describe(NAMED, session, {}, START))
    assert record["NAS-Port-Type"] == bytes((0, 0, 0, 5))
    assert record["Tunnel-Type"] == record["Tunnel-Medium-Type"] == bytes((0, 0, 0, 1))
    assert record["Tunnel-Client-Endpoint"] == b"198.51.100.1"
    assert record["Tunnel-Server-Endpoint"] == b"192.0.2.5"


def test_whatIsNoTunnelToRADIUS() -> None:
    """
    A record has no tunnel attributes where RADIUS has no number for the tunnel, and no NAS address
    where the gateway's end of a line has none.
    """
    session = sessionOf()
    session.tunnel = TunnelKind("hdlc", "a serial line", portType=0)
    session.called = "/dev/ttyS0"
    record = dict(describe(UNNAMED, session, {}, START))
    assert record["NAS-Port-Type"] == bytes(4) and record["Called-Station-Id"] == b"/dev/ttyS0"
    assert not {"Tunnel-Type", "Tunnel-Client-Endpoint", "NAS-IP-Address"} & record.keys()


@pytest.mark.parametrize(
    ("encryption", "sent"),
    [
        ("MPPE 128 bit stateless", b"PPTP: MPPE 128 bit stateless"),
        ("IPsec ESP AES_CBC-256, pptpgw-psk[3], from bob", b"PPTP: IPsec ESP AES_CBC-256"),
        ("x" * 60, b"PPTP: " + 44 * b"x"),
    ],
)
def test_howItIsEncrypted(encryption: str, sent: bytes) -> None:
    """
    Connect-Info says how the call is encrypted, without what is of this call alone, and in no more
    characters than servers store.
    """
    session = sessionOf()
    session.tunnel, session.encryption = PPTP, encryption
    assert dict(describe(NAMED, session, {}, START))["Connect-Info"] == sent


def test_theNameThatWasCalled() -> None:
    """
    Where a name or a number was called, it is the Called-Station-Id. The addresses stay.
    """
    session = sessionOf()
    session.stations = Stations(called="vpn.example.org")
    record = dict(describe(UNNAMED, session, {}, START))
    assert record["Called-Station-Id"] == b"vpn.example.org"
    assert record["NAS-IP-Address"] == bytes((192, 0, 2, 5))


def test_packetsThatWereLost() -> None:
    """
    A record says how many packets the tunnel has lost, if it is known.
    """
    session = sessionOf()
    session.counters.discard(LOST, 7)
    assert dict(figures(session))["Acct-Tunnel-Packets-Lost"] == bytes((0, 0, 0, 7))


def test_aTunnelThatTellsMore() -> None:
    """
    A record has the names of both ends, and the number of the call that both know (RFC 2867); and
    the numbers that an access concentrator tells.
    """
    session = sessionOf()
    session.tunnel = L2TP
    session.carrier = TunnelEnds(L2TP, "198.51.100.1", "192.0.2.5", "pop", "core", "17")
    session.stations = Stations("030123", "0190", "", "gold", "42")
    record = dict(describe(NAMED, session, {}, START))
    assert record["Tunnel-Type"] == bytes((0, 0, 0, 3))
    assert (record["Tunnel-Client-Auth-Id"], record["Tunnel-Server-Auth-Id"]) == (b"pop", b"core")
    assert record["Acct-Tunnel-Connection"] == b"17"
    assert record["Tunnel-Private-Group-Id"] == b"gold"
    assert record["Calling-Station-Id"] == b"030123" and record["Called-Station-Id"] == b"0190"
    assert record["NAS-Port-Id"] == b"42"


def test_aCallThatIsPassedOn() -> None:
    """
    A record of a call that is passed on describes both tunnels: the second one with a tag, whose
    call number it has.
    """
    session = sessionOf()
    session.tunnel = PPTP
    session.passedTo = TunnelEnds(L2TP, "192.0.2.5", "203.0.113.9", "pop", "", "3", "gold")
    record = [
        one
        for one in describe(NAMED, session, {}, STOP)
        if one[0].startswith("Tunnel-") or one[0] == "Acct-Tunnel-Connection"
    ]
    assert record == [
        ("Tunnel-Type", bytes((0, 0, 0, 1))),
        ("Tunnel-Medium-Type", bytes((0, 0, 0, 1))),
        ("Tunnel-Client-Endpoint", b"198.51.100.1"),
        ("Tunnel-Server-Endpoint", b"192.0.2.5"),
        ("Tunnel-Type", bytes((1, 0, 0, 3))),
        ("Tunnel-Medium-Type", bytes((1, 0, 0, 1))),
        ("Tunnel-Client-Endpoint", b"\x01192.0.2.5"),
        ("Tunnel-Server-Endpoint", b"\x01203.0.113.9"),
        ("Tunnel-Client-Auth-Id", b"\x01pop"),
        ("Tunnel-Assignment-Id", b"\x01gold"),
        ("Acct-Tunnel-Connection", b"3"),
    ]
    request = RADIUSRequest(ACCOUNTING_REQUEST, Server("192.0.2.9", secret="secret"), b"secret")
    request.addAll(describe(NAMED, session, {}, STOP))
    assert request.octets("Tunnel-Assignment-Id") == [b"\x01gold"]
    assert request.octets("Acct-Tunnel-Connection") == [b"3"]

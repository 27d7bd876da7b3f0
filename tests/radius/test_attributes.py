from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad import packet as pyrad
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.radius import attributes
from pptpgw.radius.attributes import applied, nameIn, rates
from pptpgw.radius.packet import RADIUSPacket, dictionary
from pptpgw.sessions.profile import Profile

VERA = Profile("vera")


def packet(*attributes: tuple[str, Any]) -> RADIUSPacket:
    """
    A packet with these attributes. Octets are used unchanged.
    """
    made = pyrad.Packet(pyrad.AccessAccept, 1, b"x", bytes(16), dict=dictionary())
    for name, value in attributes:
        if isinstance(value, bytes):
            made.setdefault(dictionary().attrindex.GetForward(name), []).append(value)
        else:
            made.AddAttribute(name, value)
    return RADIUSPacket(made)


def changed(*attributes: tuple[str, Any]) -> dict[str, Any]:
    """
    The profile that the attributes make, which must cause no warning.
    """
    profile, warnings = judged(*attributes)
    assert warnings == []
    return profile


def judged(*attributes: tuple[str, Any]) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []

    @implementer(ILogObserver)
    def observer(event: LogEvent) -> None:
        warnings.append(event["name"])

    globalLogPublisher.addObserver(observer)
    try:
        profile = applied(packet(*attributes), VERA)
    finally:
        globalLogPublisher.removeObserver(observer)
    names = Profile.__dataclass_fields__
    return {
        name: getattr(profile, name)
        for name in names
        if getattr(profile, name) != getattr(VERA, name)
    }, warnings


class TestObeyed:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("Framed-IP-Address", "192.0.2.7", {"addresses": (IPv4Network("192.0.2.7"),)}),
            ("Framed-Pool", "staff", {"pool": "staff"}),
            ("Framed-Route", "198.51.100.0/24", {"routes": (IPv4Network("198.51.100.0/24"),)}),
            (
                "Framed-Route",
                "198.51.100.0/24 0.0.0.0 1 2",
                {"routes": (IPv4Network("198.51.100.0/24"),)},
            ),
            (
                "Framed-IPv6-Route",
                "2001:db8:5::/48 :: 1",
                {"routes": (IPv6Network("2001:db8:5::/48"),)},
            ),
            ("Framed-IPv6-Prefix", "2001:db8:1::/64", {"prefix": IPv6Network("2001:db8:1::/64")}),
            (
                "Delegated-IPv6-Prefix",
                "2001:db8:2::/56",
                {"delegated": IPv6Network("2001:db8:2::/56")},
            ),
            ("Framed-Interface-Id", "0:0:0:7", {"identifier": b"\0\0\0\0\0\0\0\7"}),
            ("Framed-MTU", 1300, {"mtu": 1300}),
            ("Session-Timeout", 3600, {"sessionTimeout": 3600.0}),
            ("Idle-Timeout", 300, {"idleTimeout": 300.0}),
            ("Acct-Interim-Interval", 600, {"interim": 600.0}),
            ("Acct-Interim-Interval", 5, {"interim": 60.0}),
            ("Acct-Interim-Interval", 0, {}),
            ("Class", b"\0\xff", {"accountingClass": (b"\0\xff",)}),
            ("Filter-Id", "web", {"filter": "web"}),
            ("Port-Limit", 2, {"sessions": 2}),
            ("MS-Primary-DNS-Server", "192.0.2.53", {"dns": (IPv4Address("192.0.2.53"),)}),
            ("MS-Secondary-NBNS-Server", "192.0.2.5", {"wins": (IPv4Address("192.0.2.5"),)}),
            ("DNS-Server-IPv6-Address", "2001:db8::53", {"dns6": (IPv6Address("2001:db8::53"),)}),
            ("MS-MPPE-Encryption-Policy", 2, {"encryption": "require"}),
            ("MS-MPPE-Encryption-Types", 4, {"bits": (128,)}),
            ("MS-MPPE-Encryption-Types", 14, {"bits": (128, 56, 40)}),
            ("Mikrotik-Rate-Limit", "1M/2M", {"receiveRate": 1_000_000, "sendRate": 2_000_000}),
            ("WISPr-Bandwidth-Max-Up", 64_000, {"receiveRate": 64_000}),
            ("WISPr-Bandwidth-Max-Down", 128_000, {"sendRate": 128_000}),
        ],
    )
    def test_each(self, name: str, value: Any, expected: dict[str, Any]) -> None:
        assert changed((name, value)) == expected

    def test_nothingSaysNothing(self) -> None:
        assert applied(packet(), VERA) == VERA

    @pytest.mark.parametrize("address", ["255.255.255.254", "255.255.255.255"])
    def test_anAddressFromThePool(self, address: str) -> None:
        """
        An address that stands for the server's free choice makes the gateway choose one (RFC 2865
        section 5.8).
        """
        static = Profile("vera", (IPv4Network("192.0.2.7"),))
        assert applied(packet(("Framed-IP-Address", address)), static) == VERA

    def test_whatMayBeEncryptedIsUpToTheConfiguration(self) -> None:
        assert changed(("MS-MPPE-Encryption-Policy", 1)) == {}

    @pytest.mark.parametrize("mask", ["255.255.255.248", "255.255.255.255", "0.0.0.255", b""])
    def test_aNetmaskSaysNothing(self, mask: str | bytes) -> None:
        """
        A netmask is ignored, as many servers send one by habit: it must not route a network to a
        user.
        """
        assert changed(("Framed-IP-Address", "192.0.2.9"), ("Framed-IP-Netmask", mask)) == {
            "addresses": (IPv4Network("192.0.2.9"),)
        }

    def test_aRouteByTheUsersOwnAddress(self) -> None:
        assert changed(
            ("Framed-Route", "198.51.100.0/24 192.0.2.9 1"), ("Framed-IP-Address", "192.0.2.9")
        )["routes"] == (IPv4Network("198.51.100.0/24"),)

    def test_severalOfWhatMayBeSeveral(self) -> None:
        both = changed(
            ("Framed-Route", "198.51.100.0/25"),
            ("Framed-Route", "198.51.100.128/25"),
            ("Framed-Route", "198.51.100.0/25"),
            ("Class", b"1"),
            ("Class", b"2"),
            ("MS-Secondary-DNS-Server", "192.0.2.2"),
            ("MS-Primary-DNS-Server", "192.0.2.1"),
        )
        assert list(map(str, both["routes"])) == ["198.51.100.0/25", "198.51.100.128/25"]
        assert both["accountingClass"] == (b"1", b"2")
        assert list(map(str, both["dns"])) == ["192.0.2.1", "192.0.2.2"]

    def test_theFirstOfWhatIsOne(self) -> None:
        assert changed(("Framed-MTU", 1300), ("Framed-MTU", 1400)) == {"mtu": 1300}

    def test_aRestrictionMayBeRepeated(self) -> None:
        assert changed(("Filter-Id", "web"), ("Filter-Id", "web")) == {"filter": "web"}

    def test_routersRatesGoBeforeHotspots(self) -> None:
        assert changed(
            ("WISPr-Bandwidth-Max-Up", 5), ("Mikrotik-Rate-Limit", "1k"), ("Class", b"x")
        ) == {"receiveRate": 1000, "sendRate": 1000, "accountingClass": (b"x",)}

    def test_noTableGrowsWithoutEnd(self) -> None:
        many = [("Class", bytes((number,))) for number in range(200)]
        assert len(changed(*many)["accountingClass"]) == 16

    def test_ofAChangeTheRestStays(self) -> None:
        before = Profile("vera", pool="staff", sendRate=5, accountingClass=(b"x",))
        after = applied(packet(("WISPr-Bandwidth-Max-Down", 9)), before)
        assert after == Profile("vera", pool="staff", sendRate=9, accountingClass=(b"x",))


class TestPassedOver:
    """
    Tests for attributes that only grant something. They are ignored if they can't be read.
    """

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Framed-Route", "0.0.0.0/0"),
            ("Framed-Route", "198.51.100.7/24"),
            ("Framed-Route", "198.51.100.0/24 192.0.2.1 1"),
            ("Framed-Route", "somewhere"),
            ("Framed-Route", b" "),
            ("Framed-IPv6-Route", "::/0"),
            ("Framed-IPv6-Route", "2001:db8::/32 2001:db8::1"),
            ("Delegated-IPv6-Prefix", "fe80::/10"),
            ("Framed-MTU", 100),
            ("Framed-MTU", 70000),
            ("Acct-Interim-Interval", b"abc"),
            ("MS-Primary-DNS-Server", "255.255.255.255"),
            ("DNS-Server-IPv6-Address", "ff02::1"),
        ],
    )
    def test_withAWarningAndNothingElse(self, name: str, value: Any) -> None:
        profile, warnings = judged((name, value), ("Filter-Id", "web"))
        assert warnings == [name]
        assert profile == {"filter": "web"}


UNREADABLE = [
    ("Framed-IP-Address", b"\1\2\3"),
    ("Framed-IP-Address", "0.0.0.0"),
    ("Framed-IP-Address", "224.0.0.1"),
    ("Framed-IP-Address", "127.0.0.1"),
    ("Framed-Pool", b"\xff\xfe"),
    ("Framed-Pool", b""),
    ("Framed-Pool", "x" * 64),
    ("Framed-IPv6-Prefix", "2001:db8::/56"),
    ("Framed-IPv6-Prefix", b"\0\x40\xff\x02"),
    ("Framed-IPv6-Prefix", b"\0\xff" + bytes(16)),
    ("Framed-Interface-Id", bytes(8)),
    ("Framed-Interface-Id", bytes(7)),
    ("Session-Timeout", b"\1"),
    ("Idle-Timeout", b"12345"),
    ("Filter-Id", b"\1"),
    ("Filter-Id", "b\xfcro".encode("latin-1")),
    ("Filter-Id", "office\n"),
    ("Filter-Id", b""),
    ("NAS-Filter-Rule", "deny in ip from any to any"),
    ("MS-Filter", b"\1"),
    ("MS-Quarantine-IPFilter", b"\1"),
    ("Port-Limit", b"\1"),
    ("MS-MPPE-Encryption-Policy", 7),
    ("MS-MPPE-Encryption-Types", 1),
    ("MS-MPPE-Encryption-Types", b"\4"),
    ("Mikrotik-Rate-Limit", "fast"),
    ("Mikrotik-Rate-Limit", "1M/"),
    ("WISPr-Bandwidth-Max-Up", b"\1"),
    ("WISPr-Bandwidth-Max-Down", b""),
]


class TestRestricting:
    """
    Tests for attributes that restrict. If they can't be read the caller is refused.
    """

    @pytest.mark.parametrize(("name", "value"), UNREADABLE)
    def test_whatCantBeRead(self, name: str, value: Any) -> None:
        with pytest.raises(Malformed, match=f"^{name}: "):
            judged((name, value), ("Framed-MTU", 1300))

    def test_allOfThemWereTried(self) -> None:
        assert {name for name, _ in UNREADABLE} == attributes.RESTRICTING

    @pytest.mark.parametrize(
        ("name", "one", "other"),
        [
            ("Filter-Id", "in", "out"),
            ("Session-Timeout", 5, 9),
            ("Framed-IP-Address", "192.0.2.1", "192.0.2.2"),
        ],
    )
    def test_twoThatDiffer(self, name: str, one: Any, other: Any) -> None:
        with pytest.raises(Malformed, match=f"{name} is there with 2 different values"):
            judged((name, one), (name, other))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([*attributes._READERS, "Framed-Route", "User-Name"]),
                st.binary(max_size=40),
            ),
            max_size=6,
        )
    )
    def test_nothingButMalformedIsRaised(self, every: list[tuple[str, bytes]]) -> None:
        made = packet(*every)
        try:
            assert applied(made, VERA).name == "vera"
        except Malformed:
            assert any(name in attributes.RESTRICTING for name, _ in every)
        try:
            assert nameIn(made, "vera")
        except Malformed:
            assert any(name == "User-Name" for name, _ in every)


class TestRates:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("64k", (64_000, 64_000)),
            ("64k/128k", (64_000, 128_000)),
            ("1M/10M", (1_000_000, 10_000_000)),
            ("1G", (1_000_000_000, 1_000_000_000)),
            ("512", (512, 512)),
            ("0/5M", (0, 5_000_000)),
            ("1M/2M 3M/4M", (1_000_000, 2_000_000)),
            ("1M/2M 3M/4M 1M/1M 10/10 8 64k/64k", (1_000_000, 2_000_000)),
        ],
    )
    def test_theFirstPairCounts(self, text: str, expected: tuple[int, int]) -> None:
        assert rates(text) == expected

    @pytest.mark.parametrize("text", ["", "M", "1M/", "/1M", "1m", "-1", "1.5M", "1M2M", "9" * 13])
    def test_whatIsNone(self, text: str) -> None:
        with pytest.raises(ValueError, match="rate limit"):
            rates(text)


class TestName:
    def test_theServersIsTaken(self) -> None:
        assert nameIn(packet(("User-Name", "Vera")), "VERA") == "Vera"

    def test_orElseTheCallers(self) -> None:
        assert nameIn(packet(), "vera") == "vera"
        assert nameIn(packet(("User-Name", b"\xff")), "\udcff") == "\udcff"

    def test_whoseSessionItIsMustBeRead(self) -> None:
        with pytest.raises(Malformed, match=r"^User-Name: "):
            nameIn(packet(("User-Name", b"\xff")), "vera")

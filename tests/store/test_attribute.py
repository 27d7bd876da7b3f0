"""
Tests for L{pptpgw.store.attribute}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import ConfigurationError
from pptpgw.sessions.profile import Profile
from pptpgw.store.attribute import ATTRIBUTES, check, decode, encode, profileOf

ALLOWED = {
    "address": ["10.77.1.7", "10.1.0.0/16,10.77.1.7", "-"],
    "pool": ["guests"],
    "routes": ["10.8.0.0/16,fd00:8::/48", "-"],
    "dns": ["192.0.2.1", "192.0.2.1,192.0.2.2", "-"],
    "wins": ["192.0.2.1"],
    "prefix": ["2001:db8:1::/64"],
    "delegated": ["2001:db8:100::/56"],
    "identifier": ["0:0:0:7", "1234:5678:9abc:def0"],
    "dns6": ["2001:db8::53,2001:db8::54"],
    "mtu": ["1280"],
    "protocols": ["ipv4", "ipv4,ipv6"],
    "tunnels": ["pptp", "l2tp,sstp"],
    "encryption": ["require", "prefer", "off"],
    "bits": ["128", "128,56,40"],
    "sessions": ["0", "1"],
    "sources": ["192.0.2.0/24"],
    "hours": ["Mo-Fr 08:00-18:00"],
    "session-timeout": ["3600"],
    "idle-timeout": ["60"],
    "volume": ["9223372036854775807"],
    "receive-rate": ["1000000"],
    "send-rate": ["1000000"],
    "filter": ["guests"],
    "forward": ["isp"],
    "interim": ["60"],
    "class": ["00ff", "61,62"],
}
WRONG = {
    "address": [
        "127.0.0.1",
        "240.0.0.1",
        "0.0.0.0/0",
        "10.77.1",
        "10.1.0.1/16",
        "10.1.0.0/16,,",
        "fd00::/64",
        "a",
    ],
    "pool": [" x", "a\nb"],
    "routes": ["10.1.1.1/8", "x"],
    "dns": ["1.1.1.1,2.2.2.2,3.3.3.3", "::1", "0.0.0.0"],
    "wins": ["224.0.0.1"],
    "prefix": ["2001:db8::/65", "10.0.0.0/8", "fe80::/64", "2001:db8::/48,2001:db9::/48"],
    "delegated": ["x"],
    "identifier": ["0:0:0:0", "1:2:3", "1:2:3:4:5", "::7", "g:0:0:0", "12345:0:0:0", "-1:0:0:0"],
    "dns6": ["fe80::1", "192.0.2.1"],
    "mtu": ["0", "99999", "x", "1280.5"],
    "protocols": ["-", "IPv4", "ipv4,ipv4"],
    "tunnels": ["-", "SSTP", "pptp,pptp"],
    "encryption": ["maybe"],
    "bits": ["64", "-", "x"],
    "sessions": ["-1", "many"],
    "sources": ["everywhere"],
    "hours": ["x" * 5000, "Mo-Fr 25:00-26:00", "never"],
    "session-timeout": ["-1", "1h"],
    "idle-timeout": ["-5"],
    "volume": ["9223372036854775808"],
    "receive-rate": ["1"],
    "send-rate": ["fast"],
    "filter": ["é"],
    "forward": ["é"],
    "interim": ["5"],
    "class": ["0", "xx"],
}


def test_everyAttributeIsTried() -> None:
    assert set(ALLOWED) == set(WRONG) == set(ATTRIBUTES)


@pytest.mark.parametrize("option", ATTRIBUTES)
def test_whatIsAllowed(option: str) -> None:
    """
    An allowed value is stored unchanged, and the profile with it differs from one without.
    """
    field = ATTRIBUTES[option].field
    for text in ALLOWED[option]:
        assert check(option, text) == text
        profile = profileOf("bob", {option: text})
        listed = option in ("routes", "dns") and text == "-"
        assert (getattr(profile, field) != getattr(Profile("bob"), field)) is not listed


@pytest.mark.parametrize("option", ATTRIBUTES)
def test_whatIsNot(option: str) -> None:
    for text in WRONG[option]:
        with pytest.raises(ConfigurationError, match=f"(?s){option} .*must be "):
            check(option, text)
        with pytest.raises(ConfigurationError, match=f"bob: {option} = "):
            profileOf("bob", {option: text})


def test_theDefault() -> None:
    attributes = {option: check(option, "*") for option in ATTRIBUTES}
    assert profileOf("bob", attributes) == Profile("bob")


@given(st.sampled_from(sorted(ATTRIBUTES)), st.text(max_size=40))
def test_anyTextIsKeptInAFormThatIsReadAgain(option: str, text: str) -> None:
    try:
        kept = check(option, text)
    except ConfigurationError:
        return
    assert check(option, kept) == kept
    assert profileOf("bob", {option: kept}) == profileOf("bob", {option: text})


@given(st.dictionaries(st.text(), st.text()))
def test_attributesInTheDatabase(attributes: dict[str, str]) -> None:
    assert decode(encode(attributes)) == attributes


@given(st.text() | st.sampled_from(["[]", "1", "null", '"x"', '{"mtu": 1280}', "{"]))
def test_whatSomebodyElsePutThere(text: str) -> None:
    try:
        profileOf("bob", decode(text))
    except ConfigurationError:
        pass

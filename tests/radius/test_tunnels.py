"""
Tests for L{pptpgw.radius.tunnels}.
"""

from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.interfaces import Forward
from pptpgw.radius.packet import Reply
from pptpgw.radius.servers import Server
from pptpgw.radius.tunnels import forwards
from tests.radius.test_attributes import packet

SECRET, VECTOR = b"a secret of the tests", bytes(range(16))
NAMES = (
    "Tunnel-Type",
    "Tunnel-Medium-Type",
    "Tunnel-Client-Endpoint",
    "Tunnel-Server-Endpoint",
    "Tunnel-Password",
    "Tunnel-Assignment-Id",
    "Tunnel-Preference",
    "Tunnel-Client-Auth-Id",
    "Tunnel-Server-Auth-Id",
)


def salted(password: bytes, tag: int = 0, salt: bytes = b"\x80\x01") -> bytes:
    """
    A Tunnel-Password (RFC 2868 section 3.5).
    """
    clear = bytes((len(password),)) + password
    clear += bytes(-len(clear) % 16)
    hidden, vector = b"", VECTOR + salt
    for start in range(0, len(clear), 16):
        mask = md5(SECRET + vector, usedforsecurity=False).digest()
        vector = bytes(a ^ b for a, b in zip(clear[start : start + 16], mask, strict=True))
        hidden += vector
    return bytes((tag,)) + salt + hidden


def number(value: int, tag: int = 0) -> bytes:
    return bytes((tag,)) + value.to_bytes(3, "big")


def read(*attributes: tuple[str, bytes]) -> tuple[Forward, ...]:
    """
    The ends that an Access-Accept with these attributes names.
    """
    return forwards(Reply(packet(*attributes)._packet, SECRET, VECTOR, Server("192.0.2.1")))


def test_one() -> None:
    """
    An end without a tag, with everything that RADIUS can say of one.
    """
    (found,) = read(
        ("Tunnel-Type", number(3)),
        ("Tunnel-Medium-Type", number(1)),
        ("Tunnel-Server-Endpoint", b"lns.example"),
        ("Tunnel-Client-Endpoint", b"192.0.2.1"),
        ("Tunnel-Password", salted(b"hush " * 6)),
        ("Tunnel-Assignment-Id", b"\x00gold"),
        ("Tunnel-Preference", number(7)),
        ("Tunnel-Client-Auth-Id", b"pop1"),
        ("Tunnel-Server-Auth-Id", b"lns"),
    )
    assert found == Forward(
        3, "lns.example", b"hush " * 6, "pop1", "lns", "192.0.2.1", "gold", preference=7
    )
    assert "hush" not in repr(found)


def test_several() -> None:
    """
    Tags tell the ends apart. One that isn't reached by IPv4 is left out, and a Tunnel-Type without
    an end, as of a VLAN, is none.
    """
    found = read(
        ("Tunnel-Server-Endpoint", b"\x02192.0.2.2"),
        ("Tunnel-Server-Endpoint", b"\x01192.0.2.1"),
        ("Tunnel-Server-Endpoint", b"\x032001:db8::1"),
        ("Tunnel-Type", number(3, 1)),
        ("Tunnel-Type", number(1, 2)),
        ("Tunnel-Type", number(3, 3)),
        ("Tunnel-Type", number(13)),
        ("Tunnel-Medium-Type", number(2, 3)),
        ("Tunnel-Password", salted(b"two", 2)),
        ("Tunnel-Password", salted(b"one", 1)),
        ("Tunnel-Preference", number(5, 2)),
    )
    assert set(found) == {
        Forward(3, "192.0.2.1", b"one"),
        Forward(1, "192.0.2.2", b"two", preference=5),
    }


def test_none() -> None:
    assert read() == ()
    assert read(("Tunnel-Type", number(13)), ("Tunnel-Medium-Type", number(6))) == ()


END = ("Tunnel-Server-Endpoint", b"192.0.2.2")
L2TP = ("Tunnel-Type", number(3))
# Decrypted with the right secret its length would be 3.
WRONG = salted(b"one")[:3] + bytes((salted(b"one")[3] ^ 0xF0,)) + salted(b"one")[4:]


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ((END,), "no Tunnel-Type"),
        ((END, ("Tunnel-Type", number(3, 1))), "no Tunnel-Type"),
        ((END, ("Tunnel-Type", b"\x03")), "and not 4"),
        ((END, L2TP, ("Tunnel-Type", number(1))), "twice for tag 0"),
        ((END, L2TP, ("Tunnel-Server-Endpoint", b"\x00192.0.2.3")), "twice for tag 0"),
        ((END, L2TP, ("Tunnel-Medium-Type", number(2))), "by IPv4"),
        ((END, L2TP, ("Tunnel-Password", b"\x00\x80\x01short")), "no blocks of 16"),
        ((END, L2TP, ("Tunnel-Password", b"\x00")), "no blocks of 16"),
        ((END, L2TP, ("Tunnel-Password", WRONG)), "another shared secret"),
        ((END, L2TP, ("Tunnel-Password", salted(bytes(200)))), "more than 128"),
        ((END, L2TP, ("Tunnel-Client-Auth-Id", b"a\nb")), "printed"),
        ((END, L2TP, ("Tunnel-Client-Auth-Id", b"\xff\xfe")), "Tunnel-Client-Auth-Id"),
        ((L2TP, ("Tunnel-Server-Endpoint", b"\x00")), "printed"),
        ((L2TP, ("Tunnel-Server-Endpoint", b"a b")), "printed"),
    ],
)
def test_malformed(attributes: tuple[tuple[str, bytes], ...], fault: str) -> None:
    """
    Who may be passed on to the wrong end is refused.
    """
    with pytest.raises(Malformed, match=fault):
        read(*attributes)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=60)), max_size=12))
def test_anyOctets(attributes: list[tuple[str, bytes]]) -> None:
    """
    Whatever a server sends, the ends are usable or the packet is refused.
    """
    try:
        found = read(*attributes)
    except Malformed:
        return
    assert bool(found) == any(name == "Tunnel-Server-Endpoint" for name, _ in attributes)
    assert all(one.endpoint.isprintable() and one.endpoint for one in found)

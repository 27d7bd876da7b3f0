"""
Tests for L{pptpgw.tunnels.l2tp.wire.secret}.
"""

from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.code import MessageType
from pptpgw.tunnels.l2tp.wire.secret import hide, isResponse, response, reveal


def test_theResponse() -> None:
    """
    The response is a hash of the message's type, the secret and the challenge (RFC 2661 section
    5.1.1).
    """
    assert (
        response(MessageType.SCCRP, b"secret", b"challenge") == md5(b"\2secretchallenge").digest()
    )
    right = response(MessageType.SCCCN, b"secret", b"challenge")
    assert isResponse(right, MessageType.SCCCN, b"secret", b"challenge")
    # A response that the other end has sent can't be given back.
    assert not isResponse(right, MessageType.SCCRP, b"secret", b"challenge")
    assert not isResponse(right, MessageType.SCCCN, b"guess", b"challenge")
    assert not isResponse(b"", MessageType.SCCCN, b"secret", b"challenge")


@given(
    st.integers(0, 0xFFFF),
    st.binary(max_size=100),
    st.binary(min_size=1, max_size=40),
    st.binary(min_size=1, max_size=40),
)
def test_whatIsHiddenCanBeRevealed(
    attribute: int, value: bytes, secret: bytes, vector: bytes
) -> None:
    hidden = hide(attribute, value, secret, vector)
    assert len(hidden) % 16 == 0
    assert reveal(attribute, hidden, secret, vector) == value


@pytest.mark.parametrize("hidden", [b"", b"x"])
def test_tooShort(hidden: bytes) -> None:
    with pytest.raises(Malformed):
        reveal(1, hidden, b"secret", b"vector")

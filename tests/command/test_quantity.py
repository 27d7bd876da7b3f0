"""
Tests of durations, sizes and rates as people write them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.command.quantity import octets, rate, seconds
from pptpgw.error import ConfigurationError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("3600", 3600),
        ("90s", 90),
        ("30m", 1800),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1w2d3h4m5s", 788645),
        ("1H", 3600),
    ],
)
def test_durations(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1500", 1500),
        ("2k", 2000),
        ("2K", 2000),
        ("2Ki", 2048),
        ("500M", 500_000_000),
        ("10GiB", 10 << 30),
        ("10GB", 10_000_000_000),
        ("1.5T", 1_500_000_000_000),
        ("0.5Ti", 1 << 39),
        ("100B", 100),
    ],
)
def test_sizes(text: str, value: int) -> None:
    """
    Prefixes are powers of 1000; with an i they are powers of 1024.
    """
    assert octets(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64000", 64000),
        ("512k", 512_000),
        ("2M", 2_000_000),
        ("1.5Gbit", 1_500_000_000),
        ("10Mbps", 10_000_000),
        ("10Mbit/s", 10_000_000),
        ("1Mi", 1 << 20),
    ],
)
def test_rates(text: str, value: int) -> None:
    assert rate(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (seconds, ""),
        (seconds, "h"),
        (seconds, "-1"),
        (seconds, "1x"),
        (seconds, "30m1h"),
        (seconds, "1h1h"),
        (seconds, "1h 30m"),
        (seconds, "0.5s"),
        (seconds, "1e3"),
        (seconds, "٣"),
        (octets, "1.0001"),
        (octets, "2Mbit"),
        (octets, "2MM"),
        (octets, "0x10"),
        (rate, "2MB"),
        (rate, "2M/4M"),
        (rate, "fast"),
    ],
)
def test_whatIsNone(read: Callable[[str], int], text: str) -> None:
    """
    An octet is no unit of a rate, nor a bit one of a size.
    """
    with pytest.raises(ConfigurationError, match="must be "):
        read(text)


@given(st.text(max_size=20), st.sampled_from([seconds, octets, rate]))
def test_anyText(text: str, read: Callable[[str], int]) -> None:
    try:
        assert read(text) >= 0
    except ConfigurationError:
        pass

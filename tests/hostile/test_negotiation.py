"""
Tests with hostile control packets of a caller that has authenticated: every code and length.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp.wire import ppp
from tests.hostile.callers import CONTROLS, Hostile
from tests.hostile.ordeal import BOUNDED, ordeal

octets = st.integers(0, 255)
values = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"", bytes(4), bytes(6), bytes(8), b"\xff" * 8, b"\xff" * 253]),
)
options = st.lists(st.tuples(st.one_of(st.integers(0, 12), octets), values), max_size=8)
bodies = st.one_of(
    options.map(ppp.encodeOptions),
    # One option again and again, and wrong lengths.
    st.tuples(st.integers(1, 10), st.integers(1, 200)).map(
        lambda pair: ppp.encodeOptions([(pair[0], bytes(2))] * pair[1])
    ),
    st.binary(max_size=40),
    st.sampled_from([b"\x01\x00", b"\x01\x01", b"\x03\xff\x00", b"\xff" * 1500]),
)
codes = st.one_of(st.integers(0, 16), octets)
controls = st.sampled_from(sorted(CONTROLS))
lengths = st.one_of(st.none(), st.none(), st.integers(0, 65535))

actions = st.one_of(
    st.tuples(st.just("packet"), controls, codes, octets, bodies, lengths),
    st.tuples(st.just("answer"), controls, st.sampled_from((2, 3, 4)), bodies),
    st.tuples(st.just("agree"), controls),
    st.tuples(st.just("follow"), controls),
    st.tuples(st.just("octets"), controls, st.binary(max_size=12)),
    st.tuples(st.just("reject"), st.one_of(controls, st.integers(0, 65535))),
    st.tuples(st.just("ccp"), codes, octets, bodies),
    st.tuples(st.just("lcp"), st.integers(1, 13), octets, bodies),
    st.tuples(st.just("every"), codes, bodies),
    st.tuples(st.just("time"), st.sampled_from((0.01, 3.0, 31.0))),
)


@BOUNDED
@given(st.lists(actions, max_size=20), st.sampled_from(("require", "off")))
def test_anyNegotiation(steps: list[Any], encryption: str) -> None:
    """
    No negotiation makes anything fail or grow, nothing is left of it, and other callers are served
    as before.
    """
    ordeal(encryption, Hostile, steps)

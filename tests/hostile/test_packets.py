"""
Tests with hostile packets of every protocol number, from a caller that has every network protocol
open.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.callers import Sending
from tests.hostile.ordeal import BOUNDED, ordeal
from tests.hostile.packets import NUMBERS, VALID


@st.composite
def mutated(draw: Any) -> tuple[int, bytes]:
    """
    One of L{VALID}, cut, stretched, with other octets, or with another protocol number.
    """
    number, packet = draw(st.sampled_from(VALID))
    octets = bytearray(packet)
    for position, value in draw(
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4)
    ):
        if position < len(octets):
            octets[position] = value
    if draw(st.booleans()):
        del octets[draw(st.integers(0, len(octets))) :]
    octets += draw(st.sampled_from((b"", b"", b"\0", bytes(7), bytes(1500))))
    if draw(st.integers(0, 5)) == 0:
        number = draw(st.sampled_from(NUMBERS))
    return number, bytes(octets)


packets = st.one_of(
    mutated(),
    mutated(),
    st.tuples(st.sampled_from(NUMBERS), st.binary(max_size=80)),
    st.tuples(st.integers(0, 0x7FFF).map(lambda n: n & 0xFEFF | 1), st.binary(max_size=20)),
)
actions = st.one_of(
    st.tuples(st.just("send"), packets, st.sampled_from((1, 1, 150))),
    st.tuples(st.just("say"), packets, st.sampled_from((1, 1, 40))),
    st.tuples(st.just("time"), st.sampled_from((0.01, 1.0, 61.0))),
)


@BOUNDED
@given(st.lists(actions, max_size=20), st.sampled_from(("require", "off")))
def test_anyPackets(steps: list[Any], encryption: str) -> None:
    """
    No packet makes anything fail or grow, nothing is left of it, and other callers are served as
    before.
    """
    ordeal(encryption, Sending, steps)

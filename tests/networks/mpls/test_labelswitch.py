"""
Tests for L{pptpgw.networks.mpls.labelswitch}.
"""

from __future__ import annotations

import pytest

from pptpgw.counting.counters import Counters
from pptpgw.networks.mpls.labelswitch import EXPIRED, NO_ROUTE, NOT_UNICAST, LabelSwitch
from pptpgw.networks.mpls.wire.mpls import LabelStackEntry, decode, encode

NEXT = bytes.fromhex("02000a4d000b")
SENDER = bytes.fromhex("02000a4d000a")
UNICAST, MULTICAST = b"\x88\x47", b"\x88\x48"


class Fixture:
    """
    A switch that swaps label 100 for 200.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.switch = LabelSwitch({100: (200, NEXT)}, self.counters)
        self.frames: list[bytes] = []
        self.switch.receive = self.frames.append

    def send(self, *entries: LabelStackEntry, ethertype: bytes = UNICAST) -> None:
        self.switch.write(self.switch.address + SENDER + ethertype + encode(entries, b"packet"))


def test_swap() -> None:
    """
    The top label is swapped, its TTL is one less and its traffic class the same. The labels under
    it stay.
    """
    fixture = Fixture()
    fixture.send(LabelStackEntry(100, 64, 5), LabelStackEntry(7000, 9, 3))
    (frame,) = fixture.frames
    assert frame[:14] == NEXT + fixture.switch.address + UNICAST
    assert decode(frame[14:]) == (
        [LabelStackEntry(200, 63, 5), LabelStackEntry(7000, 9, 3)],
        b"packet",
    )


def test_bottom() -> None:
    """
    The bottom of the stack stays marked.
    """
    fixture = Fixture()
    fixture.send(LabelStackEntry(100, 2))
    assert decode(fixture.frames[0][14:]) == ([LabelStackEntry(200, 1)], b"packet")


@pytest.mark.parametrize(
    ("entry", "ethertype", "reason"),
    [
        (LabelStackEntry(101), UNICAST, NO_ROUTE),
        (LabelStackEntry(100, 1), UNICAST, EXPIRED),
        (LabelStackEntry(100, 0), UNICAST, EXPIRED),
        (LabelStackEntry(100), MULTICAST, NOT_UNICAST),
    ],
)
def test_discarded(entry: LabelStackEntry, ethertype: bytes, reason: str) -> None:
    fixture = Fixture()
    fixture.send(entry, ethertype=ethertype)
    assert fixture.frames == []
    assert fixture.counters.discards == {reason: 1}

"""
Tests for L{pptpgw.ppp.option}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ppp.option import MAX_FAILURE, MAX_REFUSALS, GiveUp, Negotiator, Option
from pptpgw.ppp.wire.ppp import (
    CONFIGURE_ACK,
    CONFIGURE_NAK,
    CONFIGURE_REJECT,
    decodeOptions,
    encodeOptions,
)


class Limit(Option[list[str]]):
    """
    An option whose value is a number from 1 to C{most}.
    """

    def __init__(self, most: int, needed: bool = False) -> None:
        self.most = bytes((most,))
        self.needed = needed

    def wanted(self, owner: list[str]) -> bytes | None:
        return self.most

    def naked(self, owner: list[str], current: bytes, suggested: bytes) -> bytes | None:
        owner.append(f"naked {suggested.hex()}")
        return min(current, suggested)

    def rejected(self, owner: list[str], current: bytes) -> None:
        owner.append(f"rejected {current.hex()}")

    def judge(self, owner: list[str], value: bytes) -> bytes | None:
        return None if value == b"\0" else min(value, self.most)

    def missing(self, owner: list[str]) -> bytes | None:
        return self.most if self.needed else None

    def stalled(self, owner: list[str], value: bytes) -> None:
        owner.append(f"stalled {value.hex()}")


def negotiation(needed: bool = False) -> tuple[Negotiator[list[str]], list[str]]:
    told: list[str] = []
    negotiator: Negotiator[list[str]] = Negotiator(told, {1: Limit(9), 2: Limit(5, needed)})
    negotiator.begin()
    return negotiator, told


def judged(negotiator: Negotiator[list[str]], *options: tuple[int, bytes]) -> tuple[int, object]:
    answer = negotiator.judge(encodeOptions(options), 1496)
    assert answer is not None
    return answer[0], decodeOptions(answer[1])


def test_ack() -> None:
    """
    A permitted option is acknowledged octet by octet, and applies once the Ack is sent.
    """
    negotiator, _ = negotiation()
    assert judged(negotiator, (2, b"\4"), (1, b"\1")) == (CONFIGURE_ACK, [(2, b"\4"), (1, b"\1")])
    assert negotiator.allowed == {}
    negotiator.acknowledge()
    assert negotiator.allowed == {2: b"\4", 1: b"\1"}


def test_emptyRequest() -> None:
    """
    A request without options is acknowledged.
    """
    assert judged(negotiation()[0]) == (CONFIGURE_ACK, [])


def test_nak() -> None:
    """
    A Configure-Nak has only the options whose values aren't permitted.
    """
    negotiator, _ = negotiation()
    assert judged(negotiator, (1, b"\7"), (2, b"\7")) == (CONFIGURE_NAK, [(2, b"\5")])


def test_rejectOutranksNak() -> None:
    """
    A Configure-Reject has precedence over a Configure-Nak, and repeats the rejected options octet
    by octet.
    """
    negotiator, _ = negotiation()
    assert judged(negotiator, (2, b"\7"), (77, b"xyz"), (1, b"\0")) == (
        CONFIGURE_REJECT,
        [(77, b"xyz"), (1, b"\0")],
    )


def test_missingIsAppended() -> None:
    """
    An option that the peer must ask for and didn't is added to a Configure-Nak, or causes one. It
    is never added to a Configure-Reject.
    """
    negotiator, _ = negotiation(needed=True)
    assert judged(negotiator, (1, b"\2")) == (CONFIGURE_NAK, [(2, b"\5")])
    assert judged(negotiator, (1, b"\x22")) == (CONFIGURE_NAK, [(1, b"\x09"), (2, b"\5")])
    assert judged(negotiator, (1, b"\0")) == (CONFIGURE_REJECT, [(1, b"\0")])


def test_nakBecomesReject() -> None:
    """
    After Max-Failure Naks an option is rejected as the peer sent it, and no option is added any
    more.
    """
    negotiator, told = negotiation(needed=True)
    for _ in range(MAX_FAILURE):
        assert judged(negotiator, (1, b"\x22"))[0] == CONFIGURE_NAK
    assert told == []
    assert judged(negotiator, (1, b"\x22")) == (CONFIGURE_REJECT, [(1, b"\x22")])
    assert told == ["stalled 22"]
    assert judged(negotiator, (1, b"\1")) == (CONFIGURE_ACK, [(1, b"\1")])
    negotiator.acknowledge()
    assert judged(negotiator, (1, b"\x22"))[0] == CONFIGURE_NAK


def test_refusalsEnd() -> None:
    """
    A peer that repeats a refused request again and again is given up.
    """
    negotiator, _ = negotiation()
    for _ in range(MAX_REFUSALS):
        judged(negotiator, (77, b""))
    with pytest.raises(GiveUp):
        judged(negotiator, (77, b""))


def test_duplicates() -> None:
    """
    The first of two equal options applies. An Ack repeats both, and a Nak names the option once.
    """
    negotiator, _ = negotiation()
    both = ((1, b"\2"), (1, b"\x22"))
    assert judged(negotiator, *both) == (CONFIGURE_ACK, list(both))
    negotiator.acknowledge()
    assert negotiator.allowed == {1: b"\2"}
    assert judged(negotiator, (1, b"\x22"), (1, b"\x23")) == (CONFIGURE_NAK, [(1, b"\x09")])


def test_several() -> None:
    """
    Each option of a kind that may occur several times is judged.
    """

    class Several(Limit):
        several = True

    negotiator: Negotiator[list[str]] = Negotiator([], {1: Several(9)})
    wish = [(1, b"\x02"), (1, b"\x00"), (1, b"\x00")]
    assert judged(negotiator, *wish) == (CONFIGURE_REJECT, wish[1:])
    assert judged(negotiator, (1, b"\x03"), (1, b"\x20")) == (CONFIGURE_NAK, [(1, b"\x09")])
    wish = [(1, b"\x02"), (1, b"\x03")]
    assert judged(negotiator, *wish) == (CONFIGURE_ACK, wish)


def test_granted() -> None:
    """
    The values that the peer acknowledged are granted.
    """
    negotiator, _ = negotiation()
    assert negotiator.request() == bytes.fromhex("010309 020305")
    negotiator.acknowledged()
    assert negotiator.granted == {1: b"\x09", 2: b"\x05"}


def test_nakFollowed() -> None:
    """
    A Configure-Nak changes an option that we asked for, and is ignored for other options.
    """
    negotiator, told = negotiation()
    negotiator.naked(bytes.fromhex("020303 4d04abcd"))
    assert negotiator.wanted == {1: b"\x09", 2: b"\x03"}
    assert told == ["naked 03"]


def test_nakCountsAsReject() -> None:
    """
    A Configure-Nak removes the option after Max-Failure Naks.
    """
    negotiator, told = negotiation()
    for _ in range(MAX_FAILURE):
        negotiator.naked(bytes.fromhex("020303"))
    assert 2 in negotiator.wanted
    negotiator.naked(bytes.fromhex("020303"))
    assert negotiator.wanted == {1: b"\x09"}
    assert told[-1] == "rejected 03"


def test_rejectFollowed() -> None:
    """
    A Configure-Reject removes options.
    """
    negotiator, told = negotiation()
    assert negotiator.rejected(bytes.fromhex("010309"))
    assert negotiator.wanted == {2: b"\x05"}
    assert told == ["rejected 09"]


@pytest.mark.parametrize("data", ["010308", "020305010309", "4d02", "010309010309"])
def test_falseReject(data: str) -> None:
    """
    A Configure-Reject with other octets, another order, other options or an option twice is
    discarded.
    """
    negotiator, told = negotiation()
    assert not negotiator.rejected(bytes.fromhex(data))
    assert len(negotiator.wanted) == 2
    assert told == []


def test_refusalsReceivedEnd() -> None:
    """
    A peer that refuses every request of ours is given up.
    """
    negotiator, _ = negotiation()
    for _ in range(MAX_REFUSALS):
        negotiator.rejected(b"")
    with pytest.raises(GiveUp):
        negotiator.rejected(b"")


def test_begin() -> None:
    """
    C{begin} forgets all earlier requests and answers.
    """
    negotiator, _ = negotiation()
    negotiator.acknowledged()
    judged(negotiator, (1, b"\1"))
    negotiator.acknowledge()
    negotiator.rejected(bytes.fromhex("010309"))
    negotiator.begin()
    assert (negotiator.granted, negotiator.allowed) == ({}, {})
    assert negotiator.wanted == {1: b"\x09", 2: b"\x05"}


@given(st.binary(max_size=80), st.integers(0, 80), st.booleans())
def test_answersFit(data: bytes, limit: int, needed: bool) -> None:
    """
    Every answer is within the limit, well formed and, apart from an Ack of an empty request, not
    empty.
    """
    negotiator, _ = negotiation(needed)
    try:
        answer = negotiator.judge(data, limit)
    except Malformed:
        return
    if answer is not None:
        code, octets = answer
        assert len(octets) <= limit
        assert decodeOptions(octets) or (code == CONFIGURE_ACK and not data)
        assert code != CONFIGURE_ACK or octets == data

"""
Tests of what is known of security associations.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ipsec.associations import CHILD_REKEY, CHILD_UPDOWN, Associations
from tests.ipsec.charon import child, ike
from tests.ipsec.test_wire import MESSAGES

HERE = "192.0.2.10"


def up(*children: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {f"l2tp-{one['uniqueid'].decode()}": one for one in children}
    return {"up": b"yes", **ike(named, **more)}


def down(*children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {name: value for name, value in up(*children, **more).items() if name != "up"}


def rekeyed(old: int, new: int) -> dict[str, Any]:
    return ike({"l2tp": {"old": child(old), "new": child(new)}})


def test_oneClient() -> None:
    """
    An association begins, is rekeyed twice, survives the renewal of its IKE SA, and ends.
    """
    known = Associations()
    assert known.heard(CHILD_UPDOWN, up(child(1))) == set()
    (one,) = known.find(HERE, 1701)
    assert str(one) == "ESP AES_CBC-256/HMAC_SHA1_96, pptpgw-psk[1], from 10.0.0.9"
    assert known.find(HERE, 5000) == known.find("192.0.2.11", 1701) == []
    assert known.heard(CHILD_REKEY, rekeyed(1, 2)) == set()
    assert known.heard(CHILD_REKEY, rekeyed(2, 3)) == set()
    assert [one.number for one in known.find(HERE, 1701)] == [3]
    # The end of an old one is of no interest.
    assert known.heard(CHILD_UPDOWN, down(child(1))) == set()
    assert known.heard(CHILD_UPDOWN, down(child(3), number=2)) == {HERE}
    assert len(known) == 0 and known.find(HERE, 1701) == []


def test_clientsBehindOneNAT() -> None:
    """
    They are told apart by their ports, as far as those differ. A selector without a port, or with
    one whose name is unknown, has every port.
    """
    known = Associations()
    known.heard(CHILD_UPDOWN, up(child(1, encap=b"yes")))
    known.heard(CHILD_UPDOWN, up(child(2, "49152"), number=2))
    known.heard(CHILD_UPDOWN, up(child(3), number=3))
    assert [one.number for one in known.find(HERE, 1701)] == [1, 3]
    assert [one.number for one in known.find(HERE, 49152)] == [2]
    assert "ESP in UDP" in str(known.find(HERE, 1701)[0])
    known.heard(CHILD_UPDOWN, up(child(4, "strange"), number=4))
    assert [one.number for one in known.find(HERE, 49152)] == [2, 4]
    assert known.heard(CHILD_UPDOWN, down(child(3), number=3)) == {HERE}
    assert [one.number for one in known.find(HERE, 1701)] == [1, 4]


def test_aList() -> None:
    """
    A list takes the place of all that was known; what isn't in it any more has ended.
    """
    known = Associations()
    known.heard(CHILD_UPDOWN, up(child(1)))
    known.heard(CHILD_UPDOWN, up(child(2), number=2, address="192.0.2.11"))
    old = child(3, state=b"REKEYED")
    assert known.replace([ike({"a": child(1), "b": old}), ike({}, number=9)]) == {"192.0.2.11"}
    assert [one.number for one in known] == [1]
    assert known.replace([]) == {HERE}


@given(st.lists(st.tuples(st.sampled_from((CHILD_UPDOWN, CHILD_REKEY, "other")), MESSAGES)))
def test_anyMessage(events: list[tuple[str, Any]]) -> None:
    """
    No message of charon is a cause to fail.
    """
    known = Associations()
    for event, message in events:
        known.heard(event, message)
        known.heard(event, {"x": {"uniqueid": b"1", "child-sas": {"y": message}}})
        known.replace([message])
    assert known.find("", 0) == list(known)

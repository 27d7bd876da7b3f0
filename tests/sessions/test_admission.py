"""
Tests of L{pptpgw.sessions.admission}.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.config.section import LimitsSection
from pptpgw.error import Exhausted, Refused
from pptpgw.sessions.admission import Admission, isWithin, permit
from pptpgw.sessions.places import Known
from pptpgw.sessions.profile import Profile

HERE, THERE = "192.0.2.1", "192.0.2.2"
ALICE, BOB = Profile("alice"), Profile("bob")


def admission(**limits: Any) -> Admission[int]:
    clock = Clock()
    return Admission(LimitsSection(**limits), clock.seconds, Known(clock.seconds, 8))


def refusal(calls: Admission[int], source: str) -> str:
    """
    Why a call can't begin; nobody must go for one that can.
    """
    try:
        assert calls.room(source) == []
    except Exhausted as reason:
        return str(reason)
    return ""


class TestSetups:
    def test_inAll(self) -> None:
        """
        The third of two waits for its turn, which comes when one is set up or over.
        """
        calls = admission(maxSetups=2)
        calls.begin(1, HERE)
        calls.begin(2, THERE)
        assert refusal(calls, HERE) == "there are 2 calls being set up, see [limits] max-setups"
        calls.opened(1)
        assert refusal(calls, HERE) == ""
        calls.begin(3, HERE)
        assert refusal(calls, HERE)
        calls.leave(2)
        assert refusal(calls, HERE) == ""

    def test_fromOneSource(self) -> None:
        """
        One address can't have all of it.
        """
        calls = admission(maxSetupsPerSource=1)
        calls.begin(1, HERE)
        assert refusal(calls, HERE) == (
            "there are 1 calls being set up from there, see [limits] max-setups-per-source"
        )
        assert refusal(calls, THERE) == ""

    def test_aProtocolMore(self) -> None:
        """
        A call is set up once, however many protocols open, or open again.
        """
        calls = admission(maxSetups=1)
        calls.begin(1, HERE)
        calls.opened(1)
        calls.opened(1)
        calls.begin(2, HERE)
        assert refusal(calls, HERE)
        calls.leave(1)
        assert refusal(calls, HERE)

    def test_noLimit(self) -> None:
        calls = admission(maxSetups=0, maxSetupsPerSource=0)
        for call in range(5000):
            assert refusal(calls, HERE) == ""
            calls.begin(call, HERE)


class TestSeats:
    def test_inAll(self) -> None:
        """
        Calls are refused while no seat is left; who began before is refused when it would sit down.
        """
        calls = admission(maxSessions=1)
        calls.begin(1, HERE)
        calls.begin(2, THERE)
        assert calls.seat(1, "alice", ALICE) == []
        assert refusal(calls, THERE) == "there are 1 sessions, see [limits] max-sessions"
        with pytest.raises(Exhausted, match="there are 1 sessions"):
            calls.seat(2, "bob", BOB)
        calls.leave(1)
        assert refusal(calls, THERE) == ""
        assert calls.seat(2, "bob", BOB) == []

    def test_fromOneSource(self) -> None:
        calls = admission(maxSessionsPerSource=1)
        for call, source in ((1, HERE), (2, HERE), (3, THERE)):
            calls.begin(call, source)
        calls.seat(1, "alice", ALICE)
        assert refusal(calls, HERE) and not refusal(calls, THERE)
        with pytest.raises(Exhausted, match="1 sessions from there"):
            calls.seat(2, "bob", BOB)
        calls.seat(3, "bob", BOB)

    def test_ofOneUser(self) -> None:
        """
        The next one is denied; another user isn't.
        """
        calls = admission(maxSessionsPerUser=2)
        for call in (1, 2, 3, 4):
            calls.begin(call, HERE)
        calls.seat(1, "alice", ALICE)
        calls.seat(2, "alice", ALICE)
        with pytest.raises(Refused, match="alice has 2 sessions, and may have 2") as caught:
            calls.seat(3, "alice", ALICE)
        assert not caught.value.retry
        calls.seat(4, "bob", BOB)
        calls.leave(1)
        assert calls.seat(3, "alice", ALICE) == []

    def test_replace(self) -> None:
        """
        The oldest goes, and where there are too many by now so many of the oldest.
        """
        calls = admission(maxSessionsPerUser=3, perUser="replace")
        for call in (1, 2, 3, 4):
            calls.begin(call, HERE)
        for call in (1, 2, 3):
            assert calls.seat(call, "alice", ALICE) == []
        assert calls.seat(4, "alice", ALICE) == [1]
        calls.leave(1)
        calls.begin(5, HERE)
        assert calls.seat(5, "alice", Profile("alice", sessions=1)) == [2, 3, 4]

    def test_replaceWhereAllSeatsAreTaken(self) -> None:
        """
        Who replaces its own needs no more room than there is.
        """
        calls = admission(maxSessions=1, maxSessionsPerUser=1, perUser="replace")
        calls.begin(1, HERE)
        calls.begin(2, HERE)
        calls.seat(1, "alice", ALICE)
        assert calls.seat(2, "alice", ALICE) == [1]

    def test_theAccountSaysHowMany(self) -> None:
        """
        Over the configuration, both ways; 0 is no limit.
        """
        calls = admission(maxSessionsPerUser=1)
        for call in range(10):
            calls.begin(call, HERE)
        for call in range(3):
            calls.seat(call, "alice", Profile("alice", sessions=0))
        calls.seat(3, "bob", Profile("bob", sessions=2))
        calls.seat(4, "bob", Profile("bob", sessions=2))
        with pytest.raises(Refused):
            calls.seat(5, "bob", Profile("bob", sessions=2))

    def test_anotherUserOnTheSameCall(self) -> None:
        """
        Who proves to be somebody else before there is a session has one seat, not two.
        """
        calls = admission(maxSessionsPerUser=1)
        calls.begin(1, HERE)
        calls.begin(2, HERE)
        calls.seat(1, "alice", ALICE)
        calls.seat(1, "bob", BOB)
        calls.seat(2, "alice", ALICE)

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["begin", "seat", "open", "leave"])))
    )
    def test_nothingRemains(self, steps: list[tuple[int, str]]) -> None:
        """
        Whatever calls do, the limit is kept, and when all are over there is room again.
        """
        calls = admission(maxSetups=4, maxSessions=3, maxSessionsPerUser=2)
        living: set[int] = set()
        seated: set[int] = set()
        for call, what in steps:
            source = f"192.0.2.{call % 2}"
            if what == "begin" and call not in living:
                try:
                    leaving = calls.room(source)
                except Exhausted:
                    continue
                for other in leaving:
                    calls.leave(other)
                    living.discard(other)
                calls.begin(call, source)
                living.add(call)
            elif what == "seat" and call in living:
                try:
                    calls.seat(call, "ab"[call % 2], (ALICE, BOB)[call % 2])
                    seated.add(call)
                except (Refused, Exhausted):
                    seated.discard(call)
            elif what == "open" and call in living:
                calls.opened(call)
            elif what == "leave" and call in living:
                calls.leave(call)
                living.discard(call)
                seated.discard(call)
            assert set(calls) == living and len(calls) == len(living)
            assert len(seated) <= 3
            assert sum(call % 2 for call in seated) <= 2
        for call in living:
            calls.leave(call)
        for call in range(3):
            assert not refusal(calls, HERE)
            calls.begin(call, HERE)
            calls.seat(call, str(call), Profile(str(call)))
        assert refusal(calls, HERE)


class TestPermit:
    def test_sources(self) -> None:
        profile = Profile("alice", sources=(IPv4Network("192.0.2.0/28"), IPv4Network("10.0.0.1")))
        permit(profile, "192.0.2.15", 0)
        permit(profile, "10.0.0.1", 0)
        with pytest.raises(Refused, match=r"alice may not call from 192\.0\.2\.16") as caught:
            permit(profile, "192.0.2.16", 0)
        assert not caught.value.retry

    def test_hours(self) -> None:
        """
        1970 began on a Thursday, wherever that was.
        """
        permit(Profile("alice", hours="We-Fr"), HERE, 43200)
        with pytest.raises(Refused, match="alice may call in its hours only: Mo") as caught:
            permit(Profile("alice", hours="Mo"), HERE, 43200)
        assert not caught.value.retry

    def test_hoursThatCannotBeRead(self) -> None:
        """
        Nobody is let in by an account that says nothing sensible.
        """
        with pytest.raises(Refused, match='the account of alice: hours "late"'):
            permit(Profile("alice", hours="late"), HERE, 0)


def test_aCallerWithoutAnAddress() -> None:
    """
    The end of a serial line is in no network, so who may call from some networks can't from there.
    """
    networks = (IPv4Network("0.0.0.0/0"),)
    assert isWithin("192.0.2.1", networks)
    assert not isWithin("/dev/ttyS0", networks) and not isWithin("2001:db8::1", networks)
    permit(Profile("alice"), "/dev/ttyS0", 0)
    with pytest.raises(Refused, match="may not call from /dev/ttyS0"):
        permit(Profile("alice", sources=networks), "/dev/ttyS0", 0)

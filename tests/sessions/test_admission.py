"""
Tests for L{pptpgw.sessions.admission}.
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
    The reason why a call from C{source} can't begin, or nothing if it can. No other call may have
    to end for it.
    """
    try:
        assert calls.room(source) == []
    except Exhausted as reason:
        return str(reason)
    return ""


class TestSetups:
    def test_inAll(self) -> None:
        """
        No more than C{max-setups} calls are set up at once. Another may begin when one of them is
        set up or over.
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
        One address can't have more than C{max-setups-per-source} calls that are being set up.
        """
        calls = admission(maxSetupsPerSource=1)
        calls.begin(1, HERE)
        assert refusal(calls, HERE) == (
            "there are 1 calls being set up from there, see [limits] max-setups-per-source"
        )
        assert refusal(calls, THERE) == ""

    def test_aProtocolMore(self) -> None:
        """
        A call counts as set up once, however many of its protocols open, or open again.
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
        New calls are refused while no seat is left, and a call that began earlier is refused when
        it asks for a seat.
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
        A user beyond the limit is denied, and other users aren't.
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
        The user's oldest session is replaced. If the limit is lower by then, as many of the oldest
        are replaced as exceed it.
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
        A session that replaces its user's own needs no additional seat.
        """
        calls = admission(maxSessions=1, maxSessionsPerUser=1, perUser="replace")
        calls.begin(1, HERE)
        calls.begin(2, HERE)
        calls.seat(1, "alice", ALICE)
        assert calls.seat(2, "alice", ALICE) == [1]

    def test_theAccountSaysHowMany(self) -> None:
        """
        The account's limit has precedence over the configuration's, whether it is higher or lower.
        0 is no limit.
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
        A call whose peer authenticates as another user before its session begins has one seat, not
        two.
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
        The limit holds whatever calls do, and all seats are free when the calls are over.
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
        A user may call in the account's hours only. Thursday, 1 January 1970 is the day.
        """
        permit(Profile("alice", hours="We-Fr"), HERE, 43200)
        with pytest.raises(Refused, match="alice may call in its hours only: Mo") as caught:
            permit(Profile("alice", hours="Mo"), HERE, 43200)
        assert not caught.value.retry

    def test_hoursThatCannotBeRead(self) -> None:
        """
        An account whose hours can't be read lets nobody in.
        """
        with pytest.raises(Refused, match='the account of alice: hours "late"'):
            permit(Profile("alice", hours="late"), HERE, 0)


def test_aCallerWithoutAnAddress() -> None:
    """
    A caller on a serial line has no address, so it is refused where the account permits only some
    networks.
    """
    networks = (IPv4Network("0.0.0.0/0"),)
    assert isWithin("192.0.2.1", networks)
    assert not isWithin("/dev/ttyS0", networks) and not isWithin("2001:db8::1", networks)
    permit(Profile("alice"), "/dev/ttyS0", 0)
    with pytest.raises(Refused, match="may not call from /dev/ttyS0"):
        permit(Profile("alice", sources=networks), "/dev/ttyS0", 0)

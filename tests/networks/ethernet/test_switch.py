"""
Tests for L{pptpgw.networks.ethernet.switch}.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ethernet.switch import (
    BPDU_COPIES,
    BPDUS,
    COPIES,
    ELSEWHERE,
    MOVE_SECONDS,
    NO_STATION,
    NOT_AWAY,
    RESERVED,
    STORM,
    TOO_MANY,
    Port,
    Switch,
)

EVERYBODY = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
TREE = bytes.fromhex("0180c2000000")
AGEING = 300.0


def station(number: int) -> bytes:
    """
    The MAC address of station C{number}.
    """
    return b"\x02" + number.to_bytes(5, "big")


def frame(source: int | bytes, destination: int | bytes, text: bytes = b"") -> bytes:
    """
    An Ethernet frame between two stations.
    """
    addresses = [one if isinstance(one, bytes) else station(one) for one in (destination, source)]
    return b"".join(addresses) + b"\x08\x00" + text


class Sides:
    """
    A switch with four ports: the TAP device, two calls of Alice and one of Bob.
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.counters = Counters()
        given = {"addresses": 100, "addressesPerSession": 10, "floods": 100, "ageing": AGEING}
        self.switch = Switch(self.clock, self.counters, **(given | settings))
        self.seen: dict[str, list[bytes]] = {}
        self.ports: dict[str, Port] = {}
        for name, user in (("tap", None), ("alice", "a"), ("again", "a"), ("bob", "b")):
            self.join(name, user)

    def join(self, name: str, user: str | None) -> None:
        seen = self.seen[name] = []
        self.ports[name] = self.switch.join(seen.append, user)

    def sent(self, name: str, octets: bytes) -> set[str]:
        """
        Forward C{octets} from port C{name}.

        @return: the ports that got the frame.
        """
        for seen in self.seen.values():
            seen.clear()
        self.switch.forward(self.ports[name], octets)
        assert all(seen in ([], [octets]) for seen in self.seen.values())
        return {one for one, seen in self.seen.items() if seen}

    def located(self, address: bytes) -> Port | None:
        """
        Where a station was heard within the ageing time.
        """
        found = [port for port in self.ports.values() if address in port.addresses]
        assert len(found) < 2
        known = found and self.clock.seconds() - found[0].addresses[address] <= AGEING
        return found[0] if known else None

    @property
    def discards(self) -> dict[str, int]:
        return self.counters.discards


class TestForwarding:
    @pytest.mark.parametrize("destination", [EVERYBODY, GROUP, station(99)])
    def test_everybodyElse(self, destination: bytes) -> None:
        """
        Broadcast, multicast and frames to unknown stations go to every other port.
        """
        sides = Sides()
        assert sides.sent("alice", frame(1, destination)) == {"tap", "again", "bob"}
        assert sides.sent("tap", frame(7, destination)) == {"alice", "again", "bob"}

    def test_toWhomItIsFor(self) -> None:
        """
        A frame to a known station goes only to the port where the station was heard.
        """
        sides = Sides()
        sides.sent("alice", frame(1, EVERYBODY))
        assert sides.sent("bob", frame(2, 1)) == {"alice"}
        assert sides.sent("alice", frame(1, 2)) == {"bob"}
        assert sides.sent("tap", frame(7, 2)) == {"bob"}
        assert sides.sent("bob", frame(2, 7)) == {"tap"}
        assert sides.discards == {}

    def test_itsOwnSide(self) -> None:
        """
        A frame between two stations behind one port goes nowhere.
        """
        sides = Sides()
        sides.sent("bob", frame(2, EVERYBODY))
        assert sides.sent("bob", frame(3, 2)) == set()
        assert sides.discards == {NOT_AWAY: 1}

    def test_silence(self) -> None:
        """
        A station that isn't heard for the ageing time is forgotten. Each of its frames starts the
        time anew.
        """
        sides = Sides()
        sides.sent("alice", frame(1, EVERYBODY))
        sides.clock.advance(AGEING)
        sides.sent("alice", frame(1, 99))
        sides.clock.advance(AGEING)
        assert sides.sent("bob", frame(2, 1)) == {"alice"}
        sides.clock.advance(0.1)
        assert sides.sent("bob", frame(2, 1)) == {"tap", "alice", "again"}
        assert sides.located(station(1)) is None
        assert sides.located(station(2)) is sides.ports["bob"]

    def test_aPortThatIsGone(self) -> None:
        """
        A port that is removed gets nothing more and its stations are forgotten at once. The other
        ports go on.
        """
        sides = Sides()
        sides.sent("bob", frame(2, EVERYBODY))
        sides.sent("alice", frame(1, EVERYBODY))
        sides.switch.leave(sides.ports["bob"])
        sides.switch.leave(sides.ports["bob"])
        assert len(sides.switch) == 1
        assert sides.sent("alice", frame(1, 2)) == {"tap", "again"}
        assert sides.sent("tap", frame(7, 1)) == {"alice"}

    @pytest.mark.parametrize("source", [EVERYBODY, GROUP, TREE, bytes(6)])
    def test_noStation(self, source: bytes) -> None:
        """
        A frame whose source is zero or a group address is discarded.
        """
        sides = Sides()
        assert sides.sent("alice", frame(source, EVERYBODY)) == set()
        assert sides.discards == {NO_STATION: 1}
        assert len(sides.switch) == 0


class TestMoves:
    def test_notToAnotherUser(self) -> None:
        """
        A station can't move to another user's port while it is heard.
        """
        sides = Sides()
        sides.sent("alice", frame(1, EVERYBODY))
        for _ in range(10):
            sides.clock.advance(AGEING / 2)
            assert sides.sent("bob", frame(1, EVERYBODY)) == set()
            sides.sent("alice", frame(1, EVERYBODY))
        assert sides.discards == {ELSEWHERE: 10}
        assert sides.sent("tap", frame(7, 1)) == {"alice"}

    def test_notFromTheLAN(self) -> None:
        """
        A caller can't take the address of a station behind the TAP device.
        """
        sides = Sides()
        sides.sent("tap", frame(7, EVERYBODY))
        sides.clock.advance(AGEING)
        assert sides.sent("alice", frame(7, EVERYBODY)) == set()
        assert sides.sent("bob", frame(2, 7)) == {"tap"}

    def test_toTheLANAtOnce(self) -> None:
        """
        A station behind the TAP device takes its address back from a caller with its next frame.
        """
        sides = Sides()
        sides.sent("alice", frame(7, EVERYBODY))
        assert sides.sent("tap", frame(7, EVERYBODY)) == {"alice", "again", "bob"}
        assert sides.sent("bob", frame(2, 7)) == {"tap"}
        assert sides.sent("alice", frame(7, EVERYBODY)) == set()

    def test_whenForgotten(self) -> None:
        sides = Sides()
        sides.sent("alice", frame(1, EVERYBODY))
        sides.clock.advance(AGEING + 0.1)
        assert sides.sent("bob", frame(1, EVERYBODY)) == {"tap", "alice", "again"}
        assert sides.sent("tap", frame(7, 1)) == {"bob"}
        assert len(sides.switch) == 2

    def test_betweenCallsOfOneUser(self) -> None:
        """
        A station can move between calls of one user after it was silent for a moment, even if the
        old call hasn't ended.
        """
        sides = Sides()
        sides.sent("alice", frame(1, EVERYBODY))
        assert sides.sent("again", frame(1, EVERYBODY)) == set()
        sides.clock.advance(MOVE_SECONDS + 0.1)
        assert sides.sent("again", frame(1, EVERYBODY)) == {"tap", "alice", "bob"}
        assert sides.sent("tap", frame(7, 1)) == {"again"}

    def test_loop(self) -> None:
        """
        A loop behind two calls of one user causes no storm: a broadcast makes one copy for each
        port, and what comes back at once isn't forwarded.
        """
        sides = Sides()
        first = frame(1, EVERYBODY)
        assert sides.sent("alice", first) == {"tap", "again", "bob"}
        assert sides.sent("again", first) == set()
        assert sides.sent("bob", first) == set()
        assert sides.discards == {ELSEWHERE: 2}


class TestLimits:
    def test_addressesOfOneSession(self) -> None:
        """
        Frames of stations beyond a session's limit are discarded until one of its other stations is
        forgotten.
        """
        sides = Sides()
        for number in range(10):
            assert sides.sent("alice", frame(number, EVERYBODY))
        assert sides.sent("alice", frame(10, EVERYBODY)) == set()
        assert sides.discards == {TOO_MANY: 1}
        assert sides.sent("alice", frame(9, EVERYBODY))
        assert sides.sent("bob", frame(11, EVERYBODY))
        sides.clock.advance(AGEING + 0.1)
        assert sides.sent("alice", frame(10, EVERYBODY))
        assert len(sides.switch) == 2

    def test_addressesInAll(self) -> None:
        sides = Sides(addresses=15)
        for number in range(10):
            assert sides.sent("alice", frame(number, EVERYBODY))
        for number in range(10, 15):
            assert sides.sent("bob", frame(number, EVERYBODY))
        assert sides.sent("bob", frame(15, EVERYBODY)) == set()
        sides.clock.advance(AGEING)
        sides.sent("bob", frame(10, EVERYBODY))
        sides.clock.advance(1)
        assert sides.sent("bob", frame(15, EVERYBODY))
        assert len(sides.switch) == 2

    def test_theLANHasRoomOfItsOwn(self) -> None:
        """
        Stations behind the TAP device and stations of callers have separate room in the table.
        Frames of stations beyond the TAP device's share pass, but the stations aren't learnt.
        """
        sides = Sides(addresses=10)
        for number in range(10):
            sides.sent("alice", frame(number, EVERYBODY))
        for number in range(20, 32):
            assert sides.sent("tap", frame(number, 1)) == {"alice"}
        assert len(sides.switch) == 20
        assert sides.sent("alice", frame(1, 29)) == {"tap"}
        assert sides.sent("alice", frame(1, 30)) == {"tap", "again", "bob"}
        assert sides.discards == {}

    def test_sweepsAreRare(self) -> None:
        """
        A flood of new addresses makes the switch sweep its table at most once a second, so a stale
        entry goes within the next second.
        """
        sides = Sides()
        for number in range(10):
            sides.sent("alice", frame(number, 99))
        sides.clock.advance(AGEING - 0.5)
        sides.sent("alice", frame(10, 99))
        sides.clock.advance(0.6)
        assert sides.sent("alice", frame(10, 99)) == set()
        sides.clock.advance(0.5)
        assert sides.sent("alice", frame(10, 99))

    def test_floods(self) -> None:
        """
        A port may send a limited number of frames a second to all ports. Frames to one port aren't
        counted.
        """
        sides = Sides(floods=5)
        sides.sent("bob", frame(2, EVERYBODY))
        sent = [sides.sent("alice", frame(1, EVERYBODY)) for _ in range(10)]
        assert [bool(one) for one in sent] == [True] * 5 + [False] * 5
        assert sides.sent("alice", frame(1, 99)) == set()
        assert sides.discards == {STORM: 6}
        assert sides.sent("alice", frame(1, 2)) == {"bob"}
        assert sides.sent("bob", frame(2, 99))
        sides.clock.advance(0.2)
        assert sides.sent("alice", frame(1, EVERYBODY))
        assert not sides.sent("alice", frame(1, EVERYBODY))

    def test_floodsOfTheLAN(self) -> None:
        """
        The TAP device may send ten times as many frames to all ports, as there are many stations
        behind it.
        """
        sides = Sides(floods=5)
        sent = [sides.sent("tap", frame(7, EVERYBODY)) for _ in range(60)]
        assert [bool(one) for one in sent] == [True] * 50 + [False] * 10

    def test_copies(self) -> None:
        """
        The number of copies that all ports together cause in a second is limited, however many
        ports there are.
        """
        sides = Sides(floods=10_000)
        for number in range(96):
            sides.join(f"more{number}", f"user{number}")
        copies = 0
        for number, name in enumerate(sides.ports):
            for _ in range(10):
                copies += len(sides.sent(name, frame(number, EVERYBODY)))
        assert COPIES - 100 < copies <= COPIES
        sides.clock.advance(1)
        assert len(sides.sent("bob", frame(777, EVERYBODY))) == 99

    def test_morePortsThanCopies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A frame to more ports than the limit of copies is sent, and uses up the limit.
        """
        monkeypatch.setattr("pptpgw.networks.ethernet.switch.COPIES", 2)
        sides = Sides()
        assert sides.sent("alice", frame(1, EVERYBODY)) == {"tap", "again", "bob"}
        assert sides.sent("alice", frame(1, EVERYBODY)) == set()
        sides.clock.advance(1)
        assert sides.sent("alice", frame(1, EVERYBODY)) == {"tap", "again", "bob"}


class TestBridges:
    @pytest.mark.parametrize("last", range(16))
    @pytest.mark.parametrize("spanningTree", [False, True])
    def test_reserved(self, last: int, spanningTree: bool) -> None:
        """
        No frame to any of the sixteen reserved addresses is forwarded, except BPDUs where they may
        pass.
        """
        sides = Sides(spanningTree=spanningTree)
        passes = {"tap", "again", "bob"} if spanningTree and last == 0 else set()
        assert sides.sent("alice", frame(1, TREE[:5] + bytes((last,)))) == passes
        assert sides.discards == ({} if passes else {RESERVED: 1})
        assert len(sides.switch) == 0

    def test_beyondTheReserved(self) -> None:
        """
        Addresses beyond the reserved ones, such as GARP's, are ordinary group addresses.
        """
        assert Sides().sent("alice", frame(1, TREE[:5] + b"\x20")) == {"tap", "again", "bob"}

    def test_bpdusDuringAStorm(self) -> None:
        """
        BPDUs pass even when a storm has used up the limits, within a limit of their own.
        """
        sides = Sides(floods=5, spanningTree=True)
        while sides.sent("alice", frame(1, EVERYBODY)):
            pass
        sent = [sides.sent("alice", frame(1, TREE)) for _ in range(BPDUS + 1)]
        assert [bool(one) for one in sent] == [True] * BPDUS + [False]

    def test_copiesOfBPDUs(self) -> None:
        sides = Sides(spanningTree=True)
        for number in range(96):
            sides.join(f"more{number}", f"user{number}")
        copies = 0
        for name in sides.ports:
            copies += len(sides.sent(name, frame(1, TREE)))
        assert BPDU_COPIES - 100 < copies <= BPDU_COPIES


Step = tuple[str, str, int, int, float]
NAMES = ("tap", "alice", "again", "bob")
DESTINATIONS = [EVERYBODY, GROUP, TREE, bytes(6)]
steps = st.lists(
    st.tuples(
        st.sampled_from(["frame"] * 9 + ["leave"]),
        st.sampled_from(NAMES),
        st.integers(0, 30),
        st.integers(-len(DESTINATIONS), 30),
        st.sampled_from([0.0, 0.0, 0.1, 1.5, 3.0, AGEING, AGEING + 1]),
    ),
    max_size=120,
)


@given(steps, st.booleans())
def test_whateverHappens(what: list[Step], spanningTree: bool) -> None:
    """
    No frame returns to its sender or arrives twice, the table never exceeds its limits, and it
    contains only ports that exist.
    """
    users = dict(zip(NAMES, (None, "a", "a", "b"), strict=True))
    sides = Sides(addresses=12, addressesPerSession=5, floods=20, spanningTree=spanningTree)
    for step, name, source, destination, seconds in what:
        sides.clock.advance(seconds)
        if step == "leave":
            sides.switch.leave(sides.ports[name])
            sides.join(name, users[name])
            continue
        to = DESTINATIONS[destination] if destination < 0 else station(destination)
        before = sides.located(to)
        got = sides.sent(name, frame(source, to))
        assert name not in got
        if before is not None and got and destination != source:
            assert [sides.ports[one] for one in got] == [before]
        ports = sides.ports
        held = {one: len(port.addresses) for one, port in ports.items()}
        assert held["tap"] <= 12
        assert max(held["alice"], held["again"], held["bob"]) <= 5
        assert held["alice"] + held["again"] + held["bob"] <= 12
        assert len(sides.switch) == sum(held.values())
        for number in range(31):
            at = sides.located(station(number))
            assert at is None or at in ports.values()

"""
Tests for L{pptpgw.sessions.places}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.sessions.places import GRACE, LATELY, Known, Places

HERE, THERE, ELSEWHERE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class World:
    """
    Places that are numbered in the order in which they were taken.
    """

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.clock = Clock()
        self.known = Known(self.clock.seconds, 4)
        for source in known:
            self.known.add(source)
        self.proven: set[int] = set()
        self.places: Places[int] = Places(
            self.clock.seconds, self.known, lambda item: item in self.proven
        )
        self.count = 0

    def take(self, *sources: str) -> None:
        for source in sources:
            self.places.add(self.count, source)
            self.count += 1


class TestPlaces:
    def test_theOldestOfTheSourceThatHasMost(self) -> None:
        world = World()
        world.take(HERE, THERE, THERE, HERE, THERE)
        assert world.places.displace(ELSEWHERE, 5) == 1
        assert world.places.displace(ELSEWHERE, 5) == 0
        assert world.places.displace(ELSEWHERE, 5) == 2
        assert len(world.places) == 2

    def test_nothingIsTakenFromWhoHasNoMore(self) -> None:
        """
        A newcomer displaces nobody from a source that has no more places than its own. Otherwise
        honest callers in a crowd would displace each other and none would finish.
        """
        world = World()
        world.take(HERE, THERE, THERE)
        assert world.places.displace(THERE, 3) is None
        assert world.places.displace(HERE, 3) is None
        world.places.remove(2)
        assert world.places.displace(ELSEWHERE, 2) is None

    def test_whatIsHeldForLongIsFree(self) -> None:
        world = World()
        world.take(HERE, THERE)
        world.clock.advance(GRACE)
        world.take(ELSEWHERE)
        assert world.places.displace(ELSEWHERE, 3) == 0
        assert world.places.displace(ELSEWHERE, 3) == 1
        assert world.places.displace(HERE, 3) is None

    def test_ofOnesOwn(self) -> None:
        world = World()
        world.take(HERE, THERE, HERE)
        assert world.places.displaceOwn(HERE) is None
        world.clock.advance(GRACE)
        assert world.places.displaceOwn(HERE) == 0
        assert world.places.displaceOwn(HERE) == 2
        assert world.places.displaceOwn(HERE) is None

    def test_whoHasProvenItself(self) -> None:
        """
        A caller that has authenticated isn't displaced and isn't counted any more.
        """
        world = World()
        world.take(HERE, HERE, HERE, THERE, THERE)
        world.proven = {0, 1}
        assert world.places.displace(ELSEWHERE, 5) == 3
        world.clock.advance(GRACE)
        world.proven.add(2)
        assert world.places.displaceOwn(HERE) is None
        assert len(world.places) == 1

    def test_aShareForKnownSources(self) -> None:
        """
        Known sources are sure of half of the places, however many unknown ones there are, and of no
        more.
        """
        world = World([HERE, THERE])
        world.take(*(f"198.51.100.{number}" for number in range(4)))
        assert world.places.displace(ELSEWHERE, 4) is None
        for expected in (0, 1):
            assert world.places.displace(HERE, 4) == expected
            world.take(HERE)
        assert world.places.displace(HERE, 4) is None
        # The second known source takes a place from the known source that has the most.
        assert world.places.displace(THERE, 4) == 4

    def test_othersTakeNoneOfTheShare(self) -> None:
        world = World([HERE])
        world.take(HERE, HERE)
        world.clock.advance(GRACE)
        assert world.places.displace(ELSEWHERE, 4) is None
        world.take(HERE)
        assert world.places.displace(ELSEWHERE, 4) == 0

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=60))
    def test_countsStayTrue(self, steps: list[tuple[str, bool]]) -> None:
        """
        The place to displace is always of a source that has the most places, whoever comes and
        goes.
        """
        world = World()
        living: dict[int, str] = {}
        for source, leaves in steps:
            if leaves and living:
                item = next(iter(living))
                del living[item]
                world.places.remove(item)
                world.places.remove(item)
            else:
                living[world.count] = source
                world.take(source)
        counts = Counter(living.values())
        world.clock.advance(GRACE)
        found = world.places.displace("z", 1)
        if found is None:
            assert not living
        else:
            assert counts[living[found]] == max(counts.values())


class TestKnown:
    def test_aLoginIsForgottenInTime(self) -> None:
        world = World([HERE])
        world.clock.advance(LATELY - 1)
        assert HERE in world.known and THERE not in world.known
        world.known.add(HERE)
        world.clock.advance(LATELY - 1)
        assert HERE in world.known
        world.clock.advance(1)
        assert HERE not in world.known

    def test_theTableHasALimit(self) -> None:
        world = World(["a", "b", "c", "d", "a", "e"])
        assert len(world.known) == 4
        assert "a" in world.known and "b" not in world.known

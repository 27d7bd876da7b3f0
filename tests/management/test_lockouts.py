"""
Tests for L{pptpgw.management.lockouts}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python.failure import Failure

from pptpgw.management.lockouts import Lockouts
from pptpgw.management.operation import Operations
from pptpgw.store.record import FailedAttempts
from pptpgw.testing.exchange import PASSWORD
from tests.management.asking import REMOTE, Asking
from tests.management.managed import STARTED, Managed
from tests.management.stored import MemoryStore

HOME, AWAY = "192.0.2.8", "192.0.2.9"


class Fixture:
    """
    A gateway that locks out users after three failures, with a store, and the management site that
    shows its lockouts.
    """

    def __init__(self) -> None:
        self.world = Managed("[limits]\nmax-failures = 3\nlockout = 600")
        self.world.store = self.store = MemoryStore(self.now)
        self.asking = Asking(Operations(Lockouts(self.world, self.now).operations()))

    def now(self) -> float:
        return STARTED + self.world.clock.seconds()

    def dial(self, name: bytes, password: bytes = PASSWORD, address: str = HOME) -> bool:
        """
        Place a call, and return whether it was set up.
        """
        outcomes: list[object] = []
        self.world.placeCall(self.world.connect(address), name, password).addBoth(outcomes.append)
        self.world.run(10, 0.01)
        (outcome,) = outcomes
        return not isinstance(outcome, Failure)

    def guess(self, name: bytes, count: int = 3) -> None:
        """
        Dial with wrong passwords.
        """
        for _ in range(count):
            assert not self.dial(name, b"wrong", AWAY)

    def keep(self, kind: str, subject: str) -> None:
        """
        Store a lockout, as a gateway does.
        """
        self.store.keepAttempts(FailedAttempts(kind, subject, 10, self.now(), self.now() + 300))

    def listed(self, **query: Any) -> list[tuple[str, str, bool]]:
        answer = self.asking.ask("GET", "/lockouts", **query)
        assert answer.status == 200
        return [(one["kind"], one["subject"], one["enforced"]) for one in answer.json["items"]]

    def stored(self) -> list[str]:
        found: list[Any] = []
        self.store.lockedOut(0).addCallback(found.extend)
        return [one.subject for one in found]


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_whatIsShown(gateway: Fixture) -> None:
    """
    A lockout is shown with its end, which is the time that it was reported to have.
    """
    assert gateway.listed() == []
    gateway.guess(b"Alice")
    (item,) = gateway.asking.ask("GET", "/lockouts").json["items"]
    assert (item["kind"], item["subject"], item["failures"]) == ("user", "alice", 3)
    assert item["enforced"] is True
    assert 0 < item["remaining_seconds"] < 600
    assert item["until"] == pytest.approx(gateway.now() + item["remaining_seconds"])
    gateway.world.rest(item["remaining_seconds"] + 1)
    assert gateway.listed() == []


def test_thoseOfTheStore(gateway: Fixture) -> None:
    """
    The store has lockouts that this gateway doesn't know. A lockout that both know is listed once.
    """
    gateway.guess(b"alice")
    gateway.keep("user", "alice")
    gateway.keep("source", "192.0.2.66")
    alice, other = ("user", "alice", True), ("source", "192.0.2.66", False)
    assert sorted(gateway.listed()) == [other, alice]
    assert gateway.listed(kind="source") == [other]
    assert gateway.listed(subject="AL*") == [alice]
    assert gateway.listed(sort="-subject") == [alice, other]
    assert gateway.listed(enforced="false") == [other]
    assert gateway.asking.ask("GET", "/lockouts", limit=1).json["total"] == 2


def test_aStoreThatDoesNotAnswer(gateway: Fixture) -> None:
    """
    The lockouts of this gateway can be listed without the store.
    """
    gateway.guess(b"alice")
    gateway.store.database.fault = "no answer within 8 s"
    assert gateway.asking.ask("GET", "/lockouts").status == 503
    assert gateway.listed(enforced="true") == [("user", "alice", True)]


def test_clearedAtOnce(gateway: Fixture) -> None:
    """
    A user whose lockout is cleared gets in at once, and the store's row goes too.
    """
    gateway.guess(b"alice")
    gateway.keep("user", "alice")
    assert not gateway.dial(b"alice")
    answer = gateway.asking.ask("DELETE", "/lockouts/user/alice")
    assert answer.json == {"subjects": [{"kind": "user", "subject": "alice"}]}
    assert gateway.listed() == [] and gateway.stored() == []
    assert gateway.world.setUpCall(b"alice")
    assert gateway.asking.ask("DELETE", "/lockouts/user/alice").status == 404
    # Guesses count from the beginning again.
    gateway.guess(b"alice", 2)
    assert gateway.listed() == []


def test_aStoredOneIsCleared(gateway: Fixture) -> None:
    """
    A lockout that only the store has can be cleared, whatever characters its subject has.
    """
    gateway.keep("user", "a/b é%")
    gateway.keep("user", "c")
    assert gateway.asking.ask("DELETE", "/lockouts/user/a%2Fb%20%C3%A9%25").status == 200
    assert gateway.stored() == ["c"]


def test_manyAreCleared(gateway: Fixture) -> None:
    """
    A query clears all lockouts that it chooses; one that chooses by nothing clears none.
    """
    gateway.guess(b"alice")
    gateway.guess(b"bob")
    gateway.keep("user", "bob")
    gateway.keep("user", "carol")
    assert gateway.asking.ask("DELETE", "/lockouts").status == 400
    assert len(gateway.listed()) == 3
    cleared = gateway.asking.ask("DELETE", "/lockouts", subject="?ob").json["subjects"]
    assert cleared == [{"kind": "user", "subject": "bob"}]
    assert gateway.stored() == ["carol"]
    assert len(gateway.asking.ask("DELETE", "/lockouts", subject="*").json["subjects"]) == 2
    assert gateway.listed() == []
    assert gateway.asking.ask("DELETE", "/lockouts", subject="*").json == {"subjects": []}


def test_withoutAStore(gateway: Fixture) -> None:
    """
    A gateway without a store has its own lockouts.
    """
    gateway.world.store = None
    gateway.guess(b"alice")
    assert gateway.listed() == [("user", "alice", True)]
    assert gateway.asking.ask("DELETE", "/lockouts/user/alice").status == 200
    assert gateway.listed() == []


@pytest.mark.parametrize("path", ["/lockouts/user/nobody", "/lockouts/host/alice"])
def test_noSuchLockout(gateway: Fixture, path: str) -> None:
    gateway.guess(b"alice")
    assert gateway.asking.ask("DELETE", path).status == 404
    assert gateway.listed() == [("user", "alice", True)]


def test_nobodyElse(gateway: Fixture) -> None:
    """
    A request by TCP is refused.
    """
    gateway.guess(b"alice")
    for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", "/user/alice")):
        answer = gateway.asking.ask(method, f"/lockouts{path}", host=REMOTE, subject="*")
        assert answer.status == 401
    assert len(gateway.listed()) == 1

"""
Tests for L{pptpgw.management.users}, L{pptpgw.management.profiles} and
L{pptpgw.management.attributes}, with users who dial in memory.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from pptpgw.auth.checkers import AccountsChecker
from pptpgw.interfaces import Outcome
from pptpgw.management.accounts import ManagedAccounts
from pptpgw.management.attempts import AttemptList
from pptpgw.management.attributes import Attributes, judged, shownAttributes
from pptpgw.management.importing import Imports
from pptpgw.management.lockouts import Lockouts
from pptpgw.management.operation import Operations
from pptpgw.management.profiles import Profiles
from pptpgw.management.rates import Rates
from pptpgw.management.sessions import Sessions
from pptpgw.management.users import Users
from pptpgw.store.attribute import ATTRIBUTES, check
from pptpgw.store.record import Account, SessionRecord
from pptpgw.testing.makers import resultOf
from tests.management.asking import REMOTE, Answer, Asking
from tests.management.managed import STARTED, Managed
from tests.management.stored import MemoryStore
from tests.store.test_attribute import ALLOWED

FILTER = '[[network.filter]]\nname = "web"\nrules = ["permit ip from any to any"]\n'
POOLS = """
[ipv4]
pool = ["10.77.0.10-10.77.0.11"]
[[ipv4.pools]]
name = "staff"
ranges = ["10.88.0.10-10.88.0.20"]
"""


class Fixture:
    """
    A gateway whose users are in a store, and the management site that shows them.
    """

    def __init__(self, folder: Path) -> None:
        self.clock: Any = None
        self.store = MemoryStore(self.now, folder / "key")
        checker = AccountsChecker(lambda section: self.store, self.now)
        self.world = Managed(FILTER + POOLS + "[limits]\nmax-failures = 3", [checker])
        self.clock = self.world.clock
        self.world.store, self.world.stores = self.store, (self.store,)
        accounts, lockouts = ManagedAccounts(self.world), Lockouts(self.world, self.now)
        self.rates = Rates(self.world.clock, self.world.sessions)
        sessions = Sessions(self.world, self.rates)
        subjects = (
            Users(self.world, accounts, sessions, lockouts, self.now),
            Profiles(accounts),
            Imports(self.world, accounts, execute),
            AttemptList(self.world, self.now),
        )
        self.asking = Asking(
            Operations(operation for one in subjects for operation in one.operations())
        )

    def now(self) -> float:
        return STARTED + (self.clock.seconds() if self.clock else 0)

    def ask(self, method: str, path: str, body: object = None, **query: Any) -> Answer:
        return self.asking.ask(method, path, body, **query)

    def done(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        """
        Ask for what must succeed.
        """
        answer = self.ask(method, path, body, **query)
        assert answer.status in (200, 204), answer
        return answer.json if answer.octets else None

    def make(self, name: str, **more: Any) -> Any:
        return self.done("POST", "/users", {"name": name, "password": f"of {name}", **more})

    def dial(self, name: str, password: str = "") -> bool:
        """
        Place a call, and return whether it was set up.
        """
        outcomes: list[object] = []
        octets = (password or f"of {name}").encode()
        placed = self.world.placeCall(self.world.connect(), name.encode(), octets)
        placed.addBoth(outcomes.append)
        self.world.run(10, 0.01)
        (outcome,) = outcomes
        return not isinstance(outcome, Failure)

    def users(self, **query: Any) -> list[str]:
        return [one["name"] for one in self.done("GET", "/users", **query)["items"]]

    def account(self, name: str) -> Account:
        found: Account | None = resultOf(self.store.account(name))
        assert found is not None
        return found

    def connected(self) -> list[str]:
        self.world.run(1)
        return sorted(one.user for one in self.world.sessions)


@pytest.fixture
def gateway(tmp_path: Path) -> Fixture:
    made = Fixture(tmp_path)
    made.done("POST", "/profiles", {"name": "staff", "attributes": {"pool": "staff"}})
    made.make("alice", attributes={"sessions": 2, "session_timeout": 3600}, profile="staff")
    made.make("bob", expires=STARTED + 100_000)
    return made


def rate(session: Any) -> int | None:
    """
    How many bits a second C{session} may send.
    """
    found: int | None = session.profile.sendRate
    return found


class TestShown:
    """
    Tests for what is shown.
    """

    def test_aList(self, gateway: Fixture) -> None:
        """
        An item of the list has what the account says, and nothing of the password.
        """
        assert gateway.dial("alice")
        answer = gateway.ask("GET", "/users")
        alice, bob = answer.json["items"]
        assert (alice["name"], alice["state"], alice["profile"]) == ("alice", "enabled", "staff")
        assert alice["attributes"] == {"sessions": 2, "session_timeout": 3600}
        assert (alice["sessions"], bob["sessions"]) == (1, 0)
        assert alice["created"] == alice["password_changed"] == STARTED
        assert bob["expires"] == STARTED + 100_000 and alice["expires"] is None
        account = gateway.account("alice")
        assert account.ntHash.hex().encode() not in answer.octets.lower()

    @pytest.mark.parametrize(
        ("query", "users"),
        [
            ({}, ["alice", "bob"]),
            ({"name": "A*"}, ["alice"]),
            ({"profile": ""}, ["bob"]),
            ({"profile": "staff"}, ["alice"]),
            ({"state": "disabled"}, []),
            ({"recoverable": "true"}, []),
            ({"sort": "-name"}, ["bob", "alice"]),
            ({"sort": "expires", "limit": 1}, ["alice"]),
        ],
    )
    def test_chosenAndOrdered(
        self, gateway: Fixture, query: dict[str, str], users: list[str]
    ) -> None:
        assert gateway.users(**query) == users

    def test_one(self, gateway: Fixture) -> None:
        """
        A user is shown with what the profile says, the current sessions and the sum of all.
        """
        assert gateway.dial("alice")
        (session,) = gateway.world.sessions
        record = SessionRecord("1", "alice", "gate", "192.0.2.7", 0, 60, octetsReceived=5, ended=60)
        resultOf(gateway.store.sessionEnded(record))
        alice = gateway.done("GET", "/users/alice")
        assert alice["inherited"] == {"pool": "staff"}
        assert [one["session_id"] for one in alice["current"]] == [session.identifier]
        assert alice["current"][0]["addresses"] == ["10.88.0.10"]
        assert alice["lockout"] is None
        assert alice["usage"] == {
            "sessions": 1,
            "seconds": 60,
            "octets_received": 5,
            "octets_sent": 0,
        }
        assert "hash" not in str(alice).lower()
        assert gateway.done("GET", "/users/bob")["usage"] is None
        assert gateway.ask("GET", "/users/carol").status == 404

    def test_aLockout(self, gateway: Fixture) -> None:
        """
        A user who is locked out is shown with the lockout.
        """
        for _ in range(3):
            assert not gateway.dial("bob", "wrong")
        lockout = gateway.done("GET", "/users/bob")["lockout"]
        assert (lockout["subject"], lockout["failures"], lockout["enforced"]) == ("bob", 3, True)

    def test_anExpiredPassword(self, gateway: Fixture) -> None:
        gateway.done("PATCH", "/users/bob", {"expires": 1})
        assert gateway.users(state="password*") == ["bob"]


class TestMade:
    """
    Tests for making users.
    """

    def test_whoIsMadeMayCall(self, gateway: Fixture) -> None:
        made = gateway.make("carol", attributes={"address": "10.77.0.99", "filter": "web"})
        assert made["attributes"] == {"address": "10.77.0.99", "filter": "web"}
        assert gateway.dial("carol")
        (session,) = gateway.world.sessions
        assert gateway.world.sessions.sessionFor("10.77.0.99") is session
        assert session.profile.filter == "web"

    def test_anAddressIsReservedAtOnce(self, gateway: Fixture) -> None:
        """
        The pool gives an address that an account owns to nobody else, until the account is removed.
        """
        gateway.make("carol", attributes={"address": "10.77.0.10"})
        gateway.make("dave")
        assert gateway.dial("bob")
        assert gateway.world.sessions.sessionFor("10.77.0.11")
        assert not gateway.dial("dave")
        gateway.done("DELETE", "/users/carol")
        assert gateway.dial("dave")
        assert gateway.world.sessions.sessionFor("10.77.0.10")

    def test_aRecoverablePassword(self, gateway: Fixture) -> None:
        gateway.make("carol", recoverable=True)
        assert gateway.users(recoverable="true") == ["carol"]
        sealed = gateway.account("carol").sealed
        assert gateway.store.vault.open("carol", sealed) == b"of carol"

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"name": "carol"}, "password"),
            ({"name": "carol", "password": ""}, "password"),
            ({"name": "", "password": "x"}, "name"),
            ({"name": "a\0b", "password": "x"}, "NUL"),
            ({"name": "x" * 256, "password": "x"}, "name"),
            ({"name": "carol", "password": "x", "hash": "00"}, "hash"),
            ({"name": "carol", "password": "x", "profile": "none"}, "no profile none"),
            ({"name": "carol", "password": "x", "attributes": {"colour": "red"}}, "colour"),
            ({"name": "carol", "password": "x", "attributes": {"mtu": 5}}, "mtu 5: must be"),
            ({"name": "carol", "password": "x", "attributes": {"mtu": True}}, "mtu"),
            ({"name": "carol", "password": "x", "attributes": {"pool": "big"}}, "no pool big"),
            ({"name": "carol", "password": "x", "attributes": {"filter": "x"}}, "no filter x"),
            (
                {"name": "carol", "password": "x", "attributes": {"address": "10.77.0.1"}},
                "the gateway's own",
            ),
        ],
    )
    def test_refused(self, gateway: Fixture, body: object, words: str) -> None:
        """
        A user that can't be as it is asked for isn't made, and the problem says why.
        """
        answer = gateway.ask("POST", "/users", body)
        assert answer.status == 400 and words in answer.json["detail"], answer
        assert "--" not in answer.json["detail"]
        assert gateway.users() == ["alice", "bob"]

    def test_taken(self, gateway: Fixture) -> None:
        assert gateway.ask("POST", "/users", {"name": "bob", "password": "x"}).status == 409


class TestChanged:
    """
    Tests for changes, and what becomes of current sessions.
    """

    def test_attributes(self, gateway: Fixture) -> None:
        """
        A change leaves current sessions alone, unless it is asked to apply to them.
        """
        assert gateway.dial("alice")
        (session,) = gateway.world.sessions
        change = {"attributes": {"send_rate": 64000, "sessions": None}}
        assert gateway.done("PATCH", "/users/alice", change) == {
            "sessions": 1,
            "ended": [],
            "changed": [],
        }
        assert rate(session) is None
        assert gateway.done("GET", "/users/alice")["attributes"] == {
            "session_timeout": 3600,
            "send_rate": 64000,
        }
        assert gateway.done("PATCH", "/users/alice", {}, now="true") == {
            "sessions": 0,
            "ended": [],
            "changed": [session.identifier],
        }
        assert rate(session) == 64000 and session.profile.sessions is None
        assert session.profile.pool == "staff"
        assert gateway.connected() == ["alice"]

    def test_aLimitEndsTheSession(self, gateway: Fixture) -> None:
        """
        A time limit that is given to a session while it lasts ends it.
        """
        assert gateway.dial("bob")
        gateway.done("PATCH", "/users/bob", {"attributes": {"session_timeout": 30}}, now="true")
        gateway.world.rest(31)
        assert gateway.connected() == []

    def test_disabled(self, gateway: Fixture) -> None:
        """
        A user who is disabled goes on, unless it is asked that the sessions end; a new call is
        refused until the user is enabled.
        """
        assert gateway.dial("alice") and gateway.dial("bob")
        left = gateway.done("PATCH", "/users/alice", {"disabled": True})
        assert left["sessions"] == 1 and left["ended"] == []
        assert gateway.connected() == ["alice", "bob"]
        ended = gateway.done("PATCH", "/users/alice", {"disabled": True}, now="true")
        assert ended["sessions"] == 0 and len(ended["ended"]) == 1
        assert gateway.connected() == ["bob"]
        assert gateway.users(state="disabled") == ["alice"]
        assert not gateway.dial("alice")
        gateway.done("PATCH", "/users/alice", {"disabled": False})
        assert gateway.dial("alice")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/users/alice", {"disabled": True}),
            ("PATCH", "/users/alice", {"attributes": {"session_timeout": 30}}),
            ("PATCH", "/profiles/staff", {"attributes": {"session_timeout": 30}}),
            ("PUT", "/users/alice/password", {"password": "another"}),
            ("DELETE", "/users/alice", None),
            ("DELETE", "/attempts", None),
        ],
    )
    def test_callsThatAreBeingSetUp(
        self,
        gateway: Fixture,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        path: str,
        body: object,
    ) -> None:
        """
        What applies now ends the user's calls that were judged before it and have no session yet,
        and no others.
        """
        held: list[Deferred[None]] = []
        network = gateway.world.networks["ipv4"]
        make = network.makeProtocol

        def hold(*subscriber: Any) -> Deferred[Any]:
            held.append(Deferred())
            return held[-1].addCallback(lambda _: make(*subscriber))

        monkeypatch.setattr(network, "makeProtocol", hold)
        outcomes: dict[str, object] = {}
        for name in ("alice", "bob"):
            placed = gateway.world.placeCall(
                gateway.world.connect(), name.encode(), f"of {name}".encode()
            )
            placed.addBoth(partial(outcomes.__setitem__, name))
        gateway.world.run(2, 0.01)
        assert not outcomes and not gateway.connected()
        query = {"user": "alice"} if path == "/attempts" else {"now": "true"}
        ended = gateway.done(method, path, body, **query)
        for one in held:
            one.callback(None)
        gateway.world.run(3, 0.01)
        (failed,) = gateway.world.attempts.find(outcome=Outcome.FAILED)
        assert list(ended.get("ended", ended.get("session_ids"))) == [failed.identifier]
        assert failed.cause.startswith("disconnected by ")
        assert gateway.connected() == ["bob"]

    def test_aPassword(self, gateway: Fixture) -> None:
        assert gateway.dial("bob")
        new = {"password": "another"}
        assert gateway.done("PUT", "/users/bob/password", new)["sessions"] == 1
        assert not gateway.dial("bob") and gateway.dial("bob", "another")
        assert len(gateway.done("PUT", "/users/bob/password", new, now="1")["ended"]) == 2
        assert gateway.connected() == []
        assert gateway.done("GET", "/users/bob")["expires"] is None

    def test_removed(self, gateway: Fixture) -> None:
        assert gateway.dial("bob")
        assert gateway.done("DELETE", "/users/bob")["sessions"] == 1
        assert gateway.connected() == ["bob"] and gateway.users() == ["alice"]
        gateway.make("bob")
        assert len(gateway.done("DELETE", "/users/bob", now="true")["ended"]) == 1
        assert gateway.connected() == [] and not gateway.dial("bob")

    def test_profilesOfAUser(self, gateway: Fixture) -> None:
        gateway.done("PATCH", "/users/bob", {"profile": "staff"})
        assert gateway.users(profile="staff") == ["alice", "bob"]
        gateway.done("PATCH", "/users/bob", {"profile": ""})
        assert gateway.users(profile="staff") == ["alice"]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"attributes": {"mtu": "large"}}, 400),
            ({"attributes": {"pool": "big"}}, 400),
            ({"password": "x"}, 400),
            ({"disabled": 1}, 400),
            ({"profile": "none"}, 404),
        ],
    )
    def test_refused(self, gateway: Fixture, body: object, status: int) -> None:
        before = gateway.done("GET", "/users/alice")
        assert gateway.ask("PATCH", "/users/alice", body, now="true").status == status
        assert gateway.done("GET", "/users/alice") == before

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "", {}),
            ("PUT", "/password", {"password": "x"}),
            ("DELETE", "", None),
        ],
    )
    def test_nobody(self, gateway: Fixture, method: str, path: str, body: object) -> None:
        assert gateway.ask(method, f"/users/carol{path}", body).status == 404


class TestProfiles:
    """
    Tests for profiles.
    """

    def test_shown(self, gateway: Fixture) -> None:
        gateway.done("POST", "/profiles", {"name": "guests"})
        listed = gateway.done("GET", "/profiles", sort="-users")
        assert listed["items"] == [
            {"name": "staff", "attributes": {"pool": "staff"}, "users": 1},
            {"name": "guests", "attributes": {}, "users": 0},
        ]
        assert gateway.done("GET", "/profiles", name="G*")["total"] == 1
        assert gateway.done("GET", "/profiles/staff") == listed["items"][0]
        assert gateway.ask("GET", "/profiles/none").status == 404

    def test_changed(self, gateway: Fixture) -> None:
        """
        A change of a profile applies to the sessions of all who share it, if that is asked for.
        """
        assert gateway.dial("alice") and gateway.dial("bob")
        change = {"attributes": {"send_rate": 1_000_000, "session_timeout": 5}}
        assert gateway.done("PATCH", "/profiles/staff", change)["sessions"] == 1
        (alice,) = [one for one in gateway.world.sessions if one.user == "alice"]
        assert rate(alice) is None
        changed = gateway.done("PATCH", "/profiles/staff", change, now="true")
        assert changed == {"sessions": 0, "ended": [], "changed": [alice.identifier]}
        assert rate(alice) == 1_000_000
        # The user's own attribute takes precedence.
        assert alice.profile.sessionTimeout == 3600

    def test_anAddress(self, gateway: Fixture) -> None:
        """
        An address that a profile gives its users is reserved at once.
        """
        gateway.done("PATCH", "/profiles/staff", {"attributes": {"address": "10.77.0.10"}})
        assert gateway.dial("bob")
        assert gateway.world.sessions.sessionFor("10.77.0.11")

    def test_removed(self, gateway: Fixture) -> None:
        assert gateway.ask("DELETE", "/profiles/staff").status == 409
        gateway.done("PATCH", "/users/alice", {"profile": ""})
        assert gateway.ask("DELETE", "/profiles/staff").status == 204
        assert gateway.done("GET", "/profiles")["total"] == 0
        assert gateway.ask("DELETE", "/profiles/staff").status == 404

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "", {"name": "staff"}, 409),
            ("POST", "", {"name": "x", "attributes": {"pool": "big"}}, 400),
            ("POST", "", {"name": "a\0"}, 400),
            ("PATCH", "/staff", {}, 400),
            ("PATCH", "/staff", {"attributes": {"mtu": 1}}, 400),
            ("PATCH", "/none", {"attributes": {}}, 404),
        ],
    )
    def test_refused(
        self, gateway: Fixture, method: str, path: str, body: object, status: int
    ) -> None:
        before = gateway.done("GET", "/profiles")
        assert gateway.ask(method, f"/profiles{path}", body).status == status
        assert gateway.done("GET", "/profiles") == before


def test_severalStores(gateway: Fixture) -> None:
    """
    Users are looked for in all stores, and an account of the first store hides one of the second.
    """
    second = MemoryStore(gateway.now)
    resultOf(second.addAccount("alice", b"x"))
    resultOf(second.addAccount("zoe", b"x"))
    gateway.world.stores = gateway.store, second
    assert gateway.users() == ["alice", "bob", "zoe"]
    assert gateway.users(profile="staff") == ["alice"]
    gateway.done("DELETE", "/users/zoe")
    assert gateway.users() == ["alice", "bob"]
    assert gateway.ask("POST", "/users", {"name": "alice", "password": "x"}).status == 409


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users", None),
        ("GET", "/users/alice", None),
        ("POST", "/users", {"name": "x", "password": "x"}),
        ("PATCH", "/users/alice", {}),
        ("PUT", "/users/alice/password", {"password": "x"}),
        ("DELETE", "/users/alice", None),
        ("GET", "/profiles", None),
        ("GET", "/profiles/staff", None),
        ("POST", "/profiles", {"name": "x"}),
        ("PATCH", "/profiles/staff", {"attributes": {}}),
        ("DELETE", "/profiles/staff", None),
    ],
)
def test_whatCanNotBeDone(gateway: Fixture, method: str, path: str, body: object) -> None:
    """
    Without a store, and with one that doesn't answer, the problem says so; by TCP nothing is done.
    """
    assert gateway.asking.ask(method, path, body, host=REMOTE).status == 401
    gateway.store.database.fault = "no answer within 8 s"
    assert gateway.ask(method, path, body).status == 503
    gateway.world.stores = ()
    assert gateway.ask(method, path, body).status == 409
    gateway.world.stores = (gateway.store,)
    gateway.store.database.fault = ""
    assert gateway.users() == ["alice", "bob"]


def test_everyAttribute() -> None:
    """
    An attribute that is checked is shown as it was given.
    """
    for option in ATTRIBUTES:
        text = check(option, ALLOWED[option][0])
        octets = msgspec.json.encode(shownAttributes({option: text}))
        assert judged(msgspec.json.decode(octets, type=Attributes)) == {option: text}

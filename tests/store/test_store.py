"""
Tests for L{pptpgw.store.store}, in both databases.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from itertools import permutations
from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList
from zope.interface.verify import verifyObject

from pptpgw.error import ConfigurationError
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.cause import Termination
from pptpgw.store import attempt
from pptpgw.store.error import InUse, StoreError, Taken, Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.record import (
    Account,
    Draft,
    FailedAttempts,
    SessionRecord,
    SharedProfile,
    TunnelUsage,
    Usage,
)
from pptpgw.store.session import _day
from pptpgw.store.store import Store
from tests.store.conftest import NOW, MakeStore

ODD_NAMES = [
    "a b",
    "O'Reilly",
    '"; DROP TABLE users; --',
    "ünïcode",
    "%s",
    "?",
    "\\x80",
    "\t",
    "x" * 255,
]
DAY = 86400.0
HASH = bytes(range(16))


async def account(store: Store, name: str = "bob") -> Account:
    """
    The account of C{name}, which must exist.
    """
    found = await store.account(name)
    assert found is not None
    return found


def test_itProvidesItsInterface(store: Store) -> None:
    assert verifyObject(IStore, store)


class TestAccounts:
    async def test_aUser(self, store: Store) -> None:
        await store.addAccount("bob", b"battery", attributes={"sessions": "2"})
        bob = await account(store)
        assert bob.ntHash == ntPasswordHash(b"battery")
        assert (bob.sealed, bob.disabled, bob.shared, bob.expires) == ("", False, "", None)
        assert (bob.created, bob.passwordChanged) == (NOW, NOW)
        assert (bob.profile.name, bob.profile.sessions) == ("bob", 2)

    async def test_noUser(self, store: Store) -> None:
        assert (await store.account("nobody")) is None
        assert (await store.accounts()) == []

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 256])
    async def test_whatNobodyIsCalled(self, store: Store, name: str) -> None:
        """
        A name that no account can have is refused for a new account, and unknown as a caller's.
        """
        with pytest.raises(StoreError, match="characters"):
            await store.addAccount(name, b"x")
        assert (await store.account(name)) is None

    async def test_oddNames(self, store: Store) -> None:
        for name in ODD_NAMES:
            await store.addAccount(name, name.encode())
        for name in ODD_NAMES:
            found = await account(store, name)
            assert (found.name, found.ntHash) == (name, ntPasswordHash(name.encode()))
        assert len(await store.accounts()) == len(ODD_NAMES)

    async def test_namesAreTakenAsTheyAre(self, store: Store) -> None:
        """
        Names are compared exactly, as in chap-secrets: Bob isn't bob.
        """
        await store.addAccount("bob", b"x")
        assert (await store.account("Bob")) is None

    async def test_aNameIsTakenOnce(self, store: Store) -> None:
        await store.addAccount("bob", b"battery")
        with pytest.raises(Taken, match="a user bob already"):
            await store.addAccount("bob", b"other")
        assert (await account(store)).ntHash == ntPasswordHash(b"battery")

    async def test_aRecoverablePassword(self, store: Store) -> None:
        await store.addAccount("bob", b"battery", recoverable=True)
        bob = await account(store)
        assert store.vault.open("bob", bob.sealed) == b"battery"
        assert b"battery" not in bob.sealed.encode()

    async def test_secretsAreInNoRepr(self, store: Store) -> None:
        await store.addAccount("bob", b"battery", recoverable=True)
        bob = await account(store)
        assert bob.sealed not in repr(bob)
        assert repr(bob.ntHash) not in repr(bob)
        assert bob.ntHash.hex() not in repr(bob)

    async def test_anotherPassword(self, store: Store) -> None:
        await store.addAccount("bob", b"battery", recoverable=True, expires=5.0)
        await store.changePassword("bob", b"staple")
        bob = await account(store)
        assert (bob.ntHash, bob.sealed, bob.expires) == (ntPasswordHash(b"staple"), "", None)
        await store.changePassword("bob", b"horse", recoverable=True, expires=7.0)
        bob = await account(store)
        assert store.vault.open("bob", bob.sealed) == b"horse"
        assert bob.expires == 7.0

    async def test_anotherNTHash(self, store: Store, makeStore: MakeStore) -> None:
        """
        An NT hash, as MS-CHAPv2's Change-Password gives it, replaces the recoverable password,
        which would be another one.
        """
        later = makeStore(store.url, now=lambda: NOW + 9)
        await store.addAccount("bob", b"battery", recoverable=True, expires=NOW)
        assert (await account(store)).expired(NOW)
        await later.setPassword("bob", bytes(range(16)))
        bob = await account(store)
        assert (bob.ntHash, bob.sealed, bob.expires) == (bytes(range(16)), "", None)
        assert (bob.created, bob.passwordChanged) == (NOW, NOW + 9)
        assert not bob.expired(NOW)

    async def test_expiry(self, store: Store) -> None:
        await store.addAccount("bob", b"x")
        await store.setExpiry("bob", NOW + 1)
        assert not (await account(store)).expired(NOW + 0.5)
        assert (await account(store)).expired(NOW + 1)
        await store.setExpiry("bob", None)
        assert not (await account(store)).expired(NOW + 1e9)

    async def test_disabled(self, store: Store) -> None:
        await store.addAccount("bob", b"x")
        await store.changeAccount("bob", disabled=True)
        assert (await account(store)).disabled
        await store.changeAccount("bob", attributes={"sessions": "1"})
        assert (await account(store)).disabled
        await store.changeAccount("bob", disabled=False)
        assert not (await account(store)).disabled

    async def test_attributesAreMerged(self, store: Store) -> None:
        await store.addAccount("bob", b"x", attributes={"sessions": "1", "mtu": "1280"})
        await store.changeAccount("bob", attributes={"mtu": None, "dns": "192.0.2.1"})
        assert (await account(store)).attributes == {"sessions": "1", "dns": "192.0.2.1"}

    async def test_changesAtOnceAreAllMade(self, store: Store) -> None:
        """
        Changes at the same time are all applied: what one has read to merge stays true until it is
        written.
        """
        await store.addAccount("bob", b"x")
        names = [f"a{number}" for number in range(40)]
        changes = [store.changeAccount("bob", attributes={name: "1"}) for name in names]
        await DeferredList(changes, fireOnOneErrback=True)
        assert sorted((await account(store)).attributes) == sorted(names)

    async def test_removed(self, store: Store) -> None:
        await store.addAccount("bob", b"x")
        await store.removeAccount("bob")
        assert (await store.account("bob")) is None

    @pytest.mark.parametrize("recoverable", [False, True])
    async def test_thereIsNobodyToChange(self, store: Store, recoverable: bool) -> None:
        for change in (
            store.changeAccount("nobody", disabled=True),
            store.changePassword("nobody", b"x", recoverable=recoverable),
            store.setPassword("nobody", bytes(16)),
            store.setExpiry("nobody", 1.0),
            store.removeAccount("nobody"),
        ):
            with pytest.raises(Unknown, match="no user nobody"):
                await change

    async def test_manyAreTakenTogether(self, store: Store) -> None:
        """
        Users of a list are made and changed, and what the list doesn't say of a user remains.
        """
        await store.addProfile("gold", {})
        await store.addAccount("bob", b"old", attributes={"mtu": "1400", "sessions": "1"})
        await store.changeAccount("bob", disabled=True, shared="gold")
        drafts = [
            Draft("ann", HASH, attributes={"mtu": "1300"}, shared="gold", disabled=True),
            Draft("bob", HASH, "sealed", {"sessions": "2"}, expires=NOW + 5),
        ]
        assert await store.takeAccounts(drafts, update=True) == (1, 1)
        ann, bob = await account(store, "ann"), await account(store)
        assert (ann.ntHash, ann.sealed, ann.created, ann.expires) == (HASH, "", NOW, None)
        assert (ann.attributes, ann.shared, ann.disabled) == ({"mtu": "1300"}, "gold", True)
        assert (bob.ntHash, bob.sealed, bob.expires) == (HASH, "sealed", NOW + 5)
        assert bob.attributes == {"mtu": "1400", "sessions": "2"}
        assert (bob.shared, bob.disabled) == ("gold", True)

    async def test_allAreTakenOrNone(self, store: Store) -> None:
        """
        A user who exists, a profile that doesn't, and a name that nobody can have make all of it
        fail.
        """
        await store.addAccount("bob", b"x")
        ann = Draft("ann", HASH)
        with pytest.raises(Taken, match="there is a user bob already"):
            await store.takeAccounts([ann, Draft("bob", HASH)])
        with pytest.raises(Unknown, match="there is no profile gold"):
            await store.takeAccounts([ann, Draft("carol", HASH, shared="gold")])
        with pytest.raises(StoreError, match="a name has 1 to 255 characters"):
            await store.takeAccounts([ann, Draft("", HASH)])
        assert [one.name for one in await store.accounts()] == ["bob"]

    async def test_attributesThatSomebodyElseSpoiled(self, store: Store) -> None:
        await store.addAccount("bob", b"x", attributes={"sessions": "many"})
        with pytest.raises(ConfigurationError, match="bob: sessions = 'many': must be a whole"):
            _ = (await account(store)).profile
        await store.changeAccount("bob", attributes={"sessions": None, "speed": "1"})
        with pytest.raises(ConfigurationError, match="bob: no attribute is called speed"):
            _ = (await account(store)).profile


class TestProfiles:
    async def test_usersShareThem(self, store: Store) -> None:
        """
        Users share a profile. A user's own attributes override it, and C{*} resets one to the
        configuration's value.
        """
        shared = {"address": "10.1.0.0/16", "sessions": "3", "mtu": "1280"}
        await store.addProfile("staff", shared)
        await store.addAccount("ann", b"x", shared="staff")
        own = {"address": "10.1.0.7", "mtu": "*"}
        await store.addAccount("bob", b"x", shared="staff", attributes=own)
        ann, bob = (await account(store, "ann")).profile, (await account(store)).profile
        assert (ann.addresses, ann.sessions, ann.mtu) == ((IPv4Network("10.1.0.0/16"),), 3, 1280)
        assert (bob.addresses, bob.sessions, bob.mtu) == ((IPv4Network("10.1.0.7"),), 3, None)
        assert (await store.profiles()) == [SharedProfile("staff", shared, 2)]

    async def test_changesReachEverybody(self, store: Store) -> None:
        await store.addProfile("staff", {"sessions": "3", "mtu": "1280"})
        await store.addAccount("ann", b"x", shared="staff")
        await store.changeProfile("staff", {"sessions": "4", "mtu": None})
        profile = (await account(store, "ann")).profile
        assert (profile.sessions, profile.mtu) == (4, None)

    async def test_anotherOne(self, store: Store) -> None:
        await store.addProfile("staff", {"sessions": "3"})
        await store.addAccount("ann", b"x")
        await store.changeAccount("ann", shared="staff")
        assert (await account(store, "ann")).profile.sessions == 3
        await store.changeAccount("ann", shared="")
        assert (await account(store, "ann")).profile.sessions is None

    async def test_oneThatIsSharedStays(self, store: Store) -> None:
        await store.addProfile("staff", {})
        await store.addAccount("ann", b"x", shared="staff")
        with pytest.raises(InUse, match="1 users share the profile staff"):
            await store.removeProfile("staff")
        await store.removeAccount("ann")
        await store.removeProfile("staff")
        assert (await store.profiles()) == []

    async def test_oneThatIsNotThere(self, store: Store) -> None:
        await store.addAccount("ann", b"x")
        for change in (
            store.addAccount("bob", b"x", shared="staff"),
            store.changeAccount("ann", disabled=True, shared="staff"),
            store.changeProfile("staff", {}),
            store.removeProfile("staff"),
        ):
            with pytest.raises(Unknown, match="no profile staff"):
                await change
        # Nothing was changed partly.
        assert (await store.account("bob")) is None
        assert not (await account(store, "ann")).disabled

    async def test_aNameIsTakenOnce(self, store: Store) -> None:
        await store.addProfile("staff", {"mtu": "1280"})
        with pytest.raises(Taken, match="a profile staff already"):
            await store.addProfile("staff", {})
        with pytest.raises(StoreError, match="characters"):
            await store.addProfile("", {})


STARTED = SessionRecord(
    "a1", "bob", "gate", "192.0.2.7", NOW, NOW, "mschapv2", "MPPE 128 bit", ("10.1.0.7/32",)
)
CHANGED = replace(STARTED, changed=NOW + 60, octetsReceived=1 << 40, octetsSent=5, packetsSent=1)
ENDED = replace(
    CHANGED, changed=NOW + 90, ended=NOW + 90, octetsSent=7, cause="the user hung up", code=1
)


class TestSessions:
    async def test_aSession(self, store: Store) -> None:
        await store.sessionStarted(STARTED)
        assert (await store.sessions()) == [STARTED]
        assert (await store.usage()) == [Usage("bob", 1, 0.0, 0, 0)]
        await store.sessionChanged(CHANGED)
        assert (await store.sessions()) == [CHANGED]
        assert (await store.usage()) == [Usage("bob", 1, 60.0, 1 << 40, 5)]
        await store.sessionEnded(ENDED)
        assert (await store.sessions()) == [ENDED]
        assert (await store.usage()) == [Usage("bob", 1, 90.0, 1 << 40, 7)]

    async def test_theOrderOfArrivalDoesNotMatter(self, store: Store) -> None:
        """
        The records of a session have the same result in any order, also if one arrives twice.
        """
        records = (STARTED, CHANGED, ENDED, ENDED)
        orders = sorted(set(permutations(records)), key=str)
        for number, order in enumerate(orders):
            for record in order:
                (
                    await store.sessionChanged(
                        replace(record, identifier=str(number), user=str(number))
                    )
                )
        assert {replace(one, identifier="a1", user="bob") for one in (await store.sessions())} == {
            ENDED
        }
        usage = await store.usage()
        assert len(usage) == len(orders) == 12
        assert {replace(one, user="bob") for one in usage} == {Usage("bob", 1, 90.0, 1 << 40, 7)}

    async def test_manyAtOnce(self, store: Store) -> None:
        """
        The end of every session is counted, whatever is written at the same time.
        """
        records = [replace(ENDED, identifier=str(number)) for number in range(60)]
        await DeferredList([store.sessionEnded(one) for one in records], fireOnOneErrback=True)
        assert (await store.usage()) == [Usage("bob", 60, 5400.0, 60 << 40, 420)]

    async def test_usageSince(self, store: Store) -> None:
        for number in range(3):
            late = number * DAY
            start, end = NOW + late, NOW + 90 + late
            record = replace(ENDED, identifier=str(number), started=start, changed=end, ended=end)
            await store.sessionEnded(record)
        await store.sessionEnded(replace(ENDED, identifier="x", user="ann"))
        assert [(one.user, one.sessions) for one in (await store.usage())] == [
            ("ann", 1),
            ("bob", 3),
        ]
        assert [one.sessions for one in (await store.usage("bob", NOW + 2 * DAY))] == [1]
        assert [one.sessions for one in (await store.usage("bob", NOW + DAY))] == [2]
        assert (await store.usage("bob", NOW + 3 * DAY)) == []
        assert (await store.usage("nobody")) == []

    async def test_usageByTunnel(self, store: Store) -> None:
        """
        The sums of each tunnel of a user, with the last day: of a session that goes on that of its
        last record.
        """
        byPPTP = replace(ENDED, tunnel="pptp")
        await store.sessionEnded(byPPTP)
        late = replace(byPPTP, identifier="a2", changed=NOW + DAY, ended=NOW + DAY)
        await store.sessionEnded(replace(late, started=NOW + DAY - 10))
        await store.sessionEnded(replace(byPPTP, identifier="a3", user="ann"))
        await store.sessionStarted(
            replace(CHANGED, identifier="a4", tunnel="sstp", changed=NOW + 2 * DAY)
        )
        await store.sessionEnded(replace(ENDED, identifier="a5"))
        first, second, third = (_day(NOW + number * DAY) for number in range(3))
        assert await store.usageByTunnel() == [
            TunnelUsage("bob", 1, 90.0, 1 << 40, 7, "", first),
            TunnelUsage("ann", 1, 90.0, 1 << 40, 7, "pptp", first),
            TunnelUsage("bob", 2, 100.0, 2 << 40, 14, "pptp", second),
            TunnelUsage("bob", 1, 2 * DAY, 1 << 40, 5, "sstp", third),
        ]
        found = await store.usageByTunnel("bob", NOW + DAY)
        assert [(one.tunnel, one.sessions) for one in found] == [("pptp", 1), ("sstp", 1)]
        assert [(one.user, one.sessions) for one in await store.usage()] == [("ann", 1), ("bob", 4)]
        assert {one.tunnel for one in await store.sessions()} == {"", "pptp", "sstp"}

    async def test_usageOutlivesRecordsAndUser(self, store: Store) -> None:
        await store.addAccount("bob", b"x")
        await store.sessionEnded(ENDED)
        await store.sessionStarted(replace(STARTED, identifier="a2"))
        await store.removeAccount("bob")
        assert (await store.forgetSessions(NOW + 90)) == 0
        assert (await store.forgetSessions(NOW + 91)) == 1
        assert [one.identifier for one in (await store.sessions())] == ["a2"]
        assert (await store.usage()) == [Usage("bob", 2, 90.0, 1 << 40, 7)]

    async def test_whatABrokenRunLeft(self, store: Store) -> None:
        """
        The sessions of a broken run end as of their last records, and those of another gateway go
        on.
        """
        await store.sessionStarted(CHANGED)
        other = replace(STARTED, identifier="b1", gateway="other")
        await store.sessionStarted(other)
        ended = await store.endSessions("gate", "the gateway broke off", Termination.NAS_ERROR)
        assert not await store.endSessions("gate", "again", Termination.NAS_ERROR)
        by = {one.identifier: one for one in (await store.sessions())}
        assert by["b1"] == other
        assert [by["a1"]] == ended
        assert by["a1"] == replace(
            CHANGED, ended=NOW + 60, cause="the gateway broke off", code=Termination.NAS_ERROR
        )
        assert (await store.usage("bob")) == [Usage("bob", 2, 60.0, 1 << 40, 5)]

    async def test_theLatest(self, store: Store) -> None:
        for number in range(5):
            user = "ann" if number == 4 else "bob"
            at = NOW + number
            await store.sessionStarted(
                replace(STARTED, identifier=str(number), user=user, started=at, changed=at)
            )
        assert [one.identifier for one in (await store.sessions(limit=2))] == ["4", "3"]
        assert [one.identifier for one in (await store.sessions("bob", 2))] == ["3", "2"]


class TestAttempts:
    async def test_kept(self, store: Store) -> None:
        assert (await store.attempts("user", "bob")) is None
        await store.keepAttempts(FailedAttempts("user", "bob", 1, NOW))
        await store.keepAttempts(FailedAttempts("source", "bob", 9, NOW))
        await store.keepAttempts(FailedAttempts("user", "bob", 2, NOW + 1, NOW + 300))
        assert (await store.attempts("user", "bob")) == FailedAttempts(
            "user", "bob", 2, NOW + 1, NOW + 300
        )
        assert (await store.lockedOut(NOW + 299)) == [
            FailedAttempts("user", "bob", 2, NOW + 1, NOW + 300)
        ]
        assert (await store.lockedOut(NOW + 300)) == []
        await store.forgetAttempts([("user", "bob"), ("user", "nobody")])
        assert (await store.attempts("user", "bob")) is None
        assert (await store.attempts("source", "bob")) is not None

    async def test_whateverTheName(self, store: Store) -> None:
        """
        Attempts are stored for any name, as the names come from callers.
        """
        for subject in ("a\0b", "x" * 1000, *ODD_NAMES):
            await store.keepAttempts(FailedAttempts("user", subject, 3, NOW))
            kept = await store.attempts("user", subject)
            assert kept is not None and kept.failures == 3

    async def test_thereIsALimit(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(attempt, "MOST_SUBJECTS", 10)
        for number in range(14):
            await store.keepAttempts(FailedAttempts("user", str(number), 1, NOW + number))
        kept = [(await store.attempts("user", str(number))) for number in range(14)]
        assert [one is not None for one in kept] == [False] * 4 + [True] * 10


async def test_theFilesAreTheirOwnersAlone(tmp_path: Path, makeStore: MakeStore) -> None:
    store = makeStore(f"sqlite:{tmp_path}/new/accounts.sqlite")
    await store.addAccount("bob", b"battery", recoverable=True)
    files = list((tmp_path / "new").iterdir())
    assert {one.name for one in files} >= {"accounts.sqlite", "accounts.sqlite-wal"}
    for one in (*files, tmp_path / "key"):
        assert one.stat().st_mode & 0o777 == 0o600, one
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert all(b"battery" not in one.read_bytes() for one in files)

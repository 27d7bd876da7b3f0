"""
Tests for L{pptpgw.auth.checkers}: the checker of accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import ICheckerFactory
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth import checkers
from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.checkers import AccountsChecker, PasswordExpired
from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.auth.plugin import AccountsCheckerFactory
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.auth.realm import AvatarID, SubscriberRealm
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.config.section import AccountsSection
from pptpgw.error import ConfigurationError, PPTPGWError, Refused
from pptpgw.interfaces import (
    IAuthenticationProtocol,
    ICertifiedName,
    IConfigurable,
    ISubscriber,
)
from pptpgw.ppp import mschap
from pptpgw.store.error import StoreError
from pptpgw.store.store import Store
from pptpgw.testing import makeClaim

METHODS: list[IAuthenticationProtocol] = [PAP, CHAP, MSCHAP, MSCHAPV2]
CHALLENGE = bytes(range(16))
NOW = 1_700_000_000.0


def configuration(folder: Path) -> Configuration:
    """
    A configuration whose store is in C{folder}.
    """
    return Configuration(
        accounts=AccountsSection(f"sqlite:{folder}/accounts.sqlite", f"{folder}/key")
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """
    An empty store.
    """
    settings = configuration(tmp_path).accounts
    made = Store(reactor, settings.store, settings.key, create=True, now=lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def checker(store: Store) -> AccountsChecker:
    """
    A checker of the store.
    """
    return AccountsChecker(lambda _: store, lambda: NOW)


@pytest.fixture
def authenticator(checker: AccountsChecker) -> Authenticator:
    """
    An authenticator that has claims judged by the checker.
    """
    return Authenticator(Portal(SubscriberRealm(), [CheckerChain([checker])]))


def test_interfaces(checker: AccountsChecker) -> None:
    assert verifyObject(ICredentialsChecker, checker)
    assert verifyObject(IConfigurable, checker)
    assert verifyObject(ICheckerFactory, AccountsCheckerFactory())
    assert verifyObject(IPlugin, AccountsCheckerFactory())


@pytest.mark.parametrize("recoverable", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
class TestMethods:
    async def test_rightAndWrong(
        self,
        method: IAuthenticationProtocol,
        recoverable: bool,
        store: Store,
        authenticator: Authenticator,
    ) -> None:
        """
        Every method accepts the right password and refuses a wrong one. Only CHAP needs a
        recoverable password.
        """
        attributes = {"address": "10.77.1.7"}
        await store.addAccount(
            "bob", "pässword".encode(), recoverable=recoverable, attributes=attributes
        )
        with pytest.raises(Refused):
            await authenticator(makeClaim(method, b"bob", b"wrong"))
        right = makeClaim(method, b"bob", "pässword".encode())
        if method.name == "chap" and not recoverable:
            with pytest.raises(Refused):
                await authenticator(right)
            return
        grant = await authenticator(right)
        profile = ISubscriber(grant.subscriber).profile
        assert (grant.name, profile.addresses) == ("bob", (IPv4Network("10.77.1.7"),))
        assert (grant.keys is not None) is method.earnsKeys
        # MS-CHAPv1's shorter keys are made of the LAN Manager hash, which needs the password.
        if method.name == "mschap" and grant.keys is not None:
            assert (40 in grant.keys.bits) is recoverable

    async def test_everyRefusalIsTheSame(
        self,
        method: IAuthenticationProtocol,
        recoverable: bool,
        store: Store,
        authenticator: Authenticator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        An unknown user, a wrong password and a disabled or expired account are refused with the
        same text after the same work.
        """
        for user in ("bob", "off", "old"):
            await store.addAccount(user, b"right", recoverable=recoverable)
        await store.changeAccount("off", disabled=True)
        await store.setExpiry("old", NOW)
        work: list[str] = []
        _count(monkeypatch, work, Store, "account")
        for one in ("chapMD5", "challengeResponse"):
            _count(monkeypatch, work, mschap, one)
        _count(monkeypatch, work, checkers, "ntPasswordHash")
        seen = []
        for name, password in [
            (b"bob", b"wrong"),
            (b"nobody", b"wrong"),
            (b"no\0body", b"wrong"),
            (b"\xff" * 300, b"wrong"),
            (b"", b"wrong"),
            (b"off", b"right"),
            (b"old", b"wrong"),
        ]:
            made = replace(makeClaim(method, name[:255], password), name=name)
            work.clear()
            with pytest.raises(Refused) as caught:
                await authenticator(made)
            seen.append((str(caught.value), caught.value.retry, *work))
        assert len(set(seen)) == 1
        assert "account" in seen[0]


def _count(monkeypatch: pytest.MonkeyPatch, work: list[str], place: Any, name: str) -> None:
    """
    Record each call of C{place.name} in C{work}.
    """
    original = getattr(place, name)

    def counted(*arguments: object) -> object:
        work.append(name)
        return original(*arguments)

    monkeypatch.setattr(place, name, counted)


class TestAccounts:
    async def test_itGivesTheProfile(self, store: Store, checker: AccountsChecker) -> None:
        await store.addProfile("staff", {"sessions": "2", "mtu": "1280"})
        await store.addAccount("bob", b"x", shared="staff", attributes={"mtu": "1300"})
        avatar = await checker.requestAvatarId(UsernamePassword(b"bob", b"x"))
        assert isinstance(avatar, AvatarID)
        assert avatar == b"bob"
        assert (avatar.profile.sessions, avatar.profile.mtu) == (2, 1300)

    async def test_aNameWithADomain(self, store: Store, authenticator: Authenticator) -> None:
        await store.addAccount("bob", b"x")
        grant = await authenticator(makeClaim(MSCHAPV2, b"CORP\\bob", b"x"))
        assert grant.name == "bob"

    async def test_anExpiredPassword(self, store: Store, checker: AccountsChecker) -> None:
        """
        An expired password is reported only to a caller that proves the password and can change it.
        """
        await store.addAccount("bob", b"x", expires=NOW)
        with pytest.raises(PasswordExpired) as caught:
            await checker.requestAvatarId(UsernamePassword(b"bob", b"x"))
        assert caught.value.account.name == "bob"
        with pytest.raises(UnauthorizedLogin) as wrong:
            await checker.requestAvatarId(UsernamePassword(b"bob", b"y"))
        assert not isinstance(wrong.value, PasswordExpired)
        await store.setPassword("bob", mschap.ntPasswordHash(b"z"))
        assert await checker.requestAvatarId(UsernamePassword(b"bob", b"z")) == b"bob"

    async def test_theKeyIsGone(
        self, store: Store, authenticator: Authenticator, tmp_path: Path
    ) -> None:
        """
        A password that can't be opened, because its key is missing, lets nobody in and isn't
        treated as a wrong one.
        """
        await store.addAccount("bob", b"x", recoverable=True)
        store.vault = type(store.vault)(tmp_path / "none")
        with pytest.raises(StoreError, match="it holds the key of recoverable passwords"):
            await authenticator(makeClaim(CHAP, b"bob", b"x"))
        assert (await authenticator(makeClaim(PAP, b"bob", b"x"))).name == "bob"

    async def test_aStoreThatIsGone(self, tmp_path: Path) -> None:
        """
        A missing store isn't treated as a wrong password.
        """
        path = tmp_path / "accounts.sqlite"
        path.touch(0o600)
        settings = configuration(tmp_path).accounts
        store = Store(reactor, settings.store, settings.key)
        path.unlink()
        try:
            with pytest.raises(StoreError, match="there is no store"):
                checker = AccountsChecker(lambda _: store)
                await checker.requestAvatarId(UsernamePassword(b"bob", b"x"))
        finally:
            store.close()

    async def test_aCertificate(self, store: Store, checker: AccountsChecker) -> None:
        """
        A certificate proves the name, so an account of that name is enough unless it is disabled.
        """

        @implementer(ICertifiedName)
        class Certified(ClaimCredentials):
            certificate = b""

        def login(name: bytes) -> Any:
            credentials: ICertifiedName = Certified(makeClaim(PAP, name, b""), name)
            return checker.requestAvatarId(credentials)

        await store.addAccount("bob", b"x", expires=NOW)
        assert await login(b"bob") == b"bob"
        await store.changeAccount("bob", disabled=True)
        for name in (b"bob", b"nobody"):
            with pytest.raises(UnauthorizedLogin):
                await login(name)


class TestPlugin:
    def test_aStoreThatIsNotThere(self, tmp_path: Path) -> None:
        """
        A missing store is an error at the start, whether the argument or the configuration names
        it.
        """
        factory = AccountsCheckerFactory()
        with pytest.raises(PPTPGWError, match="there is no store"):
            factory.generateChecker(f"sqlite:{tmp_path}/none")
        checker = factory.generateChecker("")
        with pytest.raises(PPTPGWError, match="there is no store; pptpgw user add makes one"):
            IConfigurable(checker).configure(
                NoSettings(), Environment(Clock(), configuration(tmp_path))
            )

    def test_noURL(self) -> None:
        with pytest.raises(ConfigurationError, match=r"must be sqlite:PATH or postgresql://"):
            AccountsCheckerFactory().generateChecker("mysql://localhost")

    async def test_theConfigurationSaysWhere(self, store: Store, tmp_path: Path) -> None:
        await store.addAccount("bob", b"x", recoverable=True)
        checker = AccountsCheckerFactory().generateChecker("")
        IConfigurable(checker).configure(
            NoSettings(), Environment(Clock(), configuration(tmp_path))
        )
        assert isinstance(checker, AccountsChecker)
        try:
            credentials: Any = CHAP.credentials(makeClaim(CHAP, b"bob", b"x"), b"bob")
            assert await checker.requestAvatarId(credentials) == b"bob"
        finally:
            checker.store.close()


@pytest.mark.parametrize("name", ["AccountsChecker", "PasswordExpired"])
def test_formerModule(name: str) -> None:
    """
    The names that were in C{pptpgw.auth.accounts} still exist there and are deprecated.
    """
    from pptpgw.auth import accounts

    with pytest.warns(DeprecationWarning, match=f"pptpgw.auth.checkers.{name}"):
        assert getattr(accounts, name) is getattr(checkers, name)

"""
The checker of users in the embedded store.

An unknown user is checked against a random password, after the same query: nothing that a caller
can see or measure distinguishes it from a wrong password or a disabled user. A caller who proves a
password that has expired is told so, and may change it by MS-CHAPv2, which has a packet for that.
Any new password is accepted that isn't empty.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from secrets import token_bytes
from time import time
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.auth.realm import AvatarID
from pptpgw.auth.rejection import Rejection
from pptpgw.config.kind import NoSettings
from pptpgw.config.section import AccountsSection
from pptpgw.error import NOT_CHANGED, PASSWORD_EXPIRED
from pptpgw.interfaces import ICertifiedName, IChangedPassword, IConfigurable, IEnvironment
from pptpgw.log import Logger
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.username import nameOf
from pptpgw.store.interface import IStore, IStoreOwner
from pptpgw.store.record import Account

_NOBODY = token_bytes(16)


class PasswordExpired(Rejection):
    """
    The login of a user whose password is right, but has expired and must be changed first.

    @ivar account: the L{Account}.
    """

    def __init__(self, account: Account) -> None:
        super().__init__(PASSWORD_EXPIRED, text=b"The password has expired")
        self.account = account


@implementer(ICredentialsChecker, IConfigurable, IStoreOwner)
class AccountsChecker:
    """
    A credentials checker that looks users up in an L{IStore}.
    """

    name = "accounts"
    settings = NoSettings
    credentialInterfaces = (
        IUsernamePassword,
        IUsernameHashedPassword,
        ICertifiedName,
        IChangedPassword,
    )

    _log = Logger()

    def __init__(
        self, makeStore: Callable[[AccountsSection], IStore], now: Callable[[], float] = time
    ) -> None:
        """
        @param makeStore: makes the store that the configuration describes, at its first need.
        @param now: the time, in seconds since the epoch.
        """
        self._makeStore = makeStore
        self._made: IStore | None = None
        self._now = now

    def configure(self, settings: NoSettings, environment: IEnvironment) -> None:
        """
        See L{IConfigurable.configure}: make the store.

        @raise pptpgw.error.PPTPGWError: it can't be used; the text says why.
        """
        self._made = self._makeStore(environment.configuration.accounts)

    @property
    def store(self) -> IStore:
        """
        The store in which users are looked up. It is made when it is first needed.
        """
        if self._made is None:
            self._made = self._makeStore(AccountsSection())
        return self._made

    def requestAvatarId(
        self,
        credentials: IUsernamePassword
        | IUsernameHashedPassword
        | ICertifiedName
        | IChangedPassword,
    ) -> Deferred[bytes | tuple[()]]:
        """
        Judge C{credentials} by the account of their user.

        The password of an account isn't needed where the credentials are a name in a verified
        certificate. L{IChangedPassword} credentials are let in after the new password has been
        stored.

        @return: fires with the L{AvatarID} of the account. Fails with L{UnauthorizedLogin} where
            there is no such account, the proof is wrong or the account is disabled; with
            L{PasswordExpired} where the proof is right, but the password has expired; with
            L{Rejection} where the new password can't be a password; with
            L{pptpgw.store.error.StoreError} where the store can't answer.
        """
        judge: Any = self._change if IChangedPassword.providedBy(credentials) else self._judge
        found: Deferred[Account | None] = self.store.account(nameOf(credentials.username))
        return found.addCallback(judge, credentials)

    def _judge(self, account: Account | None, credentials: Any) -> AvatarID:
        certified = ICertifiedName.providedBy(credentials)
        right = certified or self._proves(credentials, account or Account("", _NOBODY))
        if account is None or not right:
            raise UnauthorizedLogin
        if account.disabled:
            self._log.info("{user!a} has proven itself, but is disabled", user=account.name)
            raise UnauthorizedLogin
        if not certified and account.expired(self._now()):
            raise PasswordExpired(account)
        return AvatarID(account.profile)

    def _change(self, account: Account | None, credentials: Any) -> Deferred[AvatarID]:
        password: bytes | None = credentials.changed(account.ntHash if account else _NOBODY)
        if account is None or password is None:
            raise UnauthorizedLogin
        if account.disabled:
            self._log.info("{user!a} has proven itself, but is disabled", user=account.name)
            raise UnauthorizedLogin
        try:
            text = password.decode("utf-16-le").encode("utf-8")
        except UnicodeDecodeError:
            text = b""
        if not text:
            raise Rejection(NOT_CHANGED, text=b"This can't be a password")
        changed: Deferred[None]
        if account.sealed:
            changed = self.store.changePassword(account.name, text, recoverable=True)
        else:
            changed = self.store.setPassword(account.name, ntPasswordHash(text))
        return changed.addCallback(self._hasChanged, account)

    def _hasChanged(self, _: None, account: Account) -> AvatarID:
        self._log.info("{user!a} has changed the password, which had expired", user=account.name)
        return AvatarID(account.profile)

    def _proves(self, credentials: Any, account: Account) -> bool:
        """
        Return whether C{credentials} prove knowledge of the account's password.

        @raise pptpgw.store.error.StoreError: the password is encrypted, and can't be decrypted.
        """
        right: bool
        if IUsernamePassword.providedBy(credentials):
            given = ntPasswordHash(credentials.password)
            right = hmac.compare_digest(given, account.ntHash)
        elif account.sealed:
            password = self.store.vault.open(account.name, account.sealed)
            right = credentials.checkPassword(password)
        elif hasattr(credentials, "checkNTHash"):
            right = credentials.checkNTHash(account.ntHash)
        else:
            # CHAP needs the password itself, and the account has only its hash. Hash all the same,
            # so that the refusal takes as long as any other.
            credentials.checkPassword(_NOBODY)
            right = False
        return right

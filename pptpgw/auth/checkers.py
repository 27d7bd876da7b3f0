"""
The checkers of our own, which judge callers: of users in a file in the format of pppd's
chap-secrets, and of users in the embedded store. That of users whom RADIUS servers know is in
L{pptpgw.radius.checker}.
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
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.auth import chapsecrets
from pptpgw.auth.realm import AvatarID
from pptpgw.auth.rejection import Rejection
from pptpgw.config.kind import NoSettings
from pptpgw.config.secrecy import assertPrivate
from pptpgw.config.section import AccountsSection
from pptpgw.error import NOT_CHANGED, PASSWORD_EXPIRED, ConfigurationError
from pptpgw.interfaces import (
    ICertifiedName,
    IChangedPassword,
    IConfigurable,
    IEnvironment,
    IReloadable,
)
from pptpgw.log import Logger
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf
from pptpgw.store.interface import IStore, IStoreOwner
from pptpgw.store.record import Account

# The largest file that is read, in octets. The file is read at a login if it was changed, and
# reading blocks: a file of this size, with some 20,000 users, takes a fraction of a second.
MAXIMUM_OCTETS = 1 << 20

# The secret that an unknown user is checked against, so that the refusal takes as long as for a
# user who exists.
_NO_SECRET = b"there is no such user"

# The hash that the password of an unknown user is checked against, for the same reason.
_NO_HASH = token_bytes(16)


@implementer(ICredentialsChecker, IConfigurable, IReloadable)
class ChapSecretsChecker:
    """
    Checks users against a file in the format of pppd's chap-secrets (L{pptpgw.auth.chapsecrets}).
    Its users may call by every tunnel, since the format has no place for that.

    The time, size and inode of the file are compared at each login, and the file is read again when
    one of them has changed. A file that can't be used then is reported once in the log, and the
    secrets that were read before remain in force.

    @ivar serverName: the name of the gateway, which is matched against the server column.
    """

    name = "chap-secrets"
    settings = NoSettings
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName)

    _log = Logger()

    def __init__(self, path: FilePath[str], serverName: bytes = b"pptpgw") -> None:
        """
        @raise ConfigurationError: the file can't be used.
        """
        self.serverName = serverName
        self._path = path
        self._seen = self._look()
        self._secrets = self._read()
        self._environment: IEnvironment

    def configure(self, settings: NoSettings, environment: IEnvironment) -> None:
        """
        See L{IConfigurable.configure}: take the name of the gateway from C{[link] name}.
        """
        self._environment = environment
        self.reload(settings)

    def judge(self, settings: NoSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}: there is nothing to object to.
        """
        return {}

    def reload(self, settings: NoSettings) -> None:
        """
        See L{IReloadable.reload}: take the name of the gateway. The file is read again when it has
        changed, without a reload.
        """
        self.serverName = self._environment.configuration.link.name.encode()

    def requestAvatarId(
        self, credentials: IUsernamePassword | IUsernameHashedPassword | ICertifiedName
    ) -> Deferred[bytes | tuple[()]]:
        """
        Judge C{credentials} by the lines of the file. A name in a verified certificate needs a
        line, whatever its secret.

        @return: fires with the L{AvatarID} of the account; fails with L{UnauthorizedLogin} where no
            line is for this user, or the proof is wrong.
        """
        self._refresh()
        name = credentials.username
        secret = self._secrets.find(name, self.serverName)
        right = ICertifiedName.providedBy(credentials) or credentials.checkPassword(
            _NO_SECRET if secret is None else secret.secret
        )
        if secret is None or not right:
            return fail(UnauthorizedLogin())
        return succeed(AvatarID(Profile(nameOf(name), secret.addresses)))

    def _look(self) -> tuple[float, int, int]:
        """
        Return time, size and inode of the file; three zeros if it can't be examined.
        """
        path = self._path
        path.restat(reraise=False)
        if not path.exists():
            return 0.0, 0, 0
        return path.getModificationTime(), path.getsize(), path.getInodeNumber()

    def _refresh(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._secrets = self._read()
        except ConfigurationError as problem:
            self._log.error(
                "{problem}; the secrets read before remain in force", problem=str(problem)
            )

    def _read(self) -> chapsecrets.Secrets:
        path = self._path.path
        assertPrivate(path)
        try:
            with self._path.open() as file:
                content = file.read(MAXIMUM_OCTETS + 1)
        except PermissionError as problem:
            raise ConfigurationError(
                f"{path}: {problem.strerror}; it must belong to the user that the gateway runs as"
            ) from problem
        except OSError as problem:
            raise ConfigurationError(f"{path}: {problem.strerror}") from problem
        if len(content) > MAXIMUM_OCTETS:
            raise ConfigurationError(f"{path}: larger than {MAXIMUM_OCTETS} octets")
        return chapsecrets.parse(content, path)


class PasswordExpired(Rejection):
    """
    The login of a user whose password is right, but has expired and must be changed first.

    @ivar account: the L{Account}.
    """

    def __init__(self, account: Account) -> None:
        super().__init__(
            PASSWORD_EXPIRED, text=b"The password has expired", profile=account.profile
        )
        self.account = account


@implementer(ICredentialsChecker, IConfigurable, IStoreOwner)
class AccountsChecker:
    """
    A credentials checker that looks users up in an L{IStore}.

    An unknown user is checked against a random password, after the same query: nothing that a
    caller can see or measure distinguishes it from a wrong password or a disabled user. A caller
    who proves a password that has expired is told so, and may change it by MS-CHAPv2, which has a
    packet for that. Any new password is accepted that isn't empty.
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

        @return: fires with the L{AvatarID} of the account. Fails with
            L{twisted.cred.error.UnauthorizedLogin} where there is no such account, the proof is
            wrong or the account is disabled; with L{PasswordExpired} where the proof is right, but
            the password has expired; with L{Rejection} where the new password can't be a password;
            with L{pptpgw.store.error.StoreError} where the store can't answer.
        """
        judge: Any = self._change if IChangedPassword.providedBy(credentials) else self._judge
        found: Deferred[Account | None] = self.store.account(nameOf(credentials.username))
        return found.addCallback(judge, credentials)

    def _judge(self, account: Account | None, credentials: Any) -> AvatarID:
        certified = ICertifiedName.providedBy(credentials)
        right = certified or self._proves(credentials, account or Account("", _NO_HASH))
        if account is None or not right:
            raise UnauthorizedLogin
        if account.disabled:
            self._log.info("{user!a} has proven itself, but is disabled", user=account.name)
            raise UnauthorizedLogin
        if not certified and account.expired(self._now()):
            raise PasswordExpired(account)
        return AvatarID(account.profile)

    def _change(self, account: Account | None, credentials: Any) -> Deferred[AvatarID]:
        password: bytes | None = credentials.changed(account.ntHash if account else _NO_HASH)
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
            text = b"This can't be a password"
            raise Rejection(NOT_CHANGED, text=text, profile=account.profile)
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
            credentials.checkPassword(_NO_HASH)
            right = False
        return right

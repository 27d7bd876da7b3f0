"""
The interfaces of the account store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.store.record import (
    Account,
    Draft,
    FailedAttempts,
    OperatorAccount,
    OperatorToken,
    SessionRecord,
    SharedProfile,
    TunnelUsage,
    Usage,
)


class IStore(Interface):
    """
    An account store, such as L{pptpgw.store.store.Store}.

    Every method but L{close} returns a L{Deferred} that fires within the store's deadline; it fails
    with L{pptpgw.store.error.StoreError} if the database can't answer, or can't in time. A change
    that failed because of the time may have been made all the same. The first method that is called
    opens the database.
    """

    vault = Attribute("What seals passwords, a L{pptpgw.store.vault.Vault}.")

    def open() -> Deferred[None]:
        """
        Connect, and convert the tables to the form of this version. Calling this again does
        nothing.
        """

    def close() -> None:
        """
        Let the running queries finish, and close the connections. The end of the reactor does the
        same.
        """

    # Users

    def account(name: str) -> Deferred[Account | None]:
        """
        Find the user C{name}; fires with None if there is none. A name that no user can have is
        treated like an unknown one.
        """

    def accounts() -> Deferred[list[Account]]:
        """
        Get all users, ordered by name.
        """

    def addAccount(
        name: str,
        password: bytes,
        *,
        recoverable: bool = False,
        shared: str = "",
        attributes: Mapping[str, str] = {},
        expires: float | None = None,
    ) -> Deferred[None]:
        """
        Make a user; the arguments are as in L{changeAccount} and L{changePassword}. Fails with
        L{pptpgw.store.error.Taken} if there is a user of this name, and with
        L{pptpgw.store.error.Unknown} if there is no profile C{shared}.
        """

    def changeAccount(
        name: str,
        *,
        disabled: bool | None = None,
        shared: str | None = None,
        attributes: Mapping[str, str | None] = {},
    ) -> Deferred[None]:
        """
        Change a user; arguments that are None change nothing. Fails with
        L{pptpgw.store.error.Unknown}.

        @param disabled: whether the user is refused.
        @param shared: the name of a profile to share; empty for none.
        @param attributes: checked texts (L{pptpgw.store.attribute.check}) by the names of their
            options; None removes an attribute. Attributes that aren't named remain.
        """

    def changePassword(
        name: str, password: bytes, *, recoverable: bool = False, expires: float | None = None
    ) -> Deferred[None]:
        """
        Set the password of a user. Fails with L{pptpgw.store.error.Unknown}.

        @param recoverable: whether to store the password itself too, encrypted.
        @param expires: when the password expires, in seconds since the epoch; None for never.
        """

    def setPassword(name: str, ntHash: bytes, expires: float | None = None) -> Deferred[None]:
        """
        Set the password of a user when only its NT hash is known, as after a Change-Password of
        MS-CHAPv2 (RFC 2759 section 7). A recoverable password is removed. Fails with
        L{pptpgw.store.error.Unknown}.
        """

    def setExpiry(name: str, expires: float | None) -> Deferred[None]:
        """
        Set when the password expires, in seconds since the epoch; None for never. Fails with
        L{pptpgw.store.error.Unknown}.
        """

    def takeAccounts(drafts: Sequence[Draft], update: bool = False) -> Deferred[tuple[int, int]]:
        """
        Make many users, all of them or none. Fires with the numbers of those that were made and
        changed. Fails with L{pptpgw.store.error.Unknown} if there is no such profile to share.

        @param update: whether users that exist are changed; otherwise they make this fail with
            L{pptpgw.store.error.Taken}.
        """

    def removeAccount(name: str) -> Deferred[None]:
        """
        Remove a user. The records and the usage of the user's sessions remain. Fails with
        L{pptpgw.store.error.Unknown}.
        """

    # Profiles that users share

    def profiles() -> Deferred[list[SharedProfile]]:
        """
        Get all profiles, ordered by name.
        """

    def addProfile(name: str, attributes: Mapping[str, str]) -> Deferred[None]:
        """
        Make a profile. Fails with L{pptpgw.store.error.Taken}.
        """

    def changeProfile(name: str, attributes: Mapping[str, str | None]) -> Deferred[None]:
        """
        Change a profile; C{attributes} are as in L{changeAccount}. Fails with
        L{pptpgw.store.error.Unknown}.
        """

    def removeProfile(name: str) -> Deferred[None]:
        """
        Remove a profile. Fails with L{pptpgw.store.error.Unknown}, or with
        L{pptpgw.store.error.InUse} while users share it.
        """

    # Operators

    def operator(name: str) -> Deferred[OperatorAccount | None]:
        """
        Find the operator C{name}; fires with None if there is none.
        """

    def operators() -> Deferred[list[OperatorAccount]]:
        """
        Get all operators, ordered by name.
        """

    def addOperator(name: str, role: str, password: str) -> Deferred[None]:
        """
        Make an operator. Fails with L{pptpgw.store.error.Taken}.

        @param role: see L{OperatorAccount.role}.
        @param password: the hash of the password, see L{pptpgw.store.password.hashPassword}; empty
            for none.
        """

    def changeOperator(
        name: str,
        *,
        role: str | None = None,
        password: str | None = None,
        disabled: bool | None = None,
    ) -> Deferred[None]:
        """
        Change an operator; arguments that are None change nothing, and the others are as in
        L{addOperator}. Fails with L{pptpgw.store.error.Unknown}.

        @param disabled: whether the operator is refused.
        """

    def removeOperator(name: str) -> Deferred[None]:
        """
        Remove an operator, with all tokens. Fails with L{pptpgw.store.error.Unknown}.
        """

    def tokens(operator: str) -> Deferred[list[OperatorToken]]:
        """
        Get the tokens of an operator, ordered by name. Fails with L{pptpgw.store.error.Unknown}.
        """

    def addToken(operator: str, name: str, expires: float | None = None) -> Deferred[str]:
        """
        Make a token, by which a program logs in as an operator. Fails with
        L{pptpgw.store.error.Unknown} if there is no such operator, and with
        L{pptpgw.store.error.Taken} if the operator has a token of this name.

        @param expires: when it can't be used any more, in seconds since the epoch; None for never.
        @return: fires with the token, which can't be had from the store again.
        """

    def removeToken(operator: str, name: str) -> Deferred[None]:
        """
        Remove a token. Fails with L{pptpgw.store.error.Unknown}.
        """

    def operatorWithToken(token: str) -> Deferred[OperatorAccount | None]:
        """
        Find the operator whom a token belongs to, and note that the token was used. Fires with None
        if there is no such token, or it has expired.
        """

    # Failed attempts to log in

    def attempts(kind: str, subject: str) -> Deferred[FailedAttempts | None]:
        """
        Get the failed attempts of a subject; fires with None if there were none.
        """

    def lockedOut(now: float) -> Deferred[list[FailedAttempts]]:
        """
        Get the attempts of the subjects that are locked out, those whose C{until} is later than
        C{now}.
        """

    def keepAttempts(attempts: FailedAttempts) -> Deferred[None]:
        """
        Replace what is stored of the subject. The oldest subjects are removed where there are too
        many.
        """

    def forgetAttempts(subjects: Sequence[tuple[str, str]]) -> Deferred[None]:
        """
        Remove the failed attempts of subjects, each given by its kind and its name, if there are
        any.
        """

    # Sessions

    def sessionStarted(record: SessionRecord) -> Deferred[None]:
        """
        Store the record of a session that began.
        """

    def sessionChanged(record: SessionRecord) -> Deferred[None]:
        """
        Replace the record of a session that goes on.
        """

    def sessionEnded(record: SessionRecord) -> Deferred[None]:
        """
        Store the last record of a session, whose C{ended} isn't None. The session is added to its
        user's usage, once.
        """

    def endSessions(gateway: str, cause: str, code: int) -> Deferred[Sequence[SessionRecord]]:
        """
        End every open session of C{gateway} as of its last record. A gateway calls this when it
        starts, for sessions that an earlier run left open.

        @param cause: the cause of the end, in words.
        @param code: the L{pptpgw.sessions.cause.Termination}.
        @return: fires with the records of these sessions, after they were ended.
        """

    def sessions(user: str | None = None, limit: int = 100) -> Deferred[Sequence[SessionRecord]]:
        """
        Get the records of the latest sessions, of one user or of all, the latest first.
        """

    def forgetSessions(before: float) -> Deferred[int]:
        """
        Remove the records of sessions that ended before C{before}, in seconds since the epoch; the
        usage remains. Fires with the number of records.
        """

    def usage(user: str | None = None, since: float = 0.0) -> Deferred[list[Usage]]:
        """
        Get the sums of the sessions of each user, or of one user.

        @param since: only count sessions that ended after this time, or go on; it is extended to
            the beginning of its day, in UTC.
        """

    def usageByTunnel(user: str | None = None, since: float = 0.0) -> Deferred[list[TunnelUsage]]:
        """
        Get the sums of the sessions by each tunnel, of each user or of one user, ordered by tunnel
        and user.

        @param since: as for L{usage}.
        """


class IStoreOwner(Interface):
    """
    A credentials checker that keeps its accounts in a store.
    """

    store = Attribute("The L{IStore}, once the checker is configured.")

"""
What the rest of the gateway asks of a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.store.record import Account, Attempts, SessionRecord, SharedProfile, Usage


class IStore(Interface):
    """
    A store, L{pptpgw.store.store.Store}.

    Every method but L{close} gives a L{Deferred}, which fires within the store's deadline; each
    fails with L{pptpgw.store.error.StoreError} where the database can't answer, or not in time.
    What wasn't answered in time may have been done all the same. The first one opens the database.
    """

    vault = Attribute("What seals passwords, a L{pptpgw.store.vault.Vault}.")

    def open() -> Deferred[None]:
        """
        Connect, and bring the tables to the form of this version. Calling this again does nothing.
        """

    def close() -> None:
        """
        Let the queries that run come to their end, and forget the connections; the reactor's end
        does it too.
        """

    # Users

    def account(name: str) -> Deferred[Account | None]:
        """
        The user of this name; None: there is none. A name that nobody could have is like that too.
        """

    def accounts() -> Deferred[list[Account]]:
        """
        All of them, by name.
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
        Make a user; the arguments are as in L{changeAccount}. Fails with
        L{pptpgw.store.error.Taken}, or L{pptpgw.store.error.Unknown} for C{shared}.
        """

    def changeAccount(
        name: str,
        *,
        disabled: bool | None = None,
        shared: str | None = None,
        attributes: Mapping[str, str | None] = {},
    ) -> Deferred[None]:
        """
        Change what isn't None, fails with L{pptpgw.store.error.Unknown}.

        @param shared: the name of a profile to share; empty: none.
        @param attributes: checked texts (L{pptpgw.store.attribute.check}) by the names of their
            options; None takes one away. Others remain.
        """

    def changePassword(
        name: str, password: bytes, *, recoverable: bool = False, expires: float | None = None
    ) -> Deferred[None]:
        """
        Another password.

        @param recoverable: whether the password itself is kept too, sealed.
        @param expires: when it expires; None: never.
        """

    def setPassword(name: str, ntHash: bytes, expires: float | None = None) -> Deferred[None]:
        """
        Another password, of which only the NT hash is known: what MS-CHAPv2's Change-Password
        (RFC 2759 section 7) ends with. A recoverable one is forgotten.
        """

    def setExpiry(name: str, expires: float | None) -> Deferred[None]:
        """
        Let the password expire at that time; None: never.
        """

    def removeAccount(name: str) -> Deferred[None]:
        """
        Remove a user; what its sessions came to stays. Fails with L{pptpgw.store.error.Unknown}.
        """

    # Profiles that users share

    def profiles() -> Deferred[list[SharedProfile]]:
        """
        All of them, by name.
        """

    def addProfile(name: str, attributes: Mapping[str, str]) -> Deferred[None]:
        """
        Make one; fails with L{pptpgw.store.error.Taken}.
        """

    def changeProfile(name: str, attributes: Mapping[str, str | None]) -> Deferred[None]:
        """
        Change one, as L{changeAccount} does; fails with L{pptpgw.store.error.Unknown}.
        """

    def removeProfile(name: str) -> Deferred[None]:
        """
        Remove one; fails with L{pptpgw.store.error.Unknown}, or L{pptpgw.store.error.InUse} while
        somebody shares it.
        """

    # Attempts

    def attempts(kind: str, subject: str) -> Deferred[Attempts | None]:
        """
        What is known of a subject.
        """

    def lockedOut(now: float) -> Deferred[list[Attempts]]:
        """
        Those whose C{until} is later than C{now}.
        """

    def keepAttempts(attempts: Attempts) -> Deferred[None]:
        """
        Put it in the place of what was known. Where there are too many the oldest go.
        """

    def forgetAttempts(kind: str, subject: str) -> Deferred[None]:
        """
        Forget the failures of the subject, if there are any.
        """

    # Sessions

    def sessionStarted(record: SessionRecord) -> Deferred[None]:
        """
        A session began.
        """

    def sessionChanged(record: SessionRecord) -> Deferred[None]:
        """
        A session goes on; its record is another one.
        """

    def sessionEnded(record: SessionRecord) -> Deferred[None]:
        """
        A session is over (C{ended} isn't None): it is added to its user's usage, once.
        """

    def endSessions(gateway: str, cause: str, code: int) -> Deferred[Sequence[SessionRecord]]:
        """
        End every open session of C{gateway} as of its last record. A gateway calls this at its
        start, for sessions that an earlier run left open.

        @return: the records of these sessions, after they were ended.
        """

    def sessions(user: str | None = None, limit: int = 100) -> Deferred[Sequence[SessionRecord]]:
        """
        The latest sessions, of one user or of all, the latest first.
        """

    def forgetSessions(before: float) -> Deferred[int]:
        """
        Remove the records of sessions that ended before then; usage stays. How many there were.
        """

    def usage(user: str | None = None, since: float = 0.0) -> Deferred[list[Usage]]:
        """
        What sessions come to, by user: of one user or of everybody who has any.

        @param since: only sessions that ended since, or go on; it counts from the beginning of its
            day, in UTC.
        """


class IStoreOwner(Interface):
    """
    A credentials checker whose accounts are in a store.
    """

    store = Attribute("The L{IStore}, once the checker is configured.")

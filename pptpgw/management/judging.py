"""
Logging operators in, and limits on guessing.

The rules:

 - Passwords are judged one after the other, since each takes processor time and memory. At most
   L{MOST_WAITING} wait.
 - A wrong password counts against the name that was given, whether there is such an operator or
   not, and against the address that it came from. It counts although nobody waits for the answer
   any more. The right password clears the name's count, but not the address's.
 - A name or an address with too many is locked out, by a
   L{pptpgw.sessions.lockout.FailureTable} with bounds on what it remembers. During a lockout no
   password is judged.
 - Tokens can't be guessed, so lockouts of names and addresses don't apply to them. An address that
   sends many wrong tokens is refused on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.error import Unavailable
from pptpgw.interfaces import Operated
from pptpgw.log import Logger, Quota
from pptpgw.management.credentials import OperatorRealm, TokenCredentials
from pptpgw.management.operation import IOperator, Operator, Sender
from pptpgw.management.problem import Problem
from pptpgw.sessions.lockout import FailureTable
from pptpgw.timing.timer import passOn

MOST_WAITING = 16
"""
The number of passwords that may wait to be judged.
"""

FAILURES = 10
FAILURES_OF_SOURCE = 30
LOCKOUT_SECONDS = 600.0
"""
An operator with so many wrong passwords, or an address with so many, is locked out for so long.
"""

WRONG_TOKENS = 100
WRONG_TOKENS_SECONDS = 60.0
"""
An address with so many wrong tokens is refused for so long.
"""

WRONG = "there is no such operator, or the password is wrong"
WRONG_TOKEN = "this token isn't one, or has expired"

LONGEST_PASSWORD = 1024
"""
The most octets that a password may have.
"""

Told = Callable[[Operated], None]


class Judge:
    """
    Logs operators in.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, checker: ICredentialsChecker, told: Told) -> None:
        """
        @param checker: judges names with passwords, and tokens.
        @param told: called with lockouts, and logins that fail.
        """
        self._portal = Portal(OperatorRealm(), [checker])
        self._told = told
        self._turn = DeferredLock()
        self._quota = Quota(clock, Counters())
        self._names = FailureTable("operator", FAILURES, LOCKOUT_SECONDS, clock, self._lockedOut)
        self._sources = FailureTable(
            "source", FAILURES_OF_SOURCE, LOCKOUT_SECONDS, clock, self._lockedOut
        )
        self._tokens = FailureTable(
            "source", WRONG_TOKENS, WRONG_TOKENS_SECONDS, clock, self._lockedOut
        )

    def stop(self) -> None:
        """
        Log what was left out of the log, and leave no timer behind.
        """
        self._quota.tell()

    async def password(self, name: str, password: bytes, sender: Sender) -> Operator:
        """
        Log an operator in by name and password.

        @raise Problem: they are wrong, or the name or the address is locked out.
        @raise pptpgw.error.PPTPGWError: nobody can judge that now.
        """
        self._assertMayTry(name, sender)
        if len(self._turn.waiting) >= MOST_WAITING:
            raise Unavailable(f"{MOST_WAITING} logins wait already: try again")
        await self._turn.acquire()
        judging = Deferred.fromCoroutine(self._judge(name, password, sender))
        # The verdict counts even if nobody waits for the answer any more.
        answer: Deferred[Operator] = Deferred()
        judging.addBoth(passOn, answer)
        return await answer

    async def token(self, token: str, sender: Sender) -> Operator:
        """
        Log a program in by a token.

        @raise Problem: it is wrong, or the address has sent too many wrong ones.
        @raise pptpgw.error.PPTPGWError: the store can't answer.
        """
        if self._tokens.locked(sender.address):
            raise _later(f"{sender.address} has sent too many wrong tokens", WRONG_TOKENS_SECONDS)
        try:
            return await self._login(TokenCredentials(token))
        except UnauthorizedLogin:
            self._failed("", sender, WRONG_TOKEN)
            self._tokens.failed(sender.address)
            raise Problem(HTTPStatus.UNAUTHORIZED, WRONG_TOKEN) from None

    async def _judge(self, name: str, password: bytes, sender: Sender) -> Operator:
        try:
            # Those that were judged meanwhile may have caused a lockout.
            self._assertMayTry(name, sender)
            operator = await self._login(UsernamePassword(name.encode(), password))
        except UnauthorizedLogin:
            self._failed(name, sender, WRONG)
            self._names.failed(name)
            self._sources.failed(sender.address)
            raise Problem(HTTPStatus.UNAUTHORIZED, WRONG) from None
        finally:
            self._turn.release()
        self._names.forget(name)
        return operator

    async def _login(self, credentials: ICredentials) -> Operator:
        logging: Deferred[Any] = self._portal.login(credentials, None, IOperator)
        _, operator, _ = await logging
        assert isinstance(operator, Operator)
        return operator

    def _assertMayTry(self, name: str, sender: Sender) -> None:
        if self._names.locked(name) or self._sources.locked(sender.address):
            raise _later(
                "there were too many wrong passwords for this name, or from this address",
                LOCKOUT_SECONDS,
            )

    def _failed(self, name: str, sender: Sender, why: str) -> None:
        if self._quota.allows("logins of operators", sender.address):
            self._log.warn(
                "{name} can't log in from {source}: {why}",
                name=name or "a program",
                source=sender.address,
                why=why,
            )
        self._told(Operated(name, sender.address, "login", name, why))

    def _lockedOut(self, kind: str, subject: str, failures: int, seconds: float) -> None:
        if self._quota.allows("lockouts of operators", subject):
            self._log.warn(
                "{subject} may not log in to the management interface for {seconds:g} s, after "
                "{failures} failures",
                subject=subject,
                seconds=seconds,
                failures=failures,
            )
        name, source = (subject, "") if kind == "operator" else ("", subject)
        self._told(Operated(name, source, "lockout", subject, f"for {seconds:g} s"))


def _later(why: str, seconds: float) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, f"{why}: nobody is let in so for up to {seconds:g} s"
    )

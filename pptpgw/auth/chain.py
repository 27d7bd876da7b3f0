"""
The checkers that judge callers: those that the configuration names, and a chain of several that is
used like one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer, providedBy

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.rejection import Rejection
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.error import WRONG_PASSWORD, ConfigurationError, PPTPGWError
from pptpgw.interfaces import ICertifiedName, IEAPCredentials

JUDGED = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName, IEAPCredentials)
"""
The kinds of credentials that callers have. A checker must judge at least one of them.
"""


def configuredCheckers(configuration: Configuration) -> list[ICredentialsChecker]:
    """
    Make the checkers that C{[auth] checkers} names, in that order.

    @raise ConfigurationError: a checker isn't installed, or can't be used; the text says why.
    """
    checkers = []
    for one in configuration.auth.checkers:
        try:
            checkers.append(makeChecker(one))
        except discovery.NotInstalled:
            raise
        except ConfigurationError as error:
            raise ConfigurationError(f"[auth] checkers: {one}: {error}") from error
    return checkers


def makeChecker(specification: str) -> ICredentialsChecker:
    """
    Make the checker of C{NAME} or C{NAME:ARGUMENT}.

    @raise pptpgw.config.discovery.NotInstalled: no checker has this name.
    @raise ConfigurationError: the checker can't be used; the text says why.
    """
    name, argument = discovery.specification(specification)
    try:
        checker: ICredentialsChecker = discovery.find(ICheckerFactory, name).generateChecker(
            argument
        )
    except discovery.NotInstalled:
        raise
    except (InvalidAuthArgumentString, PPTPGWError) as error:
        raise ConfigurationError(str(error)) from error
    if not any(one in JUDGED for one in checker.credentialInterfaces):
        raise ConfigurationError(
            "it can't judge the credentials of callers; --help-auth lists those that can"
        )
    return checker


def portalOf(users: Portal | Iterable[ICredentialsChecker]) -> Portal:
    """
    Make a portal to L{SubscriberRealm} that asks C{users} in their order. A portal is returned
    unchanged.
    """
    if isinstance(users, Portal):
        return users
    return Portal(SubscriberRealm(), [CheckerChain(tuple(users))])


def checkersOf(portal: Portal) -> Iterator[ICredentialsChecker]:
    """
    Return every checker that C{portal} asks, including those inside a L{CheckerChain}.
    """
    yield from _unchained(dict.fromkeys(portal.checkers.values()))


def _unchained(checkers: Iterable[ICredentialsChecker]) -> Iterator[ICredentialsChecker]:
    for checker in checkers:
        if isinstance(checker, CheckerChain):
            yield from _unchained(checker.checkers)
        else:
            yield checker


def isWrong(error: BaseException | None) -> bool:
    """
    Return whether C{error} says that there is no such user, or that the password is wrong.
    """
    if isinstance(error, Rejection):
        return error.error == WRONG_PASSWORD
    return isinstance(error, UnauthorizedLogin)


@implementer(ICredentialsChecker)
class CheckerChain:
    """
    Asks checkers in their order until one accepts the user.

    A checker that can't judge the kind of credentials is passed over. The chain ends at a checker
    that fails unexpectedly, so that an outage isn't taken for a wrong password, and at one that
    knows the user and refuses it for another reason than a wrong password.
    """

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self.checkers = tuple(checkers)

    @property
    def credentialInterfaces(self) -> tuple[Any, ...]:
        """
        The kinds of credentials that at least one of the checkers judges.
        """
        return tuple(
            dict.fromkeys(
                interface for checker in self.checkers for interface in checker.credentialInterfaces
            )
        )

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """
        Ask the checkers that judge this kind of credentials.

        @return: fires with the avatar identifier of the first checker that accepts them; fails with
            L{UnauthorizedLogin} where none does, or as the checker did that ended the chain.
        """
        provided = providedBy(credentials)
        able = [
            checker
            for checker in self.checkers
            if any(provided.isOrExtends(one) for one in checker.credentialInterfaces)
        ]
        return self._ask(able, credentials)

    def _ask(self, checkers: Sequence[ICredentialsChecker], credentials: Any) -> Deferred[Any]:
        if not checkers:
            return fail(UnauthorizedLogin())
        asked: Deferred[Any] = maybeDeferred(checkers[0].requestAvatarId, credentials)

        def askTheNext(failure: Failure) -> Failure | Deferred[Any]:
            if isWrong(failure.value):
                return self._ask(checkers[1:], credentials)
            return failure

        return asked.addErrback(askTheNext)

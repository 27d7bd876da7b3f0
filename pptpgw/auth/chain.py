"""
The checkers that judge callers: several as one, and those that the configuration names.
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
The kinds of credentials that callers have. A checker must judge one of them.
"""


def configuredCheckers(configuration: Configuration) -> list[ICredentialsChecker]:
    """
    Make the checkers that C{[auth] checkers} names, in their order.

    @raise ConfigurationError: one isn't installed, or can't be used; the text says why.
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

    @raise pptpgw.config.discovery.NotInstalled: there is none of this name.
    @raise ConfigurationError: it can't be used; the text says why.
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
    Make a portal to our realm that asks several checkers in their order. A portal is returned
    unchanged.
    """
    if isinstance(users, Portal):
        return users
    return Portal(SubscriberRealm(), [CheckerChain(tuple(users))])


def checkersOf(portal: Portal) -> Iterator[ICredentialsChecker]:
    """
    Every checker that C{portal} asks, those in chains too.
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
    Whether C{error} says that there is no such user, or that the password is wrong.
    """
    if isinstance(error, Rejection):
        return error.error == WRONG_PASSWORD
    return isinstance(error, UnauthorizedLogin)


@implementer(ICredentialsChecker)
class CheckerChain:
    """
    Asks checkers in their order until one knows the user and the password is right.

    A checker that can't judge the kind of credentials is passed over; one that breaks ends the
    chain, so that an outage isn't taken for a wrong password. So does one that knows the user, and
    has another reason to say no.
    """

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self.checkers = tuple(checkers)

    @property
    def credentialInterfaces(self) -> tuple[Any, ...]:
        """
        Every kind of credentials that one of the checkers judges.
        """
        return tuple(
            dict.fromkeys(
                interface for checker in self.checkers for interface in checker.credentialInterfaces
            )
        )

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """
        What the first checker that lets the credentials pass says; fails with
        L{UnauthorizedLogin} where none does.
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

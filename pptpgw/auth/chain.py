"""
The checkers that judge callers: those that the configuration names, and a chain of several that is
used like one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from zope.interface import implementer, providedBy

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.rejection import Rejection
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings
from pptpgw.error import WRONG_PASSWORD, ConfigurationError, PPTPGWError
from pptpgw.interfaces import ICertifiedName, IConfigurable, IEAPCredentials, IEnvironment

JUDGED = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName, IEAPCredentials)
"""
The kinds of credentials that callers have. A checker must judge at least one of them.
"""


def configuredCheckers(configuration: Configuration) -> list[ICredentialsChecker]:
    """
    Make the checkers that C{[auth] checkers} names, in that order.

    @raise ConfigurationError: a checker isn't installed, or can't be used; the text says why.
    """
    return [makeNamed(one) for one in configuration.auth.checkers]


def makeNamed(name: str) -> ICredentialsChecker:
    """
    Make the checker that C{[auth] checkers} names by C{name}.

    @raise ConfigurationError: it isn't installed, or can't be used; the text says why.
    """
    try:
        return makeChecker(name)
    except discovery.NotInstalled:
        raise
    except ConfigurationError as error:
        raise ConfigurationError(f"[auth] checkers: {name}: {error}") from error


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


def judgesOf(
    users: Portal | Iterable[ICredentialsChecker],
) -> tuple[Portal, tuple[ICredentialsChecker, ...]]:
    """
    Return a portal to log callers in to, and the checkers that the gateway configures, starts and
    stops.

    @param users: the checkers, in the order in which the portal is to ask them; or the portal
        itself, whose checkers are those that were registered with it.
    """
    if isinstance(users, Portal):
        return users, tuple(dict.fromkeys(users.checkers.values()))
    checkers = tuple(users)
    return Portal(SubscriberRealm(), [CheckerChain(checkers)]), checkers


@implementer(IConfigurable)
class MemoryUsers:
    """
    Converts the names and passwords of Twisted's C{memory:} checker to octets in UTF-8, as
    credentials have them. Its strcred factory fills it with text, which never equals a name from
    the network.
    """

    name = "memory"
    settings = NoSettings

    def __init__(self, checker: InMemoryUsernamePasswordDatabaseDontUse) -> None:
        self._checker = checker

    def configure(self, settings: NoSettings, environment: IEnvironment) -> None:
        """
        See L{IConfigurable.configure}: convert the users.
        """
        users: dict[Any, Any] = self._checker.users
        self._checker.users = {_octets(name): _octets(word) for name, word in users.items()}


registerAdapter(MemoryUsers, InMemoryUsernamePasswordDatabaseDontUse, IConfigurable)


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")


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
    Asks checkers in their order until one accepts the user. Whoever makes a chain configures its
    checkers: the gateway doesn't look inside.

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

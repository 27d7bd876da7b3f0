"""
Operators in twisted.cred: their credentials, the checker that asks the store, and the realm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from pptpgw.log import Logger
from pptpgw.management.operation import IOperator, Operator, OperatorRole
from pptpgw.store.interface import IStore
from pptpgw.store.password import COST, Cost, isPassword, matchless
from pptpgw.store.record import OperatorAccount

InThread = Callable[..., Deferred[Any]]
"""
Calls a function with arguments in a thread. The Deferred fires with what the function returns.
"""


class ITokenCredentials(ICredentials):
    """
    The credentials of a program.
    """

    token: str = Attribute("The token.")


@implementer(ITokenCredentials)
class TokenCredentials:
    """
    See L{ITokenCredentials}.
    """

    def __init__(self, token: str) -> None:
        self.token = token


class OperatorID(bytes):
    """
    The name of an operator together with what the store knows of the operator.
    """

    account: OperatorAccount

    def __new__(cls, account: OperatorAccount) -> OperatorID:
        """
        Make the identifier of C{account}.
        """
        self = super().__new__(cls, account.name.encode())
        self.account = account
        return self


@implementer(ICredentialsChecker)
class OperatorChecker:
    """
    A checker that looks operators up in the account store.

    The password of an unknown operator, and of one without a password, is compared with a hash that
    no password has, so that the refusal takes as long as for a wrong password.
    """

    credentialInterfaces = (IUsernamePassword, ITokenCredentials)

    def __init__(self, store: Callable[[], IStore], inThread: InThread, cost: Cost = COST) -> None:
        """
        @param store: returns the store. It raises L{pptpgw.error.PPTPGWError} if there is none.
        @param inThread: calls a function that hashes.
        @param cost: the cost of a comparison with an unknown operator's password.
        """
        self._store = store
        self._inThread = inThread
        self._matchless = matchless(cost)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        Judge C{credentials}.

        @return: fires with the L{OperatorID}. Fails with L{UnauthorizedLogin} if they are wrong,
            and with L{pptpgw.error.PPTPGWError} if the store can't answer.
        """
        judge = self._token if ITokenCredentials.providedBy(credentials) else self._password
        return Deferred.fromCoroutine(judge(credentials))

    async def _password(self, credentials: Any) -> OperatorID:
        account = await self._store().operator(credentials.username.decode())
        stored = account.password if account is not None else ""
        right = await self._inThread(isPassword, credentials.password, stored or self._matchless)
        if account is None or not stored or not right:
            raise UnauthorizedLogin
        return OperatorID(account)

    async def _token(self, credentials: Any) -> OperatorID:
        # The store looks for a hash of the token, so how long that takes says nothing of the token.
        account = await self._store().operatorWithToken(credentials.token)
        if account is None:
            raise UnauthorizedLogin
        return OperatorID(account)


@implementer(IRealm)
class OperatorRealm:
    """
    Makes an L{Operator} of an L{OperatorID}. Logging out does nothing.
    """

    def requestAvatar(
        self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """
        Return the L{Operator} whose identifier is C{avatarId}.

        @raise UnauthorizedLogin: there is none.
        @raise NotImplementedError: something else than an L{IOperator} is asked for.
        """
        if IOperator not in interfaces:
            raise NotImplementedError("this realm has operators only")
        if not isinstance(avatarId, OperatorID):
            raise UnauthorizedLogin("nobody operates anonymously")
        return IOperator, operatorFrom(avatarId.account), _logout


_log = Logger()


def operatorFrom(account: OperatorAccount) -> Operator:
    """
    Return the operator that the store knows as C{account}.

    @raise UnauthorizedLogin: the operator is disabled, or the role of the account is none of this
        version.
    """
    if account.disabled:
        raise UnauthorizedLogin
    role = OperatorRole.__members__.get(account.role.upper(), OperatorRole.NOBODY)
    if role is OperatorRole.NOBODY:
        _log.error(
            "{operator} may do nothing: {role} is no role of this version",
            operator=account.name,
            role=account.role,
        )
        raise UnauthorizedLogin
    return Operator(account.name, role, account.revision)


def _logout() -> None:
    """
    Do nothing: each request logs in by itself.
    """

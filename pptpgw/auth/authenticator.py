"""
The judgement of claims by a portal of twisted.cred.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.cred.error import UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Interface

from pptpgw.auth.chain import isWrong
from pptpgw.auth.rejection import Rejection
from pptpgw.error import PASSWORD_EXPIRED, Category, Refused, Unproven
from pptpgw.interfaces import Claim, Grant, IClaimCredentials, ISubscriber
from pptpgw.ppp.chap import ERRORS
from pptpgw.sessions.admission import Disclosed
from pptpgw.sessions.remedy import Remedy

_Login = tuple[type[Interface], object, Callable[[], None]]


class Authenticator:
    """
    Turns a L{Claim} into a L{Grant}, or into L{Refused}.

    A name that may begin with a Windows domain is looked up as it was sent, and if it is unknown or
    the password is wrong, again without the domain. The text of a refusal is the same for unknown
    users and wrong passwords.

    @ivar portal: the portal to log in to. It may be replaced; claims that are being judged aren't
        concerned.
    """

    def __init__(self, portal: Portal) -> None:
        """
        @param portal: the portal to log in to. Its realm must know L{ISubscriber}, and must not
            need its logout to be called, as L{pptpgw.auth.realm.SubscriberRealm} doesn't.
        """
        self.portal = portal

    def __call__(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge C{claim}.

        @return: fires with the L{Grant}; fails with L{Refused}, or with another exception if the
            claim couldn't be judged.
        """
        judged = self._login(claim, claim.name)
        account = claim.account
        if account != claim.name:

            def withoutDomain(failure: Failure) -> Failure | Deferred[Grant]:
                unknown = isWrong(failure.value)
                return self._login(claim, account) if unknown else failure

            judged.addErrback(withoutDomain)
        return judged.addErrback(_refuse, claim)

    def _login(self, claim: Claim, username: bytes) -> Deferred[Grant]:
        credentials = claim.method.credentials(claim, username)
        login = self.portal.login(credentials, None, ISubscriber)
        return login.addCallback(lambda result: _grant(result, credentials))


def _grant(login: _Login, credentials: IClaimCredentials) -> Grant:
    subscriber = ISubscriber(login[1])
    return Grant(subscriber.name, credentials.message, credentials.keys, subscriber)


def _refuse(failure: Failure, claim: Claim) -> Failure:
    error = failure.value
    if isinstance(error, UnhandledCredentials):
        text = f"no checker here can verify {claim.method.name}"
        raise Refused(text, retry=False, remedy=Remedy.CHECKER)
    if isWrong(error):
        raise Unproven
    if isinstance(error, Rejection):
        reason = ERRORS.get(error.error, f"refused with error {error.error}")
        remedy = Remedy.EXPIRED if error.error == PASSWORD_EXPIRED else None
        told = reason, error.retry, error.error, error.text, Category.FORBIDDEN, remedy
        raise Refused(*told) if error.profile is None else Disclosed(error.profile, *told)
    return failure

"""
Tests for claims that twisted.cred judges: our checker, Twisted's own, and the exchanges that use
them.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import makeChecker as strcredMakeChecker
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.judging import configureCheckers
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.auth.realm import AvatarID, SubscriberRealm
from pptpgw.error import Refused
from pptpgw.interfaces import (
    Grant,
    IAuthenticationProtocol,
    ISubscriber,
)
from pptpgw.sessions.profile import Profile
from pptpgw.testing import ExchangePair, makeClaim, makeEnvironment

METHODS = (MSCHAPV2, MSCHAP, CHAP, PAP)
# strcred's function behind C{--auth}, which has no types.
makeChecker: Callable[[str], ICredentialsChecker] = strcredMakeChecker


def authenticator(*checkers: ICredentialsChecker) -> Authenticator:
    """
    An authenticator with C{checkers}.
    """
    return Authenticator(Portal(SubscriberRealm(), checkers))


def outcome(judged: Deferred[Grant]) -> Grant | BaseException:
    """
    The result of C{judged}.
    """
    outcomes: list[Grant | BaseException] = []
    judged.addCallbacks(outcomes.append, lambda failure: outcomes.append(failure.value))
    assert len(outcomes) == 1
    return outcomes[0]


@pytest.fixture(params=["memory", "file", "chap-secrets"])
def judge(request: pytest.FixtureRequest, tmp_path: Path) -> Authenticator:
    """
    An authenticator for each checker that C{--auth} offers, with the user C{user} and the password
    C{sesame}.
    """
    path = tmp_path / "users"
    if request.param == "memory":
        argument = "user:sesame"
    elif request.param == "file":
        path.write_text("user:sesame\n")
        argument = str(path)
    else:
        path.write_text("user * sesame\n")
        path.chmod(0o600)
        argument = str(path)
    checker = makeChecker(f"{request.param}:{argument}")
    configureCheckers([checker], makeEnvironment())
    return authenticator(checker)


@pytest.mark.parametrize("name", [b"user", b"BIGCO\\user"])
@pytest.mark.parametrize("method", METHODS)
def test_everyMethodByEveryChecker(
    judge: Authenticator, method: IAuthenticationProtocol, name: bytes
) -> None:
    """
    Every method works with every checker, with or without a domain before the name.
    """
    pair = ExchangePair(method, name, judge=judge).run()
    assert pair.ours.told[-1] == "authenticated" and pair.theirs.told == ["proven"]
    grant = pair.ours.grant
    assert grant is not None and grant.name == "user"
    assert grant.subscriber == Profile("user", None)
    if method.earnsKeys:
        assert grant.keys is not None and pair.theirs.keys is not None
        for bits in (40, 56, 128):
            assert grant.keys.send(bits, False) == pair.theirs.keys.receive(bits, False)
            assert grant.keys.receive(bits, False) == pair.theirs.keys.send(bits, False)
    else:
        assert grant.keys is None and pair.theirs.keys is None


@pytest.mark.parametrize("method", METHODS)
def test_refusals(judge: Authenticator, method: IAuthenticationProtocol) -> None:
    """
    An unknown user and a wrong password are refused with the same text.
    """
    texts = set()
    for name, password in ((b"user", b"wrong"), (b"nobody", b"sesame"), (b"X\\nobody", b"sesame")):
        pair = ExchangePair(method, name, password, judge=judge).run()
        assert pair.ours.grant is None
        refusal = outcome(judge(pair.ours.claims[0]))
        assert isinstance(refusal, Refused) and refusal.retry
        texts.add(str(refusal))
    assert texts == {"no such user or wrong password"}


def test_message(judge: Authenticator) -> None:
    """
    The message of a grant has a greeting and, for MS-CHAPv2, the authenticator's proof.
    """
    for method in METHODS:
        grant = ExchangePair(method, b"user", judge=judge).run().ours.grant
        assert grant is not None
        proof, mark, greeting = grant.message.rpartition(b" M=")
        assert greeting == b"Welcome"
        assert (len(proof), mark) == ((42, b" M=") if method.name == "mschapv2" else (0, b""))


def test_fullNameFirst(tmp_path: Path) -> None:
    """
    The account whose name includes the domain has precedence over the one without.
    """
    path = tmp_path / "secrets"
    path.write_bytes(b"BIGCO\\\\joe * one 10.0.0.1\njoe * two 10.0.0.2\n")
    path.chmod(0o600)
    judge = authenticator(makeChecker(f"chap-secrets:{path}"))
    for name, password, account, address in (
        (b"BIGCO\\joe", b"one", "BIGCO\\joe", "10.0.0.1"),
        (b"BIGCO\\joe", b"two", "joe", "10.0.0.2"),
        (b"joe", b"two", "joe", "10.0.0.2"),
    ):
        grant = ExchangePair(MSCHAPV2, name, password, judge=judge).run().ours.grant
        assert grant is not None
        assert grant.subscriber == Profile(account, (IPv4Network(f"{address}/32"),))
    assert ExchangePair(MSCHAPV2, b"joe", b"one", judge=judge).run().ours.grant is None


def test_noChecker() -> None:
    """
    A method that no checker can verify is refused without a retry, and the reason says so.
    """
    refusal = outcome(authenticator()(makeClaim(PAP, b"user", b"sesame")))
    assert isinstance(refusal, Refused) and not refusal.retry
    assert str(refusal) == "no checker here can verify pap"


@implementer(ICredentialsChecker)
class Broken:
    """
    A checker that raises.
    """

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: object) -> Deferred[bytes | tuple[()]]:
        """
        @raise KeyError: always.
        """
        raise KeyError("broken")


@pytest.mark.parametrize("name", [b"user", b"BIGCO\\user"])
def test_brokenChecker(name: bytes) -> None:
    """
    A checker's exception isn't treated as a wrong password.
    """
    assert isinstance(outcome(authenticator(Broken())(makeClaim(PAP, name, b"sesame"))), KeyError)


def test_realm() -> None:
    """
    The realm makes avatars for subscribers alone, with names in UTF-8 or not, and none for
    anonymous users.
    """
    realm = SubscriberRealm()
    assert verifyObject(IRealm, realm)
    networks = (IPv4Network("10.0.0.1/32"),)
    interface, subscriber, logout = realm.requestAvatar(
        AvatarID(Profile("jö", networks)), None, ISubscriber
    )
    logout()
    assert interface is ISubscriber and verifyObject(ISubscriber, subscriber)
    assert subscriber == Profile("jö", networks)
    assert realm.requestAvatar(b"j\xff", None, ISubscriber)[1] == Profile("j\\xff", None)
    with pytest.raises(UnauthorizedLogin):
        realm.requestAvatar((), None, ISubscriber)
    with pytest.raises(UnauthorizedLogin):
        realm.requestAvatar(b"", None, ISubscriber)
    with pytest.raises(NotImplementedError):
        realm.requestAvatar(b"user", None, IRealm)

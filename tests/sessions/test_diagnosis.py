"""
Tests for L{pptpgw.sessions.diagnosis} and L{pptpgw.sessions.remedy}: the failures that operators
meet, made by real lines, and what is said of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.auth.protocols import CHAP, PAP
from pptpgw.auth.realm import AvatarID
from pptpgw.error import Unavailable
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.diagnosis import AccountState, Finding, adviceOn, explain
from pptpgw.sessions.profile import Profile
from pptpgw.store.record import Account, FailedAttempts
from pptpgw.testing import CALLER, World, resultOf
from pptpgw.testing.exchange import PASSWORD

CAROL = Profile("carol")
ACCOUNT = Account("carol", bytes(16))


@implementer(ICredentialsChecker)
class Checker:
    """
    A checker that knows carol, with a profile; or that can't be reached.
    """

    credentialInterfaces = (IUsernameHashedPassword, IUsernamePassword)

    def __init__(self, profile: Profile = CAROL, isReachable: bool = True) -> None:
        self.profile = profile
        self.isReachable = isReachable

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        if not self.isReachable:
            raise Unavailable("the database doesn't answer")
        if credentials.username != b"carol" or not credentials.checkPassword(PASSWORD):
            raise UnauthorizedLogin
        return succeed(AvatarID(self.profile))


class Gateway(World):
    """
    A gateway that carol calls.
    """

    def __init__(self, text: str = "", checker: Checker | None = None, **options: Any) -> None:
        super().__init__(text, [checker or Checker()], **options)

    def call(
        self, password: bytes = PASSWORD, source: str = "192.0.2.7", **options: Any
    ) -> Deferred[Any]:
        """
        Have carol call, and give her a minute.
        """
        placed = self.placeCall(self.connect(source), b"carol", password, **options)
        placed.addErrback(lambda failure: None)
        self.run(60, 0.02)
        return placed

    def explain(self, **known: Any) -> list[Finding]:
        return explain("carol", self.gateway.attempts, self.clock.seconds(), **known)


def said(findings: Iterable[Finding]) -> str:
    return "\n".join(f"{one.text} {one.advice}" for one in findings)


def test_aWrongPassword() -> None:
    gateway = Gateway()
    gateway.call(b"wrong")
    (finding,) = gateway.explain(state=AccountState(ACCOUNT))
    assert finding.text == (
        "The last call of 'carol' that is over, 1 min ago from 192.0.2.7 by pptp, got to "
        "authentication: no such user or wrong password."
    )
    assert finding.advice.startswith("Check the name and the password that the client sends")
    assert finding.isProblem


def test_whatProtectsACall() -> None:
    """
    What encrypts a call beneath PPP is said of it.
    """
    caller = replace(CALLER, protection="IPsec ESP AES_CBC-256, pptpgw-psk[3], from bob")
    attempt = Attempt(caller, 0.0, lambda: 60.0, 0.0, lambda attempt: None, "LCP")
    attempt.named("carol", "carol")
    attempt.open("ipv4")
    (finding,) = explain("carol", [attempt], 60.0)
    assert finding.text == (
        "A call of 'carol' is up since 1 min, from 192.0.2.7 by pptp "
        "(IPsec ESP AES_CBC-256, pptpgw-psk[3], from bob)."
    )


def test_aLockout() -> None:
    gateway = Gateway("[limits]\nmax-failures = 1\nlockout = 3600")
    gateway.call(b"wrong")
    gateway.call()
    lock = FailedAttempts("user", "carol", 1, 0.0, gateway.clock.seconds() + 1200)
    locked, last, earlier = gateway.explain(lockouts=[lock])
    assert locked.text == (
        "The user 'carol' is locked out for another 20 min, after too many wrong passwords."
    )
    assert "got to authentication: the user is locked out after too many failures." in last.text
    assert "'pptpgw lockouts' shows until when" in last.advice
    assert earlier.text == (
        "Of the 1 calls before it, 1 failed, in authentication; the last of them: "
        "no such user or wrong password."
    )
    others = [replace(lock, subject="bob"), replace(lock, until=1.0)]
    assert len(gateway.explain(lockouts=others)) == 2
    (source, *_) = gateway.explain(lockouts=[replace(lock, kind="source", subject="192.0.2.7")])
    assert source.text.startswith("The source '192.0.2.7' is locked out")


@pytest.mark.parametrize(
    ("state", "text", "advice"),
    [
        (None, "There is no account 'carol'.", "'pptpgw user add carol' makes it"),
        (
            replace(ACCOUNT, disabled=True),
            "The account 'carol' is disabled.",
            "'pptpgw user enable carol' enables it.",
        ),
        (
            replace(ACCOUNT, expires=5000.0),
            "The password of 'carol' expired 1 h ago.",
            "'pptpgw user set carol --password' sets a new one.",
        ),
        (
            replace(ACCOUNT, own='{"hours": "Mo 00:00-00:01"}'),
            "'carol' may call in its hours only, and not now: Mo 00:00-00:01.",
            "'pptpgw user set carol --hours \"\"' permits every hour.",
        ),
    ],
)
def test_theAccount(state: Account | None, text: str, advice: str) -> None:
    # A Thursday, whatever the time zone.
    now = 10_000.0
    first, *_ = explain("carol", [], now, AccountState(state))
    assert first.text == text
    assert first.advice.startswith(advice)
    assert first.isProblem


def test_theTunnelsOfAnAccount() -> None:
    """
    By which tunnels the user may call is told, and is no problem in itself.
    """
    account = replace(ACCOUNT, own='{"tunnels": "sstp,l2tp"}')
    first, *_ = explain("carol", [], 10_000.0, AccountState(account))
    assert first.text == "'carol' may call by l2tp or sstp only."
    assert first.advice and not first.isProblem


FAILURES: Sequence[tuple[str, str, dict[str, Any], dict[str, Any], str, str]] = [
    (
        "MPPE is turned off",
        "",
        {},
        {"encryption": "off"},
        "got to CCP: the peer doesn't know CCP.",
        "Let the client encrypt (Windows: 'Require encryption'; pppd: require-mppe-128)",
    ),
    (
        "another key length",
        "",
        {},
        {"bits": (40,), "encryption": "require"},
        "got to CCP: MPPE: no common key length: peer offers 40, we allow 128.",
        "Permit a key length that the client has by [link] encryption-bits.",
    ),
    (
        "no keys",
        '[link]\nauthentication = ["chap"]\nencryption = "prefer"',
        {"profile": Profile("carol", encryption="require")},
        {"methods": (CHAP,), "encryption": "prefer"},
        "got to CCP: this authentication earns no keys for it.",
        "Only MS-CHAP, MS-CHAPv2 and EAP-TLS earn keys for MPPE",
    ),
    (
        "another authentication protocol",
        "",
        {},
        {"methods": (PAP,), "encryption": "prefer"},
        "got to LCP: the peer proposes PAP, which isn't permitted.",
        "Let the client authenticate by a method of [link] authentication",
    ),
    (
        "hours",
        "",
        {"profile": Profile("carol", hours="Mo 00:00-00:01")},
        {},
        "got to limits: carol may call in its hours only: Mo 00:00-00:01.",
        "The account's hours forbid it now",
    ),
    (
        "sources",
        "",
        {"profile": Profile("carol", sources=(IPv4Network("198.51.100.0/24"),))},
        {},
        "got to limits: carol may not call from 192.0.2.7.",
        "The account's sources don't have this address.",
    ),
    (
        "another tunnel",
        "",
        {"profile": Profile("carol", tunnels=frozenset(("sstp", "l2tp")))},
        {},
        "got to authentication: carol may not call by pptp, only by l2tp or sstp.",
        "The account's tunnels don't have the one that the call came by",
    ),
    (
        "an unknown pool",
        "",
        {"profile": Profile("carol", pool="north")},
        {},
        "got to addresses: there is no address pool 'north'.",
        "The account names a pool that isn't configured",
    ),
    (
        "an unknown filter",
        "",
        {"profile": Profile("carol", filter="strict")},
        {},
        "got to addresses: there is no filter 'strict'.",
        "The account names a filter that isn't configured",
    ),
    (
        "no network protocol",
        "",
        {"profile": Profile("carol", protocols=frozenset({"ipv6"}))},
        {},
        "got to addresses: no network protocol is permitted to this user.",
        "The account's protocols have none of those that [network] protocols serves.",
    ),
    (
        "an outage",
        "",
        {"isReachable": False},
        {},
        "got to authentication: the database doesn't answer.",
        "An outage: the gateway's log says which server, database or part",
    ),
    (
        "a fixed address",
        "",
        {},
        {"protocols": [IPCP(IPv4Settings("10.99.0.1", "10.77.0.1"))]},
        "got to ipv4: the peer insists on address 10.99.0.1, it may have 10.77.0.1",
        "The client has a fixed address of its own",
    ),
]
"""
Failures: what they are, the gateway's configuration, what the checker is made with, the options of
the call, the end of what is said, and the beginning of the advice.
"""


@pytest.mark.parametrize(
    ("text", "checker", "options", "expected", "advice"),
    [failure[1:] for failure in FAILURES],
    ids=[failure[0] for failure in FAILURES],
)
def test_failures(
    text: str, checker: dict[str, Any], options: dict[str, Any], expected: str, advice: str
) -> None:
    gateway = Gateway(text, Checker(**checker))
    gateway.call(**options)
    finding = gateway.explain()[-1]
    assert expected in finding.text
    assert finding.advice.startswith(advice)
    assert finding.isProblem


def test_GREIsBlocked() -> None:
    """
    The caller's name isn't known yet, so its address, and what it failed in, lead to it.
    """
    gateway = Gateway()
    gateway.network.lose = lambda frame: True
    gateway.call()
    nothing, finding = gateway.explain()
    assert nothing.text == "No call of 'carol' is remembered."
    assert finding.text.startswith(
        "A call that gave no name, 1 min ago from 192.0.2.7 by pptp, got to GRE: "
    )
    assert finding.advice.startswith("Let IP protocol 47 (GRE) pass in both directions")


def test_GREIsBlockedInOneDirection() -> None:
    gateway = Gateway()

    def lose(frame: tuple[int, bytes]) -> bool:
        # Everything that the gateway sends.
        sent = gateway.dataPath.channels[0].sent if gateway.dataPath.channels else []
        return any(frame[1] is information for _, information in sent)

    gateway.network.lose = lose
    gateway.call()
    _, finding = gateway.explain()
    assert "got to LCP: no answer to our Configure-Requests" in finding.text
    assert finding.advice.startswith("Frames of the caller arrive, but it doesn't answer ours")


def test_noAddressIsLeft() -> None:
    gateway = Gateway('[ipv4]\npool = ["10.77.0.10-10.77.0.10"]')
    gateway.call()
    gateway.call(source="192.0.2.8")
    up, last = gateway.explain()
    assert up.text == "A call of 'carol' is up since 2 min, from 192.0.2.7 by pptp."
    assert not up.isProblem and not up.advice
    assert "from 192.0.2.8 by pptp, got to addresses: the address pool is used up." in last.text
    assert last.advice.startswith("No address is left: enlarge the pool")


def test_theLimitOfAUser() -> None:
    gateway = Gateway("[limits]\nmax-sessions-per-user = 1")
    gateway.call()
    gateway.call(source="192.0.2.8")
    _, last = gateway.explain()
    assert "got to limits: carol has 1 sessions, and may have 1." in last.text
    assert last.advice.startswith("Another session of the user is up")


def test_aCallThatIsRefused() -> None:
    gateway = Gateway("[limits]\nmax-sessions-per-source = 1")
    gateway.call()
    gateway.call()
    gateway.call()
    up, nameless = gateway.explain(), explain("bob", gateway.gateway.attempts, 200.0)
    assert "is up since" in said(up)
    assert "was refused (2 times): there are 1 sessions from there" in nameless[1].text
    assert nameless[1].advice.startswith("Raise the key that the reason names")


def test_aConnectionThatSaysNothing() -> None:
    gateway = Gateway()
    gateway.connect()
    gateway.run(20, 0.1)
    (attempt,) = gateway.gateway.attempts
    assert adviceOn(attempt).startswith("The client connected and asked for no call.")


def test_aSessionThatLostItsClient() -> None:
    gateway = Gateway()
    gateway.call()
    gateway.network.lose = lambda frame: True
    gateway.run(300, 0.5)
    (finding,) = gateway.explain()
    assert "was up for " in finding.text
    assert finding.text.endswith("ended: the peer is silent: 3 Echo-Requests unanswered.")
    assert finding.advice.startswith("The client vanished without a word")
    assert not finding.isProblem


def test_theClientHangsUp() -> None:
    gateway = Gateway()
    placed = gateway.call()
    resultOf(placed).hangUp("enough")
    gateway.run(1)
    (finding,) = gateway.explain()
    assert finding.text.endswith("ended: the peer terminated LCP: enough.")
    assert not finding.advice


def test_aCallThatIsBeingSetUp() -> None:
    gateway = Gateway()
    gateway.network.lose = lambda frame: frame[0] == ppp.CCP
    gateway.placeCall(gateway.connect(), b"carol", PASSWORD).addErrback(lambda failure: None)
    gateway.run(2)
    (finding,) = gateway.explain()
    assert (
        finding.text
        == "A call of 'carol' is being set up, from 192.0.2.7 by pptp: it has got to CCP."
    )
    assert adviceOn(next(iter(gateway.gateway.attempts))) == ""
    assert not finding.isProblem


def test_nothingIsKnown() -> None:
    (finding,) = Gateway().explain()
    assert finding.text == "No call of 'carol' is remembered."
    assert "can it reach the gateway" in finding.advice

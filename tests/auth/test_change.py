"""
Tests for changing expired passwords of the embedded store by MS-CHAPv2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue, fail
from twisted.internet.task import deferLater
from twisted.logger import eventAsText
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.checkers import AccountsChecker
from pptpgw.auth.protocols import MSCHAPV2, PAP
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.rejection import Rejection
from pptpgw.config.section import LimitsSection
from pptpgw.error import Category, Refused, Unproven
from pptpgw.interfaces import IChangedPassword, TunnelKind
from pptpgw.ppp import mschap
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.wire import chap
from pptpgw.sessions.lockout import FIRST_SECONDS, Lockout
from pptpgw.store.store import Store
from pptpgw.testing import CALLER, ExchangeRecorder, makeClaim
from tests.change import changePassword, ntHash
from tests.logged import observed
from tests.octets import generateNTResponse

CHALLENGE = bytes(range(16))
NOW = 1_700_000_000.0
clock: Any = reactor
SSTP = TunnelKind("sstp", "SSTP")
OLD, NEW = "pässword", "Änderung 🔑"


def change(
    account: bytes = b"bob",
    new: bytes = NEW.encode("utf-16-le"),
    old: str = OLD,
    oldTold: str | None = None,
    size: int | None = None,
    domain: bytes = b"",
) -> ChangeClaim:
    """
    The claim of a peer that knows OLD. The other arguments are those of L{changePassword}.
    """
    packet = chap.decode(changePassword(8, CHALLENGE, account, old, new, oldTold, size))
    assert isinstance(packet, chap.ChangePassword)
    response = chap.MSCHAPV2Response(packet.peerChallenge, packet.ntResponse).encode()
    return ChangeClaim(MSCHAPV2, domain + account, 8, CHALLENGE, response, packet)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """
    An empty store.
    """
    arguments = f"sqlite:{tmp_path}/accounts.sqlite", f"{tmp_path}/key"
    made = Store(reactor, *arguments, create=True, now=lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def authenticator(store: Store) -> Authenticator:
    """
    An authenticator that has claims judged by the store's checker.
    """
    checker = AccountsChecker(lambda _: store, lambda: NOW)
    return Authenticator(Portal(SubscriberRealm(), [CheckerChain([checker])]))


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """
    Everything that is logged.
    """
    lines: list[str] = []
    with observed(lambda event: lines.append(eventAsText(event))):
        yield lines


def test_interface() -> None:
    """
    A checker that doesn't support changes isn't asked for one.
    """
    credentials = MSCHAPV2.credentials(change(), b"bob")
    assert verifyObject(IChangedPassword, credentials)
    assert not IUsernameHashedPassword.providedBy(credentials)


@pytest.mark.parametrize("domain", [b"", b"CORP\\"])
@pytest.mark.parametrize("recoverable", [False, True])
async def test_itIsChanged(
    domain: bytes,
    recoverable: bool,
    store: Store,
    authenticator: Authenticator,
    logged: list[str],
) -> None:
    """
    The new password is right after the change, the keys and the proof are made of it, and the old
    one is wrong.
    """
    await store.addAccount("bob", OLD.encode(), recoverable=recoverable, expires=NOW)
    with pytest.raises(Refused, match="the password has expired") as caught:
        await authenticator(makeClaim(PAP, b"bob", OLD.encode()))
    assert (caught.value.error, caught.value.text) == (648, b"The password has expired")
    assert not isinstance(caught.value, Unproven)
    # The domain isn't hashed (RFC 2759 section 8.2).
    grant = await authenticator(change(domain=domain))
    assert grant.name == "bob"
    assert grant.keys is not None
    assert grant.message.startswith(b"S=")
    account = await store.account("bob")
    assert account is not None
    assert account.ntHash == ntHash(NEW)
    assert account.expires is None
    if recoverable:
        assert store.vault.open("bob", account.sealed) == NEW.encode()
    assert (await authenticator(makeClaim(PAP, b"bob", NEW.encode()))).name == "bob"
    with pytest.raises(Unproven):
        await authenticator(makeClaim(PAP, b"bob", OLD.encode()))
    assert any("has changed the password" in line for line in logged)
    for secret in (OLD, NEW, ntHash(OLD).hex(), ntHash(NEW).hex()):
        assert not any(secret in line for line in logged)


async def test_aWholeExchange(store: Store, authenticator: Authenticator) -> None:
    """
    A whole exchange has a Challenge, a Response, a Failure with E=648, a Change-Password and a
    Success (RFC 2759 section 9.1.3).
    """
    await store.addAccount("bob", OLD.encode(), expires=NOW)
    packets: DeferredQueue[bytes] = DeferredQueue()
    recorder = ExchangeRecorder()
    exchange = MSCHAPV2.makeAuthenticator(
        clock, packets.put, b"gateway", authenticator, recorder, 0
    )
    exchange.start()
    challenge = chap.decode(await packets.get())
    assert isinstance(challenge, chap.Challenge)
    ntResponse = generateNTResponse(challenge.value, CHALLENGE, b"bob", ntHash(OLD))
    value = chap.MSCHAPV2Response(CHALLENGE, ntResponse).encode()
    exchange.received(chap.CHAPResponse(challenge.identifier, value, b"bob").encode())
    failure = chap.decode(await packets.get())
    assert isinstance(failure, chap.CHAPFailure)
    message = chap.FailureMessage.decode(failure.message)
    assert (message.error, message.retry, message.version) == (648, False, 3)
    number = (failure.identifier + 1) & 0xFF
    octets = changePassword(number, message.challenge, b"bob", OLD, NEW.encode("utf-16-le"))
    exchange.received(octets)
    success = chap.decode(await packets.get())
    assert isinstance(success, chap.CHAPSuccess) and success.identifier == number
    packet = chap.decode(octets)
    assert isinstance(packet, chap.ChangePassword)
    hashed = mschap.challengeHash(packet.peerChallenge, message.challenge, b"bob")
    hashHash = mschap.hashNtPasswordHash(ntHash(NEW))
    assert mschap.checkAuthenticatorResponse(hashHash, packet.ntResponse, hashed, success.message)
    # The last event is reported after the packet has been sent.
    await deferLater(clock, 0)
    assert recorder.told == ["granted bob", "authenticated"]
    exchange.stop()


async def test_byATunnelThatIsForbidden(store: Store, authenticator: Authenticator) -> None:
    """
    By a tunnel that the account doesn't permit, an expired password that is right is answered as a
    wrong one, as late, with the reason for the operator, and locks nobody out.
    """
    await store.addAccount("bob", OLD.encode(), attributes={"tunnels": "sstp"}, expires=NOW)
    lockout = Lockout(clock, LimitsSection(maxFailures=2), lambda *told: None)
    seen = []
    for password in (OLD, OLD, OLD, "wrong"):
        claim = makeClaim(PAP, b"bob", password.encode(), CALLER)
        began = clock.seconds()
        with pytest.raises(Unproven) as caught:
            await lockout.judge(claim, CALLER.address, authenticator)
        error = caught.value
        seen.append((error.error, error.text, error.retry, str(error)))
        assert clock.seconds() - began >= FIRST_SECONDS
        right = "bob may not call by pptp, only by sstp"
        assert error.why == (right if password == OLD else str(error))
        assert (error.category is Category.TUNNEL) is (password == OLD)
    assert len(set(seen)) == 1
    permitted = makeClaim(PAP, b"bob", OLD.encode(), replace(CALLER, tunnel=SSTP))
    with pytest.raises(Refused, match="the password has expired"):
        await lockout.judge(permitted, CALLER.address, authenticator)


class TestWrong:
    async def unchanged(self, store: Store) -> bool:
        """
        Whether bob still has the old password.
        """
        account = await store.account("bob")
        return account is not None and (account.ntHash, account.expires) == (ntHash(OLD), NOW)

    @pytest.mark.parametrize(
        "lies",
        [
            {"old": "a guess"},
            {"old": "a guess", "oldTold": OLD},
            {"oldTold": "a guess"},
            {"size": 513},
            {"size": 2},
            {"size": 0xFFFFFFFF},
            {"account": b"alice"},
            {"account": b"nobody"},
            {"account": b"off"},
        ],
    )
    async def test_whoDoesNotKnowIt(
        self, lies: dict[str, Any], store: Store, authenticator: Authenticator
    ) -> None:
        """
        A change is refused in the same words for a wrong old password, another user and a disabled
        user.
        """
        await store.addAccount("bob", OLD.encode(), expires=NOW)
        await store.addAccount("alice", b"hers", expires=NOW)
        await store.addAccount("off", OLD.encode(), expires=NOW)
        await store.changeAccount("off", disabled=True)
        with pytest.raises(Unproven):
            await authenticator(change(**lies))
        assert await self.unchanged(store)

    async def test_anotherNewPassword(self, store: Store, authenticator: Authenticator) -> None:
        """
        A change whose response wasn't made with the new password in it is refused.
        """
        await store.addAccount("bob", OLD.encode(), expires=NOW)
        one, other = change(), change(new="other".encode("utf-16-le"))
        with pytest.raises(Unproven):
            await authenticator(
                ChangeClaim(MSCHAPV2, b"bob", 8, CHALLENGE, other.response, one.change)
            )
        assert await self.unchanged(store)

    @pytest.mark.parametrize("new", [b"", b"\x00\xd8", b"abc"])
    async def test_noPassword(self, new: bytes, store: Store, authenticator: Authenticator) -> None:
        """
        A new password that is empty or isn't text is refused with the code for a password that
        can't be changed.
        """
        await store.addAccount("bob", OLD.encode(), expires=NOW)
        with pytest.raises(Refused, match="could not be changed") as caught:
            await authenticator(change(new=new))
        assert (caught.value.error, caught.value.retry) == (709, False)
        assert await self.unchanged(store)


@implementer(ICredentialsChecker)
class _Says:
    """
    A checker that refuses with a given error.
    """

    credentialInterfaces = (IChangedPassword,)

    def __init__(self, error: UnauthorizedLogin) -> None:
        self.error = error
        self.asked = 0

    def requestAvatarId(self, credentials: object) -> Deferred[Any]:
        """
        Fail with the error.
        """
        self.asked += 1
        return fail(self.error)


@pytest.mark.parametrize(
    ("first", "asked"),
    [(UnauthorizedLogin(), 1), (Rejection(691), 1), (Rejection(648), 0), (Rejection(647), 0)],
)
def test_whoKnowsTheUserHasTheLastWord(first: UnauthorizedLogin, asked: int) -> None:
    """
    The next checker is asked after a wrong password, and isn't asked after an expired one.
    """
    second = _Says(UnauthorizedLogin())
    failed: list[object] = []
    chain = CheckerChain([_Says(first), second])
    credentials = MSCHAPV2.credentials(change(), b"bob")
    chain.requestAvatarId(credentials).addErrback(lambda failure: failed.append(failure.value))
    assert second.asked == asked
    assert (failed[0] is first) is not bool(asked)

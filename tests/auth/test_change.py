"""
Passwords of the embedded store that have expired, changed by MS-CHAPv2.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.checkers import AccountsChecker
from pptpgw.auth.protocols import MSCHAPV2, PAP
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.rejection import Rejection
from pptpgw.error import Refused, Unproven
from pptpgw.interfaces import IChangedPassword
from pptpgw.ppp import mschap
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.wire import chap
from pptpgw.store.store import Store
from pptpgw.testing import ExchangeRecorder, makeClaim
from tests.change import changePassword, ntHash
from tests.octets import generateNTResponse

CHALLENGE = bytes(range(16))
NOW = 1_700_000_000.0
clock: Any = reactor
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
    What a peer says that knows OLD; the other arguments are those of L{changePassword}.
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
    What judges claims by it.
    """
    checker = AccountsChecker(lambda _: store, lambda: NOW)
    return Authenticator(Portal(SubscriberRealm(), [CheckerChain([checker])]))


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """
    Everything that is logged.
    """
    lines: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(eventAsText(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_interface() -> None:
    """
    A checker that knows nothing of changes isn't asked.
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
    The new password is right from then on, with keys and proof made of it; the old one is wrong.
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
    Challenge, Response, Failure with E=648, Change-Password, Success (RFC 2759 section 9.1.3).
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
    # The last of it is told when the packet has been sent.
    await deferLater(clock, 0)
    assert recorder.told == ["granted bob", "authenticated"]
    exchange.stop()


class TestWrong:
    async def unchanged(self, store: Store) -> bool:
        """
        Whether bob's password is what it was.
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
        The old password, hidden or told, another user, one that is disabled: all the same.
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
        The response must be by the new password that is hidden.
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
        An empty one, or what is no text: the password could not be changed.
        """
        await store.addAccount("bob", OLD.encode(), expires=NOW)
        with pytest.raises(Refused, match="could not be changed") as caught:
            await authenticator(change(new=new))
        assert (caught.value.error, caught.value.retry) == (709, False)
        assert await self.unchanged(store)


@implementer(ICredentialsChecker)
class _Says:
    """
    A checker that says no, its way.
    """

    credentialInterfaces = (IChangedPassword,)

    def __init__(self, error: UnauthorizedLogin) -> None:
        self.error = error
        self.asked = 0

    def requestAvatarId(self, credentials: object) -> Deferred[Any]:
        """
        Say it.
        """
        self.asked += 1
        return fail(self.error)


@pytest.mark.parametrize(
    ("first", "asked"),
    [(UnauthorizedLogin(), 1), (Rejection(691), 1), (Rejection(648), 0), (Rejection(647), 0)],
)
def test_whoKnowsTheUserHasTheLastWord(first: UnauthorizedLogin, asked: int) -> None:
    """
    A wrong password may be right elsewhere; one that has expired isn't.
    """
    second = _Says(UnauthorizedLogin())
    failed: list[object] = []
    chain = CheckerChain([_Says(first), second])
    credentials = MSCHAPV2.credentials(change(), b"bob")
    chain.requestAvatarId(credentials).addErrback(lambda failure: failed.append(failure.value))
    assert second.asked == asked
    assert (failed[0] is first) is not bool(asked)

"""
Passwords that have expired, and are to be changed by a RADIUS server (RFC 2548 section 2.3.4).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.cred.portal import Portal
from twisted.internet import reactor

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.config.section import RADIUSSection
from pptpgw.counting.counters import Counters
from pptpgw.error import Refused, Unproven
from pptpgw.interfaces import Claim
from pptpgw.ppp import mschap
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.wire import chap
from pptpgw.radius import access
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.factory import makeClient
from pptpgw.radius.packet import ACCESS_REQUEST, MAXIMUM_OCTETS, RADIUSRequest
from pptpgw.radius.servers import Server
from tests.change import changePassword, ntHash
from tests.radius.freeradius import SECRET, FreeRADIUS

OLD = "sesame"
CHALLENGE = bytes(range(16))
# Flags of Samba's: a normal account, whose password has expired.
EXPIRED = 0x00120000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRADIUS]:
    """
    A server whose one user's password has expired.
    """
    account = f"bob NT-Password := 0x{ntHash(OLD).hex()}, SMB-Account-CTRL := {EXPIRED}\n"
    made = FreeRADIUS(tmp_path_factory.mktemp("radius"), account)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def authenticator(server: FreeRADIUS) -> Iterator[Authenticator]:
    """
    What has claims judged by it.
    """
    one = Server("127.0.0.1", server.authPort, 0, secret=SECRET)
    configuration = Configuration(radius=RADIUSSection(server=(one,)))
    client = makeClient(reactor, configuration, Counters())
    checker = RADIUSChecker()
    checker.configure(NoSettings(), Environment.of(reactor, configuration, radius=client))
    client.start()
    yield Authenticator(Portal(SubscriberRealm(), [checker]))
    client.stop()


def change() -> ChangeClaim:
    """
    What a peer says that has a new one.
    """
    octets = changePassword(8, CHALLENGE, b"bob", OLD, "fresh".encode("utf-16-le"))
    packet = chap.decode(octets)
    assert isinstance(packet, chap.ChangePassword)
    response = chap.MSCHAPV2Response(packet.peerChallenge, packet.ntResponse).encode()
    return ChangeClaim(MSCHAPV2, b"bob", 8, CHALLENGE, response, packet)


async def test_itHasExpired(authenticator: Authenticator) -> None:
    """
    The server says so of the right password; of another one it says that it's wrong.
    """

    def claim(password: str) -> Claim:
        ntResponse = mschap.generateNTResponse(CHALLENGE, CHALLENGE, b"bob", ntHash(password))
        response = chap.MSCHAPV2Response(CHALLENGE, ntResponse).encode()
        return Claim(MSCHAPV2, b"bob", 7, CHALLENGE, response)

    with pytest.raises(Refused, match="the password has expired") as caught:
        await authenticator(claim(OLD))
    assert (caught.value.error, caught.value.text) == (648, b"Password expired")
    with pytest.raises(Unproven):
        await authenticator(claim("a guess"))


async def test_theServerRefuses(authenticator: Authenticator, server: FreeRADIUS) -> None:
    """
    This one takes the attributes for what they are, but has no way to change a password.
    """
    with pytest.raises(Refused, match="the password could not be changed") as caught:
        await authenticator(change())
    assert (caught.value.error, caught.value.retry) == (709, False)
    assert "Password change payload valid" in server.log


def test_attributes() -> None:
    """
    Code, identifier and what the packet holds; the password in three parts, which are numbered.
    """
    made = change()
    server = Server("127.0.0.1", 1, 0, secret=SECRET)
    request = RADIUSRequest(ACCESS_REQUEST, server, SECRET.encode())
    access.prove(request, MSCHAPV2.credentials(made, b"bob"))
    assert request.octets("MS-CHAP-Challenge") == [CHALLENGE]
    assert not request.octets("MS-CHAP2-Response")
    [proof] = request.octets("MS-CHAP2-CPW")
    packet = made.change
    fields = packet.encryptedHash, packet.peerChallenge, bytes(8), packet.ntResponse, bytes(2)
    assert proof == b"\x07\x08" + b"".join(fields)
    parts = request.octets("MS-CHAP-NT-Enc-PW")
    assert [part[:4] for part in parts] == [b"\x06\x08\x00" + bytes((n,)) for n in (1, 2, 3)]
    assert b"".join(part[4:] for part in parts) == packet.encryptedPassword
    assert len(request.encode(0)) < MAXIMUM_OCTETS

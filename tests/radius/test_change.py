"""
Tests for changing an expired password by way of a RADIUS server (RFC 2548 section 2.3.4).
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
from pptpgw.counting.counters import Counters
from pptpgw.error import Refused, Unproven
from pptpgw.interfaces import Claim
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.wire import chap
from pptpgw.radius import access
from pptpgw.radius.build import makeClient
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.packet import ACCESS_REQUEST, MAXIMUM_OCTETS, RADIUSRequest
from pptpgw.radius.section import RADIUSSection
from pptpgw.radius.servers import Server
from tests.change import changePassword, ntHash
from tests.octets import generateNTResponse
from tests.radius.freeradius import SECRET, FreeRADIUS

OLD = "sesame"
CHALLENGE = bytes(range(16))
# Samba's flags for a normal account with an expired password.
EXPIRED = 0x00120000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRADIUS]:
    """
    A server with one user, whose password has expired.
    """
    account = f"bob NT-Password := 0x{ntHash(OLD).hex()}, SMB-Account-CTRL := {EXPIRED}\n"
    made = FreeRADIUS(tmp_path_factory.mktemp("radius"), account)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def authenticator(server: FreeRADIUS) -> Iterator[Authenticator]:
    """
    An authenticator that has claims judged by the server.
    """
    one = Server("127.0.0.1", server.authPort, 0, secret=SECRET)
    configuration = Configuration(radius=RADIUSSection(server=(one,)))
    client = makeClient(reactor, configuration, Counters())
    checker = RADIUSChecker()
    checker.configure(NoSettings(), Environment(reactor, configuration, radius=client))
    client.start()
    yield Authenticator(Portal(SubscriberRealm(), [checker]))
    client.stop()


def change() -> ChangeClaim:
    """
    The claim of a peer that changes its password.
    """
    octets = changePassword(8, CHALLENGE, b"bob", OLD, "fresh".encode("utf-16-le"))
    packet = chap.decode(octets)
    assert isinstance(packet, chap.ChangePassword)
    response = chap.MSCHAPV2Response(packet.peerChallenge, packet.ntResponse).encode()
    return ChangeClaim(MSCHAPV2, b"bob", 8, CHALLENGE, response, packet)


async def test_itHasExpired(authenticator: Authenticator) -> None:
    """
    The server reports an expired password if the password is right, and a wrong one otherwise.
    """

    def claim(password: str) -> Claim:
        ntResponse = generateNTResponse(CHALLENGE, CHALLENGE, b"bob", ntHash(password))
        response = chap.MSCHAPV2Response(CHALLENGE, ntResponse).encode()
        return Claim(MSCHAPV2, b"bob", 7, CHALLENGE, response)

    with pytest.raises(Refused, match="the password has expired") as caught:
        await authenticator(claim(OLD))
    assert (caught.value.error, caught.value.text) == (648, b"Password expired")
    with pytest.raises(Unproven):
        await authenticator(claim("a guess"))


async def test_theServerRefuses(authenticator: Authenticator, server: FreeRADIUS) -> None:
    """
    FreeRADIUS accepts the attributes of a change and refuses it, as it has no command to change
    passwords.
    """
    with pytest.raises(Refused, match="the password could not be changed") as caught:
        await authenticator(change())
    assert (caught.value.error, caught.value.retry) == (709, False)
    assert "Password change payload valid" in server.log


def test_attributes() -> None:
    """
    The attributes have the code, the identifier and the fields of the packet. The encrypted
    password is in three numbered parts.
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

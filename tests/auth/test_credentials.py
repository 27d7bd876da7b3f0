"""
Tests for claims as credentials.
"""

from __future__ import annotations

from binascii import unhexlify

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from zope.interface.verify import verifyObject

from pptpgw.auth.credentials import ClaimCredentials, MSCHAPCredentials, MSCHAPV2Credentials
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.interfaces import Claim, IAuthenticationProtocol, IClaimCredentials
from pptpgw.ppp import mschap
from pptpgw.ppp.wire.chap import MSCHAPResponse, MSCHAPV2Response

# RFC 2759 section 9.2.
V2 = Claim(
    MSCHAPV2,
    b"BIGCO\\User",
    1,
    unhexlify("5B5D7C7D7B3F2F3E3C2C602132262628"),
    MSCHAPV2Response(
        unhexlify("21402324255E262A28295F2B3A337C7E"),
        unhexlify("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"),
    ).encode(),
)
# RFC 2433 appendix B.2.
V1 = Claim(
    MSCHAP,
    b"User",
    1,
    unhexlify("102DB5DF085D3041"),
    MSCHAPResponse(
        bytes(24), unhexlify("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61"), True
    ).encode(),
)
MD5 = Claim(
    CHAP,
    b"User",
    1,
    unhexlify("102DB5DF085D3041"),
    unhexlify("8F028814450D66D94C72331EF455A172"),
)
CLEAR = Claim(PAP, b"User", 1, b"", b"MyPw")


def credentialsFor(claim: Claim, username: bytes) -> ClaimCredentials:
    """
    The credentials that the claim's protocol makes.
    """
    credentials = claim.method.credentials(claim, username)
    assert verifyObject(IClaimCredentials, credentials)
    assert isinstance(credentials, ClaimCredentials)
    return credentials


@pytest.mark.parametrize(
    ("claim", "password"), [(V2, b"clientPass"), (V1, b"MyPw"), (MD5, b"MyPw"), (CLEAR, b"MyPw")]
)
def test_rightAndWrong(claim: Claim, password: bytes) -> None:
    """
    Each method's claim is right for its password and for no other.
    """
    credentials = credentialsFor(claim, b"account")
    assert credentials.username == b"account"
    for wrong in (b"", password + b" ", password.upper()):
        assert not credentials.checkPassword(wrong)
        assert credentials.keys is None and credentials.message == b"Welcome"
    assert credentials.checkPassword(password)
    assert (credentials.keys is not None) is claim.method.earnsKeys


def test_interfaces() -> None:
    """
    PAP's credentials provide the interface that any checker takes, and the others provide the one
    for hashed passwords.
    """
    verifyObject(IUsernamePassword, credentialsFor(CLEAR, b""))
    for claim in (V2, V1, MD5):
        verifyObject(IUsernameHashedPassword, credentialsFor(claim, b""))
        assert not IUsernamePassword.providedBy(credentialsFor(claim, b""))


def test_authenticatorResponse() -> None:
    """
    MS-CHAPv2's message begins with the response of RFC 2759 section 9.2, which doesn't depend on
    the account's name.
    """
    credentials = credentialsFor(V2, b"joe")
    assert credentials.checkPassword(b"clientPass")
    assert credentials.message == b"S=407A5589115FD0D6209F510FE9C04566932CDA56 M=Welcome"


def test_keys() -> None:
    """
    The keys are the authenticator's: its send key is RFC 3079 section 3.5.3's key of the server.
    """
    credentials = credentialsFor(V2, b"User")
    credentials.checkPassword(b"clientPass")
    assert credentials.keys is not None
    sends = credentials.keys.send(128, False)
    assert sends.startKey == unhexlify("8B7CDC149B993A1BA118CB153F56DCCB")


def test_ntHash() -> None:
    """
    Credentials are checked against an NT hash too, with the same keys except those that MS-CHAPv1
    makes of the LAN Manager hash.
    """
    v2 = MSCHAPV2Credentials(V2, b"User")
    assert not v2.checkNTHash(bytes(16))
    assert v2.checkNTHash(mschap.ntPasswordHash(b"clientPass"))
    v1, hashed = MSCHAPCredentials(V1, b"User"), MSCHAPCredentials(V1, b"User")
    assert not hashed.checkNTHash(bytes(16))
    assert hashed.checkNTHash(mschap.ntPasswordHash(b"MyPw")) and v1.checkPassword(b"MyPw")
    assert v1.keys is not None and hashed.keys is not None
    assert v1.keys.send(128, False) == hashed.keys.send(128, False)
    assert (v1.keys.bits, hashed.keys.bits) == ((40, 56, 128), (128,))


def test_lanManagerAlone() -> None:
    """
    A response that asks for its LAN Manager half to be used is refused, right or not.
    """
    lmResponse = mschap.challengeResponse(V1.challenge, mschap.lmPasswordHash(b"MyPw"))
    ntResponse = V1.response[24:48]
    for value in (
        MSCHAPResponse(lmResponse, ntResponse, False),
        MSCHAPResponse(lmResponse, bytes(24), False),
        MSCHAPResponse(lmResponse, bytes(24), True),
    ):
        claim = Claim(MSCHAP, b"User", 1, V1.challenge, value.encode())
        assert not credentialsFor(claim, b"User").checkPassword(b"MyPw")
    claim = Claim(
        MSCHAP,
        b"User",
        1,
        V1.challenge,
        MSCHAPResponse(lmResponse, ntResponse, True).encode(),
    )
    assert credentialsFor(claim, b"User").checkPassword(b"MyPw")


def test_identifierIsHashed() -> None:
    """
    A response of CHAP with MD5 is right for one identifier alone.
    """
    claim = Claim(CHAP, b"User", 2, MD5.challenge, MD5.response)
    assert not credentialsFor(claim, b"User").checkPassword(b"MyPw")


@given(
    st.sampled_from([MSCHAPV2, MSCHAP, CHAP, PAP]),
    st.binary(max_size=60),
    st.binary(max_size=60),
)
def test_arbitraryOctets(method: IAuthenticationProtocol, response: bytes, password: bytes) -> None:
    """
    The check of any octets returns a truth value.
    """
    claim = Claim(method, b"user", 1, bytes(16), response)
    right = credentialsFor(claim, b"user").checkPassword(password)
    assert right is (method.name == "pap" and response == password)

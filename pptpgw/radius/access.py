"""
The attributes of an Access-Request: those that describe the call, and those that hold the proof of
each kind of claim (RFC 2865, RFC 2548, RFC 3579).
"""

from __future__ import annotations

from pptpgw.auth.credentials import (
    ChangeCredentials,
    CHAPCredentials,
    ClaimCredentials,
    MSCHAPCredentials,
    MSCHAPV2Credentials,
    PAPCredentials,
)
from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import Caller
from pptpgw.ppp.wire.chap import ChangePassword, MSCHAPResponse, MSCHAPV2Response
from pptpgw.radius.nas import NAS, SERVICE, connectInfo
from pptpgw.radius.packet import LONGEST_VALUE, RADIUSRequest

LONGEST_PASSWORD = 128
"""
The octets that a User-Password may have (RFC 2865 section 5.2).
"""

_CHUNK_OCTETS = 243
"""
The octets of an encrypted password that fit into one MS-CHAP-NT-Enc-PW.
"""


def describe(request: RADIUSRequest, nas: NAS, caller: Caller | None) -> None:
    """
    Add the attributes that name the gateway and describe the call.

    @param caller: the caller; None if nobody knows of a call.
    """
    if caller is None:
        request.addAll((*nas.identity(), *SERVICE))
    else:
        request.addAll((*nas.call(caller), *connectInfo(caller.tunnel, caller.protection)))


def prove(request: RADIUSRequest, credentials: ClaimCredentials) -> None:
    """
    Add the name of the user and the proof of the claim.

    @raise Refused: RADIUS can't carry the claim; the text says why.
    """
    claim = credentials.claim
    name(request, credentials.username)
    if isinstance(credentials, PAPCredentials):
        if len(claim.response) > LONGEST_PASSWORD:
            raise Refused(f"a password of more than {LONGEST_PASSWORD} octets", retry=False)
        request.addPassword(claim.response)
    elif isinstance(credentials, CHAPCredentials):
        request.add("CHAP-Password", bytes((claim.identifier,)) + claim.response)
        request.add("CHAP-Challenge", claim.challenge)
    elif isinstance(credentials, ChangeCredentials):
        request.add("MS-CHAP-Challenge", claim.challenge)
        _changePassword(request, credentials.change)
    elif isinstance(credentials, MSCHAPCredentials | MSCHAPV2Credentials):
        request.add("MS-CHAP-Challenge", claim.challenge)
        try:
            _proveByMSCHAP(request, credentials)
        except Malformed as problem:
            raise Refused(str(problem), retry=False) from problem
    else:
        raise Refused(f"RADIUS can't judge {claim.method.name}", retry=False)


def name(request: RADIUSRequest, octets: bytes) -> None:
    """
    Add User-Name.

    @raise Refused: the name is empty, or longer than an attribute can be.
    """
    if not 0 < len(octets) <= LONGEST_VALUE:
        raise Refused(f"a name of {len(octets)} octets", retry=False)
    request.add("User-Name", octets)


def _proveByMSCHAP(
    request: RADIUSRequest, credentials: MSCHAPCredentials | MSCHAPV2Credentials
) -> None:
    """
    Add the response of MS-CHAPv1 or MS-CHAPv2 (RFC 2548 sections 2.1.3 and 2.3.2).

    @raise Malformed: the response can't be used.
    """
    claim = credentials.claim
    identifier = bytes((claim.identifier,))
    if isinstance(credentials, MSCHAPCredentials):
        response = MSCHAPResponse.decode(claim.response)
        if not response.useNT:
            # Refused as by every other checker, because a LAN Manager response is far weaker.
            raise Malformed("a LAN Manager response alone")
        # Leave the LAN Manager half out: the server doesn't need it, and anybody could crack it.
        octets = bytes(24) + response.ntResponse
        request.add("MS-CHAP-Response", identifier + b"\1" + octets)
    else:
        answer = MSCHAPV2Response.decode(claim.response)
        octets = answer.peerChallenge + bytes(8) + answer.ntResponse
        request.add("MS-CHAP2-Response", identifier + b"\0" + octets)


def _changePassword(request: RADIUSRequest, change: ChangePassword) -> None:
    """
    Add the parts of a Change-Password (RFC 2548 sections 2.1.7 and 2.3.4). Their codes are those of
    the MS-CHAP packets.
    """
    identifier = bytes((change.identifier,))
    password = change.encryptedPassword
    for number, start in enumerate(range(0, len(password), _CHUNK_OCTETS), 1):
        chunk = password[start : start + _CHUNK_OCTETS]
        request.add("MS-CHAP-NT-Enc-PW", b"\6" + identifier + number.to_bytes(2, "big") + chunk)
    proof = change.encryptedHash + change.peerChallenge + bytes(8) + change.ntResponse
    request.add("MS-CHAP2-CPW", b"\7" + identifier + proof + bytes(2))

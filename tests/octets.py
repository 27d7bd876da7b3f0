"""
Octets that peers send and the package never makes.
"""

from __future__ import annotations

from pptpgw.ppp import mschap
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, LCP


def encodeFrame(protocol: int, information: bytes, acfc: bool = False, pfc: bool = False) -> bytes:
    """
    Return the octets of a frame. LCP's frames are never compressed (RFC 1661 section 6.6).

    @param protocol: a number whose low octet is odd and whose high octet is even.
    @param acfc: whether to leave out the address and control fields.
    @param pfc: whether to leave out a leading zero octet of the protocol number.
    """
    start = b"" if acfc and protocol != LCP else ADDRESS_CONTROL
    if pfc and protocol < 0x100:
        return b"%b%c%b" % (start, protocol, information)
    return b"%b%b%b" % (start, protocol.to_bytes(2, "big"), information)


def generateNTResponse(
    authenticatorChallenge: bytes, peerChallenge: bytes, userName: bytes, passwordHash: bytes
) -> bytes:
    """
    Return the NT-Response of MS-CHAPv2: 24 octets (RFC 2759 section 8.1).
    """
    challenge = mschap.challengeHash(peerChallenge, authenticatorChallenge, userName)
    return mschap.challengeResponse(challenge, passwordHash)

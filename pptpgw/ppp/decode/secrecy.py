"""
Passwords in clear, which aren't even kept in memory with the frames that hold them.
"""

from __future__ import annotations

from pptpgw.ppp.wire import ppp

# The octets up to the length of the name in a packet of PAP, and up to the type in one of EAP.
_BEFORE = 5
# The types of EAP whose packets hold no password in clear: Identity, Notification, Nak,
# MD5-Challenge, TLS, TTLS, PEAP and MSCHAPv2.
_PROTECTED = frozenset((1, 2, 3, 4, 13, 21, 25, 26))
# The codes of PAP's replies.
_REPLIES = (b"\x02", b"\x03")


def withoutPassword(protocol: int, information: bytes) -> bytes:
    """
    Return the first octets of a frame of an authentication protocol, up to where a password in
    clear may begin; all of them if there can be none.
    """
    if protocol == ppp.PAP:
        if information[:1] in _REPLIES:
            return information
        end = _BEFORE + (information[4] if len(information) >= _BEFORE else 0)
        return information[: end if end < len(information) else _BEFORE]
    if protocol == ppp.EAP:
        isProtected = len(information) < _BEFORE or information[4] in _PROTECTED
        return information if isProtected else information[:_BEFORE]
    if protocol == ppp.CHAP:
        return information
    return information[: ppp.HEADER_OCTETS]

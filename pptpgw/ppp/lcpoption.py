"""
The kinds of option that LCP knows (RFC 1661 section 6, RFC 1662 section 7.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pptpgw.ppp.authentication import Method
from pptpgw.ppp.control import DEFAULT_MRU
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.wire import ppp

if TYPE_CHECKING:
    from pptpgw.ppp.lcp import LCP

# Option types.
MRU = 1
ACCM = 2
AUTHENTICATION_PROTOCOL = 3
MAGIC_NUMBER = 5
PFC = 7
ACFC = 8

# The smallest MRU that a peer may announce: less carries no useful packet.
LEAST_MRU = 64
METHODS = {method.option: method for method in Method}

_AUTHENTICATION_NAMES = {0xC027: "SPAP", ppp.EAP: "EAP", 0xC123: "an old Shiva protocol"}


def authenticationName(value: bytes) -> str:
    """
    The value of an Authentication-Protocol option in words.
    """
    method = METHODS.get(value)
    if method is not None:
        return method.value
    protocol = int.from_bytes(value[:2], "big")
    if protocol == ppp.CHAP:
        return f"CHAP with algorithm {value[2]}" if len(value) > 2 else "CHAP with no algorithm"
    return _AUTHENTICATION_NAMES.get(protocol, f"authentication protocol 0x{protocol:04x}")


class _MRU(Option["LCP"]):
    __slots__ = ()

    def wanted(self, owner: LCP) -> bytes | None:
        return owner.settings.mru.to_bytes(2, "big")

    def naked(self, owner: LCP, current: bytes, suggested: bytes) -> bytes | None:
        fits = len(suggested) == 2 and LEAST_MRU <= int.from_bytes(suggested, "big") <= DEFAULT_MRU
        return suggested if fits else current

    def judge(self, owner: LCP, value: bytes) -> bytes | None:
        if len(value) == 2 and int.from_bytes(value, "big") >= LEAST_MRU:
            return value
        return DEFAULT_MRU.to_bytes(2, "big")


class _ACCM(Option["LCP"]):
    """
    Nothing is escaped inside GRE, so any map will do.
    """

    __slots__ = ()

    def judge(self, owner: LCP, value: bytes) -> bytes | None:
        return value if len(value) == 4 else b"\0\0\0\0"


class _AuthenticationProtocol(Option["LCP"]):
    __slots__ = ()

    def wanted(self, owner: LCP) -> bytes | None:
        methods = owner.settings.authentication
        return methods[0].option if methods else None

    def naked(self, owner: LCP, current: bytes, suggested: bytes) -> bytes | None:
        if METHODS.get(suggested) in owner.settings.authentication:
            return suggested
        raise GiveUp(f"the peer proposes {authenticationName(suggested)}, which isn't permitted")

    def rejected(self, owner: LCP, current: bytes) -> None:
        methods = ", ".join(method.value for method in owner.settings.authentication)
        raise GiveUp(f"the peer refuses to authenticate with any of {methods}")

    def judge(self, owner: LCP, value: bytes) -> bytes | None:
        answers = owner.settings.answers
        if not answers:
            return None
        return value if METHODS.get(value) in answers else answers[0].option


class _MagicNumber(Option["LCP"]):
    __slots__ = ()

    def wanted(self, owner: LCP) -> bytes | None:
        return owner.newMagicNumber() if owner.settings.magic else None

    def naked(self, owner: LCP, current: bytes, suggested: bytes) -> bytes | None:
        return owner.newMagicNumber()

    def judge(self, owner: LCP, value: bytes) -> bytes | None:
        if value == owner.negotiator.wanted.get(MAGIC_NUMBER):
            owner.looped()
            return owner.newMagicNumber()
        return value if len(value) == 4 and any(value) else owner.newMagicNumber()


class _Compression(Option["LCP"]):
    """
    PFC or ACFC, which have no value.

    A peer that answers one with a Configure-Nak (RouterTester) is taken to mean a Reject.
    """

    __slots__ = ("_setting",)

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def wanted(self, owner: LCP) -> bytes | None:
        return b"" if getattr(owner.settings, self._setting) else None

    def judge(self, owner: LCP, value: bytes) -> bytes | None:
        return b"" if getattr(owner.settings, self._setting) else None


LCP_KINDS: Mapping[int, Option[Any]] = {
    MRU: _MRU(),
    ACCM: _ACCM(),
    AUTHENTICATION_PROTOCOL: _AuthenticationProtocol(),
    MAGIC_NUMBER: _MagicNumber(),
    PFC: _Compression("pfc"),
    ACFC: _Compression("acfc"),
}

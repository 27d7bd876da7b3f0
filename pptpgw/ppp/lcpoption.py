"""
The kinds of option that LCP knows (RFC 1661 section 6, RFC 1662 section 7.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from typing import Protocol as TypingProtocol

from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.ppp.control import DEFAULT_MRU
from pptpgw.ppp.option import GiveUp, Negotiator, Option
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.remedy import Remedy

# Option types.
MRU = 1
ACCM = 2
AUTHENTICATION_PROTOCOL = 3
QUALITY_PROTOCOL = 4
MAGIC_NUMBER = 5
PFC = 7
ACFC = 8
MRRU = 17
SHORT_NUMBERS = 18
ENDPOINT = 19

# The smallest MRU that either end may have, in octets, as in pppd. With a smaller one, a packet
# would be cut into very many fragments.
LEAST_MRU = 128

# The shortest period of reports that the peer may have, in hundredths of a second.
LEAST_PERIOD = 100

_AUTHENTICATION_NAMES = {
    ppp.PAP: "PAP",
    ppp.SPAP: "SPAP",
    ppp.SHIVA: "an old Shiva protocol",
    ppp.EAP: "EAP",
}
# The algorithms of CHAP (RFC 1994 section 3, RFC 2433 section 3, RFC 2759 section 3).
_ALGORITHM_NAMES = {5: "CHAP with MD5", 0x80: "MS-CHAP", 0x81: "MS-CHAPv2"}


def authenticationName(value: bytes) -> str:
    """
    Return the value of an Authentication-Protocol option in words, whether we have the protocol or
    not.
    """
    protocol = int.from_bytes(value[:2], "big")
    if protocol != ppp.CHAP:
        return _AUTHENTICATION_NAMES.get(protocol, f"authentication protocol 0x{protocol:04x}")
    if len(value) == 2:
        return "CHAP with no algorithm"
    return _ALGORITHM_NAMES.get(value[2], f"CHAP with algorithm {value[2]}")


def optionOf(method: IAuthenticationProtocol) -> bytes:
    """
    Return the value of the Authentication-Protocol option that stands for C{method} (RFC 1661
    section 6.2).
    """
    number: int = method.number
    algorithm: bytes = method.algorithm
    return number.to_bytes(2, "big") + algorithm


def methodOf(
    value: bytes | None, methods: Iterable[IAuthenticationProtocol]
) -> IAuthenticationProtocol | None:
    """
    Return the one of C{methods} that the option's value stands for, or None.
    """
    return next((method for method in methods if optionOf(method) == value), None)


@dataclass(frozen=True, slots=True)
class LCPSettings:
    """
    The options that this end asks for and allows.

    @ivar mru: the largest information field that we can receive, in octets.
    @ivar magic: whether we use a magic number.
    @ivar acfc: whether address and control field compression is asked for and allowed.
    @ivar pfc: whether protocol field compression is asked for and allowed.
    @ivar authentication: the protocols by which the peer may authenticate, strongest first; empty
        if it needn't.
    @ivar answers: the protocols by which we authenticate if the peer demands it, strongest first.
    @ivar accm: the map of control characters that the peer is asked to escape (RFC 1662 section
        7.1); None for a tunnel without escaping.
    @ivar qualityReports: the seconds between two Link-Quality-Reports that the peer is asked for; 0
        if there are none in either direction.
    @ivar mrru: the largest information field that we can receive in fragments, in octets (RFC 1990
        section 5.1.1); 0 if the link can't be one of a bundle.
    @ivar shortNumbers: whether the peer is asked for short sequence numbers in fragments.
    @ivar endpoint: what the endpoint discriminator says that is sent with an MRRU: a class, and an
        address of this end that is the same on all links (RFC 1990 section 5.1.3).
    """

    mru: int = 1400
    magic: bool = True
    acfc: bool = True
    pfc: bool = True
    authentication: tuple[IAuthenticationProtocol, ...] = ()
    answers: tuple[IAuthenticationProtocol, ...] = ()
    accm: int | None = None
    qualityReports: float = 0
    mrru: int = 0
    shortNumbers: bool = False
    endpoint: bytes = b""


class Negotiating(TypingProtocol):
    """
    The attributes of the L{pptpgw.ppp.lcp.LCP} that negotiates, as far as options need them.
    """

    settings: LCPSettings
    negotiator: Negotiator[Any]

    def newMagicNumber(self) -> bytes:
        """
        Return a new magic number for this end.
        """

    def looped(self) -> None:
        """
        Count a request with our own magic number.

        @raise GiveUp: the line is looped back.
        """


class _MRU(Option[Negotiating]):
    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        return owner.settings.mru.to_bytes(2, "big")

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        fits = len(suggested) == 2 and LEAST_MRU <= int.from_bytes(suggested, "big") <= DEFAULT_MRU
        return suggested if fits else current

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        if len(value) != 2:
            return DEFAULT_MRU.to_bytes(2, "big")
        return max(int.from_bytes(value, "big"), LEAST_MRU).to_bytes(2, "big")

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        mru = DEFAULT_MRU if value is None else int.from_bytes(value, "big")
        return LEAST_MRU <= mru <= owner.settings.mru


class _ACCM(Option[Negotiating]):
    """
    The Async-Control-Character-Map. A tunnel without escaping asks for none; the peer's is then
    acknowledged, but has no effect.
    """

    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        accm = owner.settings.accm
        return None if accm is None else accm.to_bytes(4, "big")

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        # The peer must escape the characters that it suggests as well (RFC 1662 section 7.1).
        both = int.from_bytes(current, "big") | int.from_bytes(suggested[:4], "big")
        return both.to_bytes(4, "big")

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        return value if len(value) == 4 else b"\0\0\0\0"

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or len(value) == 4


class _AuthenticationProtocol(Option[Negotiating]):
    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        methods = owner.settings.authentication
        return optionOf(methods[0]) if methods else None

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        if methodOf(suggested, owner.settings.authentication) is not None:
            return suggested
        text = f"the peer proposes {authenticationName(suggested)}, which isn't permitted"
        raise GiveUp(text, Remedy.METHOD)

    def rejected(self, owner: Negotiating, current: bytes) -> None:
        methods = ", ".join(method.name for method in owner.settings.authentication)
        raise GiveUp(f"the peer refuses to authenticate with any of {methods}", Remedy.METHOD)

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        answers = owner.settings.answers
        if not answers:
            return None
        return value if methodOf(value, answers) is not None else optionOf(answers[0])

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        methods = owner.settings.authentication
        return methodOf(value, methods) is not None if methods else value is None


class _QualityProtocol(Option[Negotiating]):
    """
    Quality-Protocol (RFC 1989 section 2.5), for Link-Quality-Reports: a period in hundredths of a
    second, in which the other end sends at least one; 0 if it need only answer.
    """

    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        seconds = owner.settings.qualityReports
        return _quality(round(seconds * 100)) if seconds else None

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        period = qualityPeriod(suggested)
        return suggested if period is not None and period * 100 >= LEAST_PERIOD else None

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        seconds = owner.settings.qualityReports
        if not seconds:
            return None
        period = qualityPeriod(value)
        if period is None:
            return _quality(round(seconds * 100))
        return value if not period or period * 100 >= LEAST_PERIOD else _quality(LEAST_PERIOD)

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        period = None if value is None else qualityPeriod(value)
        return value is None or (bool(owner.settings.qualityReports) and period is not None)


def _quality(hundredths: int) -> bytes:
    return ppp.LQR.to_bytes(2, "big") + hundredths.to_bytes(4, "big")


def qualityPeriod(value: bytes) -> float | None:
    """
    Return the period of a Quality-Protocol option in seconds; None if it isn't for
    Link-Quality-Reports.
    """
    if len(value) != 6 or int.from_bytes(value[:2], "big") != ppp.LQR:
        return None
    return int.from_bytes(value[2:], "big") / 100


class _MagicNumber(Option[Negotiating]):
    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        return owner.newMagicNumber() if owner.settings.magic else None

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        return owner.newMagicNumber()

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        if value == owner.negotiator.wanted.get(MAGIC_NUMBER):
            owner.looped()
            return owner.newMagicNumber()
        return value if len(value) == 4 and any(value) else owner.newMagicNumber()

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or (len(value) == 4 and any(value))


class _Compression(Option[Negotiating]):
    """
    PFC or ACFC, options without a value.

    A peer that answers one with a Configure-Nak (RouterTester does) is treated as if it had sent a
    Configure-Reject.
    """

    __slots__ = ("_setting",)

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def wanted(self, owner: Negotiating) -> bytes | None:
        return b"" if getattr(owner.settings, self._setting) else None

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        return b"" if getattr(owner.settings, self._setting) else None

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or (value == b"" and getattr(owner.settings, self._setting))


class _MRRU(Option[Negotiating]):
    """
    The MRRU, by which an end says that it can receive fragments.
    """

    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        mrru = owner.settings.mrru
        return mrru.to_bytes(2, "big") if mrru else None

    def naked(self, owner: Negotiating, current: bytes, suggested: bytes) -> bytes | None:
        mrru = int.from_bytes(suggested, "big") if len(suggested) == 2 else 0
        return suggested if LEAST_MRU <= mrru <= owner.settings.mrru else current

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        if not owner.settings.mrru:
            return None
        if len(value) != 2:
            return owner.settings.mrru.to_bytes(2, "big")
        return max(int.from_bytes(value, "big"), LEAST_MRU).to_bytes(2, "big")

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or LEAST_MRU <= int.from_bytes(value, "big") <= owner.settings.mrru


class _ShortNumbers(Option[Negotiating]):
    """
    The Short Sequence Number Header Format (RFC 1990 section 5.1.2), an option without a value.
    """

    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        settings = owner.settings
        return b"" if settings.mrru and settings.shortNumbers else None

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        return b"" if owner.settings.mrru else None

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or bool(owner.settings.mrru)


class _Endpoint(Option[Negotiating]):
    """
    The Endpoint-Discriminator: a class and an address, by which the links of one peer are told from
    those of others.
    """

    __slots__ = ()

    def wanted(self, owner: Negotiating) -> bytes | None:
        settings = owner.settings
        return settings.endpoint if settings.mrru and settings.endpoint else None

    def judge(self, owner: Negotiating, value: bytes) -> bytes | None:
        # Class 0 says that there is no address.
        return (value or b"\0") if owner.settings.mrru else None

    def accepts(self, owner: Negotiating, value: bytes | None) -> bool:
        return value is None or bool(owner.settings.mrru)


LCP_KINDS: Mapping[int, Option[Any]] = {
    MRU: _MRU(),
    ACCM: _ACCM(),
    AUTHENTICATION_PROTOCOL: _AuthenticationProtocol(),
    QUALITY_PROTOCOL: _QualityProtocol(),
    MAGIC_NUMBER: _MagicNumber(),
    PFC: _Compression("pfc"),
    ACFC: _Compression("acfc"),
    MRRU: _MRRU(),
    SHORT_NUMBERS: _ShortNumbers(),
    ENDPOINT: _Endpoint(),
}

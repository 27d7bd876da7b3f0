"""
The texts of whole frames, and of what control protocols have agreed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pptpgw.interfaces import AgreedProtocol, Agreement
from pptpgw.ppp.decode import ccp, lcp
from pptpgw.ppp.decode.agreement import agreedOptions
from pptpgw.ppp.decode.authentication import chap, pap, secret
from pptpgw.ppp.decode.cbcp import cbcp
from pptpgw.ppp.decode.control import control, heading
from pptpgw.ppp.decode.eap import eap
from pptpgw.ppp.decode.text import CUT, Parts, hexed, parted, printable
from pptpgw.ppp.decode.words import CODES, Words
from pptpgw.ppp.wire import ppp

LONGEST = 2000
"""
The most characters of the text of a frame.
"""

_KNOWN = {
    0x8023: "OSINLCP",
    0x8025: "XNSCP",
    0x8027: "DNCP",
    0x8029: "ATCP",
    0x802B: "IPXCP",
    0x802F: "STIICP",
    0x8031: "BCP",
    0x8035: "BVCP",
    0x803F: "NBFCP",
    0x8021: "IPCP",
    0x8053: "ECP",
    0x8057: "IPV6CP",
    0x8235: "ACSPCP",
    0x8281: "MPLSCP",
    ppp.LQR: "LQR",
    0xC027: "SPAP",
    ppp.CBCP: "CBCP",
    0xC02B: "BACP",
    0xC123: "Shiva",
}
"""
The names of protocols that may come, whether or not this gateway has them, as assigned by IANA.
"""

_AUTHENTICATION: Mapping[int, tuple[str, Callable[[Parts], str]]] = {
    ppp.PAP: ("PAP", pap),
    ppp.CHAP: ("CHAP", chap),
    ppp.EAP: ("EAP", eap),
}
# ECP's options may hold what its keys are made from.
_SECRET = ppp.AUTHENTICATION | {0x8053}


class Decoder:
    """
    Writes frames and agreements as texts. It has no state, raises nothing whatever the octets, and
    its texts are printable ASCII of at most L{LONGEST} characters.
    """

    def __init__(self, words: Mapping[int, Words] | None = None) -> None:
        """
        @param words: the words for the control protocols of networks, by PPP protocol number.
        """
        self._words = {ppp.LCP: lcp.WORDS, ppp.CCP: ccp.WORDS, **(words or {})}

    def text(self, protocol: int, information: bytes, size: int | None = None) -> str:
        """
        Return the text of a frame, in brackets.

        @param information: the frame's information field, or its first octets.
        @param size: the length of the whole information field in octets; None if all of it is
            there.
        """
        size = len(information) if size is None else size
        parts = parted(information, size) if self._isControl(protocol) else None
        if parts is None:
            body, padding, isCut = "", information, len(information) < size
        else:
            body, padding, isCut = self._body(protocol, parts), parts.padding, False
        text = f"[{self._name(protocol)}{body}]"
        text += secret(padding) if protocol in _SECRET else hexed(padding)
        if isCut:
            text += CUT
        if len(text) > LONGEST:
            text = text[: LONGEST - len(CUT)] + CUT
        return printable(text)

    def agreed(self, agreement: Agreement) -> AgreedProtocol:
        """
        Return what a control protocol has agreed on.
        """
        number = agreement.control
        options = agreedOptions(agreement, self._words.get(number, _OTHER).options)
        return AgreedProtocol(self._name(number), number, options)

    def _isControl(self, protocol: int) -> bool:
        """
        Return whether the frame's information is a packet with a code, an identifier and a length.
        """
        ours = protocol in _AUTHENTICATION or protocol in self._words
        return ours or 0x8000 <= protocol < 0xC000 or protocol == ppp.CBCP

    def _name(self, protocol: int) -> str:
        if protocol in _AUTHENTICATION:
            return _AUTHENTICATION[protocol][0]
        words = self._words.get(protocol)
        if words is not None:
            return words.name
        return _KNOWN.get(protocol, f"proto=0x{protocol:x}")

    def _body(self, protocol: int, parts: Parts) -> str:
        if protocol == ppp.LCP:
            return lcp.lcp(parts)
        if protocol == ppp.CBCP:
            return cbcp(parts)
        if protocol in _AUTHENTICATION:
            return _AUTHENTICATION[protocol][1](parts)
        if protocol in _SECRET:
            return heading(parts, CODES) + secret(parts.data)
        return control(parts, self._words.get(protocol, _OTHER))


_OTHER = Words("")

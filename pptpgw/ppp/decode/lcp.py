"""
The texts of LCP's packets (RFC 1661, RFC 1570, RFC 1990).
"""

from __future__ import annotations

from pptpgw.ppp.decode.control import control, heading
from pptpgw.ppp.decode.text import Parts, hexed, hidden, quoted
from pptpgw.ppp.decode.words import CODES, Words, flag, hexadecimal, named, number
from pptpgw.ppp.wire import ppp

_AUTHENTICATION = {ppp.PAP: "pap", ppp.CHAP: "chap", ppp.EAP: "eap"}
_ALGORITHMS = {0x05: "MD5", 0x80: "MS", 0x81: "MS-v2"}
_ENDPOINTS = {0: "null", 1: "local", 2: "IP", 3: "MAC", 4: "magic", 5: "phone"}


def _authentication(value: bytes) -> str:
    """
    Authentication-Protocol (RFC 1661 section 6.2), with the algorithm of CHAP.
    """
    if len(value) < 2:
        return ""
    number, rest = int.from_bytes(value[:2], "big"), value[2:]
    text = "auth " + _AUTHENTICATION.get(number, f"0x{number:x}")
    if number == ppp.CHAP and rest and rest[0] in _ALGORITHMS:
        text, rest = f"{text} {_ALGORITHMS[rest[0]]}", rest[1:]
    return text + hexed(rest)


def _endpoint(value: bytes) -> str:
    """
    Endpoint-Discriminator (RFC 1990 section 5.1.3).
    """
    if not value:
        return ""
    kind, rest = value[0], value[1:]
    if kind == 2 and len(rest) == 4:
        shown = ".".join(map(str, rest))
    elif kind == 3 and len(rest) == 6:
        shown = rest.hex(":")
    else:
        shown = rest[:20].hex(".")
    return f"endpoint [{_ENDPOINTS.get(kind, kind)}{':' if shown else ''}{shown}]"


WORDS = Words(
    "LCP",
    {
        1: number("mru"),
        2: hexadecimal("asyncmap"),
        3: _authentication,
        4: named("quality", {b"\xc0\x25": "lqr"}, 2),
        5: hexadecimal("magic"),
        7: flag("pcomp"),
        8: flag("accomp"),
        13: named("callback", {b"\x06": "CBCP"}),
        17: number("mrru"),
        18: flag("ssnhf"),
        19: _endpoint,
    },
    {
        **CODES,
        ppp.PROTOCOL_REJECT: "ProtRej",
        ppp.ECHO_REQUEST: "EchoReq",
        ppp.ECHO_REPLY: "EchoRep",
        ppp.DISCARD_REQUEST: "DiscReq",
        ppp.IDENTIFICATION: "Ident",
        ppp.TIME_REMAINING: "TimeRem",
    },
)
"""
The words for LCP's packets.
"""

_ECHO = (ppp.ECHO_REQUEST, ppp.ECHO_REPLY, ppp.DISCARD_REQUEST)
_TOLD = (ppp.IDENTIFICATION, ppp.TIME_REMAINING)


def lcp(parts: Parts) -> str:
    """
    Return a packet of LCP as pppd logs it, without the content of a rejected packet that may hold a
    password.
    """
    code, data = parts.code, parts.data
    if code == ppp.PROTOCOL_REJECT and int.from_bytes(data[:2], "big") in ppp.AUTHENTICATION:
        # The rejected packet may hold a password.
        text = hexed(data[:2]) + " " + hidden(len(data) - 2)
    elif code in _ECHO or code in _TOLD:
        text, rest = _number(" magic=0x{:x}", data)
        if code == ppp.TIME_REMAINING and text:
            seconds, rest = _number(" seconds={}", rest)
            if not seconds:
                return heading(parts, WORDS.codes) + text + hexed(rest) + parts.end
            text += seconds
        text += " " + quoted(rest) if code in _TOLD and rest else hexed(rest)
    else:
        return control(parts, WORDS)
    return heading(parts, WORDS.codes) + text + parts.end


def _number(form: str, data: bytes) -> tuple[str, bytes]:
    """
    Return the number that C{data} begin with in this form, and the octets after it; an empty text
    and C{data} if there are fewer than four octets.
    """
    if len(data) < 4:
        return "", data
    return form.format(int.from_bytes(data[:4], "big")), data[4:]

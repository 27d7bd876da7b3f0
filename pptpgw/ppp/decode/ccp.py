"""
The words for CCP's packets (RFC 1962), whose options are the kinds of compression; MPPE is one of
them (RFC 3078).
"""

from __future__ import annotations

from pptpgw.ppp.decode.text import hexed
from pptpgw.ppp.decode.words import CODES, OptionWords, Words
from pptpgw.ppp.wire import ppp

# The bits of the value of MPPE's option (RFC 3078 section 2.1), in pppd's words: stateless, and
# keys of 56, 128 and 40 bits, an obsolete form, and compression.
_BITS = {"H": 0x01000000, "M": 0x80, "S": 0x40, "L": 0x20, "D": 0x10, "C": 0x01}
_KNOWN = sum(_BITS.values()) - _BITS["D"]


def _mppe(value: bytes) -> str:
    if len(value) < 4:
        return ""
    bits = int.from_bytes(value[:4], "big")
    signs = " ".join(("+" if bits & bit else "-") + name for name, bit in _BITS.items())
    unknown = f" +U ({hexed(value[:4]).strip()})" if bits & ~_KNOWN else ""
    return f"mppe {signs}{unknown}{hexed(value[4:])}"


def _deflate(word: str) -> OptionWords:
    def words(value: bytes) -> str:
        if len(value) < 2:
            return ""
        size, method, check = (value[0] >> 4) + 8, value[0] & 0x0F, value[1]
        text = f"{word} {size}"
        if method != 8:
            text += f" method {method}"
        if check:
            text += f" check {check}"
        return text + hexed(value[2:])

    return words


def _bsd(value: bytes) -> str:
    if not value:
        return ""
    return f"bsd v{value[0] >> 5} {value[0] & 0x1F}{hexed(value[1:])}"


WORDS = Words(
    "CCP",
    {
        1: lambda value: "predictor 1" + hexed(value),
        2: lambda value: "predictor 2" + hexed(value),
        18: _mppe,
        21: _bsd,
        24: _deflate("deflate(old#)"),
        26: _deflate("deflate"),
    },
    {**CODES, ppp.RESET_REQUEST: "ResetReq", ppp.RESET_ACK: "ResetAck"},
)
"""
The words for CCP's packets.
"""

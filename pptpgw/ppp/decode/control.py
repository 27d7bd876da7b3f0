"""
The texts of the packets of control protocols: of a network's, and what LCP and CCP have in common
with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pptpgw.ppp.decode.text import Parts, hexed, quoted
from pptpgw.ppp.decode.words import OptionWords, Words
from pptpgw.ppp.wire import ppp

_CONFIGURE = frozenset(
    (ppp.CONFIGURE_REQUEST, ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT)
)
_TERMINATE = frozenset((ppp.TERMINATE_REQUEST, ppp.TERMINATE_ACK))


def heading(parts: Parts, codes: Mapping[int, str]) -> str:
    """
    Return the code and the identifier of a packet.

    @param codes: the names of the codes.
    """
    code = codes.get(parts.code) or f"code=0x{parts.code:x}"
    return f" {code} id=0x{parts.identifier:x}"


def control(parts: Parts, words: Words) -> str:
    """
    Return the text of a packet of a control protocol.
    """
    text = heading(parts, words.codes)
    data = parts.data
    if parts.code in _CONFIGURE:
        text += options(data, words.options)
    elif parts.code in _TERMINATE and data and 0x20 <= data[0] < 0x7F:
        text += " " + quoted(data)
    else:
        text += hexed(data)
    return text + parts.end


def options(data: bytes, words: Mapping[int, OptionWords]) -> str:
    """
    Return the text of the options of a Configure packet. What isn't an option is shown in
    hexadecimal.
    """
    text = ""
    while len(data) >= 2:
        length = data[1]
        if not 2 <= length <= len(data):
            break
        text += f" <{option(data[:length], words)}>"
        data = data[length:]
    return text + hexed(data)


def option(octets: bytes, words: Mapping[int, OptionWords]) -> str:
    """
    Return the text of one option: in words, if there are some, and otherwise all of its octets.
    """
    found = words.get(octets[0])
    if found is not None:
        try:
            text = found(octets[2:])
        except Exception:
            # Words may come from any plugin, and a value that isn't understood is shown all the
            # same.
            text = ""
        if text:
            return text
    return hexed(octets)

"""
The texts of CBCP's packets, Microsoft's callback protocol (draft-gidwani-ppp-callback-cp), which
this gateway rejects.
"""

from __future__ import annotations

from pptpgw.ppp.decode.control import heading
from pptpgw.ppp.decode.text import Parts, hexed, quoted

_CODES = {1: "Request", 2: "Response", 3: "Ack"}
_KINDS = {1: "NoCallback", 2: "UserDefined", 3: "AdminDefined", 4: "List"}


def cbcp(parts: Parts) -> str:
    """
    Return a packet of CBCP, whose data are kinds of callback: each has a delay in seconds, and
    addresses by which to call back.
    """
    text, data = heading(parts, _CODES), parts.data
    while len(data) >= 2 and 2 <= data[1] <= len(data):
        text += f" <{_kind(data[: data[1]])}>"
        data = data[data[1] :]
    return text + hexed(data) + parts.end


def _kind(octets: bytes) -> str:
    """
    Return one kind of callback. Each address is its type, which is 1 for a number by telephone, and
    a text that ends in an octet of zero.
    """
    text = _KINDS.get(octets[0]) or f"kind 0x{octets[0]:x}"
    if len(octets) > 2:
        text += f" delay {octets[2]}"
    addresses = octets[3:]
    while addresses[:1] == b"\x01":
        number, _, addresses = addresses[1:].partition(b"\0")
        text += f" number {quoted(number)}"
    return text + hexed(addresses)

"""
The texts of EAP's packets (RFC 3748). What the methods exchange is hidden, except for names, what
Naks ask for, and the flags of methods that use TLS.
"""

from __future__ import annotations

from pptpgw.ppp.decode.authentication import message, secret
from pptpgw.ppp.decode.control import heading
from pptpgw.ppp.decode.text import Parts, hexed, hidden, quoted

_CODES = {1: "Request", 2: "Response", 3: "Success", 4: "Failure"}
_REQUEST, _RESPONSE = 1, 2
_IDENTITY, _NOTIFICATION, _NAK, _MD5, _TLS, _MSCHAPV2, _EXPANDED = 1, 2, 3, 4, 13, 26, 254
_TYPES = {
    _IDENTITY: "Identity",
    _NOTIFICATION: "Notification",
    _NAK: "Nak",
    _MD5: "MD5-Challenge",
    5: "OTP",
    6: "Generic-Token",
    9: "RSA",
    10: "DSS",
    11: "KEA",
    12: "KEA-Validate",
    _TLS: "TLS",
    14: "Defender",
    15: "Windows 2000",
    16: "Arcot",
    17: "Cisco",
    18: "Nokia",
    19: "SRP",
    21: "TTLS",
    22: "RAS",
    23: "AKA",
    24: "3COM",
    25: "PEAP",
    _MSCHAPV2: "MSCHAPv2",
}
_OPERATIONS = {1: "Challenge", 2: "Response", 3: "Success", 4: "Failure"}


def eap(parts: Parts) -> str:
    """
    Return a packet of EAP as pppd logs it, without what passwords could be guessed with.
    """
    text, data = heading(parts, _CODES), parts.data
    if parts.code not in (_REQUEST, _RESPONSE):
        return text + secret(data) + parts.end
    if not data:
        return f"{text} <missing type>{parts.end}"
    number, content = data[0], data[1:]
    text += f" {_name(number)}"
    if number in (_IDENTITY, _NOTIFICATION):
        text += _said(parts.code, content)
    elif number == _NAK:
        text += _nak(content)
    elif number == _MD5:
        text += _md5(content)
    elif number == _TLS:
        text += _tls(parts.code, content)
    elif number == _MSCHAPV2:
        text += _mschapv2(content)
    else:
        text += secret(content)
    return text + parts.end


def _name(number: int) -> str:
    return _TYPES.get(number, f"type=0x{number:x}")


def _said(code: int, content: bytes) -> str:
    """
    Return the text of an Identity or a Notification.
    """
    if content:
        return f" <{'Message' if code == _REQUEST else 'Name'} {quoted(content)}>"
    return " <No message>" if code == _REQUEST else ""


def _nak(content: bytes) -> str:
    """
    Return the text of a Nak, with the first of the types that the peer would accept.
    """
    if not content:
        return " <missing hint>"
    number = content[0]
    name = f" ({_TYPES[number]})" if number in _TYPES else ""
    return f" <Suggested-type {number:02x}{name}>{hexed(content[1:])}"


def _md5(content: bytes) -> str:
    if not content:
        return ""
    size, rest = content[0], content[1:]
    if size > len(rest):
        return f" <truncated>{secret(rest)}"
    name = f"<Name {quoted(rest[size:])}>" if rest[size:] else "<No name>"
    return f" <Value {hidden(size)}> {name}"


def _tls(code: int, content: bytes) -> str:
    """
    Return the flags of a packet of EAP-TLS (RFC 5216 section 3).
    """
    if not content:
        return ""
    flags, rest = content[0], content[1:]
    if not flags and not rest:
        return " Ack"
    length, more = ("L" if flags & 0x80 else "-"), ("M" if flags & 0x40 else "-")
    start = "S" if flags & 0x20 and code == _REQUEST else "-"
    return f" {length}{more}{start}{secret(rest)}"


def _mschapv2(content: bytes) -> str:
    """
    Return the text of a packet of EAP-MSCHAPv2: an operation, an identifier, a length, and what
    MS-CHAPv2 has in its packets.
    """
    if not content:
        return ""
    operation, data = content[0], content[4:]
    if operation not in _OPERATIONS:
        return f" opcode=0x{operation:x}{secret(content[1:])}"
    text = f" {_OPERATIONS[operation]}"
    if operation in (3, 4):
        return f"{text} <Message {message(data)}>" if data else text
    if not data or data[0] > len(data) - 1:
        return text + secret(data)
    size = data[0]
    name = f", <Name {quoted(data[1 + size :])}>" if data[1 + size :] else ", <No name>"
    return f"{text} {hidden(size)}{name}"

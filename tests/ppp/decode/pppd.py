"""
The texts of frames that Debian's pppd 2.4.9 prints, as recorded in C{pppd.txt}, and how ours
differ, which hide more.
"""

from __future__ import annotations

import re
from pathlib import Path

from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.networks.ipv4.ipcp import WORDS as IPV4
from pptpgw.networks.ipv6.ipv6cp import IPV6CP
from pptpgw.networks.ipv6.ipv6cp import WORDS as IPV6
from pptpgw.networks.ipx.ipxcp import IPXCP
from pptpgw.networks.ipx.ipxcp import WORDS as IPX
from pptpgw.ppp.decode.frame import Decoder

DECODER = Decoder({IPCP.control: IPV4, IPV6CP.control: IPV6, IPXCP.control: IPX})
"""
A decoder of all protocols that pppd knows.
"""

_OCTETS = r"((?:(?<=[^0-9a-f])[0-9a-f]{2} ?)+)"


_PROOF = re.compile(r"\b([SC]=)([0-9A-F]+)")


def recorded() -> list[tuple[int, bytes, str]]:
    """
    Return protocol number, information and pppd's text of each frame of C{pppd.txt}.
    """
    lines = Path(__file__).with_name("pppd.txt").read_text().splitlines()
    split = (line.split(" ", 2) for line in lines)
    return [(int(number, 16), bytes.fromhex(octets), text) for number, octets, text in split]


def hiding(text: str) -> str:
    """
    Return pppd's text of a frame with everything hidden that our texts hide.
    """
    if text.startswith("[CHAP"):
        text = re.sub(r"<([0-9a-f]*)>, name", lambda one: f"{_hidden(one)}, name", text)
        text = _PROOF.sub(lambda one: f"{one[1]}<{len(one[2])} hidden>", text)
    elif text.startswith("[PAP AuthReq"):
        text = re.sub(rf"(?<=hidden>) {_OCTETS}(?=])|(?<=]) {_OCTETS}$", _spaced, text)
    elif text.startswith("[EAP") and " Nak " not in text:
        text = text.replace("  ", " ")
        text = re.sub(r"(?<=Value )((?:[0-9a-f]{2} ?)+)(?=>)", _hidden, text)
        text = re.sub(r"<([0-9a-f]{4,})>(?=, <Name)", _hidden, text)
        text = _PROOF.sub(lambda one: f"{one[1]}<{len(one[2])} hidden>", text)
        # pppd prints the message of a Success or a Failure twice.
        text = re.sub(r'(?<=">)\.\.\.(?=])', "", text)
        text = re.sub(r"(?<!Windows) ((?:[0-9a-f]{2} ?)+)(?=]|$)", _spaced, text)
    return text


def _hidden(found: re.Match[str]) -> str:
    octets = next(one for one in found.groups() if one is not None)
    count = len(octets.replace(" ", "")) // 2
    return f"<{count} octet{'s' * (count != 1)} hidden>"


def _spaced(found: re.Match[str]) -> str:
    return " " + _hidden(found)

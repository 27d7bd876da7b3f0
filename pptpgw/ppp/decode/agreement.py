"""
The options that a control protocol has agreed on, in words.
"""

from __future__ import annotations

from collections.abc import Mapping

from pptpgw.interfaces import AgreedOption, Agreement
from pptpgw.ppp.decode.control import option
from pptpgw.ppp.decode.text import hexed, printable
from pptpgw.ppp.decode.words import OptionWords
from pptpgw.ppp.wire.ppp import decodeOptions, encodeOptions


def agreedOptions(agreement: Agreement, words: Mapping[int, OptionWords]) -> list[AgreedOption]:
    """
    Return the options of an agreement, one for each type.

    @param words: the words for the options, by type.
    """
    names: dict[int, str] = {}
    ours: dict[int, list[str]] = {}
    peers: dict[int, list[str]] = {}
    for octets, values in ((agreement.ours, ours), (agreement.peers, peers)):
        for number, value in decodeOptions(octets):
            text = printable(option(encodeOptions([(number, value)]), words))
            name, _, shown = text.partition(" ")
            if not name:
                # There are no words for it.
                name, shown = f"option {number}", hexed(value).strip()
            names.setdefault(number, name)
            values.setdefault(number, []).append(shown)
    return [
        AgreedOption(number, name, ours.get(number, ()), peers.get(number, ()))
        for number, name in names.items()
    ]

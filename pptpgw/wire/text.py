"""
Text that peers send: names, reasons, messages.
"""

from __future__ import annotations

# Enough of it for one line of a log.
LONGEST = 80


def readable(octets: bytes) -> str:
    """
    A peer's text as something that can be logged whatever its octets are: at most L{LONGEST}
    printable characters.
    """
    text = octets[:LONGEST].decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    return "".join(one if one.isprintable() else "?" for one in text).strip()

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


def escape(text: str) -> str:
    """
    Make C{text} fit for a line of the log, an argument or a variable. Characters that can't be
    printed, such as control characters and line separators, become escape sequences of Python's.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )

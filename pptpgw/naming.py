"""
The names of users: what may stand before one, and which ones mean the same user.
"""

from __future__ import annotations

# What of a name is looked at: that of a real user is shorter.
_LONGEST = 256


def accountName(name: bytes) -> bytes:
    """
    C{name} without the Windows domain that may stand before a backslash (RFC 2759 section 4).
    """
    return name.rpartition(b"\\")[2]


def nameOf(name: bytes) -> str:
    """
    The text of a user's name, whatever its octets are.
    """
    return name.decode("utf-8", "backslashreplace")


def folded(name: bytes, domain: bool) -> str:
    """
    What names of the same user have in common, in whatever case each is written.

    @param domain: whether a Windows domain may stand before it, which is left out then.
    """
    name = accountName(name) if domain else name
    return nameOf(name[:_LONGEST]).lower()

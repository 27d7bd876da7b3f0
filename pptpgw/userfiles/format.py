"""
All formats, by their names, and which one a file has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from pptpgw.userfiles import accel
from pptpgw.userfiles.entry import Reader

# Behind the name comes the name of an attribute, which has a hyphen, and an operator.
_FREERADIUS = re.compile(
    rb"""^(?:"[^"\n]*"|[^\s#"]\S*)[ \t]+[A-Z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+[ \t]*(?::=|==)""",
    re.MULTILINE,
)
_ROUTEROS = re.compile(rb"^/ppp|^#.* by RouterOS|^add .*name=", re.MULTILINE)
_JSON = re.compile(rb"\s*\{")


@dataclass(frozen=True, slots=True)
class Format:
    """
    A format of files with users.

    @ivar module: the module with its function C{read}, a L{Reader}.
    @ivar words: what it is, for people.
    """

    module: str
    words: str

    @property
    def read(self) -> Reader:
        """
        The reader, after the import of its module.
        """
        found: Reader = import_module(f"pptpgw.userfiles.{self.module}").read
        return found


FORMATS: Mapping[str, Format] = {
    "chap-secrets": Format("chapsecrets", "pppd's chap-secrets"),
    "accel": Format("accel", "accel-ppp's chap-secrets, with speeds"),
    "routeros": Format("routeros", "RouterOS' /ppp secret export"),
    "freeradius": Format("freeradius", "FreeRADIUS' users file"),
    "json": Format("jsonlines", "JSON lines of pptpgw export"),
}
"""
Every format, by its name on the command line.
"""


def detect(content: bytes) -> str:
    """
    Return the name of the format that a file seems to have.
    """
    if _JSON.match(content):
        return "json"
    if _ROUTEROS.search(content):
        return "routeros"
    if _FREERADIUS.search(content):
        return "freeradius"
    if any(accel.looksLike(line) for line in content.splitlines() if not line.startswith(b"#")):
        return "accel"
    return "chap-secrets"

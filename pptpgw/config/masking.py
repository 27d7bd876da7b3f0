"""
Values of the configuration as plain data that may be shown, without secrets.

The rules:

 - A key of the kind L{SECRET} is never shown, nor is one whose name says that it is a secret,
   unless its value is the path of a file.
 - Arguments of plugins (C{NAME:ARGUMENT}) in lists, such as those of checkers and observers, may be
   secrets. They are shown only where they are paths.
 - In every text, the password in a URL and what follows C{password=}, C{secret=} and the like are
   left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pptpgw.config.kind import FILE, SPECIFICATIONS
from pptpgw.config.table import Key, keysOf
from pptpgw.radius.servers import SECRET

HIDDEN = "(not shown)"
"""
What stands in the place of a secret.
"""

_SECRET_NAME = re.compile(r"(.*-)?(secrets?|password|passwd|passphrase|token|psk|credentials)")
_URL = re.compile(r"(\w://[^\s/?#@:]*:)[^\s@]*(?=@)")
_NAMED = re.compile(
    r"(\b\w*(?:secret|password|passwd|passphrase|token)=)(?!/)[^\s&:;,]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """
    Return C{text} without the passwords that it names.
    """
    return _NAMED.sub(rf"\1{HIDDEN}", _URL.sub(rf"\1{HIDDEN}", text))


def plainSection(values: Any) -> dict[str, Any]:
    """
    Return the values of a section, or of a table in one, by the names of their keys.
    """
    return {name: plainKey(key, values) for name, key in keysOf(type(values)).items()}


def plainKey(key: Key, values: Any) -> Any:
    """
    Return the value of one key of a section.
    """
    return plainValue(key, getattr(values, key.attribute))


def plainValue(key: Key, value: object) -> Any:
    """
    Return C{value}, which C{key} may have, in types that JSON has.
    """
    if key.kind is SECRET or (_SECRET_NAME.fullmatch(key.name) and key.kind is not FILE):
        return HIDDEN if value else ""
    if key.kind is SPECIFICATIONS and isinstance(value, Collection):
        return [_specification(str(one)) for one in value]
    return _plain(value)


def _specification(text: str) -> str:
    name, colon, argument = text.partition(":")
    if not argument or argument.startswith("/"):
        return masked(text)
    return f"{name}{colon}{HIDDEN}"


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return _plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return _table(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        if type(value).__str__ is not object.__str__:
            return masked(str(value))
        return {name: _plain(one) for name, one in zip(value._fields, value, strict=True)}
    if isinstance(value, tuple | list):
        return [_range(one) if _isRange(one) else _plain(one) for one in value]
    if isinstance(value, Collection):
        return sorted(map(_plain, value), key=str)
    return masked(str(value))


def _table(value: Any) -> Any:
    if all("kind" in one.metadata for one in fields(value)):
        return plainSection(value)
    return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}


def _isRange(value: object) -> bool:
    """
    Return whether C{value} is a run, of addresses for example, given by its two ends.
    """
    return type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1])


def _range(value: Any) -> str:
    first, last = map(str, value)
    return first if first == last else f"{first}-{last}"

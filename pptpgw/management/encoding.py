"""
The JSON of answers.
"""

from __future__ import annotations

from typing import Any

import msgspec


def toJSON(value: object) -> bytes:
    """
    Encode C{value}, a Struct, in JSON.

    Names that callers give aren't always valid UTF-8. Octets of a text that aren't, which Python
    keeps as lone surrogates, become question marks.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:
        return msgspec.json.encode(_readable(msgspec.to_builtins(value, enc_hook=_plain)))


def _plain(value: object) -> str:
    """
    Return a text that is more than a text, as a L{pptpgw.sessions.cause.Cause} is.
    """
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_readable(one) for one in value]
    if isinstance(value, dict):
        return {_readable(key): _readable(one) for key, one in value.items()}
    return value

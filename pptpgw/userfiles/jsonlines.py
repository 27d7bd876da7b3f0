"""
JSON lines: an object for each user, as C{pptpgw export} writes them.

The fields are C{name}, C{password} or C{nt_hash} (hexadecimal), C{profile}, C{disabled},
C{expires} (ISO 8601; null for never) and C{attributes}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import ATTRIBUTES, fields
from pptpgw.store.record import Account
from pptpgw.timing.stamp import stamp
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource, checked

_FIELDS = ("name", "password", "nt_hash", "profile", "disabled", "expires", "attributes")


def read(source: EntrySource) -> Iterator[Entry | EntryFault]:
    """
    Read users from lines of JSON, each an object with a name. A line that can't be used is a fault,
    and the next one is read.
    """
    seen: set[str] = set()
    for number, line in enumerate(source.content.splitlines(), 1):
        if not line.strip():
            continue
        name = ""
        try:
            values = json.loads(line)
            if not isinstance(values, dict) or not isinstance(values.get("name"), str):
                raise ConfigurationError("it is no object with a name")
            name = values["name"]
            if name in seen:
                raise ConfigurationError("an earlier line has this user")
            seen.add(name)
            yield _entry(number, name, values)
        except ConfigurationError as error:
            yield EntryFault(number, name, str(error))
        except (ValueError, TypeError, AttributeError):
            yield EntryFault(number, name, "it isn't what pptpgw export writes")


def _entry(number: int, name: str, values: dict[str, Any]) -> Entry:
    for field in values:
        if field not in _FIELDS:
            raise ConfigurationError(f"there is no field {field!a}")
    password, ntHash = values.get("password"), bytes.fromhex(values.get("nt_hash", ""))
    if not password and len(ntHash) != 16:
        raise ConfigurationError(
            "it has no password and no nt_hash: pptpgw export --secrets writes them"
        )
    texts = {}
    for key, value in values.get("attributes", {}).items():
        option = key.replace("_", "-")
        if option not in ATTRIBUTES:
            raise ConfigurationError(f"there is no attribute {key!a}")
        texts[option] = checked(option, str(value))
    expires = values.get("expires")
    return Entry(
        number,
        name,
        None if password is None else password.encode("utf-8", "surrogateescape"),
        ntHash,
        texts,
        values.get("profile") or None,
        bool(values.get("disabled")),
        None if expires is None else datetime.fromisoformat(expires).timestamp(),
    )


def written(account: Account, secrets: bool, password: bytes | None) -> bytes:
    """
    Return the line of a user.

    @param secrets: whether the line has the NT hash, and C{password} if that is known.
    """
    values: dict[str, object] = {
        "name": account.name,
        "profile": account.shared or None,
        "disabled": account.disabled,
        "expires": stamp(account.expires),
        "attributes": fields(account.attributes),
    }
    if secrets:
        values["nt_hash"] = account.ntHash.hex()
        if password is not None:
            values["password"] = password.decode("utf-8", "surrogateescape")
    return json.dumps(values).encode() + b"\n"

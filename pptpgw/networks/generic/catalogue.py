"""
The lists of declarations: those of C{[[network.generic]]}, and those that come with the gateway
(C{protocols.toml}).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pptpgw.config.kind import Fault, ValueKind
from pptpgw.config.table import entry, tables
from pptpgw.networks.generic.declaration import Declaration


@cache
def shipped() -> Mapping[str, Declaration]:
    """
    Return the declarations that come with the gateway, by name.
    """
    text = files("pptpgw.networks.generic").joinpath("protocols.toml").read_text(encoding="utf-8")
    return {one.name: one for one in _kind({}).convert(tomllib.loads(text)["generic"])}


def _kind(known: Mapping[str, Declaration]) -> ValueKind:
    return tables(
        "network.generic", "declares a network protocol", Declaration, unique=True, complete=known
    )


def _declarations(value: object) -> tuple[Declaration, ...]:
    """
    Convert a list of tables to declarations.

    No two declarations may have a protocol number in common, nor may a declaration have one in
    common with a shipped declaration of another name.
    """
    declared: tuple[Declaration, ...] = _kind(shipped()).convert(value)
    faults = []
    for index, one in enumerate(declared, 1):
        others = (*declared[: index - 1], *(it for it in shipped().values() if it.name != one.name))
        for other in others:
            for number in sorted({one.control, *one.data} & {other.control, *other.data}):
                clash = f'{number:#06x} is a number of "{other.name}" already'
                faults.append(f"{entry(index, one.name)}: {clash}")
    if faults:
        raise Fault(*faults)
    return declared


GENERIC = ValueKind(_kind({}).allowed, _declarations)
"""
The kind of the key C{[[network.generic]]}. A table with the name of a shipped declaration changes
only the keys that it has.
"""

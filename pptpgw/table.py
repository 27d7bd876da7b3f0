"""
How a table of the configuration file becomes the values of a dataclass of L{pptpgw.kind.key} rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from pptpgw.declared import Fault
from pptpgw.kind import Kind, shown


class Key(NamedTuple):
    """
    One key of the file.

    @ivar name: as the file has it, in kebab-case.
    @ivar attribute: the attribute of the section's dataclass.
    @ivar default: the typed value where the file has none.
    """

    name: str
    attribute: str
    kind: Kind
    default: object


def keysOf(section: type) -> dict[str, Key]:
    """
    The keys of a section by their names in the file.
    """
    return {one.name: one for one in _keys(section)}


def _keys(section: type) -> Iterator[Key]:
    for one in fields(section):
        name = re.sub("[A-Z]", lambda capital: "-" + capital[0].lower(), one.name)
        kind: Kind = one.metadata["kind"]
        yield Key(name, one.name, kind, one.default)


def known(what: str, name: str, names: Mapping[str, object], faults: list[str]) -> bool:
    """
    Whether C{name} is one of C{names}; C{faults} has a line about it, and C{what} it is, if not.
    """
    if name in names:
        return True
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(names)
    faults.append(f"unknown {what}: {hint}")
    return False


def sectionOf(
    section: str,
    type_: type,
    table: object,
    faults: list[str],
    moved: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """
    The attributes that the table of C{section} sets; what is wrong goes to C{faults}.

    @param moved: the keys that once stood in a section and now stand elsewhere, and where, as in
        C{{"[listen] port": "[pptp] port"}}.
    """
    if not isinstance(table, dict):
        faults.append(f"{section} = {shown(table)}: must be a section, [{section}]")
        return {}
    values = {}
    keys = keysOf(type_)
    for name, value in table.items():
        place = f"[{section}] {name}"
        if place in moved:
            faults.append(f"{place} is now {moved[place]}")
            continue
        if not known(f"key {name} in [{section}]", name, keys, faults):
            continue
        key = keys[name]
        try:
            values[key.attribute] = key.kind.convert(value)
        except Fault as fault:
            faults.append(f"[[{section}.{name}]] {fault}")
        except (ValueError, TypeError):
            faults.append(f"{place} = {shown(value)}: must be {key.kind.allowed}")
    return values


def tablesOf(
    section: str, type_: type, value: object, required: tuple[str, ...] = ()
) -> tuple[Any, ...]:
    """
    What the tables of C{[[section]]} describe, each a C{type_}.

    @param required: the keys that each must have.
    @raise Fault: with a line for each thing that is wrong.
    """
    if not isinstance(value, list):
        raise TypeError
    made, faults = [], []
    for index, table in enumerate(value, 1):
        wrong: list[str] = []
        made.append(type_(**sectionOf(section, type_, table, wrong)))
        wrong += [f"{name} is missing" for name in required if name not in table]
        faults += [f"entry {index}: {fault}" for fault in wrong]
    if faults:
        raise Fault("\n".join(faults))
    return tuple(made)

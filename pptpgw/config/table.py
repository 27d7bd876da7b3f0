"""
The reader of TOML tables: it makes values of a dataclass whose attributes are rows of
L{pptpgw.config.kind.key}, and says what is wrong with each key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from pptpgw.config.kind import Applies, Fault, ValueKind, exactly, shown

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Key(NamedTuple):
    """
    A key of a table.

    @ivar name: as TOML has it, in kebab-case.
    @ivar attribute: the attribute of the dataclass.
    @ivar default: the typed value where the table has none.
    @ivar required: whether a table must have the key.
    @ivar applies: what a reload does with a new value; None if the row doesn't say.
    """

    name: str
    attribute: str
    kind: ValueKind
    default: object
    required: bool
    applies: Applies | None


def keysOf(type_: type) -> dict[str, Key]:
    """
    Return the keys of the tables that make a C{type_}, by name.
    """
    return {one.name: one for one in _keys(type_)}


def _keys(type_: type) -> Iterator[Key]:
    for one in fields(type_):
        name = re.sub("[A-Z]", lambda capital: "-" + capital[0].lower(), one.name)
        required = one.default is MISSING and one.default_factory is MISSING
        applies = one.metadata.get("applies")
        yield Key(name, one.name, one.metadata["kind"], one.default, required, applies)


def known(what: str, name: str, names: Mapping[str, object], faults: list[str]) -> bool:
    """
    Return whether C{name} is one of C{names}. If it isn't, add a line that says so to C{faults}.

    @param what: what C{name} is, in words, as in C{key port in [listen]}.
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
    moved: Mapping[str, str] = _NOTHING,
) -> dict[str, Any]:
    """
    Return the typed values that the table of C{section} gives for a C{type_}, by attribute. Each
    fault is added to C{faults}, and its key is left out.

    @param moved: the keys that once stood in a section and now stand elsewhere, and where, as in
        C{{"[listen] port": "[pptp] port"}}.
    """
    if not isinstance(table, dict):
        faults.append(f"{section} = {shown(table)}: must be a section, [{section}]")
        return {}
    return valuesOf(f"[{section}] ", type_, table, faults, moved)


def valuesOf(
    place: str,
    type_: type,
    table: Mapping[str, object],
    faults: list[str],
    moved: Mapping[str, str] = _NOTHING,
) -> dict[str, Any]:
    """
    Like L{sectionOf}, for a table that may be another than that of a section.

    @param place: what stands before the keys in faults, as C{"[listen] "}; empty for the tables of
        a list.
    @param moved: see L{sectionOf}.
    """
    values = {}
    keys = keysOf(type_)
    within = f" in {place.rstrip(' .')}" if place else ""
    for name, value in table.items():
        if place + name in moved:
            faults.append(f"{place}{name} is now {moved[place + name]}")
        elif known(f"key {name}{within}", name, keys, faults):
            kind = keys[name].kind
            try:
                values[keys[name].attribute] = kind.convert(value)
            except Fault as fault:
                section = place.strip("[] ")
                path = name if section == name else f"{section}.{name}"
                heading = f"[[{path}]] " if place else ""
                faults += [heading + one for one in fault.faults]
            except (ValueError, TypeError):
                faults.append(f"{place}{name} = {kind.show(value)}: must be {kind.allowed}")
    return values


def tables(
    name: str,
    what: str,
    type_: type,
    unique: bool = False,
    complete: Mapping[Any, Any] = _NOTHING,
) -> ValueKind:
    """
    Return the kind of a list of tables, C{[[name]]}, each of which makes a C{type_}. Errors name a
    table by the value of the first key of C{type_}.

    @param what: what a table does, in words, as in C{describes a server}.
    @param unique: whether no two tables may have the same value of the first key.
    @param complete: values by their first key. A table whose first key is one of these needs to
        give only what is different.
    """
    keys = keysOf(type_).values()
    first = next(iter(keys))

    def make(table: object, taken: set[object], faults: list[str]) -> Any:
        if not isinstance(table, dict):
            faults.append(f"{shown(table)}: must be a table")
            return None
        values = valuesOf("", type_, table, faults)
        label = values.get(first.attribute)
        if unique and label is not None and label in taken:
            faults.append(f"{first.name} is another entry's")
        taken.add(label)
        base = complete.get(label)
        if base is None:
            faults += [
                f"{key.name} is missing: must be {key.kind.allowed}"
                for key in keys
                if key.required and key.name not in table
            ]
        if faults:
            return None
        return type_(**values) if base is None else replace(base, **values)

    def convert(value: object) -> tuple[Any, ...]:
        made = []
        taken: set[object] = set()
        faults = []
        for index, table in enumerate(exactly(list, value), 1):
            wrong: list[str] = []
            made.append(make(table, taken, wrong))
            label = table.get(first.name) if isinstance(table, dict) else None
            faults += [f"{entry(index, label)}: {fault}" for fault in wrong]
        if faults:
            raise Fault(*faults)
        return tuple(made)

    return ValueKind(f"tables, [[{name}]], each of which {what}", convert)


def entry(index: int, label: object) -> str:
    """
    Return the words by which errors name a table of a list.

    @param index: its place in the list, from 1.
    @param label: the value of its first key; None if it has none.
    """
    return f"entry {index}" + (f", {shown(label)}" if label is not None else "")

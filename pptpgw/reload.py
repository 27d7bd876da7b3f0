"""
Another configuration while the gateway runs.

It is judged whole before anything changes. Networks that can (L{IReloadable}) are then what it
says, for sessions to come; those that are there keep what they have. Whatever else is different
needs a new start, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pptpgw.config import SECTIONS, Configuration
from pptpgw.interfaces import INetwork, IReloadable
from pptpgw.table import keysOf


@dataclass(frozen=True, slots=True)
class Reloaded:
    """
    What became of a configuration; keys as in C{[ipv4] pool}.

    @ivar configuration: what the gateway goes by now.
    @ivar done: the keys that were changed.
    @ivar kept: the keys that are different, and are not what the gateway goes by.
    """

    configuration: Configuration
    done: tuple[str, ...]
    kept: tuple[str, ...]


def reload(old: Configuration, new: Configuration, networks: Mapping[str, INetwork]) -> Reloaded:
    """
    Let C{networks}, by name, be what C{new} says.

    @param old: what the gateway goes by.
    @raise pptpgw.error.ConfigurationError: C{new} can't be used; nothing was changed.
    """
    named = dict.fromkeys((*networks, *old.sections, *new.sections))
    sections = {
        name: (_section(name, old, new), _section(name, new, old))
        for name in named
        if name in old.sections or name in new.sections
    }
    changing = {
        name: IReloadable(network)
        for name, network in networks.items()
        if name in sections and IReloadable.providedBy(network)
    }
    for name, network in changing.items():
        network.judge(sections[name][1])
    done: list[str] = []
    kept: list[str] = []
    for name in SECTIONS:
        kept += _different(name, getattr(old, name), getattr(new, name))
    now = dict(old.sections)
    for name, (before, after) in sections.items():
        if name in changing:
            keys = keysOf(type(after))
            stays = [keys[key].attribute for key in changing[name].reload(after)]
            now[name] = replace(after, **{one: getattr(before, one) for one in stays})
            done += _different(name, before, now[name])
        kept += _different(name, now.get(name, before), after)
    return Reloaded(replace(old, sections=now), tuple(done), tuple(kept))


def _section(name: str, configuration: Configuration, other: Configuration) -> Any:
    """
    The section C{name} of C{configuration}, or its defaults if only C{other} has that section.
    """
    if name in configuration.sections:
        return configuration.sections[name]
    return type(other.sections[name])()


def _different(name: str, one: object, other: object) -> Iterator[str]:
    """
    The keys of the section C{name} that are different.
    """
    for key in keysOf(type(one)).values():
        if getattr(one, key.attribute) != getattr(other, key.attribute):
            yield f"[{name}] {key.name}"

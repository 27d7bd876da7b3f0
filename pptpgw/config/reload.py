"""
The change to another configuration while the gateway runs.

The whole new configuration is judged before anything changes. Networks that provide L{IReloadable}
then follow it for new sessions; sessions that are open keep what they have. All other differences
need a restart, and are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pptpgw.config.configuration import SECTIONS, Configuration
from pptpgw.config.table import keysOf
from pptpgw.interfaces import INetwork, IReloadable


@dataclass(frozen=True, slots=True)
class Reloaded:
    """
    The result of a reload. Keys are named as in C{[ipv4] pool}.

    @ivar configuration: the configuration that is in force now.
    @ivar done: the keys whose new values are in force.
    @ivar kept: the keys whose new values need a restart.
    """

    configuration: Configuration
    done: tuple[str, ...]
    kept: tuple[str, ...]


def reload(old: Configuration, new: Configuration, networks: Mapping[str, INetwork]) -> Reloaded:
    """
    Put C{new} in force, as far as C{networks} can follow it.

    @param old: the configuration that is in force.
    @param networks: the networks of the gateway by name.
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
    Return the section C{name} of C{configuration}, or its defaults if only C{other} has that
    section.
    """
    if name in configuration.sections:
        return configuration.sections[name]
    return type(other.sections[name])()


def _different(name: str, one: object, other: object) -> Iterator[str]:
    """
    Return the keys whose values differ between two values of the section C{name}.
    """
    for key in keysOf(type(one)).values():
        if getattr(one, key.attribute) != getattr(other, key.attribute):
            yield f"[{name}] {key.name}"

"""
The change to another configuration while the gateway runs.

The whole new configuration is judged before anything changes. Networks that provide L{IReloadable}
then follow it for new sessions; sessions that are open keep what they have. All other differences
need a restart, and are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pptpgw.config.configuration import SECTIONS, Configuration, placeOf
from pptpgw.config.table import keysOf
from pptpgw.interfaces import Change, Effect, INetwork, IReloadable, Reloaded

_NO_ROAD = "the part that uses it is made when the gateway starts"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A reload that has been judged, and changes nothing yet.

    @ivar configuration: the configuration that is in force afterwards.
    @ivar reloaded: what is going to change.
    @ivar steps: the functions that change it.
    """

    configuration: Configuration
    reloaded: Reloaded
    steps: tuple[Callable[[], object], ...]


def plan(old: Configuration, new: Configuration, networks: Mapping[str, INetwork]) -> Plan:
    """
    Find out how to put C{new} in force, as far as C{networks} can follow it.

    @param old: the configuration that is in force.
    @param networks: the networks of the gateway by name.
    @raise pptpgw.error.ConfigurationError: C{new} can't be used.
    """
    changes: list[Change] = []
    for name in SECTIONS:
        for key, _ in _different(getattr(old, name), getattr(new, name)):
            changes.append(Change(name, key, Effect.RESTART, _NO_ROAD))
    sections = dict(old.sections)
    steps: list[Callable[[], object]] = []
    for name in dict.fromkeys((*networks, *old.sections, *new.sections)):
        if name not in old.sections and name not in new.sections:
            continue
        before, after = _section(name, old, new), _section(name, new, old)
        network: object = networks.get(name)
        reasons: Mapping[str, str] = {}
        now = before
        if IReloadable.providedBy(network):
            reloadable = IReloadable(network)
            reasons = reloadable.judge(after)
            now = replace(after, **{one: getattr(before, one) for one in reasons})
            steps.append(partial(reloadable.reload, now))
            sections[name] = now
        for key, attribute in _different(before, after):
            if getattr(now, attribute) == getattr(after, attribute):
                changes.append(Change(placeOf(name), key, Effect.NEW))
            else:
                reason = reasons.get(attribute, _NO_ROAD)
                changes.append(Change(placeOf(name), key, Effect.RESTART, reason))
    return Plan(replace(old, sections=sections), Reloaded(tuple(changes)), tuple(steps))


def _section(name: str, configuration: Configuration, other: Configuration) -> Any:
    """
    Return the section C{name} of C{configuration}, or its defaults if only C{other} has that
    section.
    """
    if name in configuration.sections:
        return configuration.sections[name]
    return type(other.sections[name])()


def _different(one: object, other: object) -> Iterator[tuple[str, str]]:
    """
    Return the keys whose values differ between two values of a section, each with its attribute.
    """
    for key in keysOf(type(one)).values():
        if getattr(one, key.attribute) != getattr(other, key.attribute):
            yield key.name, key.attribute

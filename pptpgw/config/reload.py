"""
The change to another configuration while the gateway runs.

The rules:

 - The whole new configuration is judged, and everything new is made and opened, before anything
   changes. If that fails, nothing has changed.
 - If a part raises an exception while it changes, which is a bug, all parts follow the old
   configuration again, and the reload has failed.
 - The row of each key says what a new value applies to (L{pptpgw.config.kind.Applies}). A key that
   needs a restart keeps its old value until then, and the parts never see the new one.
 - A plugin follows its section if it provides L{IReloadable}. Otherwise its keys need a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from pptpgw.config.configuration import SECTIONS, Configuration, placeOf, sectionName
from pptpgw.config.environment import Environment, Plugged
from pptpgw.config.kind import NEW, Applies, restart
from pptpgw.config.table import Key, keysOf
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import Change, Effect, IReloadable, Reloaded
from pptpgw.log import Logger

_log = Logger()


def nothing() -> None:
    """
    Do nothing.
    """


@dataclass(frozen=True, slots=True)
class ReloadStep:
    """
    What one part is going to do in a reload.

    @ivar part: the part, in words that an error begins with.
    @ivar apply: puts the new values in force. It raises nothing, unless it has a bug.
    @ivar open: opens what is new before anything is put in force. It may raise
        L{pptpgw.error.PPTPGWError}.
    @ivar close: undoes C{open}, even if that has failed halfway.
    """

    part: str
    apply: Callable[[], object]
    open: Callable[[], object] = nothing
    close: Callable[[], object] = nothing


Follow = Callable[[Configuration], ReloadStep]
"""
Prepares a part of the gateway that isn't a plugin to follow another configuration, and changes
nothing yet. It raises L{pptpgw.error.ConfigurationError} if the configuration can't be used.
"""


class NotPutBack(PPTPGWError):
    """
    A reload has failed, and a part is left with neither the new configuration nor the old one. The
    text has a line for each part that failed.
    """


Held = Mapping[str, str]
"""
The keys that need a restart although their rows say otherwise, as in C{[auth] checkers}, each with
the reason.
"""


@dataclass(frozen=True, slots=True)
class SectionInForce:
    """
    A section of the configuration in force.

    @ivar name: its name, as the file has it.
    @ivar values: its values, a dataclass with rows of L{pptpgw.config.kind.key}.
    @ivar applies: what a reload does with a new value of each key, by the name of the key. A plugin
        may say for certain values that they need a restart all the same.
    """

    name: str
    values: Any
    applies: Mapping[str, Applies]


class Plan:
    """
    A reload that has been judged, and that changes nothing before L{apply}.

    @ivar configuration: the configuration that is in force afterwards.
    @ivar reloaded: what is going to change.
    """

    def __init__(
        self,
        environment: Environment,
        new: Configuration,
        followers: Iterable[Follow],
        plugged: Iterable[Plugged],
        held: Held,
    ) -> None:
        """
        @param environment: has the configuration that is in force, and is given the other one.
        @param followers: prepare the parts that follow the configuration, in this order.
        @param plugged: the plugins' objects, which follow after these.
        @raise pptpgw.error.PPTPGWError: C{new} can't be used.
        """
        self._environment = environment
        self._old = old = environment.configuration
        plugged = tuple(plugged)
        rows = _rows(old, new, plugged, held)
        with environment.having(_merged(old, new, rows)) as trial:
            for one in plugged:
                if IReloadable.providedBy(one.part):
                    settings, name = trial.section(one.factory), sectionName(one.factory)
                    for attribute, reason in IReloadable(one.part).judge(settings).items():
                        rows[name, attribute] = restart(reason)
        self.configuration = configuration = _merged(old, new, rows)
        self.reloaded = Reloaded(tuple(_changes(old, new, rows)))
        self._followers: list[Follow] = list(followers)
        for one in plugged:
            if IReloadable.providedBy(one.part):
                self._followers.append(partial(_reload, one))
        with environment.having(configuration):
            self._steps = [follow(configuration) for follow in self._followers]

    def apply(self) -> None:
        """
        Put the configuration in force.

        @raise pptpgw.error.PPTPGWError: something that is new can't be opened, or a part failed.
            Nothing has changed.
        @raise NotPutBack: a part failed, and can't be put back.
        """
        opened: list[ReloadStep] = []
        try:
            for step in self._steps:
                opened.append(step)
                step.open()
        except BaseException:
            for step in reversed(opened):
                step.close()
            raise
        self._environment.configuration = self.configuration
        # Even if one fails, the others must use, or close, what they have opened.
        if failed := [line for step in self._steps for line in _failing(step.part, step.apply)]:
            self._undo(failed)

    def _undo(self, failed: list[str]) -> NoReturn:
        """
        Have all parts follow the old configuration again.

        @param failed: the parts that failed, a line for each.
        """
        self._environment.configuration = self._old

        def undo(follow: Follow) -> None:
            step = follow(self._old)
            step.open()
            step.apply()

        lost = [
            f"{line}: restart the gateway"
            for step, follow in zip(self._steps, self._followers, strict=True)
            for line in _failing(f"{step.part} can't be put back", partial(undo, follow))
        ]
        raise (NotPutBack if lost else PPTPGWError)("\n".join(failed + lost))


def _failing(part: str, act: Callable[[], object]) -> Iterator[str]:
    """
    Have a part do something; if it fails, yield a line that says so.
    """
    try:
        act()
    except Exception as error:
        _log.failure("{part}: a reload failed", part=part)
        yield f"{part}: {type(error).__name__}: {error}"


def _reload(one: Plugged, configuration: Configuration) -> ReloadStep:
    settings = configuration.section(one.factory)
    part = f"[{placeOf(sectionName(one.factory))}]"
    return ReloadStep(part, partial(IReloadable(one.part).reload, settings))


Rows = dict[tuple[str, str], Applies]
"""
What a reload does with each key that differs, by section and attribute.
"""


def _rows(old: Configuration, new: Configuration, plugged: Iterable[Plugged], held: Held) -> Rows:
    follows = _following(plugged)
    return {
        (section, key.attribute): _applying(section, key, follows, held)
        for section, before, after in _sections(old, new)
        for key in _different(before, after)
    }


def _following(plugged: Iterable[Plugged]) -> dict[str, bool]:
    """
    Return whether the plugin that has a section follows it, by the name of the section.
    """
    return {sectionName(one.factory): IReloadable.providedBy(one.part) for one in plugged}


def _applying(section: str, key: Key, follows: Mapping[str, bool], held: Held) -> Applies:
    """
    Return what a reload does with a new value of C{key}.
    """
    applies = key.applies or NEW
    if key.applies is None and not follows.get(section, True):
        applies = restart(f"{section} reads its section at the start only")
    reason = held.get(f"[{section}] {key.name}") or held.get(f"[{section}]")
    if reason and applies.effect is not Effect.RESTART:
        applies = restart(reason)
    return applies


def sectionsInForce(
    environment: Environment, plugged: Iterable[Plugged], held: Held
) -> Iterator[SectionInForce]:
    """
    Iterate over the sections of the configuration in force: those that are always there, and those
    of plugins.

    @param plugged: the objects of the plugins that follow the configuration.
    """
    configuration, follows = environment.configuration, _following(plugged)
    sections: dict[str, Any] = {name: getattr(configuration, name) for name in SECTIONS}
    for name, type_ in environment.used.items():
        if type_ not in SECTIONS.values():
            sections[name] = configuration.sections.get(name, type_())
    for name, values in {**sections, **configuration.sections}.items():
        keys = keysOf(type(values)).values()
        applies = {key.name: _applying(name, key, follows, held) for key in keys}
        yield SectionInForce(placeOf(name), values, applies)


def _merged(old: Configuration, new: Configuration, rows: Rows) -> Configuration:
    """
    Return C{new} with the old values of the keys that need a restart.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for section, before, after in _sections(old, new):
        kept = {
            attribute: getattr(before, attribute)
            for (name, attribute), applies in rows.items()
            if name == section and applies.effect is Effect.RESTART
        }
        if section in SECTIONS:
            own[section] = replace(after, **kept)
        elif section in new.sections or kept:
            others[section] = replace(after, **kept)
    return Configuration(**own, sections=others)


def _changes(old: Configuration, new: Configuration, rows: Rows) -> Iterator[Change]:
    for section, before, after in _sections(old, new):
        for key in _different(before, after):
            applies = rows[section, key.attribute]
            yield Change(placeOf(section), key.name, applies.effect, applies.reason)


def _sections(old: Configuration, new: Configuration) -> Iterator[tuple[str, Any, Any]]:
    """
    Iterate over the sections by name, each with its old and its new value. A section that only one
    of them has stands for its defaults in the other.
    """
    for name in SECTIONS:
        yield name, getattr(old, name), getattr(new, name)
    for name in dict.fromkeys((*old.sections, *new.sections)):
        type_ = type(new.sections.get(name, old.sections.get(name)))
        yield name, old.sections.get(name, type_()), new.sections.get(name, type_())


def _different(one: Any, other: Any) -> Iterator[Key]:
    """
    Return the keys whose values differ between two values of a section.
    """
    for key in keysOf(type(one)).values():
        if getattr(one, key.attribute) != getattr(other, key.attribute):
            yield key

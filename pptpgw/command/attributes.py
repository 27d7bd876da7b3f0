"""
The attributes of users and profiles on the command line: an option for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from pptpgw.command.output import shown
from pptpgw.command.parsing import Function, optioned
from pptpgw.command.quantity import DURATION, RATE, READERS, SIZE
from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import (
    ATTRIBUTES,
    BITS_A_SECOND,
    OCTETS,
    SECONDS,
    check,
    present,
    profileOf,
)

if TYPE_CHECKING:
    from pptpgw.config.configuration import Configuration

_METAVARS = {SECONDS: "TIME", OCTETS: "SIZE", BITS_A_SECOND: "RATE"}

WORDS = (
    'An attribute that is "" is removed, and the profile decides; one that is * is left to the '
    f"configuration, whatever the profile says. A TIME is {DURATION}. A SIZE is {SIZE}. A RATE is "
    f"{RATE}."
)
"""
What C{--help} says about attributes.
"""


def attributed(function: Function) -> Function:
    """
    Add an option for each attribute of a profile; the function is given C{given}, the texts of
    those that the command line has, by their names.
    """

    @wraps(function)
    def wrapped(first: Any, **more: Any) -> Any:
        texts = {name: more.pop(_parameter(name)) for name in ATTRIBUTES}
        given = {name: text for name, text in texts.items() if text is not None}
        return function(first, given=given, **more)

    options = [
        click.option(
            f"--{name}",
            _parameter(name),
            metavar=_METAVARS.get(one.unit, "TEXT"),
            help=f"{one.words}.",
        )
        for name, one in ATTRIBUTES.items()
    ]
    return optioned(wrapped, options)


def _parameter(name: str) -> str:
    return f"attribute_{name.replace('-', '_')}"


def checked(given: Mapping[str, str], configuration: Configuration) -> dict[str, str | None]:
    """
    Return attributes as the store takes them; None removes one.

    @raise ConfigurationError: a value isn't allowed, or isn't in the configuration.
    """
    attributes = {name: _read(name, text) if text else None for name, text in given.items()}
    if not attributes:
        return {}
    from pptpgw.profilecheck import checkProfile

    try:
        checkProfile(configuration, profileOf("", present(attributes)))
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; --config FILE names another configuration") from error
    return attributes


def _read(name: str, text: str) -> str:
    """
    Return the text of an attribute as it is stored: quantities without their units.
    """
    unit = ATTRIBUTES[name].unit
    # What begins with no digit is no quantity; the error of check says what is allowed.
    if unit in READERS and text[:1].isdigit():
        try:
            text = str(READERS[unit][0](text))
        except ConfigurationError as error:
            raise ConfigurationError(f"--{name} {error}") from error
    try:
        return check(name, text)
    except ConfigurationError as error:
        raise ConfigurationError(f'--{error}, "" for nothing of its own') from error


def summary(attributes: Mapping[str, str]) -> str:
    """
    Return attributes in one line, written as on the command line.
    """
    return " ".join(f"--{name} {shown(text)}" for name, text in attributes.items())

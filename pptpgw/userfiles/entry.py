"""
What all formats have in common: a user of a file, and a line that can't be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pptpgw.error import ConfigurationError
from pptpgw.sessions.profile import Profile
from pptpgw.store.attribute import ATTRIBUTES, check


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A user of a file.

    @ivar line: the number of the line on which the user begins.
    @ivar password: the password; None if the file has only C{ntHash}, its NT hash.
    @ivar attributes: the user's own attributes, as the store has them.
    @ivar shared: the profile that the user shares; None if the file says nothing of it.
    @ivar disabled: whether the user is refused; None if the file says nothing of it.
    @ivar expires: when the password expires, in seconds since the epoch; None for never.
    @ivar notes: what the store can't keep of the file's text, or what was chosen, in words.
    """

    line: int
    name: str
    password: bytes | None = field(repr=False)
    ntHash: bytes = field(default=b"", repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    shared: str | None = None
    disabled: bool | None = None
    expires: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryFault:
    """
    A line that can't be taken.

    @ivar line: its number.
    @ivar name: the name of its user; empty if it isn't known.
    @ivar why: the reason, without a secret.
    """

    line: int
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class EntrySource:
    """
    A file with users.

    @ivar content: its octets.
    @ivar server: the name of the gateway, where a format has users of several.
    """

    content: bytes = field(repr=False)
    server: str = ""


Reader = Callable[[EntrySource], Iterator[Entry | EntryFault]]


def attributesOf(profile: Profile) -> dict[str, str]:
    """
    Return what a profile says, as the store has it.

    @raise ConfigurationError: an attribute isn't allowed.
    """
    nothing = Profile("")
    texts = {}
    for option, attribute in ATTRIBUTES.items():
        value = getattr(profile, attribute.field)
        if value != getattr(nothing, attribute.field):
            texts[option] = check(option, attribute.write(value))
    return texts


def checked(option: str, text: str) -> str:
    """
    Return the text of an attribute as the store has it.

    @raise ConfigurationError: it isn't allowed; the text doesn't speak of the command line.
    """
    try:
        return check(option, text)
    except ConfigurationError as error:
        allowed = ATTRIBUTES[option].allowed
        raise ConfigurationError(f"{option} {text}: must be {allowed}") from error

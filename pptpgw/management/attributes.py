"""
The attributes of users and profiles, as they are shown and changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct, structs

from pptpgw.store.attribute import ATTRIBUTES, DEFAULT, check, fieldOf, fields

_OPTIONS = {fieldOf(name): name for name in ATTRIBUTES}
"""
The options on the command line, by the names of the fields.
"""

_WORDS = f"""
The attributes of a user or a profile. One that is left out isn't changed; null removes it, so that
the profile decides that the user shares. C{{"{DEFAULT}"}} leaves the decision to the configuration,
whatever the profile says.

"""


def _ivars() -> str:
    lines = []
    for field, name in _OPTIONS.items():
        one = ATTRIBUTES[name]
        unit = f", in {one.unit}" if one.unit else ""
        lines.append(f"@ivar {field}: {one.words[:1].lower()}{one.words[1:]}{unit}.")
    return "\n".join(lines)


if TYPE_CHECKING:
    Attributes = Struct
else:
    Attributes = defstruct(
        "Attributes",
        [
            (field, (int | str if ATTRIBUTES[name].unit else str) | UnsetType | None, UNSET)
            for field, name in _OPTIONS.items()
        ],
        namespace={"__doc__": _WORDS + _ivars()},
        module=__name__,
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
    )

NO_ATTRIBUTES: Any = Attributes()
"""
Attributes of which none is there.
"""


def shownAttributes(attributes: Mapping[str, str]) -> Attributes:
    """
    Return attributes, given as the store has them, as they are shown.
    """
    return msgspec.convert(fields(attributes), Attributes)


def judged(attributes: Attributes) -> dict[str, str | None]:
    """
    Return attributes as the store takes them; None removes one.

    @raise pptpgw.error.ConfigurationError: a value isn't allowed.
    """
    found: dict[str, str | None] = {}
    for field, value in structs.asdict(attributes).items():
        if value is None:
            found[_OPTIONS[field]] = None
        elif value is not UNSET:
            found[_OPTIONS[field]] = check(_OPTIONS[field], str(value))
    return found

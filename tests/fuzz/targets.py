"""
The targets of every kind, and their saved inputs.

The inputs of a target are in the file C{corpus/KIND/TARGET.hex}: one in each line, in hexadecimal
digits. A text after C{#} is for readers, for example what a finding was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path

from tests.fuzz.reader import Target

CORPUS = Path(__file__).parent / "corpus"

KINDS = (
    "authentication",
    "control",
    "decoders",
    "hdlc",
    "l2tp",
    "link",
    "management",
    "native",
    "networks",
    "radius",
    "settings",
    "sstp",
    "tunnel",
)
"""
The modules with targets. A process of its own fuzzes each, and the first octet of its inputs
chooses the target.
"""


def targetsOf(kind: str) -> Mapping[str, Target]:
    """
    The targets of one kind, by name.
    """
    targets: Mapping[str, Target] = import_module(f"tests.fuzz.{kind}").TARGETS
    return targets


def pathOf(kind: str, name: str) -> Path:
    """
    The file with the saved inputs of a target.
    """
    return CORPUS / kind / f"{name}.hex"


def saved(kind: str, name: str) -> list[bytes]:
    """
    The saved inputs of a target.
    """
    path = pathOf(kind, name)
    lines = path.read_text().splitlines() if path.exists() else []
    return [bytes.fromhex(line.partition("#")[0]) for line in lines if not line.startswith("#")]


def add(kind: str, name: str, inputs: Iterable[bytes]) -> None:
    """
    Save more inputs of a target.
    """
    path = pathOf(kind, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = set(inputs).difference(saved(kind, name))
    with path.open("a") as file:
        file.writelines(f"{one.hex()}\n" for one in sorted(new, key=lambda one: (len(one), one)))

"""
The process that fuzzes the targets of one kind with atheris: C{python -m tests.fuzz.fuzzed KIND},
then options of libFuzzer and folders of inputs.

Where C{PPTPGW_NATIVE} names a folder, the C extensions are taken from there, as
L{tests.fuzz.build} made them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import atheris
from twisted.logger import globalLogBeginner

from tests.fuzz.build import EXTENSIONS, fileOf
from tests.fuzz.targets import targetsOf


def loadExtensions(folder: Path) -> None:
    """
    Import the C extensions from C{folder}, before anything else imports the installed ones.
    """
    for name in EXTENSIONS:
        specification = importlib.util.spec_from_file_location(name, folder / fileOf(name))
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        sys.modules[name] = module


def main(kind: str, options: list[str]) -> None:
    """
    Fuzz until libFuzzer ends the process.
    """
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    if "PPTPGW_NATIVE" in os.environ:
        loadExtensions(Path(os.environ["PPTPGW_NATIVE"]))
    with atheris.instrument_imports(include=["pptpgw"]):
        targets = tuple(targetsOf(kind).values())

    def one(octets: bytes) -> None:
        if octets:
            targets[octets[0] % len(targets)](octets[1:])

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

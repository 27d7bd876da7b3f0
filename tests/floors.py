"""
Runs the tests with the lowest and with the newest versions that C{pyproject.toml} permits.

Each has a virtual environment of its own, in C{.venv/floors}: the lowest with every version that
C{pyproject.toml} names, the newest with those that the index has today. C{pip check} must find no
fault there, and those tests must pass that run much code of other packages. Packages that only
tests need are the newest in both.

Run it as C{python -m tests.floors}, optionally with C{lowest} or C{newest}.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv" / "floors"
TESTS = (
    *("auth", "command/test_command.py", "command/test_output.py", "config", "management"),
    *("ppp", "radius", "store", "test_imports.py", "test_service.py", "test_tap.py"),
    *("integration/test_twistd.py", "integration/test_tac.py"),
)
PARTS = min(2, os.cpu_count() or 1)


def floors() -> Iterator[str]:
    """
    Return the lowest version of every package that is needed at run time.

    @raise ValueError: pyproject.toml states no lowest version of a package.
    """
    for line in metadata.requires("pptpgw") or ():
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": "postgresql"}):
            (floor,) = [part.version for part in one.specifier if part.operator == ">="]
            yield f"{one.name}=={floor}"


def attempt(kind: str) -> bool:
    """
    Install the lowest or the newest versions, run the tests, and return whether they passed.
    """
    folder = FOLDER / kind
    print(f"== The {kind} versions", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    python = str(folder / "bin" / "python")
    limits = folder / "limits.txt"
    limits.write_text("".join(f"{one}\n" for one in floors()) if kind == "lowest" else "")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--constraint", str(limits), "--editable", ".[test]"]
    for command in (install, [*pip, "check"], [*pip, "list"]):
        if subprocess.run(command, cwd=ROOT).returncode:
            return False
    tests = [f"tests/{one}" for one in TESTS]
    running = [
        subprocess.Popen(
            [python, "-m", "pytest", "-q", *tests],
            cwd=ROOT,
            env=os.environ | {"NATIVE_PART": f"{part}/{PARTS}"},
        )
        for part in range(1, PARTS + 1)
    ]
    statuses = [one.wait() for one in running]
    return not any(statuses)


if __name__ == "__main__":
    attempts = [attempt(kind) for kind in sys.argv[1:] or ("lowest", "newest")]
    sys.exit(not all(attempts))

"""
Tests for the links of the API reference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reference import Installed

ROOT = Path(__file__).parent.parent
TWISTED = "https://docs.twisted.org/en/stable/api/twisted.internet"
PYTHON = "https://docs.python.org/3/library"


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("twisted.internet.defer", f"{TWISTED}.defer.html"),
        ("twisted.internet.defer.succeed", f"{TWISTED}.defer.html#succeed"),
        ("twisted.internet.defer.Deferred", f"{TWISTED}.defer.Deferred.html"),
        (
            "twisted.internet.interfaces.IReactorTime.callLater",
            f"{TWISTED}.interfaces.IReactorTime.html#callLater",
        ),
        ("os.path.join", f"{PYTHON}/os.path.html#os.path.join"),
        ("errno", f"{PYTHON}/errno.html"),
        ("twisted.internet.defer.Differed", None),
        ("twisted.internet.interfaces.IReactorTime.callEarlier", None),
        ("os.path.jion", None),
        ("received", None),
        ("pptpgw.ppp.lcp.LCP", None),
    ],
)
def test_linksLeadToWhatIsInstalled(name: str, link: str | None) -> None:
    assert Installed(logger=print).getLink(name) == link


def test_whatIsWarnedOf(tmp_path: Path) -> None:
    """
    A link to nothing makes C{make docs} fail, and a class that extends an interface of Twisted's
    counts as an interface.
    """
    (tmp_path / "thing.py").write_text(
        '"""L{os.write}, L{os.wriite}."""\n'
        "from twisted.plugin import IPlugin\n"
        "from zope.interface import implementer\n"
        "class IThing(IPlugin): ...\n"
        "@implementer(IThing)\n"
        "class Thing: ...\n"
    )
    options = "-W --quiet --docformat=epytext --system-class=tests.reference.System"
    places = [f"--html-output={tmp_path / 'html'}", str(tmp_path / "thing.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pydoctor", *options.split(), *places],
        # Elsewhere, pydoctor finds no pyproject.toml that has it document the whole package.
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (line,) = done.stdout.splitlines()
    assert 'Cannot find link target for "os.wriite"' in line
    assert done.returncode == 3

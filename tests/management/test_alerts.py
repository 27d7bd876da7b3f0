"""
Tests for the alert rules and the dashboard that come with the gateway, by Prometheus' own promtool.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "tap" / "prometheus"
RULES = FOLDER / "alerts.yml"
TESTS = Path(__file__).parent / "alerts.test.yml"
PROMTOOL = shutil.which("promtool")

needsPromtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of prometheus")


def promtool(*arguments: str) -> str:
    """
    Run promtool, which must find no fault, and return what it says.
    """
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needsPromtool
def test_rules() -> None:
    """
    The rules can be read.
    """
    said = promtool("check", "rules", str(RULES))
    assert f"{RULES.read_text().count('- alert:')} rules found" in said


@needsPromtool
def test_whenTheyAreRaised(tmp_path: Path) -> None:
    """
    Each alert is raised by what it is about, and not by what looks like it.
    """
    tests = tmp_path / "test.yml"
    tests.write_text(TESTS.read_text().replace("RULES", str(RULES)))
    promtool("test", "rules", str(tests))


def test_everyAlertIsTried() -> None:
    """
    Every rule has a test.
    """
    named = re.findall(r"- alert: (\w+)", RULES.read_text())
    tried = re.findall(r"alertname: (\w+)", TESTS.read_text())
    assert set(named) == set(tried) and len(named) == len(set(named))


def test_panels() -> None:
    """
    The panels of the dashboard have numbers of their own and don't lie upon each other.
    """
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for one in panels:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & taken, one["title"]
        taken |= cells

"""
Tests for C{tap/pptpgw.service}.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "tap" / "pptpgw.service"


def test_systemdTakesIt(tmp_path: Path) -> None:
    """
    systemd knows every word in the unit.
    """
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, of the package systemd")
    # The programs exist only after an installation.
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"/opt/pptpgw/bin/(twistd|pptpgw)\b", "/bin/true", UNIT.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # systemd-analyze reports faults of other units too.
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW",
        "NoNewPrivileges=yes",
        "LimitCORE=0",
        "MemoryMax=1G",
        "Type=notify",
        "ExecReload=/opt/pptpgw/bin/pptpgw reload --config /etc/pptpgw/pptpgw.toml",
    ],
)
def test_whatItSays(line: str) -> None:
    assert line in UNIT.read_text().splitlines()

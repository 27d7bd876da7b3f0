"""
Tests for L{pptpgw.ports.descriptors}, each in a process of its own whose limits it may change.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import resource, sys
from pptpgw.ports.descriptors import allowDescriptors
soft, hard, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allowDescriptors(count), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "count", "inForce"),
    [(64, 200, 100, 100), (64, 200, 300, 200), (150, 200, 100, 150)],
)
def test_limits(soft: int, hard: int, count: int, inForce: int) -> None:
    """
    The limit is raised as far as necessary and allowed, and never lowered.
    """
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [str(inForce)] * 2

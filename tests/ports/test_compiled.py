"""
Tests for L{pptpgw.ports.compiled}: the replacement of compiled modules that don't fit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pptpgw.ports import compiled

NAMES = ("pptpgw.datapath._mppe", "pptpgw.ports._tun", "pptpgw.tunnels.pptp.port._gre")
PROGRAM = f"""
import sys
from types import ModuleType
from twisted.logger import globalLogBeginner, textFileLogObserver
for name in {NAMES}:
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__dict__.update(%s)
from pptpgw.datapath import mppe
from pptpgw.ports import tun
from pptpgw.tunnels.pptp.port import raw
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
assert mppe.Decryptor is mppe.PythonDecryptor and mppe.Encryptor is mppe.PythonEncryptor
assert mppe.rekeysPerSecond == 1 << 14 and mppe.implementation != "compiled"
assert isinstance(raw.fastest, raw.PythonRaw) and raw.implementation == "Python"
assert tun.fastest is tun.RealDeviceSystem
"""


@pytest.mark.parametrize("what", [{}, {"INTERFACE": compiled.INTERFACE - 1}])
def test_anOutdatedBuild(what: dict[str, int]) -> None:
    """
    The twins in Python are used in place of outdated builds, and one warning for each module says
    what to do.
    """
    command = [sys.executable, "-c", PROGRAM % what]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    warnings = [line for line in run.stdout.splitlines() if "#warn" in line]
    assert len(warnings) == len(NAMES)
    for name, line in zip(NAMES, warnings, strict=True):
        assert f"{name} isn't used" in line and "pip install -e ." in line


@pytest.mark.parametrize("name", NAMES)
def test_theSourceHasTheNumber(name: str) -> None:
    """
    The C source has the current interface number, so that a new build fits.
    """
    source = Path(compiled.__file__).parents[2].joinpath(*name.split(".")).with_suffix(".c")
    assert f"#define INTERFACE {compiled.INTERFACE}\n" in source.read_text()

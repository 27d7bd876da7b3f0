"""
Tests for L{pptpgw.ports.compiled}: the replacement of compiled modules that don't fit. And for the
C source of all: that compilers find no fault with it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pptpgw.ports import compiled

ROOT = Path(compiled.__file__).parents[1]
WARNINGS = "-O2 -Wall -Wextra -Werror -DPy_LIMITED_API=0x030B0000 -c -o /dev/null"
NAMES = (
    "pptpgw.datapath._mppe",
    "pptpgw.datapath._native",
    "pptpgw.ports._tun",
    "pptpgw.ppp._des",
    "pptpgw.ppp._md4",
    "pptpgw.tunnels.pptp.port._gre",
)
PROGRAM = f"""
import sys
from types import ModuleType
from twisted.logger import globalLogBeginner, textFileLogObserver
for name in {NAMES}:
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__dict__.update(%s)
from pptpgw.datapath import engine, mppe
from pptpgw.ports import devicesystem
from pptpgw.ppp import des, md4
from pptpgw.tunnels.pptp.port import raw
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
assert mppe.Decryptor is mppe.PythonDecryptor and mppe.Encryptor is mppe.PythonEncryptor
assert mppe.rekeysPerSecond == 1 << 14 and mppe.implementation != "compiled"
assert isinstance(raw.fastest, raw.PythonRaw) and raw.implementation == "Python"
assert devicesystem.fastest is devicesystem.RealDeviceSystem
assert md4.md4 is md4.pythonMD4
assert des.des is des.pythonDES
assert engine.lacking()
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
    lines = run.stdout.splitlines()
    warnings = sorted(line.partition("] ")[2] for line in lines if "#warn" in line)
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


@pytest.mark.parametrize("source", sorted(ROOT.rglob("*.c")), ids=lambda source: source.name)
def test_compilersDontWarn(source: Path) -> None:
    """
    No source is warned of. What is in C{native} needs no header of Python.
    """
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    command = ["cc", *WARNINGS.split(), str(source)]
    if source.parent.name != "native":
        command.append(f"-I{sysconfig.get_path('include')}")
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")

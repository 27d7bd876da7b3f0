"""
Tests for the C in C{pptpgw/datapath/native}, by programs in C (C{native.c}, C{lanes.c},
C{batch.c}, C{thread.c}) that are built with sanitizers.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pptpgw.datapath import mppe

NATIVE = Path(mppe.__file__).with_name("native")
PROGRAM = Path(__file__).with_name("native.c")
LANES = PROGRAM.with_name("lanes.c")
BATCH = PROGRAM.with_name("batch.c")
THREAD = PROGRAM.with_name("thread.c")
FLAGS = "-O1 -g -pthread -Wall -Wextra -Werror -fno-sanitize-recover=all"
SANITIZE = "-fsanitize=address,undefined"
CPU = Path("/proc/cpuinfo")


def compiled(program: Path, built: Path, *flags: str) -> None:
    """
    Compile a program with the C that it tests.
    """
    command = ["cc", *FLAGS.split(), *flags, f"-I{NATIVE}", str(program)]
    command += [*map(str, NATIVE.glob("*.c")), "-o", str(built)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("portable", [False, True])
def test_native(tmp_path: Path, portable: bool) -> None:
    """
    The vectors of the RFCs hold, and the fast ways do the same as the plain ones; with the
    processor's instructions for SHA-1 if it has them, and without.
    """
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path / "native"
    compiled(PROGRAM, built, SANITIZE, *(["-DSHA1_PORTABLE"] if portable else []))
    run = subprocess.run([str(built), "1"], capture_output=True, text=True, timeout=120)
    ways = run.stdout.split()
    assert (run.returncode, run.stderr, ways[:1]) == (0, "", ["portable"]), run.stdout
    if portable:
        assert ways == ["portable"]
    elif CPU.exists() and " sha_ni " in CPU.read_text():
        assert ways == ["portable", "instructions"]


def test_lanes(tmp_path: Path) -> None:
    """
    A session that floods, in either direction or with packets for Python, makes only itself wait,
    and packets of no session are few when they come to Python.
    """
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path / "lanes"
    compiled(LANES, built, SANITIZE)
    run = subprocess.run([str(built)], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, "shared\n", "")


def test_batch(tmp_path: Path) -> None:
    """
    Packets of several sessions that are decrypted together come out whole and in order, and Python
    goes on with the first one that the thread can't handle.
    """
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path / "batch"
    compiled(BATCH, built, SANITIZE)
    run = subprocess.run([str(built), "1"], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, "in order\n", "")


@pytest.mark.parametrize("sanitize", [SANITIZE, "-fsanitize=thread"])
def test_thread(tmp_path: Path, sanitize: str) -> None:
    """
    Threads have no data race with Python or each other, and touch no memory that isn't theirs,
    whatever packets come, while sessions are taken, given, added and removed.
    """
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path / "thread"
    compiled(THREAD, built, sanitize)
    for words in (["1", "1"], ["2", "2"], ["3", "3"]):
        run = subprocess.run([str(built), *words], capture_output=True, text=True, timeout=300)
        assert (run.returncode, run.stdout, run.stderr) == (0, "carried\n", "")

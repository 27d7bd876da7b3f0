"""
Tests for L{pptpgw.ports.terminal}.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

READING = """
import os, signal, sys, threading
from pptpgw.ports.terminal import onInterrupt

def interrupt():
    os.write(1, b"ready")
    # The system call of the main thread isn't interrupted by a signal that this thread receives.
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

with onInterrupt(sys.exit):
    threading.Timer(0.2, interrupt).start()
    sys.stdin.buffer.readline()
"""


def test_aSignalThatDoesNotInterruptTheRead() -> None:
    """
    A handler runs soon even if its signal didn't interrupt the system call that reads.
    """
    with subprocess.Popen(
        [sys.executable, "-c", READING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.wait(timeout=30) == 128 + signal.SIGTERM
        finally:
            process.kill()
        assert process.stdout is not None and process.stdout.read() == b"ready"


def test_afterTheContext() -> None:
    """
    The context manager leaves no timer behind.
    """
    code = (
        "import signal, sys; from pptpgw.ports.terminal import onInterrupt\n"
        "with onInterrupt(sys.exit): assert signal.getitimer(signal.ITIMER_REAL)[1]\n"
        "assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)\n"
        "assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_aFolderThatIsForbidden(tmp_path: Path) -> None:
    """
    A command of a user that may not read the folder it is started in works.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    tmp_path.chmod(0o700)
    code = (
        "import os; from pptpgw.ports.terminal import leaveForbiddenFolder\n"
        "os.setgid(65534); os.setuid(65534); leaveForbiddenFolder(); print(os.getcwd())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for folder, found in ((tmp_path, "/"), ("/tmp", "/tmp")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == f"{found}\n", done.stderr

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

from pptpgw.ports.terminal import leaveForbiddenFolder

WRITING = """
import socket
from pptpgw.ports.terminal import endWithReader

endWithReader()
ours, others = socket.socketpair()
others.close()
try:
    ours.send(b"more")
except BrokenPipeError:
    print("the other end is closed", flush=True)
"""

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


def test_aFolderThatIsForbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A process that may not know its folder goes to the root folder; any other stays where it is.
    """
    monkeypatch.chdir(tmp_path)
    leaveForbiddenFolder()
    assert Path.cwd() == tmp_path
    with monkeypatch.context() as patched:
        patched.setattr(os, "getcwd", forbidden)
        leaveForbiddenFolder()
    assert Path.cwd() == Path("/")


def forbidden() -> str:
    """
    Fail like C{os.getcwd} where a folder above can't be read.
    """
    raise PermissionError


def test_aSocketWhoseOtherEndIsClosed() -> None:
    """
    Only printing ends the process by SIGPIPE; writing to a socket raises an error.
    """
    done = subprocess.run([sys.executable, "-c", WRITING], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"the other end is closed\n")


@pytest.mark.parametrize("descriptor", [1, 2])
def test_nobodyReads(descriptor: int) -> None:
    """
    Printing to a pipe without a reader ends the process silently.
    """
    reading, writing = os.pipe()
    os.close(reading)
    stream = {1: "stdout", 2: "stderr"}[descriptor]
    program = f"""
import sys
from pptpgw.ports.terminal import endWithReader

endWithReader()
print("lost", file=sys.{stream})
"""
    outputs = {stream: writing, {1: "stderr", 2: "stdout"}[descriptor]: subprocess.PIPE}
    done = subprocess.run([sys.executable, "-c", program], timeout=60, **outputs)  # type: ignore[call-overload]
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE
    assert not done.stdout and not done.stderr

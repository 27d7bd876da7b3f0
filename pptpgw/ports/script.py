"""
One run of a program that the operator has configured.

The rules:

 - The program gets its arguments and environment without a shell in between. It gets nothing of our
   own environment, its standard input is empty, and it runs in C{/}.
 - The program is the leader of a session and process group of its own, by C{setsid} of util-linux.
   So after its deadline it is killed with all processes that it started.
 - The output is logged line by line, up to L{LINES} lines of L{LONGEST} octets.
 - The run ends when the program has exited. Processes that it left behind may hold its output open:
   their output is logged for L{LINGER} seconds more, but nothing waits for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

LINES = 50
"""
The most lines of one run's output that are logged.
"""

LONGEST = 400
"""
The most octets of a line that are logged.
"""

LINGER = 1.0

_SETSID = "setsid"


def check(path: str) -> None:
    """
    Check that the program at C{path} can be run.

    @raise ConfigurationError: it can't be run; the text says why.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path}: isn't a file")
    if not os.access(path, os.X_OK):
        raise ConfigurationError(f"{path}: can't be executed (chmod +x {path})")
    if found.st_mode & stat.S_IWOTH:
        raise ConfigurationError(f"{path}: everybody can write it (chmod o-w {path})")
    if shutil.which(_SETSID) is None:
        raise ConfigurationError(f"{path} needs the program setsid, of util-linux, to be run")


class Run(ProcessProtocol):
    """
    One run of a program.

    @ivar over: fires when the program has exited, whatever its status, or couldn't be started.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: str, deadline: float, session: str = "") -> None:
        """
        @param path: the path of the program.
        @param deadline: seconds after which the program is killed.
        @param session: the identifier of the session that the program is run for, for the log.
        """
        self._session = session
        self.over: Deferred[None] = Deferred()
        self._reactor = reactor
        self._path = path
        self._deadline = deadline
        self._timer: IDelayedCall | None = None
        self._killed = False
        # The beginning of an incomplete line, by file descriptor.
        self._partial: dict[int, bytes] = {}
        self._lines = 0

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """
        Start the program in a session of its own, so that it can be killed with all that it starts.
        If it can't be run, that is logged, and C{over} fires.
        """
        setsid = shutil.which(_SETSID) or _SETSID
        words = [_SETSID, self._path, *arguments]
        try:
            self._reactor.spawnProcess(self, setsid, words, dict(environment), "/")
        except OSError as error:
            # There is no memory, process or descriptor left.
            self._log.error(
                "{path} can't be run: {why}",
                session=self._session,
                path=self._path,
                why=error.strerror,
            )
            self._reactor.callLater(0, self.over.callback, None)

    def kill(self) -> None:
        """
        Kill the program and all processes that it started, if it still runs.
        """
        if self._killed or self.over.called or self.transport is None:
            return
        self._killed = True
        try:
            os.killpg(self.transport.pid, signal.SIGKILL)
        except ProcessLookupError:
            # The process has no group of its own yet.
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass

    # ProcessProtocol

    def connectionMade(self) -> None:
        """
        Close standard input and start the deadline, since the program has started.
        """
        assert self.transport is not None
        self.transport.closeStdin()
        self._timer = self._reactor.callLater(self._deadline, self._late)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Log the lines that the program printed.
        """
        *lines, partial = (self._partial.get(childFD, b"") + data).split(b"\n")
        for line in lines:
            self._printed(line)
        self._partial[childFD] = partial[:LONGEST]

    def processExited(self, reason: Failure) -> None:
        """
        Log a failure and fire C{over}, since the program has exited. Output may still come.
        """
        self._cancel()
        status = getattr(reason.value, "exitCode", None)
        killedBy = getattr(reason.value, "signal", None)
        if self._killed:
            pass
        elif killedBy is not None:
            self._log.warn(
                "{path} died of signal {signal}",
                session=self._session,
                path=self._path,
                signal=killedBy,
            )
        elif status:
            self._log.warn(
                "{path} exited with status {status}",
                session=self._session,
                path=self._path,
                status=status,
            )
        self._timer = self._reactor.callLater(LINGER, self._silence)
        self.over.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """
        Log the rest of the output, since no process holds it open any more.
        """
        self._cancel()
        for partial in self._partial.values():
            if partial:
                self._printed(partial)
        if self._lines > LINES:
            self._log.info(
                "{path} printed {count} lines more",
                session=self._session,
                path=self._path,
                count=self._lines - LINES,
            )

    def _late(self) -> None:
        self._timer = None
        self._log.warn(
            "{path} is killed: it hasn't ended in {seconds:g} s",
            session=self._session,
            path=self._path,
            seconds=self._deadline,
        )
        self.kill()

    def _silence(self) -> None:
        self._timer = None
        if self.transport is not None:
            self.transport.loseConnection()

    def _cancel(self) -> None:
        self._timer = cancelled(self._timer)

    def _printed(self, line: bytes) -> None:
        self._lines += 1
        if self._lines <= LINES:
            said = line[:LONGEST].decode("utf-8", "backslashreplace")
            self._log.info(
                "{path}: {line}",
                session=self._session,
                path=self._path,
                line=said,
            )

"""
A program of the operator's, run once.

The rules:

 - It gets its arguments and environment as they are, and no shell sees them; nothing of our own
   environment goes along, standard input is empty, and it runs in C{/}.
 - It is the leader of a session and process group of its own, by C{setsid} of util-linux, so that
   after its deadline all that it started is killed with it.
 - What it prints is logged, a line at a time, so many and so long lines at most.
 - It is over when it has exited. What it left behind may hold its output open: that is listened to
   for L{LINGER} seconds more, and nobody waits for it.
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
Lines of output that are logged, of one run.
"""

LONGEST = 400
"""
Octets of a line that are logged.
"""

LINGER = 1.0

_SETSID = "setsid"


def check(path: str) -> None:
    """
    See that the program at C{path} can be run.

    @raise ConfigurationError: it can't; the text says why.
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
    One run.

    @ivar over: fires when it has exited, however that went.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: str, deadline: float, session: str = "") -> None:
        """
        @param session: the identifier of the session that the script is run for.
        """
        self._session = session
        self.over: Deferred[None] = Deferred()
        self._reactor = reactor
        self._path = path
        self._deadline = deadline
        self._timer: IDelayedCall | None = None
        self._killed = False
        # What came of a line that isn't complete, by file descriptor.
        self._partial: dict[int, bytes] = {}
        self._lines = 0

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """
        Run it.
        """
        setsid = shutil.which(_SETSID) or _SETSID
        words = [_SETSID, self._path, *arguments]
        try:
            self._reactor.spawnProcess(self, setsid, words, dict(environment), "/")
        except OSError as error:
            # No memory, no process, no descriptor left.
            self._log.error(
                "{path} can't be run: {why}",
                session=self._session,
                path=self._path,
                why=error.strerror,
            )
            self._reactor.callLater(0, self.over.callback, None)

    def kill(self) -> None:
        """
        Kill the script and all that it started, if it still runs.
        """
        if self._killed or self.over.called or self.transport is None:
            return
        self._killed = True
        try:
            os.killpg(self.transport.pid, signal.SIGKILL)
        except ProcessLookupError:
            # It hasn't come to have a group of its own.
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass

    # ProcessProtocol

    def connectionMade(self) -> None:
        """
        It runs.
        """
        assert self.transport is not None
        self.transport.closeStdin()
        self._timer = self._reactor.callLater(self._deadline, self._late)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It printed something.
        """
        *lines, partial = (self._partial.get(childFD, b"") + data).split(b"\n")
        for line in lines:
            self._printed(line)
        self._partial[childFD] = partial[:LONGEST]

    def processExited(self, reason: Failure) -> None:
        """
        It is over; its output may still come.
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
        Nothing holds its output open any more.
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

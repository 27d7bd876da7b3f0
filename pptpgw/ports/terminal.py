"""
Signals of terminals and pipes: which processes Ctrl-C reaches, and what ends a command.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from threading import current_thread, main_thread
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NOTICE = 0.5
"""
The most seconds from a signal to its handler, while this process waits for input.
"""

_TERMINAL = "/dev/tty"
_STDIN = 0


@contextmanager
def onInterrupt(then: Callable[[int], object]) -> Iterator[None]:
    """
    Have SIGINT (Ctrl-C) and SIGTERM call C{then} while this context lasts, within the signal
    handler, and have no other effect.

    Python runs signal handlers between its own instructions. A signal that arrives just before a
    system call begins to wait for input would be handled only after that call, so a timer
    interrupts such calls every L{NOTICE} seconds. C{SIGALRM} belongs to this context meanwhile.

    @param then: called with the exit status that shells use for the signal: 128 plus its number.
    """
    before = {
        number: signal.signal(number, lambda number, frame: then(128 + number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, NOTICE, NOTICE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Printed(FileIO):
    """
    The descriptor of standard output or standard error. SIGPIPE ends this process silently when it
    writes there and nobody reads any more. Elsewhere the signal stays ignored, so that a socket
    whose other end is closed is an error like others.
    """

    def write(self, octets: ReadableBuffer) -> int:
        """
        See L{io.RawIOBase.write}.
        """
        if current_thread() is not main_thread():
            return super().write(octets)
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            return super().write(octets)
        finally:
            signal.signal(signal.SIGPIPE, before)


def _ending(stream: TextIOWrapper) -> TextIOWrapper:
    return TextIOWrapper(
        BufferedWriter(_Printed(stream.fileno(), "wb", closefd=False)),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def endWithReader() -> None:
    """
    Let SIGPIPE end this process silently when it prints to a pipe that nobody reads any more, as
    other commands do. By default Python raises BrokenPipeError.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # There is no stream if its descriptor was closed.
        if isinstance(stream, TextIOWrapper):
            setattr(sys, name, _ending(stream))


def leaveForbiddenFolder() -> None:
    """
    Go to the root folder, if this process may not know which folder it is in. Libraries ask for
    that when they are imported.
    """
    try:
        os.getcwd()
    except OSError:
        os.chdir("/")


@contextmanager
def rawInput() -> Iterator[None]:
    """
    While this context lasts, standard input passes every octet unchanged, if it is a terminal.
    """
    if not os.isatty(_STDIN):
        yield
        return
    before = termios.tcgetattr(_STDIN)
    tty.setraw(_STDIN)
    try:
        yield
    finally:
        with suppress(termios.error):
            # The terminal may have been closed.
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


@implementer(IReadDescriptor)
class Keys:
    """
    While this context lasts, each key that is pressed is told at once, and not shown.
    """

    def __init__(self, reactor: Any, told: Callable[[str], object]) -> None:
        """
        @param told: called with what was typed; with C{q} when nothing will be any more.
        """
        self._reactor = reactor
        self._told = told
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = termios.tcgetattr(_STDIN)
        tty.setcbreak(_STDIN)
        self._reactor.addReader(self)

    def __exit__(self, *_: object) -> None:
        self._reactor.removeReader(self)
        with suppress(termios.error):
            # The terminal may have been closed.
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._before)

    def fileno(self) -> int:
        """
        See L{IReadDescriptor}.
        """
        return _STDIN

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "keys"

    def doRead(self) -> None:
        """
        Tell what was typed.
        """
        try:
            octets = os.read(_STDIN, 64)
        except OSError:
            octets = b""
        if not octets:
            self._reactor.removeReader(self)
            self._told("q")
        self._told(octets.decode("ascii", "ignore"))

    def connectionLost(self, reason: Failure) -> None:
        """
        Do nothing: the reactor has stopped.
        """


class Foreground:
    """
    While this context lasts, Ctrl-C reaches this process alone, and not a make process that has
    started it. Make would die of the signal; so it waits until this process has ended in good
    order.

    This does nothing unless make shares its terminal with this process. Ctrl-Z is ignored
    meanwhile: no shell would see that this process is stopped, and the terminal would hang.
    """

    def __init__(self) -> None:
        self._before = 0
        self._terminal = -1

    def __enter__(self) -> None:
        if "MAKELEVEL" not in os.environ or os.getpgrp() == os.getpid():
            return
        try:
            self._terminal = os.open(_TERMINAL, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        if os.tcgetpgrp(self._terminal) == os.getpgrp():
            self._before = os.getpgrp()
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)
            # The terminal would stop this process for bringing itself to the foreground.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.setpgid(0, 0)
            os.tcsetpgrp(self._terminal, os.getpgrp())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before:
            os.tcsetpgrp(self._terminal, self._before)
        if self._terminal >= 0:
            os.close(self._terminal)

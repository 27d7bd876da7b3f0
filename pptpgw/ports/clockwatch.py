"""
Notification when the machine's clock is set.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import Steady

# From linux/time.h and linux/timerfd.h.
_CLOCK_REALTIME = 0
_ABSOLUTE, _CANCEL_ON_SET = 1, 2
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
# Seconds since 1970: the year 2242.
_NEVER = 1 << 33


class _Times(ctypes.Structure):
    """
    C{struct itimerspec} of timerfd_settime(2): the interval, and the time of the first expiration.
    """

    _fields_ = (
        ("intervalSeconds", ctypes.c_long),
        ("intervalNanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


@implementer(IReadDescriptor)
class ClockWatch:
    """
    A watch on the machine's clock, which calls L{Steady.clockWasSet} when the clock was set.

    It uses a timer of the kernel (timerfd_create(2)) that never expires, but is cancelled when the
    clock is set.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: a L{Steady}; with any other reactor nothing is watched.
        """
        self._reactor = reactor
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1

    def start(self) -> None:
        """
        Start to watch, if the kernel has such timers.
        """
        if not isinstance(self._reactor, Steady):
            return
        self._descriptor = self._libc.timerfd_create(_CLOCK_REALTIME, _FLAGS)
        if self._descriptor >= 0:
            self._arm()
            self._reactor.addReader(self)

    def stop(self) -> None:
        """
        Stop watching. Calling this again does nothing.
        """
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return "clock"

    def doRead(self) -> None:
        """
        Report that the clock was set, and arm the timer again.
        """
        try:
            os.read(self._descriptor, 8)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return
        self._arm()
        self._reactor.clockWasSet()

    def connectionLost(self, reason: Failure) -> None:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.connectionLost}.
        """
        self.stop()

    def _arm(self) -> None:
        times = _Times(0, 0, _NEVER, 0)
        flags = _ABSOLUTE | _CANCEL_ON_SET
        self._libc.timerfd_settime(self._descriptor, flags, ctypes.byref(times), None)

"""
Signals that an operator sends to the process.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorFromThreads


class Signals:
    """
    Handlers that call a function for each signal that the process gets, in a turn of the reactor.

    A signal that is ignored, as SIGHUP is under C{nohup}, stays ignored. A signal that has a
    handler keeps it: with a log file, C{twistd} handles SIGUSR1 and rotates the file.
    """

    def __init__(
        self, reactor: IReactorFromThreads, calls: Mapping[str, Callable[[], object]]
    ) -> None:
        """
        @param calls: the function to call for each signal, by the signal's name.
        """
        self._reactor = reactor
        self._calls = {signal.Signals[name]: call for name, call in calls.items()}
        self._handled: list[signal.Signals] = []

    def start(self) -> None:
        """
        Install the handlers. This must be called in the main thread.
        """
        for number in self._calls:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._received)
                self._handled.append(number)

    def stop(self) -> None:
        """
        Remove the handlers. Calling this again does nothing.
        """
        while self._handled:
            signal.signal(self._handled.pop(), signal.SIG_DFL)

    def _received(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._calls[signal.Signals(number)])

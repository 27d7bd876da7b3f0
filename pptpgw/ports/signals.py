"""
Signals that an operator sends to the process.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorFromThreads


class Signals:
    """
    Calls back for each signal that the process gets, in the reactor's turn.

    What is ignored, as C{nohup} does with SIGHUP, stays so, and so does what has a handler already:
    with a log file, C{twistd} lets SIGUSR1 rotate that.
    """

    def __init__(
        self, reactor: IReactorFromThreads, calls: Mapping[str, Callable[[], object]]
    ) -> None:
        """
        @param calls: what to call, by the signal's name.
        """
        self._reactor = reactor
        self._calls = {signal.Signals[name]: call for name, call in calls.items()}
        self._handled: list[signal.Signals] = []

    def start(self) -> None:
        """
        From now on; in the main thread only.
        """
        for number in self._calls:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._received)
                self._handled.append(number)

    def stop(self) -> None:
        """
        No longer. Harmless the second time.
        """
        while self._handled:
            signal.signal(self._handled.pop(), signal.SIG_DFL)

    def _received(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._calls[signal.Signals(number)])

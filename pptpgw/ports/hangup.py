"""
SIGHUP: an operator has changed the configuration.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads


class HangUp:
    """
    Calls back for each SIGHUP that the process gets, in the reactor's turn.
    """

    def __init__(self, reactor: IReactorFromThreads, call: Callable[[], object]) -> None:
        self._reactor = reactor
        self._call = call
        self._before: Any = None

    def start(self) -> None:
        """
        From now on; in the main thread only.
        """
        self._before = signal.signal(signal.SIGHUP, self._received)

    def stop(self) -> None:
        """
        No longer: it does what it did before. Harmless the second time.
        """
        if self._before is not None:
            signal.signal(signal.SIGHUP, self._before)
            self._before = None

    def _received(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._call)

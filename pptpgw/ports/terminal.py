"""
Whom Ctrl-C is for.
"""

from __future__ import annotations

import os
import signal
from types import TracebackType

_TERMINAL = "/dev/tty"


class Foreground:
    """
    While this context lasts, Ctrl-C comes to this process alone, not to a make that waits for it
    and would die of it; what ends in good order then ends so for make, too.

    Only where make shares its terminal with us is anything done. Ctrl-Z is ignored meanwhile: no
    shell would see that we are stopped, and the terminal would hang.
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
            # The terminal stops a process that isn't in the foreground yet for wanting to be.
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

"""
The removal of the devices of calls that have ended, by a thread.

With each removal the kernel waits until no processor uses the device any more, which takes
milliseconds. It waits once for all devices of a group that are removed together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pptpgw.ports.rtnetlink import Kernel, removeGroup, setLink
from pptpgw.ports.worker import Worker

LEAVING = 0x70707471
"""
The kernel's group of network devices that those are in that are about to be removed.
"""

BATCH = 64
"""
The most devices that are removed together. The kernel answers no other request about devices
meanwhile.
"""

LIMIT = 1 << 17
"""
The most calls whose files wait to be closed; those of others are closed at once, which blocks.
"""

Close = Sequence[Callable[[], object]]
"""
Functions that close the files of a call, in order.
"""


class Removal:
    """
    The thread that removes devices, with those that wait for it.
    """

    def __init__(self, kernel: Kernel) -> None:
        """
        @param kernel: a socket that the thread has for itself, and closes.
        """
        self._kernel = kernel
        self._waiting: deque[tuple[int, Close]] = deque()
        self._worker = Worker("the removal of devices", LIMIT)

    def put(self, index: int, close: Close) -> None:
        """
        Remove a device soon, and then close the files of its call.

        @param index: the number of the device; 0 if the call has none.
        """
        self._waiting.append((index, close))
        if not self._worker.put(self._remove):
            self._remove()

    def stop(self, clock: IReactorTime) -> Deferred[None]:
        """
        Remove no more devices than those that wait.

        @return: fires when they are removed.
        """
        self._worker.stop(self._kernel.close)
        return self._worker.finished(clock)

    def _remove(self) -> None:
        """
        Remove those that wait, up to L{BATCH}. Closing its file removes a device, too.
        """
        some: list[tuple[int, Close]] = []
        with suppress(IndexError):
            while len(some) < BATCH:
                some.append(self._waiting.popleft())
        requests = [setLink(index, group=LEAVING) for index, _ in some if index]
        if len(requests) > 1:
            with suppress(OSError):
                self._kernel.ask([*requests, removeGroup(LEAVING)])
        for _, close in some:
            for one in close:
                one()

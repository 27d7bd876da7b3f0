"""
Follows the security associations of charon while the gateway runs.

The rules:

 - The connection to charon is made again whenever it is lost. Until then nothing is taken to have
   ended: charon may have been restarted, or the kernel may go on without it.
 - An association has ended for good if, C{GRACE} seconds later, there is none in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from pptpgw.error import PPTPGWError
from pptpgw.ipsec.associations import EVENTS, Association, Associations
from pptpgw.ipsec.vici import Charon, connect
from pptpgw.ipsec.wire import Message
from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

GRACE = 10.0
"""
Seconds that a peer has to make another association in the place of one that has ended.
"""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""
Seconds between two attempts to connect to charon.
"""


class AssociationWatch:
    """
    The connection to charon, and the associations that it has told of.

    @ivar fault: why charon can't be asked; empty while it can.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: str, gone: Callable[[str], object]) -> None:
        """
        @param path: the path of charon's socket.
        @param gone: called with the address of a peer some of whose associations have ended for
            good; L{find} says whether there are others.
        """
        self.fault = "charon wasn't asked yet"
        self._reactor = reactor
        self._path = path
        self._gone = gone
        self._associations = Associations()
        self._running = False
        self._connecting: Deferred[None] | None = None
        self._connection: Charon | None = None
        self._retry: IDelayedCall | None = None
        self._pause = SHORTEST_PAUSE
        self._ending: dict[str, IDelayedCall] = {}
        self._told = ""

    def find(self, address: str, port: int) -> list[Association]:
        """
        Return the associations that packets from this address and UDP port may come through, the
        newest last.
        """
        return self._associations.find(address, port)

    def start(self) -> None:
        """
        Connect to charon. Calling this again does nothing.
        """
        if not self._running:
            self._running = True
            self._connect()

    def stop(self) -> None:
        """
        End the connection. Calling this again does nothing.
        """
        self._running = False
        self._retry = cancelled(self._retry)
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        for timer in self._ending.values():
            timer.cancel()
        self._ending.clear()

    def _connect(self) -> None:
        self._retry = None
        self._connecting = Deferred.fromCoroutine(self._follow())
        self._connecting.addErrback(self._failed)

    async def _follow(self) -> None:
        charon = Charon(self._reactor, self._heard, self._ended)
        await connect(self._reactor, self._path, charon)
        self._connection = charon
        # What happens meanwhile is in the list, or is told after it.
        for event in EVENTS:
            await charon.register(event)
        ended = self._associations.replace(await charon.stream("list-sas", "list-sa"))
        self._connecting = None
        self._pause = SHORTEST_PAUSE
        self.fault = self._told = ""
        self._log.info(
            "charon answers at {path}; it has {count} associations",
            path=self._path,
            count=len(self._associations),
        )
        self._lost(ended)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if not self._running:
            return
        if failure.check(PPTPGWError) is None:
            self._log.failure("charon can't be asked", failure)
        self.fault = failure.getErrorMessage()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.ended = int
            connection.close()
        self._later()

    def _ended(self) -> None:
        """
        Connect again, since the connection has ended.
        """
        self._connection = None
        # Until the list has come, the failure of what was asked does this.
        if self._running and self._connecting is None:
            self.fault = "charon closed the connection"
            self._later()

    def _later(self) -> None:
        if self._told != self.fault:
            self._told = self.fault
            self._log.warn(
                "charon can't be asked which associations there are ({why}); trying again",
                why=self.fault,
            )
        self._retry = self._reactor.callLater(self._pause, self._connect)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _heard(self, event: str, message: Message) -> None:
        self._lost(self._associations.heard(event, message))

    def _lost(self, addresses: set[str]) -> None:
        for address in addresses:
            before = self._ending.pop(address, None)
            if before is not None:
                before.cancel()
            self._ending[address] = self._reactor.callLater(GRACE, self._over, address)

    def _over(self, address: str) -> None:
        del self._ending[address]
        self._gone(address)

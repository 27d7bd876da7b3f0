"""
The records of sessions in the audit's file, and the ends of sessions that an earlier run left open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import IPreparable
from pptpgw.ports.linefile import QueuedLines, lastLines
from pptpgw.ports.machine import lackingFile
from pptpgw.sessions.audit import Audit, LineObserver
from pptpgw.sessions.leftopen import LeftOpen
from pptpgw.store.record import SessionRecord

# Octets at the end of the audit's file that are searched for sessions without an end.
_LOOKED_AT = 1 << 24


@implementer(IPreparable)
class AuditFile(Service):
    """
    The file of the audit, which is open while this service runs.

    @ivar audit: the observer that writes to it.
    """

    def __init__(self, reactor: IReactorTime, path: str, ledger: bool) -> None:
        """
        @param ledger: whether a ledger calls L{endEarlier}, once the store has ended the sessions
            that an earlier run left open. Otherwise they end when this service starts.
        """
        Service.setName(self, "the audit's file")
        self._path = path
        self._ledger = ledger
        self._file = QueuedLines(reactor, path)
        self._leftOpen = LeftOpen()
        self.audit = Audit(reactor, LineObserver(self._file.write))

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if fault := lackingFile(self._path):
            yield f"[audit] file = {fault}"

    def privilegedStartService(self) -> None:
        """
        Open the file.

        @raise pptpgw.error.ConfigurationError: that isn't possible; the text says why.
        """
        Service.privilegedStartService(self)
        self._file.open()
        self._leftOpen = LeftOpen(lastLines(self._path, _LOOKED_AT))

    def startService(self) -> None:
        """
        Write the ends of earlier sessions, unless a ledger will call L{endEarlier} with what the
        store knows of them.
        """
        Service.startService(self)
        if not self._ledger:
            self.endEarlier(())

    def stopService(self) -> Deferred[Any]:
        """
        Close the file.

        @return: a Deferred that fires when everything is written.
        """
        Service.stopService(self)
        return self._file.close()

    def endEarlier(self, records: Sequence[SessionRecord]) -> None:
        """
        Write the end of each session that an earlier run left open.

        @param records: the sessions that the store has ended.
        """
        leftOpen, self._leftOpen = self._leftOpen, LeftOpen()
        self.audit.endEarlier(leftOpen, records)

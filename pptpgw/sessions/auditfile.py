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

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.interfaces import IPreparable, ISessions
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

    def __init__(self, reactor: IReactorTime, path: str, sessions: ISessions, ledger: bool) -> None:
        """
        @param path: the path of the file; empty for none.
        @param sessions: the sessions that C{audit} observes while there is a file.
        @param ledger: whether a ledger calls L{endEarlier}, once the store has ended the sessions
            that an earlier run left open. Otherwise they end when this service starts.
        """
        Service.setName(self, "the audit's file")
        self._reactor = reactor
        self._path = path
        self._sessions = sessions
        self._ledger = ledger
        self._file = self._made(path)
        self._leftOpen = LeftOpen()
        self.audit = Audit(reactor, LineObserver(self._write))

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if self._path and (fault := lackingFile(self._path)):
            yield f"[audit] file = {fault}"

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to write to another file from now on, or to none.
        """
        path, opened = configuration.audit.file, list[QueuedLines]()

        def open() -> None:
            if path != self._path and path and self.running:
                opened.append(QueuedLines(self._reactor, path))
                opened[0].open()

        def close() -> None:
            for file in opened:
                file.close()

        def apply() -> None:
            if path == self._path:
                return
            self._path = path
            old, self._file = self._file, opened[0] if opened else self._made(path)
            if old is not None:
                old.close()
            if self._file is None:
                self._sessions.removeObserver(self.audit)
            elif old is None:
                self._sessions.addObserver(self.audit)

        return ReloadStep("[audit] file", apply, open, close)

    def _made(self, path: str) -> QueuedLines | None:
        return QueuedLines(self._reactor, path) if path else None

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line)

    def privilegedStartService(self) -> None:
        """
        Open the file.

        @raise pptpgw.error.ConfigurationError: that isn't possible; the text says why.
        """
        Service.privilegedStartService(self)
        if self._file is None:
            return
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

    def stopService(self) -> Deferred[Any] | None:
        """
        Close the file.

        @return: a Deferred that fires when everything is written.
        """
        Service.stopService(self)
        return self._file.close() if self._file is not None else None

    def endEarlier(self, records: Sequence[SessionRecord]) -> None:
        """
        Write the end of each session that an earlier run left open.

        @param records: the sessions that the store has ended.
        """
        leftOpen, self._leftOpen = self._leftOpen, LeftOpen()
        self.audit.endEarlier(leftOpen, records)

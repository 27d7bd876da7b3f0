"""
What is kept of sessions, and who else is told: the audit, the ledger and the scripts, as far as the
configuration has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, DeferredList, succeed

from pptpgw.auth.chain import checkersOf
from pptpgw.config import Configuration
from pptpgw.interfaces import ISessionObserver
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.linefile import QueuedLines, lastLines
from pptpgw.ports.machine import lackingFile
from pptpgw.session.audit import Audit, LineObserver
from pptpgw.session.earlier import Earlier
from pptpgw.session.ledger import Ledger
from pptpgw.stopping import STOP_SECONDS, stopPart
from pptpgw.store.interface import IStore
from pptpgw.store.record import SessionRecord

# Octets at the end of the audit's file that are searched for sessions without an end.
_LOOKED_AT = 1 << 24


class Records:
    """
    All of them, of one gateway.

    @ivar observers: those who are to be told of sessions.
    """

    def __init__(self, reactor: Any, configuration: Configuration, portal: Portal) -> None:
        """
        @param portal: where the users come from; a store of accounts among its checkers keeps the
            sessions too, unless the configuration names another.
        @raise pptpgw.error.PPTPGWError: the configuration names a store that is of no use.
        """
        audit, hooks = configuration.audit, configuration.hooks
        self._reactor = reactor
        self._deadline = hooks.deadline
        self.observers: list[ISessionObserver] = []
        self._file: QueuedLines | None = None
        self._ledger: Ledger | None = None
        self._hooks: Hooks | None = None
        self._audit: Audit | None = None
        self._path = audit.file
        self._earlier = Earlier()
        if audit.file:
            self._file = QueuedLines(reactor, audit.file)
            self._audit = Audit(reactor, LineObserver(self._file.write))
            self.observers.append(self._audit)
        store = _store(reactor, configuration, portal)
        if store is not None:
            self._ledger = Ledger(
                reactor,
                store,
                configuration.link.name,
                audit.interim,
                brokenOff=self._endEarlier,
            )
            self.observers.append(self._ledger)
        scripts = {
            "auth-up": hooks.authUp,
            "auth-down": hooks.authDown,
            "ip-up": hooks.ipUp,
            "ip-down": hooks.ipDown,
            "ipv6-up": hooks.ipv6Up,
            "ipv6-down": hooks.ipv6Down,
        }
        if any(scripts.values()):
            interface = configuration.network.interface
            self._hooks = Hooks(reactor, scripts, interface, hooks.deadline, hooks.processes)
            self.observers.append(self._hooks)

    def lacking(self) -> Iterator[str]:
        """
        See L{pptpgw.interfaces.IPreparable.lacking}.
        """
        if self._path and (fault := lackingFile(self._path)):
            yield f"[audit] file = {fault}"
        if self._hooks is not None:
            yield from self._hooks.lacking()

    def open(self) -> None:
        """
        Open the file and look at the scripts, while the process has its privileges.

        @raise pptpgw.error.ConfigurationError: one can't be used; the text says why.
        """
        if self._file is not None:
            self._file.open()
            self._earlier = Earlier(lastLines(self._path, _LOOKED_AT))
        if self._hooks is not None:
            self._hooks.start()

    def start(self) -> None:
        """
        Begin to write to the store, which needs no privileges, and end sessions that an earlier run
        left open.
        """
        if self._ledger is not None:
            self._ledger.start()
        else:
            self._endEarlier(())

    def stop(self) -> Deferred[Any]:
        """
        Every session is over: fires when that is written, and scripts are done, or won't be.
        """
        stops: list[Deferred[None]] = []
        if self._hooks is not None:
            seconds = self._deadline + STOP_SECONDS
            stops.append(stopPart(self._reactor, "scripts", self._hooks.stop, seconds))
        if self._ledger is not None:
            stops.append(stopPart(self._reactor, "sessions in the store", self._ledger.stop))
        return DeferredList(stops)

    def close(self) -> Deferred[None]:
        """
        Close the file. Calling this again does nothing.

        @return: fires when everything is written.
        """
        return self._file.close() if self._file is not None else succeed(None)

    def _endEarlier(self, records: Sequence[SessionRecord]) -> None:
        earlier, self._earlier = self._earlier, Earlier()
        if self._audit is not None:
            self._audit.endEarlier(earlier, records)


def _store(reactor: Any, configuration: Configuration, portal: Portal) -> IStore | None:
    if configuration.audit.store:
        # A gateway without it doesn't need SQL.
        from pptpgw.store.store import Store

        accounts = configuration.accounts
        return IStore(Store(reactor, configuration.audit.store, accounts.key, create=True))
    for checker in checkersOf(portal):
        store = getattr(checker, "store", None)
        if IStore.providedBy(store):
            return IStore(store)
    return None

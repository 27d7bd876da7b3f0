"""
The construction of the observers that record or report sessions, and of their services.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService

from pptpgw.config.configuration import Configuration
from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ISessionObserver
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.queue import Queue
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.build import makeAccounting, makeQueue
from pptpgw.radius.client import RADIUSClient
from pptpgw.sessions.auditfile import AuditFile
from pptpgw.sessions.ledger import QUEUE_OCTETS, Ledger
from pptpgw.store.interface import IStore
from pptpgw.timing.lifecycle import STOP_SECONDS, Part


class Reporting:
    """
    The observers that the configuration asks for, and their services.

    @ivar observers: the observers.
    @ivar files: services that must run as long as there are sessions.
    @ivar reports: services that stop after the last session, when its end has been accounted for.
    @ivar queues: the queues of records that are to be sent or written.
    """

    def __init__(self, reactor: Any, configuration: Configuration) -> None:
        self.observers: list[ISessionObserver] = []
        self.files: list[IService] = []
        self.reports: list[IService] = []
        self.queues: list[Queue] = []
        self._reactor = reactor
        self._configuration = configuration

    def addAccounting(self, radius: RADIUSClient | None, counters: Counters) -> None:
        """
        Add RADIUS accounting.

        @param radius: asks the servers; None if there are none.
        @param counters: the counters of everything that belongs to no session.
        """
        queue = makeQueue(self._reactor, self._configuration)
        accounting = makeAccounting(self._reactor, self._configuration, radius, counters, queue)
        if accounting is not None:
            self.observers.append(accounting)
            self._addQueue("records for RADIUS servers", queue, accounting)
            self.reports.append(
                Part("RADIUS accounting", start=accounting.start, stop=accounting.stop)
            )

    def addRecords(self, store: IStore | None) -> None:
        """
        Add the audit's file, and the rows of sessions in C{store}, which ends the sessions that an
        earlier run left open.
        """
        audit = self._configuration.audit
        file = AuditFile(self._reactor, audit.file, store is not None) if audit.file else None
        if file is not None:
            self.observers.append(file.audit)
            self.files.append(file)
        if store is not None:
            queue = Queue(self._reactor, "[audit] spool", audit.spool, QUEUE_OCTETS)
            ledger = Ledger(
                self._reactor,
                store,
                queue,
                self._configuration.link.name,
                audit.interim,
                brokenOff=file.endEarlier if file is not None else lambda records: None,
            )
            self.observers.append(ledger)
            self._addQueue("rows for the store", queue, ledger)
            self.reports.append(Part("sessions in the store", start=ledger.start, stop=ledger.stop))

    def addScripts(self) -> None:
        """
        Add the programs of C{[hooks]}.
        """
        hooks = self._configuration.hooks
        scripts = {
            "auth-up": hooks.authUp,
            "auth-down": hooks.authDown,
            "ip-up": hooks.ipUp,
            "ip-down": hooks.ipDown,
            "ipv6-up": hooks.ipv6Up,
            "ipv6-down": hooks.ipv6Down,
        }
        if any(scripts.values()):
            interface = self._configuration.network.interface
            runner = Hooks(self._reactor, scripts, interface, hooks.deadline, hooks.processes)
            seconds = hooks.deadline + STOP_SECONDS
            self.observers.append(runner)
            self.reports.append(
                Part("scripts", runner.start, stop=runner.stop, stopSeconds=seconds)
            )

    def _addQueue(self, name: str, queue: Queue, owner: Accounting | Ledger) -> None:
        """
        Have C{owner} open its queue once the process has given up its privileges, so that the file
        belongs to the user that the gateway runs as, and close it.
        """
        self.queues.append(queue)
        self.files.append(Part(f"the queue of {name}", start=owner.open, stop=owner.close))

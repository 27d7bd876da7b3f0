"""
The construction of the observers that record or report sessions, and of their services.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService

from pptpgw.config.environment import Environment
from pptpgw.config.reload import Follow
from pptpgw.interfaces import ISessionObserver
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.queue import Queue
from pptpgw.radius.dynamic import DynamicService
from pptpgw.radius.parts import RADIUSParts
from pptpgw.sessions.auditfile import AuditFile
from pptpgw.sessions.ledger import Ledger
from pptpgw.sessions.rows import QUEUE_OCTETS
from pptpgw.timing.lifecycle import Part


class Reporting:
    """
    The observers that the configuration asks for, and their services.

    @ivar observers: the observers.
    @ivar files: services that must run as long as there are sessions.
    @ivar reports: services that stop after the last session, when its end has been accounted for.
    @ivar queues: the queues of records that are to be sent or written.
    @ivar followers: prepare the observers to follow another configuration.
    """

    def __init__(self, environment: Environment) -> None:
        """
        @param environment: the environment, with a store if there is one.
        """
        self.observers: list[ISessionObserver] = []
        self.files: list[IService] = []
        self.reports: list[IService] = []
        self.queues: list[Queue] = []
        self.followers: list[Follow] = []
        self._environment = environment
        self._reactor: Any = environment.reactor
        self._configuration = environment.configuration

    def addRADIUS(self) -> None:
        """
        Add the client of RADIUS servers, accounting, and the port of dynamic authorization.
        """
        environment = self._environment
        parts = RADIUSParts(environment)
        if parts.accounting is not None:
            self.observers.append(parts.accounting)
        dynamic = DynamicService(
            self._reactor, self._configuration, environment.sessions, environment.counters
        )
        self.files += [parts.files, dynamic]
        self.reports.append(parts.reports)
        self.queues += parts.queues
        self.followers += [parts.follow, dynamic.follow]

    def addRecords(self) -> None:
        """
        Add the audit's file, and the rows of sessions in the store, which ends the sessions that an
        earlier run left open.
        """
        audit, store = self._configuration.audit, self._environment.store
        file = AuditFile(self._reactor, audit.file, self._environment.sessions, store is not None)
        if audit.file:
            self.observers.append(file.audit)
        self.files.append(file)
        self.followers.append(file.follow)
        if store is not None:
            queue = Queue(self._reactor, "[audit] spool", audit.spool, QUEUE_OCTETS)
            ledger = Ledger(
                self._reactor,
                store,
                queue,
                self._configuration.link.name,
                audit.interim,
                brokenOff=file.endEarlier,
            )
            self.observers.append(ledger)
            self._addQueue("rows for the store", queue, ledger)
            self.reports.append(Part("sessions in the store", start=ledger.start, stop=ledger.stop))
            self.followers.append(ledger.follow)

    def addScripts(self) -> None:
        """
        Add the programs of C{[hooks]}.
        """
        configuration = self._configuration
        runner = Hooks(
            self._reactor,
            configuration.hooks,
            configuration.network.interface,
            self._environment.sessions,
        )
        if runner.isNeeded:
            self.observers.append(runner)
        self.reports.append(
            Part("scripts", runner.start, stop=runner.stop, stopSeconds=lambda: runner.stopSeconds)
        )
        self.followers.append(runner.follow)

    def _addQueue(self, name: str, queue: Queue, owner: Ledger) -> None:
        """
        Have C{owner} open its queue once the process has given up its privileges, so that the file
        belongs to the user that the gateway runs as, and close it.
        """
        self.queues.append(queue)
        self.files.append(Part(f"the queue of {name}", start=owner.open, stop=owner.close))

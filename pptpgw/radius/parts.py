"""
The parts of RADIUS that ask servers: the client and, if the configuration wants it, accounting with
its queue. A reload replaces the servers, and turns accounting on and off.
"""

from __future__ import annotations

from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.reload import ReloadStep
from pptpgw.ports.queue import Queue
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.build import accounts, makeAccounting, makeClient, makeQueue, makeTransports
from pptpgw.radius.nas import NAS
from pptpgw.radius.servers import Server
from pptpgw.timing.lifecycle import Part, Stages


class RADIUSParts:
    """
    The parts of one gateway that ask RADIUS servers.

    @ivar client: asks the servers; it knows none if the configuration names none.
    @ivar accounting: tells the servers of sessions; None as long as there was none to be told.
    @ivar queues: the queue of what the servers are told, if there is accounting.
    @ivar files: the services that must run as long as there are sessions.
    @ivar reports: the services that stop when the end of every session has been accounted for.
    """

    def __init__(self, environment: Environment) -> None:
        """
        @raise ConfigurationError: the configuration can't be used.
        """
        reactor, configuration = environment.reactor, environment.configuration
        self._environment = environment
        self._configuration = configuration
        self._proofs = _proofs(configuration)
        self.client = makeClient(reactor, configuration, environment.counters)
        self.accounting: Accounting | None = None
        self.queues: list[Queue] = []
        self.files = Stages(reactor, "RADIUS")
        self.reports = Stages(reactor, "reports to RADIUS servers")
        # The client comes before the queue, which begins to send the records of an earlier run when
        # it is opened.
        self.files.addService(Part("RADIUS", self.client.start, stop=self.client.stop))
        if accounts(configuration):
            self.accounting = self._makeAccounting(configuration)
            self._report(self.accounting)
        self._tell()

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to follow C{configuration}: to send new requests to its servers, and to tell them of
        sessions to come. Servers that prove themselves as before keep their ports and connections.

        @raise ConfigurationError: it can't be used.
        """
        environment, radius = self._environment, configuration.radius
        proofs, same = _proofs(configuration), set[Server]()
        if radius.timeout == self._configuration.radius.timeout:
            same = {one for one in proofs if self._proofs.get(one) == proofs[one]}
        make = makeTransports(environment.reactor, configuration, environment.counters, same)
        homes = self.client.homesOf(radius.server, make, same)
        before = len(self.files.services)
        made: list[Accounting] = []

        def open() -> None:
            if self.accounting is None and accounts(configuration):
                made.append(self._makeAccounting(configuration))

        def close() -> None:
            self.queues.clear()
            for service in self.files.services[before:]:
                self.files.removeService(service)

        def apply() -> None:
            self._configuration, self._proofs = configuration, proofs
            identifier = NAS.of(configuration).identifier
            self.client.use(homes, identifier, radius.deadTime, radius.probeInterval)
            for accounting in made:
                self.accounting = accounting
                environment.sessions.addObserver(accounting)
                self._report(accounting)
            self._tell()

        return ReloadStep("[radius]", apply, open, close)

    def _makeAccounting(self, configuration: Configuration) -> Accounting:
        """
        Make accounting, and open its queue if the gateway runs.

        @raise ConfigurationError: the queue can't be opened.
        """
        environment = self._environment
        reactor, counters = environment.reactor, environment.counters
        queue = makeQueue(reactor, configuration)
        accounting = makeAccounting(reactor, configuration, self.client, counters, queue)
        self.queues.append(queue)
        # The process has given up its privileges when this is opened, so that the file belongs to
        # the user that the gateway runs as.
        self.files.addService(
            Part("the queue of records", start=accounting.open, stop=accounting.close)
        )
        return accounting

    def _report(self, accounting: Accounting) -> None:
        self.reports.addService(
            Part("RADIUS accounting", start=accounting.start, stop=accounting.stop)
        )

    def _tell(self) -> None:
        """
        Tell the other parts what the configuration says.
        """
        configuration, accounting = self._configuration, self.accounting
        self._environment.radius = self.client if configuration.radius.server else None
        if accounting is None:
            return
        self._environment.spool = accounting.spool
        accounting.isOn = accounts(configuration)
        accounting.nas = NAS.of(configuration)
        accounting.deadline = configuration.radius.deadline
        if accounting.interval != configuration.radius.interim:
            accounting.interval = configuration.radius.interim
            accounting.schedule()


def _proofs(configuration: Configuration) -> dict[Server, tuple[bytes, ...]]:
    """
    Return what each of the servers proves itself by.

    @raise ConfigurationError: a secret is missing, or a file can't be read.
    """
    return {one: one.proofs() for one in configuration.radius.server}

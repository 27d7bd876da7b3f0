"""
The command C{pptpgw doctor}, which examines this machine and what the gateway depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from pptpgw.clock import steady
from pptpgw.command.findings import Examined, fault, ok, told, warning
from pptpgw.command.hostchecks import examine
from pptpgw.command.ipsecchecks import examine as examineIPsec
from pptpgw.command.options import CONFIG, said
from pptpgw.command.output import Output, shown
from pptpgw.command.parsing import command
from pptpgw.command.reach import Reach
from pptpgw.config.configuration import Configuration, load
from pptpgw.error import PPTPGWError
from pptpgw.ports.host import Host
from pptpgw.radius.trial import probe, services
from pptpgw.store.database import Database
from pptpgw.store.schema import STEPS, version


@command(
    "doctor",
    "Examine this machine and what the gateway needs.",
    "Privileges, /dev/net/tun, ports, firewall, kernel modules, forwarding, rp_filter, clocks, "
    "certificates, files with secrets, disks, the running gateway, stores, RADIUS servers and, "
    "with [ipsec], strongSwan are examined; a line for each says ok, warning or fault, and what to "
    "do. Nothing is changed. Of the firewall only that is told which is sure. The exit status is 1 "
    "if there is a fault.",
)
@CONFIG
@said
async def doctor(reactor: Any, output: Output, config: str | None) -> int:
    """
    C{pptpgw doctor}: examine the machine, and the servers that the configuration names.

    @return: the exit status, 1 if there are faults; warnings alone are 0.
    """
    configuration = Configuration() if config is None else load(config)
    source = config or "the default configuration"
    return told(output, await Doctor(reactor, configuration, source).examine())


class Doctor:
    """
    Examines the machine, and the servers that a configuration names.
    """

    def __init__(
        self, reactor: Any, configuration: Configuration, source: str, host: Host | None = None
    ) -> None:
        """
        @param source: where the configuration stands, for messages.
        @param host: the machine; None for this one.
        """
        self._reactor = steady(reactor)
        self._configuration = configuration
        self._source = source
        self._host = host or Host()

    async def examine(self) -> list[Examined]:
        """
        Return what is found.
        """
        running, gateway = await self._gateway()
        # A walk over all processes, and a program that lists rules, take a while.
        here: Deferred[list[Examined]] = deferToThreadPool(
            self._reactor,
            self._reactor.getThreadPool(),
            partial(_listed, self._host, self._configuration, running),
        )
        return [
            *await here,
            *gateway,
            *[await self._store(url) for url in dict.fromkeys(self._stores())],
            *await self._radius(),
            *await self._ipsec(),
        ]

    async def _gateway(self) -> tuple[bool, list[Examined]]:
        """
        Ask the gateway's management interface.

        @return: whether it runs, and what is found.
        """
        section = self._configuration.management
        if not section.endpoints:
            return False, [ok("gateway", "[management] endpoints is empty: it can't be asked")]
        try:
            gateway = Reach().gateway(self._reactor, section, self._source)
            status = await gateway.ask("GET", "/status")
        except PPTPGWError as error:
            return False, [
                warning(
                    "gateway", str(error), "if it should run: systemctl start pptpgw, or pptpgw run"
                )
            ]
        advice = "'pptpgw status' says more, as does its log"
        faults = [fault("gateway", shown(one), advice) for one in status["faults"]]
        return True, faults or [ok("gateway", f"it runs, and is {status['state']}")]

    def _stores(self) -> Iterator[str]:
        checkers = self._configuration.auth.checkers
        if any(one.partition(":")[0] == "accounts" for one in checkers):
            yield self._configuration.accounts.store
        if self._configuration.audit.store:
            yield self._configuration.audit.store

    async def _store(self, url: str) -> Examined:
        try:
            database = Database(self._reactor, url)
            try:
                found = await version(database)
            finally:
                database.close()
        except PPTPGWError as error:
            return fault("store", str(error), "look at its path, its owner or its server")
        if found < len(STEPS):
            text = f"{url}: its tables are of version {found}; this pptpgw has {len(STEPS)}"
            return warning("store", text, "the next start of the gateway converts them: back it up")
        return ok("store", f"{url} answers, and its tables are those of this version")

    async def _ipsec(self) -> list[Examined]:
        section = self._configuration.ipsec
        return await examineIPsec(self._reactor, section) if section.isUsed else []

    async def _radius(self) -> list[Examined]:
        findings = []
        for server in self._configuration.radius.server:
            for service in services(server):
                try:
                    found = await probe(self._reactor, self._configuration, server, service)
                except PPTPGWError as error:
                    findings.append(fault("RADIUS", str(error), "correct the configuration"))
                    continue
                text = f"{found.place}, {service.value}: {found.text}"
                if found.seconds is None:
                    findings.append(fault("RADIUS", text, found.advice))
                elif found.advice:
                    findings.append(warning("RADIUS", text, found.advice))
                else:
                    findings.append(ok("RADIUS", text))
        return findings


def _listed(host: Host, configuration: Configuration, running: bool) -> list[Examined]:
    return list(examine(host, configuration, running))

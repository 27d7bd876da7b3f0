"""
C{python -m pptpgw.demo}: in a network namespace of its own it starts a gateway, places two calls to
it, carries every kind of network protocol over them at once, then calls by each tunnel, has another
gateway dial it, and prints the results in two tables.

The exit status is 0 if every protocol carried packets both ways, by every tunnel.
"""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.configuration import parse
from pptpgw.demo import apart, sites, tunnels
from pptpgw.demo.probe import PROBES, TIMEOUT, NetworkProbe, Openings
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import INetworkProtocol
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.service import GatewayService
from pptpgw.tunnels.sstp.certificate import make

CONFIGURATION = """
[management]
endpoints = []

[network]
protocols = ["ipv4", "ipv6", "bridge", "mpls", "ipx", "appletalk"]

[ipv4]
pool = ["10.77.0.10-10.77.0.20"]

[mpls]
routes = ["100 as 200 via 10.77.0.11", "101 as 201 via 10.77.0.10"]
"""
"""
The configuration of the demo's gateway, without its link and its tunnels.
"""

USERS = {b"alice": b"open sesame", b"bob": b"abracadabra"}
COLUMNS = (
    "protocol",
    "control",
    "state",
    "sent",
    "octets",
    "received",
    "octets",
    "round trip",
    "agreed",
)


def settingsFor(user: bytes) -> LinkSettings:
    """
    Return the settings of a link by which C{user} calls.
    """
    return LinkSettings(identity=Identity(user, USERS[user], (MSCHAPV2,)), mru=1520)


async def call(
    service: GatewayService, user: bytes, protocols: Sequence[INetworkProtocol]
) -> ClientCall:
    """
    Place a call to the gateway.

    @raise pptpgw.error.CallError: the call failed.
    """
    settings = settingsFor(user)
    connection = await service.clientEndpoint("127.0.0.1", settings).client.connect()
    placed: ClientCall = await connection.placeCall(settings, protocols)
    return placed


async def carry(reactor: Any, probe: NetworkProbe, calls: Sequence[ClientCall]) -> None:
    """
    Run C{probe} once its protocol is open on both calls; set its C{fault} if that fails.
    """
    try:
        for placed, end in zip(calls, probe.ends, strict=True):
            await placed.whenOpen(end).addTimeout(TIMEOUT, reactor)
        await probe.run()
    except TimeoutError:
        probe.fault = f"nothing came within {TIMEOUT:g} s"
    except PPTPGWError as error:
        probe.fault = str(error)


def row(probe: NetworkProbe) -> tuple[str, ...]:
    """
    Return the row of the table for C{probe}.
    """
    return (
        probe.title,
        probe.control,
        probe.ends[0].state.name.capitalize(),
        *map(str, (*probe.sent, *probe.received)),
        "-" if probe.fault else f"{probe.roundTrip * 1000:.2f} ms",
        probe.fault or probe.agreed(),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """
    Return the text of a table whose columns are aligned.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip()
        for one in rows
    )


async def demonstrate(reactor: Any, folder: str) -> int:
    """
    Run the demo and print its results.

    @param folder: where the gateway's certificate is made.
    @return: the exit status.
    @raise PPTPGWError: the gateway can't be started, or a call failed.
    """
    checker = sites.Accounts(USERS)
    openings = Openings(len(USERS) * len(PROBES))
    make(f"{folder}/{tunnels.CERTIFICATE}", "localhost")
    text = CONFIGURATION + sites.section(folder) + tunnels.sections(folder)
    configuration = parse(text, "the demo")
    service = GatewayService(reactor, configuration, [checker], [openings])
    service.startService()
    try:
        probes = [probe(reactor) for probe in PROBES]
        calls = [
            await call(service, user, [probe.ends[end] for probe in probes])
            for end, user in enumerate(USERS)
        ]
        # The client may see a protocol open a moment before the gateway does.
        await openings.all.addTimeout(TIMEOUT, reactor, lambda *_: None)
        running: list[Deferred[None]] = [
            ensureDeferred(carry(reactor, probe, calls)) for probe in probes
        ]
        for one in running:
            await one
        link = calls[0].link
        method = link.method.name if link.method is not None else "none"
        print(
            f"Two calls to the gateway, {method}, {link.encryption}, with these on both at once:\n"
        )
        print(table([COLUMNS, *map(row, probes)]))
        failed = [probe.title for probe in probes if probe.fault]
        for placed in calls:
            placed.hangUp()
            await placed.ended
        settings = settingsFor(next(iter(USERS)))
        trials: list[tunnels.Trial] = [
            trial(reactor, service, settings) for trial in tunnels.TRIALS
        ]
        trials.append(sites.SiteTrial(reactor, folder))
        for trial in trials:
            await trial.run()
        failed += [trial.name for trial in trials if trial.fault]
        print(
            "\nThe same user's call by each tunnel, with pings to the gateway; and a call from the "
            "gateway of another site,\nwith pings from a host there to a host here:\n"
        )
        print(table([tunnels.COLUMNS, *map(tunnels.row, trials)]))
        print(
            f"\nNot carried: {', '.join(failed)}."
            if failed
            else "\nEvery protocol was carried both ways, by every tunnel."
        )
        return 1 if failed else 0
    finally:
        await service.stopService()


async def main(reactor: Any) -> int:
    """
    Run the demo, and return its exit status.
    """
    with TemporaryDirectory() as folder:
        return await demonstrate(reactor, folder)


if __name__ == "__main__":
    apart.run("pptpgw.demo", main)

"""
Two sites, north and south, each with a gateway and a host in a network behind it.

The demo's gateway is the northern one. C{python -m pptpgw.demo.sites} is the southern one, in
another network namespace: it dials the northern one over a Unix socket, which leads from one
namespace to the other. The kernels of both namespaces forward the packets. Each host is the program
at the other end of a TUN device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from pptpgw.auth.realm import AvatarID
from pptpgw.clock import steady
from pptpgw.config.configuration import parse
from pptpgw.config.secrecy import privately
from pptpgw.counting.counters import Counters
from pptpgw.demo import apart
from pptpgw.demo.probe import Openings
from pptpgw.demo.selfcall import echoReply, echoRequest, isEchoReply
from pptpgw.demo.tunnels import LINE, PAYLOAD, ROUNDS, TIMEOUT, Trial
from pptpgw.dialling.service import DialService
from pptpgw.error import PPTPGWError
from pptpgw.ports import privileges
from pptpgw.ports.device import Device
from pptpgw.service import GatewayService
from pptpgw.sessions.profile import Profile

NETWORKS = {"north": IPv4Network("10.1.0.0/24"), "south": IPv4Network("10.2.0.0/24")}
"""
The networks behind the gateways, by the names of the sites.
"""

PASSWORDS = {"north": b"north wind", "south": b"south wind"}
"""
The passwords by which the gateways prove themselves to each other.
"""

_MTU = 1400
# How often, and after how many seconds, a ping is repeated until the first answer: the northern
# gateway may open IPv4 a moment later than the southern one.
_TRIES = 5
_AGAIN = 1.0
# The host that is pinged.
_OTHER = NETWORKS["north"][2]


def section(folder: str) -> str:
    """
    Write the passwords to files, and return the part of the northern gateway's configuration that
    is about its links.

    @param folder: where the files are.
    """
    for site, password in PASSWORDS.items():
        with privately(_file(folder, site)) as new:
            new.write_bytes(password)
    return f"""
[link]
# Whole Ethernet frames need as much.
mru = 1520
user = "north"
password-file = "{_file(folder, "north")}"
"""


def configuration(folder: str) -> str:
    """
    Return the configuration of the southern gateway.

    @param folder: as that of L{section}.
    """
    return f"""
[listen]
tunnels = []

[management]
endpoints = []

[ipv4]
local = "10.78.0.1"
pool = []

[[dial]]
name = "north"
tunnel = "hdlc"
addresses = ["unix:{folder}/{LINE}"]
user = "south"
password-file = "{_file(folder, "south")}"
peer-name = "north"
peer-password-file = "{_file(folder, "north")}"
when = "asked"
routes = ["{NETWORKS["north"]}"]
"""


def _file(folder: str, site: str) -> Path:
    return Path(folder, f"{site}.password")


class Accounts(InMemoryUsernamePasswordDatabaseDontUse):
    """
    The accounts of the demo's gateway: the southern gateway, with the network behind it, and users.
    """

    def __init__(self, users: Mapping[bytes, bytes]) -> None:
        """
        @param users: the passwords of the other users, by their names.
        """
        super().__init__()
        self.users = {**users, b"south": PASSWORDS["south"]}

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """
        See L{twisted.cred.checkers.ICredentialsChecker.requestAvatarId}.
        """
        database: Any = super()
        found: Deferred[Any] = database.requestAvatarId(credentials)
        return found.addCallback(_avatarOf)


def _avatarOf(name: bytes) -> AvatarID:
    routes = (NETWORKS["south"],) if name == b"south" else ()
    return AvatarID(Profile(name.decode(), routes=routes))


class Host:
    """
    A host in the network behind a gateway, which answers pings.

    @ivar address: its address.
    """

    def __init__(self, reactor: Any, site: str) -> None:
        network = NETWORKS[site]
        self.address = str(network[2])
        self._packed = network[2].packed
        self._gateway = IPv4Interface((network[1], network.prefixlen))
        self._device = Device(reactor, site, _MTU, Counters())
        self._device.receive = self._received
        self._answered: Deferred[None] = Deferred()
        # What the answer to the last ping ends with: the ping's number.
        self._number = 0

    def start(self) -> None:
        """
        Join the network to this namespace.

        @raise PPTPGWError: the device can't be made.
        """
        self._device.start()
        self._device.kernel.addAddress(self._gateway)

    async def stop(self) -> None:
        """
        Remove the network.
        """
        await self._device.stop()

    def ping(self, destination: IPv4Address) -> Deferred[None]:
        """
        Ping another host.

        @return: fires when the answer comes.
        """
        self._number = (self._number + 1) % 65536
        self._answered = Deferred()
        payload = PAYLOAD + self._number.to_bytes(2, "big")
        self._device.write(echoRequest(self.address, str(destination), payload))
        return self._answered

    def _received(self, packet: bytes) -> None:
        if packet[16:20] != self._packed:
            return
        if isEchoReply(packet):
            isLast = packet[-2:] == self._number.to_bytes(2, "big")
            if isLast and not self._answered.called:
                self._answered.callback(None)
        elif answer := echoReply(packet):
            self._device.write(answer)


class Program(ProcessProtocol):
    """
    The program of the southern site.

    @ivar ended: fires with what it wrote when it has ended, or fails with L{PPTPGWError}. If it is
        cancelled, the program is killed.
    """

    def __init__(self) -> None:
        self.ended: Deferred[bytes] = Deferred(lambda _: self._kill())
        self._output = b""

    def outReceived(self, data: bytes) -> None:
        """
        Keep what it writes.
        """
        self._output += data

    def processEnded(self, reason: Failure) -> None:
        """
        Fire C{ended}.
        """
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(self._output)
        else:
            self.ended.errback(PPTPGWError(f"the other site: {reason.getErrorMessage()}"))

    def _kill(self) -> None:
        assert self.transport is not None
        self.transport.signalProcess("KILL")


class SiteTrial(Trial):
    """
    A call by which the southern gateway dials the northern one, each of which authenticates itself
    to the other. The host of the southern site pings that of the northern one.
    """

    name = "site-to-site"

    def __init__(self, reactor: Any, folder: str) -> None:
        """
        @param folder: as that of L{section}.
        """
        super().__init__(reactor)
        self._folder = folder

    async def _run(self) -> None:
        host = Host(self._reactor, "north")
        host.start()
        try:
            program = Program()
            self._reactor.spawnProcess(
                program,
                sys.executable,
                [sys.executable, "-m", "pptpgw.demo.sites", self._folder],
                env=privileges.environment(),
                childFDs={0: "w", 1: "r", 2: 2},
            )
            # It waits as long for the call, and for its pings.
            output = await program.ended.addTimeout(4 * TIMEOUT, self._reactor)
        finally:
            await host.stop()
        result = json.loads(output)
        self.setUp, self.roundTrip = result["setUp"], result["roundTrip"]
        self.agreed = result["agreed"]


async def dial(reactor: Any, folder: str) -> dict[str, object]:
    """
    Be the southern site: dial the northern one, and ping its host.

    @return: the results, as attributes of L{SiteTrial}.
    @raise PPTPGWError: the gateway can't be started, or there is no call or no answer.
    """
    clock = steady(reactor)
    openings = Openings(1)
    service = GatewayService(reactor, parse(configuration(folder), "the demo"), [], [openings])
    host = Host(reactor, "south")
    service.startService()
    try:
        host.start()
        began = clock.seconds()
        dialled = service.dialling.dials["north"]
        dialled.redial.up()
        try:
            await openings.all.addTimeout(TIMEOUT, reactor)
        except TimeoutError as error:
            raise PPTPGWError(f"no call to the other site: {dialled.redial.cause}") from error
        setUp = clock.seconds() - began
        times = await _times(reactor, host)
        return {"setUp": setUp, "roundTrip": median(times), "agreed": _words(dialled, host)}
    finally:
        await service.stopService()
        await host.stop()


async def _times(reactor: Any, host: Host) -> list[float]:
    """
    Ping the northern host, and return the seconds that each of the answers took.
    """
    clock = steady(reactor)
    for _ in range(_TRIES):
        try:
            await host.ping(_OTHER).addTimeout(_AGAIN, reactor)
        except TimeoutError:
            continue
        break
    times = []
    for _ in range(ROUNDS):
        began = clock.seconds()
        try:
            await host.ping(_OTHER).addTimeout(TIMEOUT, reactor)
        except TimeoutError as error:
            raise PPTPGWError(f"{_OTHER} doesn't answer {host.address}") from error
        times.append(clock.seconds() - began)
    return times


def _words(dialled: DialService, host: Host) -> str:
    line = dialled.line
    if line is None:
        raise PPTPGWError(f"the call has ended: {dialled.redial.cause}")
    link = line.link
    ours, theirs = link.lcp.demandedOfUs, link.lcp.demanded
    if ours is None or theirs is None:
        raise PPTPGWError("only one of the gateways has authenticated itself")
    return (
        f"{ours.name} of both ends, {link.encryption}, {host.address} to {_OTHER}, "
        f"MRU {link.lcp.peerMRU}"
    )


async def main(reactor: Any) -> int:
    """
    Be the southern site, and write the results as JSON.
    """
    print(json.dumps(await dial(reactor, sys.argv[1])))
    return 0


if __name__ == "__main__":
    apart.run("pptpgw.demo.sites", main)

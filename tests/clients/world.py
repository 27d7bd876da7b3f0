"""
A whole gateway in memory. Only its descriptors are replaced, and its clock moves only when a script
advances it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from twisted.python.filepath import FilePath

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.testing import CALLER, GREWorld, MemoryWire
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ControlTransport

BEHIND = "198.51.100.2"
"""
A host behind the gateway.
"""


def packet(source: str, destination: str, size: int = 60) -> bytes:
    """
    An IPv4 packet of C{size} octets, with DF.
    """
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    header = bytes.fromhex(f"4500 {size:04x} 0001 4000 4011 0000")
    return (header + addresses).ljust(size, b"\xa5")


class ScriptedWire(MemoryWire):
    """
    A wire to clients that are scripts, where packets arrive at once.

    @ivar tunnels: functions by address and call id that are called with each packet for that
        client.
    """

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.tunnels: dict[tuple[str, int], Callable[[bytes], None]] = {}

    def send(self, source: str, destination: str, octets: bytes) -> None:
        tunnel = self.tunnels.get((destination, int.from_bytes(octets[6:8], "big")))
        if tunnel is not None:
            tunnel(octets)


class World(GREWorld):
    """
    A gateway with IPv4 and, if wanted, IPv6, whose clock the script advances.

    @ivar wire: the clients' ends.
    @ivar log: the lines that the gateway logs.
    """

    wire: ScriptedWire

    def __init__(
        self, secrets: FilePath[str], log: list[str], ipv6: bool, mru: int = 1400, **options: Any
    ) -> None:
        self.log = log
        text = f"""
            [link]
            mru = {mru}
            [network]
            protocols = {["ipv4", "ipv6"] if ipv6 else ["ipv4"]}
            [ipv4]
            pool = ["10.77.0.10-10.77.0.12"]
            dns = ["10.77.0.53"]
        """
        super().__init__(text, [ChapSecretsChecker(secrets)], **options)
        ipv4: Any = self.networks["ipv4"]
        self.pool = ipv4.pool
        self.gre = self.portOf(CALLER.called)

    def makeWire(self) -> ScriptedWire:
        return ScriptedWire(self.clock)

    def accept(self, transport: ControlTransport, address: str) -> ControlConnection:
        """
        Accept a TCP connection from C{address}.
        """
        connection = self.makeGatewaysEnd(address)
        connection.connectionMade(transport)
        return connection

    def assertNoCall(self) -> None:
        """
        Assert that every call has ended and has given back all that it had.
        """
        assert not self.gateway.lines and not self.gateway.sessions
        assert self.pool.used == 0 and len(self.callIDs) == 0
        assert not self.gre.receivers

    def assertAtRest(self) -> None:
        """
        Assert that no call, no timer and no route is left.
        """
        self.assertNoCall()
        # End the turn of the reactor.
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()
        before = dict(self.dataPath.counters.discards)
        self.tun.receive(packet(BEHIND, "10.77.0.10"))
        assert self.dataPath.counters.discards != before

"""
A whole gateway in memory. Only its descriptors are replaced, and its clock moves only when a script
advances it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.datapath.python import PythonDataPath
from pptpgw.gateway import Gateway
from pptpgw.interfaces import INetwork
from pptpgw.networks.ipv4.plugin import IPv4Section, IPv4Sessions
from pptpgw.networks.ipv6.plugin import IPv6Section, IPv6Sessions
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.sessions.pool import AddressPool
from pptpgw.testing import answering, makeEnvironment
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channel import GREChannels
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ControlTransport
from pptpgw.tunnels.pptp.rules import Role
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.wire.gre import decode
from tests.gre import MemoryTUN

SERVER = "192.0.2.1"
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


class MemoryGRE:
    """
    The gateway's GRE port and the wire behind it.

    @ivar tunnels: functions by address and call id that are called with each packet for that
        client.
    """

    def __init__(self) -> None:
        self.receivers: dict[tuple[str, int], ReceiveFrames] = {}
        self.tunnels: dict[tuple[str, int], Callable[[bytes], None]] = {}

    def register(self, peerAddress: str, localCallID: int, receive: ReceiveFrames) -> None:
        self.receivers[peerAddress, localCallID] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        self.receivers.pop((peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        return partial(self._send, peerAddress)

    def sendFailed(self, error: OSError) -> None:
        raise error

    def arrive(self, address: str, octets: bytes) -> None:
        """
        Let a packet arrive from C{address}. It is lost if no call has its id.
        """
        callID, payload, sequence, _ = decode(octets)
        receive = self.receivers.get((address, callID))
        if receive is None:
            return
        if sequence is None:
            receive(-1, 0, [b""])
        else:
            protocol, information = decodeFrame(payload)
            receive(sequence, protocol, [information])

    def _send(self, address: str, octets: bytes) -> None:
        tunnel = self.tunnels.get((address, int.from_bytes(octets[6:8], "big")))
        if tunnel is not None:
            tunnel(octets)


class World:
    """
    A gateway with IPv4 and, if wanted, IPv6, whose clock the script advances.

    @ivar log: the lines that the gateway logs.
    """

    def __init__(
        self, secrets: FilePath[str], settings: LinkSettings, log: list[str], ipv6: bool
    ) -> None:
        self.log = log
        self.clock = Clock()
        self.gre = MemoryGRE()
        self.tun = MemoryTUN()
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        self.callIDs = CallIDs(self.clock)
        ipv4 = IPv4Section(dns=(IPv4Address("10.77.0.53"),))
        environment = makeEnvironment(f"[link]\nmru = {settings.mru}", self.clock)
        networks: dict[str, INetwork] = {"ipv4": IPv4Sessions(ipv4, environment, self.pool)}
        if ipv6:
            networks["ipv6"] = IPv6Sessions(IPv6Section(), environment)
        self.gateway = Gateway(
            self.clock,
            settings,
            networks,
            PythonDataPath(self.clock, self.tun),
            Authenticator(Portal(SubscriberRealm(), [ChapSecretsChecker(secrets)])),
        )

    def connect(self, transport: ControlTransport, address: str) -> ControlConnection:
        """
        Make a TCP connection from C{address}.
        """
        connection = ControlConnection(
            self.clock,
            ConnectionSettings(),
            self.callIDs,
            answering(self.gateway),
            Role.PAC,
            SERVER,
            address,
            channels=GREChannels(lambda address: self.gre),
        )
        connection.connectionMade(transport)
        return connection

    def elapse(self, seconds: float) -> None:
        """
        Let time pass, in steps short enough for every timer.
        """
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

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
        before = dict(self.gateway.context.dataPath.counters.discards)
        self.tun.receive(packet(BEHIND, "10.77.0.10"))
        assert self.gateway.context.dataPath.counters.discards != before

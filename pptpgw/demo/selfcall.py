"""
A call from the gateway to itself, with our own client over loopback, from the control connection to
an answered ping.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from pptpgw.client import CallEndpoint, PacketProtocol
from pptpgw.clock import steady
from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import ICMP

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
# Only this ping sends echo requests through the call, so any number will do.
_IDENTIFIER = 0x5050
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Report:
    """
    The result of the call; times in seconds.

    @ivar setUp: the time from the beginning of the connection to IPCP's Opened.
    @ivar roundTrip: the time of an ICMP echo through the tunnel to the gateway's own address.
    """

    authentication: str
    encryption: str
    address: str
    gatewayAddress: str
    setUp: float
    roundTrip: float

    def __str__(self) -> str:
        return (
            f"authentication {self.authentication}, {self.encryption}, address {self.address}, "
            f"gateway {self.gatewayAddress}, set up in {self.setUp * 1000:.0f} ms, "
            f"round trip {self.roundTrip * 1000:.2f} ms"
        )


class Ping(PacketProtocol):
    """
    The receiver of the call's packets, which waits for the answer to a ping.

    @ivar answered: fires when the answer arrives.
    @ivar lost: fires when the call has ended.
    """

    def __init__(self) -> None:
        self.answered: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def packetReceived(self, network: str, packet: bytes) -> None:
        """
        Fire C{answered}, if the packet is the first answer.
        """
        if isEchoReply(packet) and not self.answered.called:
            self.answered.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fire C{lost}, since the call has ended.
        """
        self.lost.callback(None)


async def callOurselves(clock: IReactorTime, endpoint: CallEndpoint) -> Report:
    """
    Place a call through C{endpoint}, ping the gateway through it, and hang up.

    @raise pptpgw.error.CallError: the call failed; the text says why.
    @raise twisted.internet.defer.TimeoutError: something took longer than L{TIMEOUT} seconds.
    """
    clock = steady(clock)
    began = clock.seconds()
    ping = await connectProtocol(endpoint, Ping())
    opened = clock.seconds()
    transport = ping.transport
    try:
        ipv4 = transport.networks["ipv4"]
        gateway = ipv4.peerAddress or ""
        transport.sendPacket("ipv4", echoRequest(ipv4.localAddress, gateway))
        await ping.answered.addTimeout(TIMEOUT, clock)
        return Report(
            authentication=transport.authentication,
            encryption=transport.encryption,
            address=ipv4.localAddress,
            gatewayAddress=gateway,
            setUp=opened - began,
            roundTrip=clock.seconds() - opened,
        )
    finally:
        transport.loseConnection()
        await ping.lost


def echoRequest(source: str, destination: str, payload: bytes = b"") -> bytes:
    """
    Return an IPv4 packet with an ICMP echo request (RFC 791, RFC 792).

    @param payload: what the answer repeats; an even number of octets.
    """
    message = struct.pack(">BBHHH", _ECHO_REQUEST, 0, 0, _IDENTIFIER, 1) + payload
    message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    fields = (
        0x45,
        0,
        20 + len(message),
        0,
        0,
        64,
        ICMP,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    header = struct.pack(">BBHHHBBH4s4s", *fields)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + message


def isEchoReply(packet: bytes) -> bool:
    """
    Return whether C{packet} answers an L{echoRequest}.
    """
    message = packet[(packet[0] & 15) * 4 :] if packet else b""
    return (
        len(message) >= 8
        and packet[9] == ICMP
        and message[0] == _ECHO_REPLY
        and int.from_bytes(message[4:6], "big") == _IDENTIFIER
    )


def echoReply(packet: bytes) -> bytes:
    """
    Return the answer to an L{echoRequest} with its IPv4 header; empty if C{packet} is none.
    """
    length = (packet[0] & 15) * 4 if packet else 0
    message = packet[length:]
    if len(message) < 8 or packet[9] != ICMP or message[0] != _ECHO_REQUEST:
        return b""
    message = bytes((_ECHO_REPLY, 0, 0, 0)) + message[4:]
    message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    # The header's checksum stays the same.
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:length] + message

"""
The server of DOSBox's IPX tunnel over UDP, which DOSBox joins by C{ipxnet connect}. Each datagram
is one IPX packet.

The rules:

 - A packet to node 0, socket 2, is a registration. The answer is a packet to the client's node
   number and network number, from which the client learns both.
 - The node number is computed from the client's address and port and a secret of this process, so
   the server keeps nothing about clients that have only registered. A client joins the network when
   a packet with its node number comes from its address. So a client that forges its source address
   gets nothing, and that address gets no more than the answer and one echo request.
 - A broadcast to socket 2 is an echo request; the client's answer comes to us. One is sent soon
   after registration, so that a client that only listens joins too. Another one goes to clients
   that have been silent for L{SILENT} seconds; a client that is silent for L{GONE} seconds is
   removed.
 - At most L{CLIENTS} clients are on the network, and L{CLIENTS_OF_A_HOST} from one address.
 - The tunnel has neither encryption nor authentication: whoever reaches the port can join.
"""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed, PPTPGWError
from pptpgw.log import Logger, Quota
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.router import MALFORMED, IPXRouter
from pptpgw.networks.ipx.routing import Station
from pptpgw.networks.ipx.wire import IPXAddress

CLIENTS = 64
CLIENTS_OF_A_HOST = 16

REGISTRATIONS = (20.0, 40.0)
"""
The registrations that are answered: how many a second, and how many at once.
"""

GREETING = 1.0
SILENT = 30.0
GONE = 120.0
"""
Seconds from a registration to its echo request, and seconds of silence until an echo request and
until a client is removed.
"""

LARGEST = 1424
"""
The most octets of a packet to DOSBox, which has room for no more.
"""

NODE = b"\xf6"
"""
The first octet of clients' node numbers: locally administered, and of one node.
"""

STRANGER = "IPX from a DOSBox that isn't registered"
FULL = "too many DOSBoxes"
TOO_MANY = "too many registrations of DOSBoxes"
TOO_BIG = "IPX packet too big for DOSBox"
NOT_SENT = "IPX packet not taken for DOSBox"

_INTERVAL = 15.0

Host = tuple[str, int]


class _Client:
    """
    A DOSBox client on the network.

    @ivar station: the client's station at the router.
    @ivar heard: the time of its latest packet, on the reactor's clock.
    """

    __slots__ = ("heard", "station")

    def __init__(self, station: Station, heard: float) -> None:
        self.station = station
        self.heard = heard


class DOSBoxPort(DatagramProtocol):
    """
    The UDP port that DOSBox clients connect to.
    """

    noisy = False
    _log = Logger()

    def __init__(self, reactor: Any, router: IPXRouter, address: Host, counters: Counters) -> None:
        """
        @param address: the address and port to listen at.
        """
        self._reactor = reactor
        self._router = router
        self._address = address
        self._counters = counters
        self._secret = token_bytes(32)
        self._clients: dict[Host, _Client] = {}
        self._greetings: dict[Host, IDelayedCall] = {}
        self._registrations = Bucket(reactor.seconds, REGISTRATIONS)
        self._quota = Quota(reactor, counters)
        self._rounds = LoopingCall(self._round)
        self._rounds.clock = reactor
        self._port: Any = None

    def start(self) -> None:
        """
        Listen at the port.

        @raise PPTPGWError: the port can't be opened.
        """
        host, port = self._address
        try:
            self._port = self._reactor.listenUDP(port, self, interface=host)
        except CannotListenError as error:
            raise PPTPGWError(
                f"[ipx] dosbox: can't listen at UDP {host}:{port}: {error.socketError}; choose "
                "another address or port, or end what uses it"
            ) from error
        self._rounds.start(_INTERVAL, now=False)

    def stop(self) -> None:
        """
        Remove all clients and close the port. Calling this again does nothing.
        """
        if self._port is not None:
            self._quota.tell()
            self._rounds.stop()
            for greeting in self._greetings.values():
                greeting.cancel()
            self._greetings.clear()
            for host in tuple(self._clients):
                self._remove(host)
            self._port.stopListening()
            self._port = None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Register a client, or pass its packet to the router.
        """
        host: Host = addr[0], addr[1]
        try:
            header = wire.decodeHeader(datagram)
        except Malformed:
            self._counters.discard(MALFORMED)
            return
        if header.node == wire.NO_NODE and header.socket == wire.ECHO_SOCKET:
            self._register(host)
            return
        client = self._clients.get(host)
        if client is None:
            if header.sourceNode != self._nodeOf(host):
                self._counters.discard(STRANGER)
                return
            client = self._admit(host)
        if client is not None:
            client.heard = self._reactor.seconds()
            self._router.received(client.station, datagram)

    def _nodeOf(self, host: Host) -> bytes:
        """
        Return the node number of the client at C{host}.
        """
        place = f"{host[0]}:{host[1]}".encode("ascii")
        size = wire.NODE_OCTETS - len(NODE)
        return NODE + blake2b(place, key=self._secret, digest_size=size).digest()

    def _register(self, host: Host) -> None:
        if not self._registrations.take():
            self._counters.discard(TOO_MANY)
            return
        network = self._router.network
        client = IPXAddress(network, self._nodeOf(host), wire.ECHO_SOCKET)
        source = IPXAddress(network, self._router.node, wire.ECHO_SOCKET)
        self._send(wire.encodePacket(wire.UNKNOWN, client, source), host)
        if host not in self._clients and host not in self._greetings:
            # The echo request comes later, since a client takes the first packet for the answer to
            # its registration.
            self._greetings[host] = self._reactor.callLater(GREETING, self._greet, host)

    def _greet(self, host: Host) -> None:
        del self._greetings[host]
        self._echo(host)

    def _echo(self, host: Host) -> None:
        everybody = IPXAddress(wire.THIS_NETWORK, wire.BROADCAST_NODE, wire.ECHO_SOCKET)
        source = IPXAddress(self._router.network, self._router.node, wire.ECHO_SOCKET)
        self._send(wire.encodePacket(wire.UNKNOWN, everybody, source), host)

    def _admit(self, host: Host) -> _Client | None:
        """
        Let the client at C{host} join the network; return None if there is no room.
        """
        node = self._nodeOf(host)
        siblings = sum(other[0] == host[0] for other in self._clients)
        full = len(self._clients) >= CLIENTS or siblings >= CLIENTS_OF_A_HOST
        if full or not self._router.isFree(node):
            self._counters.discard(FULL)
            return None
        station = self._router.join(node, lambda packet: self._send(packet, host))
        client = self._clients[host] = _Client(station, self._reactor.seconds())
        if self._quota.allows("DOSBox", host[0]):
            self._log.info(
                "DOSBox at {host} is IPX node {node}", host=f"{host[0]}:{host[1]}", node=node.hex()
            )
        return client

    def _remove(self, host: Host) -> None:
        self._router.leave(self._clients.pop(host).station)

    def _round(self) -> None:
        """
        Send echo requests to silent clients, and remove those that are gone.
        """
        now = self._reactor.seconds()
        for host, client in tuple(self._clients.items()):
            silence = now - client.heard
            if silence >= GONE:
                self._remove(host)
                if self._quota.allows("DOSBox", host[0]):
                    self._log.info("DOSBox at {host} is gone", host=f"{host[0]}:{host[1]}")
            elif silence >= SILENT:
                self._echo(host)

    def _send(self, packet: bytes, host: Host) -> None:
        if len(packet) > LARGEST:
            self._counters.discard(TOO_BIG)
            return
        try:
            self._port.write(packet, host)
        except OSError:
            self._counters.discard(NOT_SENT)

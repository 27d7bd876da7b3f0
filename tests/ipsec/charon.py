"""
A daemon that speaks vici on a Unix socket, in the place of strongSwan's, with the messages that
strongSwan 5.9.8 has sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory, Protocol

from pptpgw.ipsec.wire import Kind, Message, Packet, decode, split


def child(number: int, port: str = "l2f", **more: bytes) -> dict[str, Any]:
    """
    Return what charon reports of a child SA.

    @param port: the port of the peer as charon shows it.
    """
    return {
        "name": b"pptpgw-psk",
        "uniqueid": str(number).encode(),
        "reqid": b"1",
        "state": b"INSTALLED",
        "mode": b"TRANSPORT",
        "protocol": b"ESP",
        "encr-alg": b"AES_CBC",
        "encr-keysize": b"256",
        "integ-alg": b"HMAC_SHA1_96",
        "local-ts": [b"192.0.2.1/32[udp/l2f]"],
        "remote-ts": [f"192.0.2.10/32[udp/{port}]".encode()],
        **more,
    }


def ike(children: dict[str, Any], number: int = 1, address: str = "192.0.2.10") -> dict[str, Any]:
    """
    Return what charon reports of an IKE SA.
    """
    return {
        "pptpgw-psk": {
            "uniqueid": str(number).encode(),
            "version": b"1",
            "state": b"ESTABLISHED",
            "remote-host": address.encode(),
            "remote-port": b"500",
            "remote-id": b"10.0.0.9",
            "child-sas": children,
        }
    }


def connection(class_: str, **more: Any) -> dict[str, Any]:
    """
    Return what charon reports of a connection.

    @param class_: how both ends authenticate.
    """
    end = {"class": class_.encode()}
    children = {"l2tp": {"mode": b"TRANSPORT", "local-ts": [b"dynamic[udp/l2f]"]}}
    return {"version": b"IKEv1", "local-1": end, "remote-1": end, "children": children, **more}


class FakeCharon(Factory):
    """
    The daemon.

    @ivar answers: the responses, by the name of the command.
    @ivar streams: the events that come before the response, by the name of the command: the name of
        the event and its messages.
    @ivar silent: the commands that aren't answered.
    @ivar asked: the names of the commands, in order.
    @ivar connections: those that are open.
    """

    noisy = False

    def __init__(self) -> None:
        self.answers: dict[str, Message] = {
            "version": {"daemon": b"charon-systemd", "version": b"5.9.8"},
            "stats": {"plugins": [b"vici", b"connmark"]},
            "get-shared": {"keys": [b"ike-pptpgw-psk"]},
            "get-keys": {"keys": []},
        }
        self.streams: dict[str, tuple[str, list[Message]]] = {
            "list-conns": ("list-conn", [{"pptpgw-psk": connection("pre-shared key")}]),
            "list-certs": ("list-cert", []),
            "list-sas": ("list-sa", []),
        }
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.connections: list[FakeConnection] = []

    def buildProtocol(self, addr: object) -> FakeConnection:
        return FakeConnection(self)

    def tell(self, event: str, message: Message) -> None:
        """
        Tell who has registered for C{event}.
        """
        for one in self.connections:
            if event in one.registered:
                one.send(Packet(Kind.EVENT, event, message))

    def hangUp(self) -> None:
        """
        Close every connection, as a daemon does that ends.
        """
        for one in list(self.connections):
            assert one.transport is not None
            one.transport.loseConnection()


class FakeConnection(Protocol):
    """
    A connection to the daemon.
    """

    def __init__(self, charon: FakeCharon) -> None:
        self._charon = charon
        self._octets = b""
        self.registered: set[str] = set()

    def connectionMade(self) -> None:
        self._charon.connections.append(self)

    def connectionLost(self, reason: object = None) -> None:
        self._charon.connections.remove(self)

    def dataReceived(self, data: bytes) -> None:
        packets, self._octets = split(self._octets + data)
        for octets in packets:
            self._received(decode(octets))

    def send(self, packet: Packet) -> None:
        assert self.transport is not None
        self.transport.write(packet.encode())

    def _received(self, packet: Packet) -> None:
        charon = self._charon
        if packet.kind is Kind.REQUEST:
            charon.asked.append(packet.name)
            if packet.name in charon.silent:
                return
            event, messages = charon.streams.get(packet.name, ("", []))
            for message in messages:
                self.send(Packet(Kind.EVENT, event, message))
            if event or packet.name in charon.answers:
                answer = charon.answers.get(packet.name, {})
                self.send(Packet(Kind.RESPONSE, "", answer))
            else:
                self.send(Packet(Kind.UNKNOWN_REQUEST))
            return
        if packet.name == "nonsense":
            self.send(Packet(Kind.UNKNOWN_EVENT))
            return
        change = self.registered.add if packet.kind is Kind.REGISTER else self.registered.discard
        change(packet.name)
        self.send(Packet(Kind.CONFIRM))


@asynccontextmanager
async def charonAt(reactor: Any, path: Path) -> AsyncIterator[FakeCharon]:
    """
    While this context lasts, a daemon answers at C{path}.
    """
    charon = FakeCharon()
    port = reactor.listenUNIX(str(path), charon)
    try:
        yield charon
    finally:
        await maybeDeferred(port.stopListening)
        charon.hangUp()

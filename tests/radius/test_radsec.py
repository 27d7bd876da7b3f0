"""
Tests of L{pptpgw.radius.radsec}: its rules over a connection in memory, and TLS with a FreeRADIUS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pyrad.packet import Packet
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.config import Configuration, parse
from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    Reply,
    Request,
    dictionary,
)
from pptpgw.radius.radsec import LONGEST_PAUSE, TLSTransport, endpointFor
from pptpgw.radius.transport import Unanswered
from pptpgw.servers import Server
from tests.radius.freeradius import PROGRAM, FreeRADIUS, TLSFiles
from tests.radius.served import Served, onTheReactor

SECRET = b"radsec"


class Aborted(StringTransport):
    """
    One that tells its protocol when it is aborted.
    """

    protocol: Any = None

    def __init__(self) -> None:
        base: Any = super()
        base.__init__()

    def abortConnection(self) -> None:
        StringTransport.abortConnection(self)
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    Connections that a test makes or refuses.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Deferred[Any]]] = []
        self.protocols: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.asked.append((factory, Deferred()))
        return self.asked[-1][1]

    def accept(self, trusted: bool = True) -> Aborted:
        factory, connecting = self.asked.pop(0)
        protocol, transport = factory.buildProtocol(None), Aborted()
        transport.protocol = protocol
        self.protocols.append(protocol)
        protocol.makeConnection(transport)
        connecting.callback(protocol)
        if trusted:
            protocol.handshakeCompleted()
        return transport

    def refuse(self) -> None:
        self.asked.pop(0)[1].errback(Failure(ConnectionRefusedError("nobody listens")))


class World:
    def __init__(self, limit: int = 256) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.endpoint = Endpoint()
        server = Server("192.0.2.9", transport="tls", maxInFlight=limit)
        self.transport = TLSTransport(self.clock, server, 5, self.counters, self.endpoint)
        self.replies: list[Reply] = []
        self.failures: list[str] = []

    def ask(self, code: int = ACCOUNTING_REQUEST, name: str = "alice") -> Deferred[Any]:
        asked = self.transport.ask(code, lambda request: _fill(request, name))
        return asked.addCallbacks(self.replies.append, self._failed)

    def _failed(self, failure: Failure) -> None:
        failure.trap(Unanswered, CancelledError)
        self.failures.append(failure.getErrorMessage())


def _fill(request: Request, name: str) -> None:
    request.add("User-Name", name)


def requests(transport: Any) -> list[Packet]:
    """
    The requests that were written, each of which must be whole.
    """
    octets = transport.io.getvalue()
    transport.clear()
    found = []
    while octets:
        length = int.from_bytes(octets[2:4], "big")
        found.append(Packet(secret=SECRET, dict=dictionary(), packet=octets[:length]))
        octets = octets[length:]
    return found


def replyTo(request: Packet, secret: bytes = SECRET, code: int = ACCOUNTING_RESPONSE) -> bytes:
    reply = request.CreateReply()
    reply.code, reply.secret = code, secret
    if code == ACCESS_ACCEPT:
        reply.add_message_authenticator()
    octets: bytes = reply.ReplyPacket()
    return octets


def test_oneConnectionForAll() -> None:
    """
    Requests of both services go by one connection; replies come in any order and in any pieces.
    """
    world = World()
    world.ask()
    world.ask(ACCESS_REQUEST)
    transport = world.endpoint.accept()
    world.ask()
    sent = requests(transport)
    assert [packet.code for packet in sent] == [4, 1, 4]
    assert len({packet.id for packet in sent}) == 3
    octets = b"".join(
        replyTo(one, code=ACCESS_ACCEPT if one.code == 1 else ACCOUNTING_RESPONSE)
        for one in reversed(sent)
    )
    for place in range(len(octets)):
        world.endpoint.protocols[0].dataReceived(octets[place : place + 1])
    assert [reply.code for reply in world.replies] == [5, 2, 5]
    assert world.endpoint.asked == [] and not world.clock.getDelayedCalls()
    assert world.transport.heard == 0 and world.transport.free == 256


def test_nothingIsSentBeforeTheServerIsKnown() -> None:
    """
    Neither while the connection is made nor before the server has proven who it is.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept(trusted=False)
    assert transport.io.getvalue() == b""
    world.endpoint.protocols[0].handshakeCompleted()
    assert len(requests(transport)) == 1


def test_goesByTheNextConnection() -> None:
    """
    What is under way when the connection ends is sent by another, at once, if this one was good.
    """
    world = World()
    world.ask()
    first = world.endpoint.accept()
    world.endpoint.protocols[0].dataReceived(replyTo(requests(first)[0]))
    world.ask(name="bob")
    assert len(requests(first)) == 1
    world.endpoint.protocols[0].connectionLost(Failure(ConnectionDone()))
    [packet] = requests(world.endpoint.accept())
    assert packet["User-Name"] == ["bob"]
    world.endpoint.protocols[1].dataReceived(replyTo(packet))
    assert len(world.replies) == 2 and world.failures == []


def test_noConnectionWithoutNeed() -> None:
    """
    An idle connection that the server closes is not made again before the next request.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.endpoint.protocols[0].dataReceived(replyTo(requests(transport)[0]))
    world.endpoint.protocols[0].connectionLost(Failure(ConnectionDone()))
    assert world.endpoint.asked == []
    world.ask()
    assert len(world.endpoint.asked) == 1


@pytest.mark.parametrize("how", ["refused", "untrusted", "closed"])
def test_backsOff(how: str) -> None:
    """
    A server that can't be reached, isn't who it should be, or closes at once, fails what waits, and
    is tried again later each time.
    """
    world = World()
    pauses = []
    for _ in range(9):
        world.ask()
        world.ask()
        if how == "refused":
            world.endpoint.refuse()
        else:
            world.endpoint.accept(trusted=how == "closed")
            world.endpoint.protocols[-1].connectionLost(Failure(ConnectionDone()))
        begin = world.clock.seconds()
        failed = len(world.failures)
        while not world.endpoint.asked:
            world.clock.advance(0.25)
            waiting = world.ask()
        pauses.append(world.clock.seconds() - begin)
        assert len(world.failures) > failed
        world.transport._waiting.popitem()[0].unanswered("")
        assert waiting.called
        world.endpoint.asked.clear()
        world.transport._connecting = None
    assert 0.8 <= pauses[0] <= 1.25
    assert all(0.8 * LONGEST_PAUSE <= pause <= LONGEST_PAUSE + 0.25 for pause in pauses[-2:])
    assert "too early" in world.failures[-2]


@pytest.mark.parametrize(
    "octets",
    [
        b"\x05\x00\x00\x13" + bytes(16),
        b"\x05\x00\x10\x01" + bytes(16),
        b"\x05\x00\x00\x15" + bytes(17),
        b"\x63\x00\x00\x14" + bytes(16),
        b"\x05\x00\x00\x14" + bytes(16),
    ],
)
def test_wrongReply(octets: bytes) -> None:
    """
    What is malformed, no reply or not the server's ends the connection (RFC 6613 section 2.6.4).
    """
    world = World()
    asked = world.ask()
    transport = world.endpoint.accept()
    assert requests(transport)[0].id == 0
    world.endpoint.protocols[0].dataReceived(octets)
    assert transport.disconnecting and asked.called and len(world.failures) == 1
    assert world.counters.discards == {"RADIUS: malformed reply over TLS": 1}


def test_silence() -> None:
    """
    A server that says nothing loses the connection with the request.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.clock.advance(5)
    assert transport.disconnecting and len(world.failures) == 1


def test_lateReply() -> None:
    """
    The identifier of a request that was given up isn't used before its reply has come, and that
    ends nothing.
    """
    world = World(limit=2)
    first = world.ask()
    transport = world.endpoint.accept()
    [late] = requests(transport)
    first.cancel()
    assert world.transport.free == 1
    world.ask()
    [other] = requests(transport)
    assert other.id != late.id
    world.endpoint.protocols[0].dataReceived(replyTo(late) + replyTo(other))
    assert len(world.replies) == 1 and not transport.disconnecting
    assert world.transport.free == 2
    assert world.counters.discards == {"RADIUS: reply that nobody waits for": 1}


def test_everyIdentifier() -> None:
    """
    As many requests as there are identifiers are under way at a time, no more; so again and again.
    """
    world = World(limit=4096)
    world.ask()
    transport = world.endpoint.accept()
    for _ in range(3):
        while world.transport.free:
            world.ask()
        sent = requests(transport)
        assert sorted(packet.id for packet in sent) == list(range(256))
        for packet in sent:
            world.endpoint.protocols[0].dataReceived(replyTo(packet))
    assert len(world.replies) == 768


def test_stop() -> None:
    """
    What is under way fails; another request begins anew.
    """
    world = World()
    world.ask()
    transport = world.endpoint.accept()
    world.transport.stop()
    world.transport.stop()
    assert transport.disconnecting and len(world.failures) == 1
    assert not world.clock.getDelayedCalls()
    world.ask()
    assert len(world.endpoint.asked) == 1
    world.transport.stop()
    assert len(world.failures) == 2


# TLS


class Authority:
    """
    Somebody who makes certificates, in files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        self.file = folder / "authority.pem"
        certificate = self._signed(self._name, self._key.public_key(), None)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, name: str) -> TLSFiles:
        """
        A certificate for a name or an address, and its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one of the tests")])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        certificate = self._signed(subject, key.public_key(), alternative)
        files = TLSFiles(self.file, self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.touch(0o600)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _signed(
        self, subject: x509.Name, key: Any, alternative: x509.GeneralName | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(alternative is None, None), critical=True)
        )
        if alternative is not None:
            names = x509.SubjectAlternativeName([alternative])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


Serve = Callable[[str], FreeRADIUS]


@pytest.fixture
def serve(authority: Authority, tmp_path: Path) -> Iterator[Serve]:
    """
    Start a FreeRADIUS with a certificate for a name.
    """
    made: list[FreeRADIUS] = []

    def start(name: str) -> FreeRADIUS:
        users = 'DEFAULT Cleartext-Password := "open sesame"\n'
        made.append(FreeRADIUS(tmp_path / "freeradius", users, authority.certify(name)))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


def configured(server: FreeRADIUS, own: TLSFiles, more: str = "") -> Configuration:
    return parse(
        f"""
        [radius]
        timeout = 1
        deadline = 3
        [[radius.server]]
        host = "127.0.0.1"
        transport = "tls"
        tls-port = {server.tlsPort}
        tls-authority = "{own.authority}"
        tls-certificate = "{own.certificate}"
        tls-key = "{own.key}"
        {more}
        """,
        "test",
    )


needsFreeRADIUS = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")


@needsFreeRADIUS
@onTheReactor
async def test_sessionsOverTLS(serve: Serve, authority: Authority, log: list[str]) -> None:
    """
    Callers are judged and accounted for by one connection, by a server that is killed in between
    and started again too.
    """
    server = serve("127.0.0.1")
    served = Served(reactor, configured(server, authority.certify("gate.example")))
    served.start()
    for number in range(5):
        await served.dial(f"user{number}", "open sesame")
    await served.until(lambda: len(server.records()) == 6)
    assert len(_connected(log)) == 1
    server.kill()
    await served.gateway.stop(5)
    server.start()
    await served.until(lambda: len(server.records()) >= 11)
    kinds = [record["Acct-Status-Type"] for record in server.records()]
    assert kinds[0] == "Accounting-On" and kinds[1:6] == ["Start"] * 5
    assert kinds[6:11] == ["Stop"] * 5
    await served.stop()
    assert server.records()[-1]["Acct-Status-Type"] == "Accounting-Off"
    assert len(_connected(log)) == 2


def _connected(log: list[str]) -> list[str]:
    """
    The lines that say that there is a connection.
    """
    return [line for line in log if line.endswith(": connected")]


@needsFreeRADIUS
@pytest.mark.parametrize("fault", ["name", "authority", "own"])
def test_whoIsNotTrusted(
    serve: Serve, authority: Authority, tmp_path: Path, fault: str, log: list[str]
) -> Deferred[None]:
    """
    A server with another name, or of another authority, hears nothing; nor does a server answer us
    with a certificate of another authority.
    """

    @onTheReactor
    async def run() -> None:
        server = serve("other.example" if fault == "name" else "127.0.0.1")
        own = authority.certify("gate.example")
        other = Authority(tmp_path / "other")
        if fault == "authority":
            own = own._replace(authority=other.file)
        elif fault == "own":
            own = other.certify("gate.example")._replace(authority=authority.file)
        served = Served(reactor, configured(server, own))
        served.start()
        await served.until(
            lambda: any(": no connection: " in line or " is closed: " in line for line in log)
        )
        assert server.records() == []
        assert "Received A" not in server.log
        await served.stop()

    return run()


@needsFreeRADIUS
@onTheReactor
async def test_anotherName(serve: Serve, authority: Authority) -> None:
    """
    The certificate may have a name that the configuration says.
    """
    server = serve("radius.example")
    own = authority.certify("gate.example")
    served = Served(reactor, configured(server, own, 'tls-name = "radius.example"'))
    served.start()
    await served.until(lambda: len(server.records()) == 1)
    await served.stop()


def test_files(authority: Authority, tmp_path: Path) -> None:
    """
    What is wrong with the files is said before anything is opened; the key is never shown.
    """
    own = authority.certify("gate.example")
    good = Server(
        "127.0.0.1",
        transport="tls",
        tlsAuthority=str(own.authority),
        tlsCertificate=str(own.certificate),
        tlsKey=str(own.key),
    )
    endpointFor(reactor, good, 5)
    wrong = tmp_path / "wrong"
    wrong.write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty"
    empty.touch(0o600)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"tlsAuthority": ""}, "needs tls-authority"),
        ({"tlsAuthority": "/nowhere"}, "No such file"),
        ({"tlsAuthority": str(empty)}, "no certificate in PEM"),
        ({"tlsCertificate": str(wrong)}, "can't be used"),
        ({"tlsKey": str(empty)}, "can't be used"),
    ]
    for change, why in changes:
        with pytest.raises(ConfigurationError, match=why):
            endpointFor(reactor, replace(good, **change), 5)
    own.key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        endpointFor(reactor, good, 5)

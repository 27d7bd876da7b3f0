"""
Tests for SSTP as a tunnel, over TLS on this machine's loopback: calls by our own client, and who
else may connect.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MSCHAPV2 as EAP_MSCHAPV2
from pptpgw.auth.eaptls import TLSMethod, makeContext
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import ICall, IReloadable, IStagedCall, ITunnel, ITunnelFactory
from pptpgw.sessions.cause import Termination
from pptpgw.testing import MemoryTUN
from pptpgw.tunnels.sstp.certificate import loaded, make
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.connection import BINDING
from pptpgw.tunnels.sstp.framer import EXCESS, UNBOUND
from pptpgw.tunnels.sstp.protocol import Opening
from pptpgw.tunnels.sstp.trust import Trust
from pptpgw.tunnels.sstp.tunnel import SSTPSettings, SSTPTunnel, factory
from pptpgw.tunnels.sstp.wire import Kind, Message, Splitter, encodeFrame
from tests.certificates import SERVER, Authority
from tests.chapsecrets import secretsIn
from tests.tunnels.sstp.joined import OPENING, REQUEST, SSTPGateway
from tests.tunnels.sstp.world import HOST, SSTPWorld

EAP = '[link]\nauthentication = ["eap"]\n[eap]\n'
EVERY = 'authentication = ["mschapv2", "mschap", "chap", "pap"]\n'


def packet(address: str, size: int = 20, outwards: bool = True) -> bytes:
    """
    An IPv4 packet from a caller to the gateway, or back.
    """
    here, there = bytes(map(int, address.split("."))), bytes((10, 77, 0, 1))
    ends = here + there if outwards else there + here
    header = b"\x45\0" + size.to_bytes(2, "big") + bytes(4) + b"\x40\x01"
    total = sum(
        int.from_bytes((header + bytes(2) + ends)[i : i + 2], "big") for i in range(0, 20, 2)
    )
    total = (total & 0xFFFF) + (total >> 16)
    checksum = (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return (header + checksum + ends).ljust(size, b"x")


@asynccontextmanager
async def serving(folder: Path, *arguments: Any, **settings: Any) -> Any:
    """
    A gateway, which is stopped at the end.
    """
    world = SSTPWorld(folder, ChapSecretsChecker(secretsIn(folder)), *arguments, **settings)
    try:
        yield world
    finally:
        await world.end()
    assert not world.tunnel.entrance.connections


class Stranger(Protocol):
    """
    A client that sends octets and keeps what comes.
    """

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.heard = b""
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.write(self.octets)

    def write(self, octets: bytes) -> None:
        transport: Any = self.transport
        transport.write(octets)

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


async def stranger(world: SSTPWorld, octets: bytes, isTLS: bool = True, port: int = 0) -> Stranger:
    """
    Connect and send octets.
    """
    protocol = Stranger(octets)
    made: Any = Factory.forProtocol(lambda: protocol)
    if isTLS:
        trust = Trust(fingerprint="any")
        made = TLSMemoryBIOFactory(trust.creator("vpn.example.org"), True, made, world.clock)
    await TCP4ClientEndpoint(world.clock, HOST, port or world.port).connect(made)
    return protocol


class TestCalls:
    async def test_packetsBothWays(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            received: list[bytes] = []
            call = await world.reach(receive=received.append)
            ipcp: Any = call.protocols["ipv4"]
            assert call.link.encryption == "encrypted by the tunnel"
            await world.until(lambda: world.recorder.detailsOf("opened"))
            (session,) = world.gateway.sessions
            assert session.encryption == "TLSv1.3 TLS_AES_256_GCM_SHA384"
            assert (session.caller, session.called) == (HOST, HOST)
            sent = [packet(ipcp.localAddress, size) for size in (20, 1400)]
            for one in sent:
                ipcp.sendPacket(one)
            await world.until(lambda: len(world.tun.written) == 2)
            assert world.tun.written == sent
            back = [packet(ipcp.localAddress, size, outwards=False) for size in (1400, 20)]
            world.tun.receiveAll(back)
            await world.until(lambda: len(received) == 2)
            assert received == back
            assert not any("not sent" in reason for reason in session.counters.discards)
            call.hangUp()
            await call.ended
            await world.until(lambda: world.recorder.ended)
            assert world.recorder.ended[0][2] is Termination.USER_REQUEST

    async def test_packetsOfAClientWithATUNDevice(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            trust = Trust(fingerprint=world.tunnel.factory.certificate.fingerprint)
            tun = MemoryTUN()
            path = PythonDataPath(world.clock, tun)
            client = SSTPClient(world.clock, HOST, world.port, trust, dataPath=path)
            call = world.place(await client.connect(), receive=None)
            await call.opened
            ipcp: Any = call.protocols["ipv4"]
            sent = packet(ipcp.localAddress)
            tun.receiveAll([sent])
            await world.until(lambda: world.tun.written)
            assert world.tun.written == [sent]
            back = packet(ipcp.localAddress, outwards=False)
            world.tun.receiveAll([back])
            await world.until(lambda: tun.written)
            assert tun.written == [back]
            call.hangUp()
            await call.ended

    @pytest.mark.parametrize("method", [MSCHAPV2, MSCHAP, CHAP, PAP], ids=lambda one: one.name)
    async def test_everyMethod(self, method: Any, tmp_path: Path) -> None:
        """
        With encryption required every method is permitted, since the tunnel encrypts. Each binds
        the tunnel: those that earn no keys by zeros.
        """
        async with serving(tmp_path, f"[sstp]\n{EVERY}") as world:
            call = await world.reach(methods=(method,))
            assert call.link.method is method
            await world.until(lambda: world.recorder.detailsOf("opened"))
            call.hangUp()
            await call.ended

    @pytest.mark.parametrize("old", [False, True])
    async def test_EAPTLS(self, old: bool, tmp_path: Path) -> None:
        """
        A caller by EAP-TLS binds the tunnel by the Master Session Key, or by halves of it as pppd
        2.4.9 does.
        """
        authority = Authority(tmp_path, "authority")
        ca = str(authority.certificate)
        certificate, key = authority.issue("pptpgw", SERVER)
        text = f'{EAP}methods = ["tls"]\ncertificate = "{certificate}"\nkey = "{key}"\nca = "{ca}"'
        own, private = map(str, authority.issue("alice"))
        method = TLSMethod(makeContext(own, private, ca, isServer=False))
        async with serving(tmp_path, text) as world:
            connection = await world.client().connect()
            machine = connection.connection.machine
            bind = machine.authenticated
            if old:
                machine.authenticated = lambda keys: bind(keys[1:])
            call = world.place(connection, methods=(EAPProtocol((method,)),))
            await call.opened
            await world.until(lambda: world.recorder.detailsOf("opened"))
            call.hangUp()
            await call.ended

    async def test_EAPMSCHAPv2(self, tmp_path: Path) -> None:
        async with serving(tmp_path, f'{EAP}methods = ["mschapv2"]') as world:
            call = await world.reach(methods=(EAPProtocol((EAP_MSCHAPV2,)),))
            await world.until(lambda: world.recorder.detailsOf("opened"))
            call.hangUp()
            await call.ended

    async def test_aWrongPassword(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            call = world.place(await world.client().connect(), password=b"wrong")
            with pytest.raises(CallError, match="wrong password"):
                await call.opened
            await call.ended
            assert not world.recorder.detailsOf("started")

    async def test_twoHundredCallersAtOnce(self, tmp_path: Path) -> None:
        """
        All of them get a session, and each gets the packets that are for it.
        """
        listen = ListenSection(maxConnectionsPerHost=300, maxConnections=300)
        text = "[limits]\nmax-sessions = 300\nmax-setups = 300\n"
        text += 'max-sessions-per-user = 300\n[ipv4]\npool = ["10.77.1.0-10.77.2.255"]\n'
        async with serving(tmp_path, text, listen) as world:
            calls = await gatherResults([Deferred.fromCoroutine(world.reach()) for _ in range(200)])
            addresses = {call.protocols["ipv4"].localAddress for call in calls}
            assert len(addresses) == 200
            await world.until(lambda: len(world.recorder.detailsOf("opened")) == 200)
            for call in calls:
                ipcp = call.protocols["ipv4"]
                ipcp.sendPacket(packet(ipcp.localAddress))
            await world.until(lambda: len(world.tun.written) == 200)

    async def test_itEndsWithTheGateway(self, tmp_path: Path) -> None:
        world = SSTPWorld(tmp_path, ChapSecretsChecker(secretsIn(tmp_path)))
        call = await world.reach()
        await world.end()
        assert await call.ended
        assert not world.tunnel.entrance.connections

    async def test_aRedial(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            for _ in range(3):
                call = await world.reach()
                call.hangUp()
                await call.ended
            await world.until(lambda: not world.tunnel.entrance.connections)
            assert len(world.recorder.ended) == 3


@implementer(ICredentialsChecker)
class Late:
    """
    A checker that answers late, as a server far away.
    """

    credentialInterfaces = (IUsernameHashedPassword,)

    def __init__(self, inner: Any, clock: Any) -> None:
        self.inner, self.clock = inner, clock

    def requestAvatarId(self, credentials: Any) -> Any:
        return deferLater(self.clock, 0.3, self.inner.requestAvatarId, credentials)


class TestBinding:
    async def test_itWaitsForTheAnswerOfTheChecker(self, tmp_path: Path) -> None:
        from twisted.internet import reactor

        checker = Late(ChapSecretsChecker(secretsIn(tmp_path)), reactor)
        world = SSTPWorld(tmp_path, checker)
        call = await world.reach()
        call.hangUp()
        await call.ended
        await world.end()

    async def test_nothingPassesBeforeIt(self, tmp_path: Path) -> None:
        """
        A network packet that comes before the binding is counted and dropped, in any encoding of
        its header, while the control frames before it and after it pass.
        """
        async with serving(tmp_path) as world:
            octets = OPENING + REQUEST
            for header in ("ff030021", "0021", "21", "ff0321", "ff0300fd", "ff034021", ""):
                octets += encodeFrame(bytes.fromhex(header) + packet("10.77.0.10"))
            one = await stranger(world, octets)
            await world.until(lambda: one.heard.count(b"\xff\x03\xc0\x21"))
            (connection,) = world.tunnel.entrance.connections
            counters = connection.connection.call.channel.counters
            await world.until(lambda: counters.discards.get(UNBOUND) == 7)
            assert not world.tun.written
            one.abort()

    async def test_anAttackerInTheMiddleIsRefused(self, tmp_path: Path) -> None:
        """
        Whoever terminates TLS on both sides and relays everything else, the right password
        included, is refused, since the client signs another certificate. The caller is told, and
        the audit has why the session ended.
        """
        async with serving(tmp_path) as world:
            port, fingerprint = await middle(world, tmp_path)
            client = world.client(Trust(fingerprint=fingerprint), port.getHost().port)
            call = world.place(await client.connect())
            with pytest.raises(CallError, match="VALUE_NOT_SUPPORTED"):
                await call.opened
            assert "VALUE_NOT_SUPPORTED" in await call.ended
            await world.until(lambda: world.recorder.ended)
            ((user, cause, _),) = world.recorder.ended
            assert user == "alice" and "binding doesn't hold" in cause and "certificate" in cause
            assert not world.recorder.detailsOf("opened")
            ((session, _),) = world.recorder.detailsOf("ended")
            assert session.counters.discards[BINDING] == 1
            assert not world.tun.written
            await port.stopListening()

    async def test_theClientKnowsTheServerByItsFingerprint(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            with pytest.raises(CallError, match="fingerprint"):
                await world.client(Trust(fingerprint="00" * 32)).connect()
            with pytest.raises(CallError, match="the connection ended"):
                await world.client(Trust()).connect()

    async def test_theClientKnowsTheServerByItsAuthority(self, tmp_path: Path) -> None:
        """
        A certificate that signs itself is its own authority, whose name must be that of the host.
        """
        path = tmp_path / "other.pem"
        make(str(path), "localhost")
        async with serving(tmp_path, certificate=str(path)) as world:
            trust = Trust(ca=str(path))
            client = SSTPClient(world.clock, "localhost", world.port, trust)
            call = world.place(await client.connect())
            await call.opened
            # The name by which TLS called the server.
            (session,) = world.gateway.sessions
            assert (session.called, session.stations.called) == (HOST, "localhost")
            call.hangUp()
            await call.ended
            with pytest.raises(CallError):
                await world.client(trust).connect()
        with pytest.raises(ConfigurationError, match="nowhere"):
            Trust(ca="/nowhere").creator("localhost")


async def middle(world: SSTPWorld, folder: Path) -> Any:
    """
    Listen as somebody in the middle, who has another certificate.

    @return: the port, and the fingerprint.
    """
    path = folder / "middle.pem"
    make(str(path), "middle")
    certificate = loaded(str(path), "", True)

    class Creator:
        def serverConnectionForTLS(self, tls: Any) -> Any:
            from OpenSSL import SSL

            assert certificate.context is not None
            return SSL.Connection(certificate.context, None)

    from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
    from zope.interface import directlyProvides

    class Relay(Protocol):
        other: Any = None

        def connectionMade(self) -> None:
            self.waiting: list[bytes] = []
            relay = self

            class Onwards(Protocol):
                def connectionMade(self) -> None:
                    relay.other = self.transport
                    for data in relay.waiting:
                        relay.other.write(data)

                def dataReceived(self, data: bytes) -> None:
                    transport: Any = relay.transport
                    transport.write(data)

                def connectionLost(self, reason: Failure = connectionDone) -> None:
                    transport: Any = relay.transport
                    transport.loseConnection()

            onwards = TLSMemoryBIOFactory(
                Trust(fingerprint="any").creator("x"),
                True,
                Factory.forProtocol(Onwards),
                world.clock,
            )
            TCP4ClientEndpoint(world.clock, HOST, world.port).connect(onwards)

        def dataReceived(self, data: bytes) -> None:
            if self.other is None:
                self.waiting.append(data)
            else:
                self.other.write(data)

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            if self.other is not None:
                self.other.loseConnection()

    creator: Any = Creator()
    directlyProvides(creator, IOpenSSLServerConnectionCreator)
    secured = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(Relay), world.clock)
    reactor: Any = world.clock
    return reactor.listenTCP(0, secured, interface=HOST), certificate.fingerprint


class TestTLS:
    @pytest.mark.parametrize(
        ("version", "isLet"),
        [
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
            (ssl.TLSVersion.TLSv1_1, False),
        ],
    )
    async def test_versions(self, version: Any, isLet: bool, tmp_path: Path) -> None:
        from twisted.internet.threads import deferToThread

        async with serving(tmp_path) as world:

            def connect(port: int) -> bytes:
                import socket

                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.minimum_version = context.maximum_version = version
                context.set_ciphers("ALL:@SECLEVEL=0")
                with socket.create_connection((HOST, port), 30) as plain:
                    try:
                        with context.wrap_socket(plain, server_hostname="a.example") as secured:
                            secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                            return secured.recv(100)
                    except (ssl.SSLError, ConnectionError):
                        return b""

            heard = await deferToThread(connect, world.port)
            assert heard.startswith(b"HTTP/1.1 404") is isLet

    async def test_aReloadReadsTheCertificateAgain(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            call = await world.reach()
            path = tmp_path / "sstp.pem"
            old = world.tunnel.factory.certificate.fingerprint
            make(str(tmp_path / "new.pem"), "new")
            os.replace(tmp_path / "new.pem", path)
            settings = replace(world.tunnel._settings, otherwise="https://www.example.org/")
            assert world.tunnel.judge(settings) == {}
            world.tunnel.reload(settings)
            with pytest.raises(CallError, match="fingerprint"):
                await world.client(Trust(fingerprint=old)).connect()
            other = await world.reach()
            one = await stranger(world, b"GET / HTTP/1.1\r\n\r\n")
            await one.closed
            assert b"Location: https://www.example.org/" in one.heard
            # The first call goes on.
            assert not call.ended.called
            for each in (call, other):
                each.hangUp()
                await each.ended
            path.write_text("nothing")
            with pytest.raises(ConfigurationError, match=r"\[sstp\]"):
                world.tunnel.judge(settings)

    async def test_behindAProxyThatTerminatesTLS(self, tmp_path: Path) -> None:
        """
        Without TLS the certificate is the proxy's, whose hash callers sign.
        """
        path = tmp_path / "proxy.pem"
        make(str(path), "proxy")
        async with serving(tmp_path, tls=False, certificate=str(path)) as world:
            one = await stranger(world, OPENING + REQUEST, isTLS=False)
            await world.until(lambda: b"\xff\x03\xc0\x21" in one.heard)
            assert one.heard.startswith(b"HTTP/1.1 200 OK\r\n")
            one.abort()

    async def test_theAddressOfACallerBehindAProxy(self, tmp_path: Path) -> None:
        """
        The PROXY protocol comes before TLS.
        """
        endpoints = (f"haproxy:tcp:0:interface={HOST}",)
        async with serving(tmp_path, endpoints=endpoints) as world:
            header = b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 443\r\n"
            protocol = Stranger(OPENING)
            creator = Trust(fingerprint="any").creator("vpn.example.org")
            secured = TLSMemoryBIOFactory(
                creator, True, Factory.forProtocol(lambda: protocol), world.clock
            )

            class Before(Protocol):
                def connectionMade(self) -> None:
                    transport: Any = self.transport
                    transport.write(header)
                    self.inner: Any = secured.buildProtocol(transport.getPeer())
                    self.inner.makeConnection(transport)

                def dataReceived(self, data: bytes) -> None:
                    self.inner.dataReceived(data)

                def connectionLost(self, reason: Failure = connectionDone) -> None:
                    self.inner.connectionLost(reason)

            endpoint = TCP4ClientEndpoint(world.clock, HOST, world.port)
            await endpoint.connect(Factory.forProtocol(Before))
            await world.until(lambda: b"200 OK" in protocol.heard)
            (connection,) = world.tunnel.entrance.connections
            call = connection.connection.call
            assert (call.caller, call.called) == ("198.51.100.7", "192.0.2.1")
            assert call.stations.called == "vpn.example.org"
            protocol.abort()


class TestStrangers:
    async def test_slowOpenings(self, tmp_path: Path) -> None:
        """
        The time runs from the connection to the whole head, and doesn't begin again with each
        octet, with and without a handshake.
        """
        async with serving(tmp_path, openingTimeout=1.0) as world:
            silent = await stranger(world, b"", isTLS=False)
            slow = await stranger(world, b"GET / HTTP/1.1\r\n")
            for _ in range(100):
                if slow.closed.called:
                    break
                slow.write(b"A")
                await world.pause(0.05)
            await slow.closed
            await silent.closed
            await world.until(lambda: world.discards.get(Opening.SLOW.value) == 2)

    async def test_anHTTPOpeningInPieces(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as world:
            one = await stranger(world, b"")
            for at in range(0, len(OPENING), 7):
                one.write(OPENING[at : at + 7])
                await world.pause(0)
            await world.until(lambda: b"200 OK" in one.heard)
            (connection,) = world.tunnel.entrance.connections
            call = connection.connection.call
            verifyObject(ICall, call)
            verifyObject(IStagedCall, call)
            assert call.stations.called == "vpn.example.org"
            assert [name for name, _ in call.steps] == ["TCP", "HTTP"]
            one.abort()

    async def test_aSlowReader(self, tmp_path: Path) -> None:
        """
        A caller that doesn't read costs a bounded buffer: packets for it are dropped and counted,
        and when it asks for too many answers it is disconnected.
        """
        async with serving(tmp_path) as world:
            call = await world.reach()
            await world.until(lambda: world.recorder.detailsOf("opened"))
            (session,) = world.gateway.sessions
            (connection,) = world.tunnel.entrance.connections
            (client,) = [one for one in [call._call] if one is not None]
            transport = client._connection._transport
            transport.pauseProducing()
            address = call.protocols["ipv4"].localAddress
            many = [packet(address, 1400, outwards=False)] * 64
            full = "not sent: the transport takes none"
            # What the kernel takes at both ends comes first.
            idle = sent = 0
            while idle < 20:
                world.tun.receiveAll(many)
                await world.pause(0.01)
                sent, before = session.counters.packetsSent, sent
                idle = idle + 1 if sent == before else 0
            assert session.counters.discards[full] >= 20 * len(many)
            inner = connection.transport.transport
            waiting = len(inner.dataBuffer) + sum(map(len, inner._tempDataBuffer))
            assert waiting < 512 * 1024
            # Echo-Requests are answered all the same, until there are too many.
            transport.write(Message(Kind.ECHO_REQUEST).encode() * (EXCESS // 8 + 1000))
            await world.until(lambda: world.recorder.ended)
            assert "doesn't read" in world.recorder.ended[0][1]
            transport.resumeProducing()
            await call.ended

    async def test_noMoreConnectionsThanPermitted(self, tmp_path: Path) -> None:
        listen = ListenSection(maxConnectionsPerHost=2)
        async with serving(tmp_path, "", listen) as world:
            first, second = [await stranger(world, b"") for _ in range(2)]
            third = await stranger(world, b"")
            await third.closed
            assert not first.closed.called and not second.closed.called
            for one in (first, second):
                one.abort()


class TestEnd:
    def test_theGatewayDisconnectsInOrder(self, tmp_path: Path) -> None:
        """
        LCP is terminated first, then the call is disconnected, and the connection is closed when
        the peer has agreed, without its timers.
        """
        gateway = SSTPGateway(ChapSecretsChecker(secretsIn(tmp_path)))
        peer, call = gateway.call()
        before = len(peer.heard)
        (session,) = gateway.gateway.sessions
        session.hangUp("maintenance")
        gateway.run(0.1, 0.01)
        packets: list[bytes] = []
        splitter = Splitter(packets.append, packets.append)
        splitter.feed(peer.heard[before:])
        terminated, disconnected = packets
        assert terminated.startswith(b"\xff\x03\xc0\x21\x05") and b"maintenance" in terminated
        assert disconnected[4:6] == Kind.CALL_DISCONNECT.to_bytes(2, "big")
        assert peer.isOver and call.ended.called
        assert not gateway.gateway.lines and not gateway.factory.entrance.connections

    def test_thePeerDisconnects(self, tmp_path: Path) -> None:
        """
        A peer that disconnects without terminating LCP is answered, and the connection is closed a
        second later.
        """
        gateway = SSTPGateway(ChapSecretsChecker(secretsIn(tmp_path)))
        peer, _ = gateway.call()
        before = len(peer.heard)
        peer.write(Message(Kind.CALL_DISCONNECT).encode())
        gateway.run(0.1, 0.01)
        assert not gateway.gateway.sessions and not peer.isOver
        assert peer.heard[before:] == Message(Kind.CALL_DISCONNECT_ACK).encode()
        gateway.run(1, 0.01)
        assert peer.isOver


class TestOtherwise:
    async def ask(self, world: SSTPWorld, *requests: bytes) -> bytes:
        one = await stranger(world, b"".join(requests))
        await one.closed
        return one.heard

    async def test_aFolder(self, tmp_path: Path) -> None:
        """
        The files of a folder are served, several on one connection, and nothing else of the
        machine. No request may have a body.
        """
        folder = tmp_path / "www"
        folder.mkdir()
        (folder / "index.html").write_text("<p>Hello</p>")
        (folder / "empty").mkdir()
        async with serving(tmp_path, otherwise=str(folder)) as world:
            get = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
            last = get.replace(b"Host", b"Connection: close\r\nHost")
            heard = await self.ask(world, get % b"/", last % b"/index.html")
            assert heard.count(b"<p>Hello</p>") == 2 and b"Server:" not in heard
            for target in (b"/../sstp.pem", b"/..%2fsstp.pem", b"/empty/", b"/nothing"):
                assert b"404" in (await self.ask(world, last % target))[:20]
            for field in (b"Content-Length: 9", b"Transfer-Encoding: chunked"):
                post = b"POST / HTTP/1.1\r\n" + field + b"\r\n\r\n"
                assert b" 413 " in (await self.ask(world, post))[:30]
            call = await world.reach()
            call.hangUp()
            await call.ended

    async def test_anObject(self, tmp_path: Path) -> None:
        async with serving(tmp_path, otherwise="object:twisted.web.resource.Resource") as world:
            request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert b" 404 " in await self.ask(world, request)

    @pytest.mark.parametrize(
        "text", ["/nowhere", "object:nothing.Here", "object:os.getcwd", "object:os.sep"]
    )
    def test_whatCannotBeServed(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"\[sstp\] otherwise"):
            SSTPWorld(tmp_path, ChapSecretsChecker(secretsIn(tmp_path)), otherwise=text)


class TestPlugin:
    def tunnel(self, **settings: Any) -> SSTPTunnel:
        from pptpgw.testing import makeTunnelEnvironment

        taker: Any = None
        return SSTPTunnel(SSTPSettings(**settings), makeTunnelEnvironment(taker))

    def test_providesItsInterfaces(self, tmp_path: Path) -> None:
        verifyObject(ITunnelFactory, factory)
        tunnel = self.tunnel(certificate=str(tmp_path / "sstp.pem"))
        verifyObject(ITunnel, tunnel)
        verifyObject(IReloadable, tunnel)

    def test_certificates(self, tmp_path: Path) -> None:
        """
        One that is made is for its owner alone. What can't be used is found before the start.
        """
        path = tmp_path / "sstp.pem"
        make(str(path), "vpn.example.org")
        assert path.stat().st_mode & 0o777 == 0o600
        assert loaded(str(path), "", True).fingerprint == loaded(str(path), "", False).fingerprint
        # Another gateway has made it.
        before = path.read_bytes()
        make(str(path), "vpn.example.org")
        assert path.read_bytes() == before
        other = tmp_path / "other.pem"
        make(str(other), "other")
        faults: list[tuple[Callable[[], object], dict[str, str]]] = [
            (lambda: path.chmod(0o644), {"certificate": str(path)}),
            (lambda: path.chmod(0o600), {"certificate": str(path), "key": str(other)}),
            (lambda: None, {"certificate": str(path), "key": "/nowhere"}),
            (lambda: path.write_text("no PEM"), {"certificate": str(path)}),
        ]
        for prepare, settings in faults:
            prepare()
            with pytest.raises(ConfigurationError, match=r"\[sstp\] (key|certificate)"):
                self.tunnel(**settings)
        with pytest.raises(ConfigurationError, match="certificate"):
            self.tunnel(certificate="/nowhere", tls=False)
        with pytest.raises(ConfigurationError, match="certificate"):
            self.tunnel(certificate="/nowhere/sstp.pem", endpoints=()).start()
        assert list(self.tunnel(certificate="/nowhere/sstp.pem").lacking())

"""
Our own client as a program. It reads a command from each line and writes an answer on each line,
both in JSON.

C{["connect"]} and C{["close"]}: open and close the control connection. C{["call", USER, PASSWORD,
MRU, METHOD]}: place a call on it, by MS-CHAPv2 unless another method is named (C{"eap:NAME"} is EAP
with one method alone), and with stateful MPPE if C{true} follows. C{["ping", NUMBER]}: send an echo
request to the gateway through that call. C{["datagrams", FIRST, LAST, RATE]}: send numbered
datagrams to the host behind the gateway through every call, at RATE a second. C{["kernel",
NUMBER]}: give the call a TUN device, C{tunNUMBER}, and the route to the networks of the tests.
C{["disorder", NUMBER]}: have packets of that call come late, twice or never from now on.
C{["ended", NUMBER]}: wait for the call's end, and answer with its cause. C{["bridge", USER,
PASSWORD, MRU, ENCRYPTION]}: place a call that only bridges, between the gateway and a TAP device of
its own. C{["declared", USER, PASSWORD]}: place a call with AppleTalk alone. C{["ask", NUMBER,
TEXT]}: send a packet through that call, and wait for one. C{["sstp", USER, PASSWORD, FINGERPRINT]}
and C{["l2tp", USER, PASSWORD]}: place a call by another tunnel, on a connection of its own, which
C{["close"]} closes too.
"""

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from ipaddress import IPv4Address
from typing import Any, Literal

from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config import discovery
from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import SendAll
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.interfaces import IAuthenticationProtocol, IEAPMethod
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Rule
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ports.tun import TUNPort
from pptpgw.ppp import ccp
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.client import ClientConnection, ControlClient
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.trust import Trust

assert isinstance(reactor, ReactorBase)
BEHIND = "198.51.100.0/24"
INSIDE = IPv4Address("198.51.100.2")


class Placed:
    """
    A call, and the receiver of its packets.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.call: ClientCall | None = None
        self.ipv4 = IPCP(IPv4Settings.client(self.receive))
        self.pong: Deferred[None] | None = None
        self.tun: TUNPort | None = None

    def receive(self, packet: bytes) -> None:
        """
        Take a packet.
        """
        if self.tun is not None:
            self.tun.write(packet)
        elif self.pong is not None and isEchoReply(packet):
            pong, self.pong = self.pong, None
            pong.callback(None)

    def attach(self) -> None:
        """
        Give the call to the kernel.
        """
        name = f"tun{self.number}"
        self.tun = TUNPort(reactor, name, Counters(), self.ipv4.sendPacket)
        self.tun.startReading()
        for line in (
            f"addr add {self.ipv4.localAddress} peer {self.ipv4.peerAddress} dev {name}",
            f"link set {name} mtu 1400 up",
            f"route add {BEHIND} dev {name}",
        ):
            subprocess.run(["ip", *line.split()], check=True)


class Bridged(Placed):
    """
    A call that bridges everything that the gateway permits, and its TAP device.
    """

    def __init__(self, number: int, mru: int) -> None:
        super().__init__(number)
        self.bcp = BCP(BridgeSettings(self.toDevice, tagged=True, spanningTree=True, mtu=mru))
        name = f"tap{os.getpid()}-{number}"
        self.tap = TUNPort(reactor, name, Counters(), self.bcp.sendPacket, ethernet=True)

    def toDevice(self, frame: bytes) -> None:
        """
        Take a frame.
        """
        self.tap.write(frame)


class Disorder:
    """
    Sends packets, some of them late, twice or never.
    """

    def __init__(self, send: SendAll) -> None:
        self._send = send
        self._count = 0
        self._late: list[bytes] = []

    def __call__(self, packets: Sequence[bytes]) -> list[tuple[int, OSError]]:
        """
        Send packets, see L{SendAll}.
        """
        sent: list[bytes] = []
        for packet in packets:
            self._count += 1
            if self._count % 10 == 0:
                self._late.append(packet)
            elif self._count % 97:
                sent += [packet] * (2 if self._count % 61 == 0 else 1)
            if self._count % 10 == 3:
                sent += self._late
                self._late = []
        self._send(sent)
        return []


class Declared(Placed):
    """
    A call with AppleTalk that asks for a node.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        rule = Rule(ask=bytes(4), required=True)
        declaration = replace(shipped()["appletalk"], options={1: rule})
        self.protocol = protocolFor(declaration)(GenericSettings(self.answered))
        self.waiting: Deferred[bytes] | None = None

    def answered(self, number: int, packet: bytes) -> None:
        """
        Take a packet.
        """
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.callback(packet)


def datagram(source: IPv4Address, number: int) -> bytes:
    """
    A UDP datagram from C{source} to the host behind the gateway, which has C{source}, C{number} and
    their digest.
    """
    said = source.packed + number.to_bytes(4, "big")
    said += sha256(said).digest() * 16
    udp = struct.pack("!HHHH", 9, 9, 8 + len(said), 0) + said
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    head += source.packed + INSIDE.packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + udp


def _statefulOption(option: Callable[[int, bool], bytes], bits: int, stateful: bool) -> bytes:
    """
    An option for stateful MPPE, whatever the setting is.
    """
    return option(bits, True)


def why(failure: Failure) -> dict[str, str]:
    """
    The answer to a command that failed.
    """
    return {"error": str(failure.value) or type(failure.value).__name__}


class Commands(LineOnlyReceiver):
    """
    Reads commands and writes their answers.
    """

    delimiter = b"\n"

    def __init__(self, host: str) -> None:
        self._host = host
        self._endpoint = ControlClient(reactor, host, timeout=8)
        self._connection: ClientConnection | None = None
        self._calls: list[Placed] = []
        # The connections by other tunnels than PPTP.
        self._others: list[Any] = []

    def lineReceived(self, line: bytes) -> None:
        """
        Carry out one command.
        """
        name, *arguments = json.loads(line)
        done = ensureDeferred(getattr(self, f"do_{name}")(*arguments))
        done.addErrback(why)
        done.addCallback(lambda answer: print(json.dumps(answer), flush=True))

    async def do_connect(self) -> dict[str, str]:
        self._connection = await self._endpoint.connect()
        return {}

    async def do_close(self) -> dict[str, str]:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
        while self._others:
            await self._others.pop().close()
        return {}

    async def do_call(
        self,
        user: str,
        password: str,
        mru: int,
        method: str = "mschapv2",
        stateful: bool = False,
    ) -> dict[str, Any]:
        if self._connection is None:
            await self.do_connect()
        assert self._connection is not None
        if stateful:
            # The client itself never insists on stateful MPPE.
            ccp.mppeOption = partial(_statefulOption, ccp.mppeOption)
        placed = Placed(len(self._calls))
        self._calls.append(placed)
        name, _, within = method.partition(":")
        protocol = discovery.find(IAuthenticationProtocol, name)
        if within:
            protocol = EAPProtocol((discovery.find(IEAPMethod, within),))
        identity = Identity(user.encode(), password.encode(), (protocol,))
        encryption: Literal["require", "off"] = "require" if protocol.earnsKeys else "off"
        settings = LinkSettings(
            identity=identity, mru=mru, encryption=encryption, stateful=stateful
        )
        placed.call = call = await self._connection.placeCall(settings, [placed.ipv4])
        return {
            "number": placed.number,
            "address": placed.ipv4.localAddress,
            "encryption": call.link.encryption,
            "callID": call._call.peerCallID if isinstance(call._call, Call) else 0,
        }

    async def do_bridge(
        self, user: str, password: str, mru: int, encryption: Literal["require", "off"]
    ) -> dict[str, Any]:
        if self._connection is None:
            await self.do_connect()
        assert self._connection is not None
        placed = Bridged(len(self._calls), mru)
        self._calls.append(placed)
        identity = Identity(user.encode(), password.encode(), (MSCHAPV2,))
        settings = LinkSettings(identity=identity, mru=mru, encryption=encryption)
        placed.call = call = await self._connection.placeCall(settings, [placed.bcp])
        placed.tap.startReading()
        return {
            "number": placed.number,
            "device": placed.tap.name,
            "encryption": call.link.encryption,
        }

    async def do_declared(self, user: str, password: str) -> dict[str, Any]:
        if self._connection is None:
            await self.do_connect()
        assert self._connection is not None
        placed = Declared(len(self._calls))
        self._calls.append(placed)
        settings = LinkSettings(identity=Identity(user.encode(), password.encode(), (MSCHAPV2,)))
        placed.call = call = await self._connection.placeCall(settings, [placed.protocol])
        return {
            "number": placed.number,
            "node": placed.protocol.negotiator.granted[1].hex(),
            "encryption": call.link.encryption,
        }

    async def do_sstp(self, user: str, password: str, fingerprint: str) -> dict[str, Any]:
        trust = Trust(fingerprint=fingerprint)
        client = SSTPClient(reactor, self._host, trust=trust, timeout=8)
        return await self._placed(await client.connect(), user, password)

    async def do_l2tp(self, user: str, password: str) -> dict[str, Any]:
        client = LACClient(reactor, self._host, timeout=8)
        return await self._placed(await client.connect(), user, password)

    async def _placed(self, connection: Any, user: str, password: str) -> dict[str, Any]:
        self._others.append(connection)
        placed = Placed(len(self._calls))
        self._calls.append(placed)
        settings = LinkSettings(identity=Identity(user.encode(), password.encode(), (MSCHAPV2,)))
        placed.call = connection.call(settings, [placed.ipv4])
        await placed.call.opened
        return {"number": placed.number, "address": placed.ipv4.localAddress}

    async def do_ask(self, number: int, text: str) -> dict[str, str]:
        placed = self._calls[number]
        assert isinstance(placed, Declared)
        waiting = placed.waiting = Deferred()
        placed.protocol.sendPacket(text.encode())
        return {"answer": (await waiting.addTimeout(3, reactor)).decode()}

    async def do_datagrams(self, first: int, last: int, rate: int) -> dict[str, str]:
        begun, number = time.monotonic(), first
        while number <= last:
            due = min(last + 1, first + int((time.monotonic() - begun) * rate))
            # No more than 200 are sent at once, as a slow machine's queues take no larger burst.
            for each in range(number, min(due, number + 200)):
                for placed in self._calls:
                    source = IPv4Address(placed.ipv4.localAddress)
                    placed.ipv4.sendPacket(datagram(source, each))
            number = min(due, number + 200)
            await deferLater(reactor, 0.001)
        return {}

    async def do_ping(self, number: int) -> dict[str, str]:
        placed = self._calls[number]
        pong = placed.pong = Deferred()
        gateway = placed.ipv4.peerAddress
        assert gateway is not None
        placed.ipv4.sendPacket(echoRequest(placed.ipv4.localAddress, gateway))
        await pong.addTimeout(3, reactor)
        return {}

    async def do_kernel(self, number: int) -> dict[str, str]:
        placed = self._calls[number]
        placed.attach()
        return {}

    async def do_disorder(self, number: int) -> dict[str, str]:
        call = self._calls[number].call
        assert call is not None
        channel: Any = call.channel
        channel._sendAll = Disorder(channel._sendAll)
        return {}

    async def do_ended(self, number: int) -> dict[str, str]:
        call = self._calls[number].call
        assert call is not None
        return {"cause": await call.ended}

    async def do_hangUp(self, number: int) -> dict[str, str]:
        call = self._calls[number].call
        assert call is not None
        return {"cause": await call.hangUp()}


StandardIO(Commands(sys.argv[1]))
reactor.run()

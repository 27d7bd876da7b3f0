"""
The callers of measurements: our own client, in a process of its own.

C{python -m tests.bench.caller TUNNEL CERTIFICATE USERS SOURCES ENCRYPTION [TUN]} calls by a tunnel,
has as many users, and calls from as many addresses. Packets go to a TUN device if one is named, by
the native data path where there is one; otherwise only C{ping} has some. The commands:

 - C{open COUNT CONCURRENCY}: set calls up, each on a connection of its own, and say how many
   seconds each took, from the first packet to IPCP's Opened.
 - C{during SECONDS}: set calls up one after the other until the time has passed, and say how many
   seconds each took.
 - C{storm COUNT}: place calls at once, the others as soon as fewer than L{AT_ONCE} are being set
   up, and say for each after how many seconds it was up or refused, and why it was refused (empty
   if it wasn't).
 - C{dial}: set one call up, and say what its address is.
 - C{ping COUNT}: ping the gateway over the call that was set up last, and say how many milliseconds
   each answer took; C{null} for one that didn't come.
 - C{urgent}: have a real-time priority from now on, before floods on the same processor.
 - C{flood OCTETS}: send as many packets over the call that was set up last as the process can, for
   ever, by PPTP with MPPE. There is no answer.
 - C{load OCTETS SERVER}: send as many packets over that call as the server process forwards, on its
   processor, for ever.
 - C{drain}: discard what comes over that call, and say what its address is.
 - C{greet COUNT TLS}: connect by SSTP's port, and by TLS if that is 1, but not by HTTP.
 - C{close}: hang up every call, and say how many there were.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.bench.load import AHEAD, BURST, NICE, PAUSE, STALL, forwarded
from tests.bench.namespaces import BEYOND, PEER, SOURCES, run
from tests.bench.process import cpus, serveCommands, settle

PASSWORD = "correct horse"
LIMIT, PATIENCE = 600.0, 300.0
"""
Seconds that one command may take, and those of one call.
"""

GATEWAY = "10.77.0.1"
"""
The gateway's own address in the tunnels, which answers pings.
"""

INTERVAL, LAST = 0.01, 1.0
"""
The seconds between two pings, and those that the last ones are waited for.
"""

AT_ONCE = 1_000
"""
The most calls that are being set up at a time. Timers would run out of more that share a process.
"""

FLOOD = 64
"""
The packets that a flood sends by one system call.
"""

PRIORITY = 10
"""
The real-time priority of callers that are urgent.
"""


def _sources(count: int) -> list[str]:
    return [PEER] if count == 1 else list(SOURCES[:count])


def call(
    tunnel: str, certificate: str, users: int, sources: int, encryption: Any, device: str
) -> None:
    """
    Run the caller process.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import DeferredSemaphore, ensureDeferred, gatherResults
    from twisted.internet.task import deferLater

    from pptpgw.auth.protocols import MSCHAPV2
    from pptpgw.clock import steady
    from pptpgw.config.configuration import Configuration
    from pptpgw.config.environment import Environment
    from pptpgw.config.section import DataPathSection, NetworkSection
    from pptpgw.counting.counters import Counters
    from pptpgw.datapath.python import PythonDataPath
    from pptpgw.datapath.threaded import NativeDataPath
    from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
    from pptpgw.networks.wire.checksum import checksum
    from pptpgw.ports.poll import serveFew
    from pptpgw.ppp.client import ClientCall
    from pptpgw.ppp.settings import Identity, LinkSettings
    from tests.bench.case import datagram
    from tests.bench.dialling import DIALLERS

    dataPath = PythonDataPath(reactor)
    if device:
        sections = NetworkSection(interface=device), DataPathSection(threads=1)
        configuration = Configuration(network=sections[0], datapath=sections[1])
        dataPath = NativeDataPath(Environment(reactor, configuration, Counters()))
        dataPath.start()
    dialler: Any = DIALLERS[tunnel](steady(reactor), dataPath, _sources(sources), certificate)
    settings = [
        LinkSettings(
            identity=Identity(f"caller{number}".encode(), PASSWORD.encode(), (MSCHAPV2,)),
            encryption=encryption,
        )
        for number in range(users)
    ]
    calls: list[tuple[ClientCall, IPCP]] = []
    answers: dict[int, float] = {}

    def receive(packet: bytes) -> None:
        """
        Note when the answer to a ping came.
        """
        if packet[9] == 1:
            answers[struct.unpack_from("!H", packet, 26)[0]] = reactor.seconds()

    client = IPv4Settings.client(receive)
    if device:
        client = replace(client, receive=None)

    async def setUp(number: int, keep: bool = False) -> float:
        began = reactor.seconds()
        ipv4 = IPCP(client)
        placed = await dialler.place(number, settings[number % users], ipv4)
        if keep:
            calls.append((placed, ipv4))
        return reactor.seconds() - began

    async def some(numbers: Iterator[int], took: list[float]) -> None:
        for number in numbers:
            took.append(await setUp(number))

    async def one(number: int, began: float, places: DeferredSemaphore) -> tuple[float, str]:
        await places.acquire()
        try:
            await setUp(number)
        except Exception as error:
            return reactor.seconds() - began, f"{type(error).__name__}: {error}"
        finally:
            places.release()
        return reactor.seconds() - began, ""

    def address() -> str:
        return str(calls[-1][1].localAddress)

    async def ping(count: int) -> list[float | None]:
        """
        Ping the gateway.
        """
        channel: Any = calls[-1][0].channel
        answers.clear()
        sent = []
        for number in range(count):
            body = struct.pack("!BBHHH", 8, 0, 0, 7, number) + bytes(24)
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
            header = bytearray(datagram(address(), GATEWAY, 20 + len(body))[:20])
            header[9] = 1
            header[10:12] = bytes(2)
            header[10:12] = struct.pack("!H", checksum(bytes(header)))
            sent.append(reactor.seconds())
            channel.sendPacket(0x0021, bytes(header) + body)
            await deferLater(reactor, INTERVAL)
        await deferLater(reactor, LAST)
        return [
            1e3 * (answers[number] - at) if number in answers else None
            for number, at in enumerate(sent)
        ]

    def flood(octets: int) -> None:
        """
        Send packets as fast as this process can, which does nothing else any more.
        """
        channel: Any = calls[-1][0].channel
        packet = datagram(address(), BEYOND, octets)
        header = struct.Struct("!IHHI").pack
        window, encrypt = channel._window, channel._encryptor.encrypt
        callID, sequence = channel._peerCallID, window.sending
        length = len(packet) + 6
        while True:
            # As channels do it, without what they do for each packet.
            channel._sendAll(
                [
                    encrypt(
                        header(0x3001880B, length, callID, number) + b"\x00\xfd",
                        b"\x00\x21",
                        packet,
                    )
                    for number in range(sequence, sequence + FLOOD)
                ]
            )
            sequence += FLOOD

    async def load(octets: int, server: int) -> None:
        """
        Send packets as far ahead as the server forwards them.
        """
        channel: Any = calls[-1][0].channel
        counters, packet = channel.counters, datagram(address(), BEYOND, octets)
        os.sched_setaffinity(0, {cpus()[1]})
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        lost, until = counters.packetsSent - forwarded(server), 0.0
        while True:
            if counters.packetsSent - forwarded(server) - lost <= AHEAD - BURST:
                for _ in range(BURST):
                    channel.sendPacket(0x0021, packet)
                until = reactor.seconds() + STALL
            elif reactor.seconds() > until:
                # What is missing was lost.
                lost = counters.packetsSent - forwarded(server)
            await deferLater(reactor, PAUSE)

    async def answer(words: list[str]) -> object:
        match words:
            case ["open", count, concurrency]:
                took: list[float] = []
                numbers = iter(range(int(count)))
                each = [ensureDeferred(some(numbers, took)) for _ in range(int(concurrency))]
                await gatherResults(each).addTimeout(LIMIT, reactor)
                return took
            case ["during", seconds]:
                until, each_ = reactor.seconds() + float(seconds), []
                while reactor.seconds() < until:
                    each_.append(await setUp(dialler.count))
                return each_
            case ["urgent"]:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
                return None
            case ["storm", count]:
                began, places = reactor.seconds(), DeferredSemaphore(AT_ONCE)
                all_ = [ensureDeferred(one(n, began, places)) for n in range(int(count))]
                return await gatherResults(all_).addTimeout(LIMIT, reactor)
            case ["dial"]:
                await setUp(dialler.count, keep=True)
                if device:
                    run(
                        f"ip address add {address()}/32 dev {device}",
                        f"ip link set {device} mtu 1400 up",
                        f"ip route add {BEYOND}/32 dev {device}",
                    )
                return address()
            case ["ping", count]:
                return await ping(int(count))
            case ["flood", octets]:
                flood(int(octets))
            case ["load", octets, server]:
                await load(int(octets), int(server))
            case ["drain"]:
                dialler.drain()
                return address()
            case ["greet", count, tls]:
                await dialler.greet(int(count), tls == "1")
                return None
        calls.clear()
        return await dialler.close()

    # Calls that have begun go on while thousands of connections have something to read.
    serveFew(reactor)
    serveCommands(reactor, answer)


if __name__ == "__main__":
    settle(server=False)
    _, tunnel_, certificate_, users_, sources_, encryption_, *device_ = sys.argv
    numbers_ = int(users_), int(sources_)
    call(tunnel_, certificate_, *numbers_, encryption_, *device_ or [""])

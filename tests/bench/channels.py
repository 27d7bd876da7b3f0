"""
A server process with channels that are opened directly, without a call.

It has the real GRE port, TUN port, data path and networks. C{python -m tests.bench.channels PATH
PROTOCOL MODE ENCRYPTED OCTETS SESSIONS SECONDS} prints the load that it wants, as the arguments of
L{tests.bench.load}, measures, and prints what it found: the processor time, the packets, those that
the kernel forwarded, and what was discarded. With the mode C{serve} it only carries packets, until
it is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from tests.bench import paths
from tests.bench.load import CALL, KEY, MANY, PEER_CALL, line
from tests.bench.namespaces import BEYOND, GATE, PEER, SERVER
from tests.bench.process import cpu, settle

WARM_UP, PATIENCE = 0.4, 30.0
"""
Seconds of load before the measurement, and those until the load begins.
"""


def serve(
    path: str,
    name: str,
    mode: str,
    encrypted: bool,
    size: int,
    sessions: int,
    seconds: float,
    threads: int = 1,
) -> None:
    """
    Run the server process.

    @param sessions: the sessions that have packets, of IPv4 with MPPE in; 0 for the one or two of
        C{name}.
    @param threads: the threads of the native data path.
    """
    from twisted.internet.epollreactor import EPollReactor
    from twisted.internet.protocol import Factory
    from zope.interface import implementer

    from pptpgw.config.configuration import Configuration
    from pptpgw.config.environment import Environment
    from pptpgw.config.section import DataPathSection, LinkSection, NetworkSection
    from pptpgw.counting.counters import Counters
    from pptpgw.datapath.plugin import PortDataPath
    from pptpgw.datapath.threaded import NativeDataPath
    from pptpgw.interfaces import Attachment, IChannelOwner, MPPEParameters
    from pptpgw.tunnels.hdlc.protocol import HDLCProtocol
    from pptpgw.tunnels.pptp.channel import GREChannel
    from pptpgw.tunnels.pptp.native import NativeChannel
    from pptpgw.tunnels.pptp.owner import Ends
    from pptpgw.tunnels.pptp.port.gre import GREPort
    from tests.bench.case import CASES, JOINABLE, LARGEST, TUN, Server

    @implementer(IChannelOwner)
    class Owner:
        def frameReceived(self, protocol: int, information: bytes) -> None:
            raise AssertionError(f"protocol 0x{protocol:04x}")

        def resyncNeeded(self) -> None:
            raise AssertionError("a resync")

        def confirmationNeeded(self) -> None: ...

        def confirms(self, protocol: int, information: bytes) -> bool:
            return False

        def channelFailed(self, reason: str) -> None:
            raise AssertionError(reason)

    reactor = EPollReactor()
    counters = Counters()
    port = GREPort(reactor, "", counters)
    sections = LinkSection(mru=LARGEST), NetworkSection(interface=TUN)
    configuration = Configuration(
        link=sections[0], network=sections[1], datapath=DataPathSection(threads=threads)
    )
    environment = Environment(reactor, configuration, counters)
    dataPath = (NativeDataPath if path == paths.NATIVE else PortDataPath)(environment)
    makeChannel: Any = NativeChannel if path == paths.NATIVE else GREChannel
    port.startListening()
    dataPath.start()
    subprocess.run(["ip", "link", "set", TUN, "mtu", "1500", "up"], check=True)

    def begun(channel: Any) -> Any:
        channel.setFraming(True, True)
        if encrypted:
            channel.setSendMPPE(MPPEParameters(KEY, 128))
            channel.setReceiveMPPE(MPPEParameters(KEY, 128))
        return channel

    def opened(local: str, peer: str, number: int) -> Any:
        return begun(makeChannel(dataPath, Owner(), Ends(local, peer, number, PEER_CALL), port))

    case = CASES[name]
    channels: list[Any] = []

    def start(first: Any) -> None:
        channels[:] = first, opened(GATE, BEYOND, CALL)
        case.open(Server(environment, channels[0], channels[1]))

    class Lines(Factory):
        """
        The calls over lines, of which there is one.
        """

        def buildProtocol(self, address: object) -> HDLCProtocol:
            return HDLCProtocol(reactor, PEER, 0, self)

        def opened(self, protocol: HDLCProtocol) -> None:
            start(begun(protocol.call.openChannel(Owner(), dataPath)))

        def closed(self, protocol: HDLCProtocol) -> None: ...

        def discard(self, reason: str) -> None:
            counters.discard(reason)

    if path == paths.HDLC:
        reactor.listenUNIX(line(os.getpid()), Lines())
    else:
        start(opened(SERVER, PEER, CALL))
    for number in range(1, sessions):
        channel = opened(SERVER, PEER, CALL + number)
        channel.openNetwork(0x0021, Attachment((IPv4Network(IPv4Address(MANY) + number),), 1500))
        channels.append(channel)
    if mode == "out" and path != paths.HDLC:
        for channel in channels:
            # As after a handshake: the thread carries nothing before a first packet has come.
            channel.framesReceived(0, 0, [b""])
            channel.counters.discards.clear()
    begin: list[float] = []
    # Several packets that were joined count as one there, but their octets count.
    each = size if name == JOINABLE else 1
    unit = "bytes" if name == JOINABLE else "packets"
    forwarded = Path(f"/sys/class/net/beyond/statistics/tx_{unit}")

    def figures() -> list[float]:
        beyond = packets = int(forwarded.read_text()) // each
        # To ask thousands of sessions would take longer than to count.
        if channels and not sessions:
            counted = channels[mode == "across"].counters
            packets = counted.packetsReceived if mode == "in" else counted.packetsSent
        return [cpu(), packets, beyond]

    def ready(deadline: float) -> None:
        """
        Wait until every session has had a packet: the first one costs more than others.
        """
        if figures()[1] > 1.1 * sessions:
            reactor.callLater(WARM_UP, started)
        elif time.monotonic() < deadline:
            reactor.callLater(0.1, ready, deadline)
        else:
            reactor.stop()

    def started() -> None:
        begin[:] = figures()
        reactor.callLater(seconds, finished)

    def finished() -> None:
        used, packets, arrived = (b - a for a, b in zip(begin, figures(), strict=True))
        discards = {**counters.discards}
        for channel in channels:
            discards |= channel.counters.discards
        print(json.dumps([used, packets, arrived, discards]), flush=True)
        reactor.stop()

    if mode == "serve":
        reactor.run()
        return
    if mode == "out":
        load: list[object] = ["udp", case.address, size - case.headers]
        if path == paths.HDLC:
            load = ["drain", os.getpid(), *load[1:]]
    else:
        protocol, packet = case.packet(size)
        load = ["gre", int(encrypted), protocol, packet.hex()]
        if path == paths.HDLC:
            load = ["line", os.getpid(), *load[1:]]
        if sessions:
            load = ["many", packet.hex(), sessions, os.getpid()]
    print(json.dumps(load), flush=True)
    ready(time.monotonic() + PATIENCE)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    # The load shares this processor, so that there is always a queue of packets.
    settle(server=True)
    path, name_, mode_, encrypted_, size_, sessions_, seconds_, threads_ = [*sys.argv[1:], "1"][:8]
    paths.choose(path)
    numbers = int(size_), int(sessions_), float(seconds_), int(threads_)
    serve(path, name_, mode_, encrypted_ == "1", *numbers)

"""
Measures what a packet costs the server process: CPU time, and from it Gb/s and packets/s for each
core.

The server process has the real GRE port, TUN port, data path and networks, and channels that are
opened directly. It runs in a network namespace of its own, and the peer runs in another one at the
other end of a veth pair. IPv4 and the other network protocols (L{tests.bench.case}) are measured:

 - in: the peer sends GRE, the server writes to the TUN or the TAP device, and the kernel forwards
   to a dummy device. The peer sends ahead only as far as acknowledgements permit, so that nothing
   is lost.
 - out: another process sends datagrams into that device, and the server sends GRE, which is dropped
   at the far end of the veth pair.
 - across: the peer sends GRE, and the server sends GRE to the peer of another session, by way of
   what the gateway has for the protocol. Its ratio is to IPv4 in and IPv4 out together.

Both processes share one CPU, so that the server always has a queue of packets, as it has under a
high load. The other process's time isn't counted.

The CPU time is the user and system time of the server process, so it includes the work of the
kernel in these calls: forwarding, and the crossing of a veth pair.

Run it as root: C{python -m tests.bench.packets}, or by path. C{--quick} makes one short run
of each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.load import CALL, KEY, sendGRE, sendUDP
from tests.bench.namespaces import BEYOND, GATE, PEER, SERVER, drop, namespaces

WARM_UP = 0.4
SIZES = (64, 1400)

TARGETS = {
    # mode, encrypted, octets of the packet: (unit, figure)
    ("in", False, 1400): ("Gb/s", 1.0),
    ("out", False, 1400): ("Gb/s", 1.0),
    ("in", True, 1400): ("Gb/s", 0.55),
    ("out", True, 1400): ("Gb/s", 0.7),
    ("in", False, 64): ("k/s", 200.0),
    ("out", False, 64): ("k/s", 110.0),
}
"""
The targets for IPv4.
"""

Key = tuple[str, bool, int]


def serve(name: str, mode: str, encrypted: bool, size: int, seconds: float) -> None:
    """
    Run the server process: print what to send to it, measure for C{seconds} and print the result.
    """
    from twisted.internet.epollreactor import EPollReactor
    from zope.interface import implementer

    from pptpgw.config.configuration import Configuration
    from pptpgw.config.environment import Environment
    from pptpgw.config.section import LinkSection
    from pptpgw.counting.counters import Counters
    from pptpgw.datapath.python import PythonDataPath
    from pptpgw.interfaces import IChannelOwner, MPPEParameters
    from pptpgw.ports.tun import TUNPort
    from pptpgw.tunnels.pptp.channel import GREChannel
    from pptpgw.tunnels.pptp.owner import Ends
    from pptpgw.tunnels.pptp.port.gre import GREPort
    from tests.bench.case import CASES, LARGEST, TUN, Server

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
    tun = TUNPort(reactor, TUN, counters)
    dataPath = PythonDataPath(reactor, tun)
    port.startListening()
    tun.startReading()
    subprocess.run(["ip", "link", "set", TUN, "mtu", "1500", "up"], check=True)
    calls = Ends(SERVER, PEER, CALL, 9), Ends(GATE, BEYOND, CALL, 9)
    channels = [GREChannel(dataPath, Owner(), ends, port) for ends in calls]
    for channel in channels:
        channel.setFraming(True, True)
        if encrypted:
            channel.setSendMPPE(MPPEParameters(KEY, 128))
            channel.setReceiveMPPE(MPPEParameters(KEY, 128))
    case = CASES[name]
    environment = Environment(reactor, Configuration(link=LinkSection(mru=LARGEST)), counters)
    case.open(Server(environment, channels[0], channels[1]))
    begin: list[float] = []
    forwarded = Path("/sys/class/net/beyond/statistics/tx_packets")

    def figures() -> list[float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        packets = channels[0].counters.packetsReceived
        if mode != "in":
            packets = channels[mode == "across"].counters.packetsSent
        return [usage.ru_utime + usage.ru_stime, packets, int(forwarded.read_text())]

    def started() -> None:
        begin[:] = figures()
        reactor.callLater(seconds, finished)

    def finished() -> None:
        cpu, packets, arrived = (b - a for a, b in zip(begin, figures(), strict=True))
        discards = {**counters.discards}
        for channel in channels:
            discards |= channel.counters.discards
        print(json.dumps([cpu, packets, arrived, discards]), flush=True)
        reactor.stop()

    if mode == "out":
        load = ["--udp", case.address, str(size - case.headers)]
    else:
        protocol, packet = case.packet(size)
        load = ["--gre", str(int(encrypted)), str(protocol), packet.hex()]
    print(json.dumps(load), flush=True)
    reactor.callLater(WARM_UP, started)
    reactor.run(installSignalHandlers=False)


def run(name: str, mode: str, encrypted: bool, size: int, seconds: float) -> float:
    """
    Run once.

    @return: the microseconds of CPU time for each packet.
    """

    def start(namespace: str, *arguments: object) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__]
        return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    with namespaces(beyond=True) as (near, far):
        drop(far, "out" if mode == "out" else "beyond")
        server = start(near, "--serve", name, mode, int(encrypted), size, seconds)
        assert server.stdout is not None
        load = None
        try:
            ready = server.stdout.readline()
            if not ready:
                raise RuntimeError("the server process didn't start")
            load = start(near if mode == "out" else far, *json.loads(ready))
            cpu, packets, arrived, discards = json.loads(server.stdout.readline())
        finally:
            for process in (load, server):
                if process is not None:
                    process.kill()
                    process.wait()
    if discards:
        print(f"  discards: {discards}")
    # The packets that the server received must have passed it, or the figure is that of something
    # else.
    if mode != "out" and arrived < packets * 0.99:
        raise RuntimeError(f"{arrived} of {packets} packets got beyond the server")
    return float(cpu / packets * 1e6)


def measure(name: str, key: Key, options: argparse.Namespace) -> tuple[str, float]:
    """
    Run several times.

    @return: the median with its range, as text, and the median alone.
    """
    costs = sorted(run(name, *key, options.seconds) for _ in range(options.runs))
    cost = statistics.median(costs)
    return f"{cost:.2f} ({costs[0]:.2f}-{costs[-1]:.2f})", cost


def title(name: str, key: Key) -> str:
    """
    The name of a row.
    """
    mode, encrypted, size = key
    return f"{name} {mode} {'MPPE-128' if encrypted else 'plain'} {size}"


def protocol(options: argparse.Namespace) -> dict[Key, float]:
    """
    Measure IPv4, and print its ratios to the targets.

    @return: the cost of each case.
    """
    found = {}
    print(f"{'case':28}{'us a packet':>22}{'k/s a core':>12}{'Gb/s a core':>13}  of target")
    others = [(mode, True, 64) for mode in ("in", "out")]
    for key in (*TARGETS, *others):
        name = title("IPv4", key)
        if options.only and options.only not in name:
            continue
        spread, cost = measure("IPv4", key, options)
        found[key] = cost
        rate, bits = 1e3 / cost, key[2] * 8e-3 / cost
        ratio = ""
        if key in TARGETS:
            unit, target = TARGETS[key]
            share = (bits if unit == "Gb/s" else rate) / target
            ratio = f"{share:.2f} of {target:g} {unit}"
        print(f"{name:28}{spread:>22}{rate:>12.0f}{bits:>13.2f}  {ratio}".rstrip(), flush=True)
    return found


def protocols(options: argparse.Namespace, ipv4: dict[Key, float]) -> None:
    """
    Measure the other protocols, and print their ratios to IPv4 in the same run.
    """
    from tests.bench.case import CASES

    print(f"{'case':28}{'us a packet':>22}{'k/s a core':>12}  of IPv4")
    for name, case in CASES.items():
        for size in SIZES:
            for encrypted in (False, True):
                for mode in case.modes:
                    key = (mode, encrypted, size)
                    row = title(name, key)
                    if name == "IPv4" or (options.only and options.only not in row):
                        continue
                    spread, cost = measure(name, key, options)
                    ways = ("in", "out") if mode == "across" else (mode,)
                    same = [ipv4.get((way, encrypted, size), 0.0) for way in ways]
                    ratio = f"{cost / sum(same):.2f}" if all(same) else ""
                    print(f"{row:28}{spread:>22}{1e3 / cost:>12.0f}  {ratio}".rstrip(), flush=True)


def main() -> None:
    """
    Run every case and print medians, ranges and the ratio to each target.
    """
    parser = argparse.ArgumentParser(description="CPU time a packet of the server process")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one run of a second each")
    parser.add_argument("--only", help="cases whose name has this in it")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.runs = 1.0, 1
    from pptpgw.datapath.mppe import implementation

    load = os.getloadavg()[0]
    print(f"MPPE: {implementation}; {options.runs} runs of {options.seconds:g} s each; ", end="")
    print(f"load average before: {load:.1f}")
    protocols(options, protocol(options))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--gre", "--udp"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    match sys.argv[1:]:
        case ["--serve", name, mode, encrypted, size, seconds]:
            serve(name, mode, encrypted == "1", int(size), float(seconds))
        case ["--gre", encrypted, protocol_, packet]:
            sendGRE(encrypted == "1", int(protocol_), bytes.fromhex(packet))
        case ["--udp", address, octets]:
            sendUDP(address, int(octets))
        case _:
            main()

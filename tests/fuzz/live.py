"""
Fuzzing of a gateway that runs: over TCP and GRE, through every phase, in namespaces of its own.

The attackers are clients of ours whose control messages and GRE packets are altered, doubled and
made up before they leave, more of them or fewer from one call to the next: so some get through each
phase. All the while an honest client must get its calls. At the end the gateway has logged no
failure, holds nothing of the attackers', and stops in order.

Run as root: C{python -m tests.fuzz.live SECONDS [SEED]}; within C{make fuzz} it is one of the
kinds.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pptpgw.wire import ppp
from tests.fuzz.targets import saved
from tests.integration.world import ALICE, GATEWAY, ROOT, Client, Served, World

ATTACKER = "192.0.2.66"
AT_ONCE = 4
CALL_SECONDS = 2.0
NUMBERS = (ppp.LCP, ppp.CHAP, ppp.PAP, ppp.EAP, ppp.CCP, ppp.IPV4, ppp.IPV6, ppp.BRIDGE, ppp.IPX)
SETTLE_SECONDS = 150.0
"""
What a call that lost its peer may take to be noticed: echoes, or a set-up that isn't finished.
"""

OWN_TIMERS = 4
"""
Timers that the gateway itself may have more than before.
"""

SECTIONS: dict[str, dict[str, object]] = {
    "listen": {"max-connections-per-host": 512},
    "link": {
        "authentication": ["mschapv2", "mschap", "chap", "pap"],
        "encryption": "prefer",
        "encryption-bits": [128, 56, 40],
        "encryption-stateful": True,
        "echo-interval": 5,
        "echo-failures": 3,
        "setup-timeout": 20,
    },
    "limits": {"max-failures": 0, "max-failures-per-source": 0},
    "network": {"protocols": ["ipv4", "ipv6", "ipx", "bridge", "appletalk", "netbios"]},
    "ipv6": {"delegate": ["fc00:1::/48"]},
}


_FAILURE = re.compile(r"Traceback|critical\]", re.IGNORECASE)
_SHOWN_LINES = 60


class Mutator:
    """
    Alters octets as a seeded source of random numbers has it.

    @ivar share: how many of a hundred packets are altered.
    """

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.share = 0
        names = ("ppp-packet", "ppp-options", "dhcpv6", "ipv6", "ipx", "gre", "pptp", "chap", "eap")
        self.inputs = [one for name in names for one in saved("decoders", name) if one] or [b"\0"]

    def packets(self, packet: bytes) -> list[bytes]:
        """
        What leaves in place of a packet.
        """
        chance = self.random.random
        if chance() * 100 >= self.share:
            return [packet]
        sent = [self.altered(packet)]
        if chance() < 0.3:
            sent.append(packet)
        if chance() < 0.2:
            sent.append(self.random.choice(self.inputs))
        if chance() < 0.1:
            sent = []
        return sent

    def altered(self, packet: bytes) -> bytes:
        """
        A packet with some octets changed, taken out or put in.
        """
        octets = bytearray(packet)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(octets) + 1)
            kind = self.random.randrange(5)
            if kind == 0:
                octets[at : at + 1] = self.random.randbytes(1)
            elif kind == 1:
                del octets[at : at + self.random.choice((1, 2, 4, 64))]
            elif kind == 2:
                octets[at:at] = self.random.randbytes(self.random.choice((1, 4, 32)))
            elif kind == 3:
                octets[at : at + 2] = self.random.choice((b"\xff\xff", b"\0\0", b"\0\1", b"\x80\0"))
            else:
                octets[at:] = self.random.choice(self.inputs)
        return bytes(octets[:1500])


def attack(seconds: float, seed: str) -> None:
    """
    The process of the attackers, which says at last how many calls it made.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.defer import gatherResults

    from pptpgw.counters import Counters
    from pptpgw.ports.gre import GREPort

    reactor: Any = installed
    mutator = Mutator(seed)

    class AlteringPort(GREPort):
        """
        A GRE port whose packets are altered on their way out.
        """

        def sender(self, localAddress: str, peerAddress: str) -> Callable[[bytes], object]:
            send = GREPort.sender(self, localAddress, peerAddress)

            def altering(packet: bytes) -> None:
                for one in mutator.packets(bytes(packet)):
                    try:
                        send(one)
                    except OSError:
                        pass

            return altering

    port = AlteringPort(reactor, ATTACKER, Counters())
    port.startListening()
    ends = reactor.seconds() + seconds
    counts = {"calls": 0, "logged in": 0}

    async def one(number: int) -> None:
        while reactor.seconds() < ends:
            mutator.share = mutator.random.choice((0, 1, 3, 10, 30))
            await _call(reactor, port, mutator, counts)

    async def every() -> None:
        await gatherResults([_start(one(number)) for number in range(AT_ONCE)])
        print(f"{counts['calls']} calls, {counts['logged in']} logged in", flush=True)
        reactor.stop()

    reactor.callWhenRunning(lambda: _start(every()))
    reactor.run()


def _start(coroutine: Any) -> Any:
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(coroutine).addErrback(lambda failure: failure.printTraceback())


async def _call(reactor: Any, port: Any, mutator: Mutator, counts: dict[str, int]) -> None:
    """
    One connection and a call on it, from its beginning to whatever end.
    """
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater

    from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
    from pptpgw.client import PPTPClientEndpoint
    from pptpgw.datapath.python import PythonDataPath
    from pptpgw.ppp.link import Phase
    from pptpgw.ppp.settings import Identity, LinkSettings
    from tests.hostile.callers import raw

    dataPath = PythonDataPath(reactor, lambda address: port)
    endpoint = PPTPClientEndpoint(
        reactor, GATEWAY, dataPath=dataPath, bindAddress=ATTACKER, timeout=CALL_SECONDS
    )
    choose = mutator.random.choice
    try:
        connection = await endpoint.connect()
    except Exception:
        return
    counts["calls"] += 1
    control: Any = connection._control
    write = control._transport.write

    def altering(octets: bytes) -> None:
        for one in mutator.packets(octets):
            write(one)

    control._transport = _Altered(control._transport, altering)
    methods = choose(((MSCHAPV2,), (MSCHAP,), (CHAP,), (PAP,)))
    settings = LinkSettings(
        identity=Identity(choose((b"alice", b"alice", b"nobody")), b"open sesame", methods),
        encryption=choose(("prefer", "off")),
        bits=choose(((128,), (40, 56, 128))),
        setupTimeout=CALL_SECONDS,
    )
    protocols = raw()
    placed = connection.placeCall(settings, protocols)
    placed.addErrback(lambda failure: None)
    calls = list(control.calls.values())
    loggedIn = False
    for _ in range(choose((1, 20, 60))):
        await deferLater(reactor, 0.02, lambda: None)
        channel: Any = getattr(calls[0].owner, "channel", None) if calls else None
        if channel is None:
            continue
        number = choose([*NUMBERS, *(one.control for one in protocols)])
        channel.sendFrame(number, mutator.altered(choose(mutator.inputs)))
        loggedIn |= calls[0].owner.link.phase is Phase.NETWORK
    counts["logged in"] += loggedIn
    if choose((True, False)):
        ended: Deferred[Any] = connection.close()
        ended.addErrback(lambda failure: None)
    else:
        control._transport.abortConnection()
    await deferLater(reactor, 0.05, lambda: None)


class _Altered:
    """
    A transport that writes otherwise.
    """

    def __init__(self, transport: Any, write: Callable[[bytes], object]) -> None:
        self._transport = transport
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def fuzz(seconds: float, seed: str = "") -> list[str]:
    """
    Attack a gateway for so long; give what was wrong.
    """
    seed = seed or str(time.time_ns())
    print(f"live: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pptpgw-fuzz.") as name:
        folder = Path(name)
        world = World(folder)
        try:
            world.gateway.run("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=0")
            world.caller.ip(f"addr add {ATTACKER}/24 dev eth0")
            return _attacked(world, folder, seconds, seed)
        finally:
            world.remove()


def _attacked(world: World, folder: Path, seconds: float, seed: str) -> list[str]:
    served = Served(world, folder, SECTIONS)
    honest = Client(world.caller)
    wrong: list[str] = []
    answered = 0
    try:
        honest.dial()
        honest.ask("close")
        quiet = served.state()
        quiet["timers"] += OWN_TIMERS
        command = (sys.executable, "-m", "tests.fuzz.live", "--attack", str(seconds), seed)
        attacker = subprocess.Popen(world.caller.command(*command), cwd=ROOT)
        try:
            while attacker.poll() is None:
                call = honest.ask("call", *ALICE, 1400)
                if "error" in call or honest.ask("ping", call["number"]):
                    wrong.append(f"an honest caller wasn't served: {call}")
                honest.ask("close")
                answered += 1
        finally:
            attacker.kill()
            attacker.wait()
        print(f"live: {answered} honest calls were served", flush=True)
        deadline = time.monotonic() + SETTLE_SECONDS
        while any((state := served.state())[name] > most for name, most in quiet.items()):
            if time.monotonic() > deadline:
                wrong.append(f"left behind: {state}, at most {quiet} is allowed")
                break
            time.sleep(0.5)
    except AssertionError as error:
        wrong.append(str(error))
    finally:
        honest.kill()
    try:
        if served.interrupt() != 0:
            wrong.append("the gateway didn't stop in order")
    except AssertionError:
        wrong.append("the gateway doesn't stop")
    if _FAILURE.search(served.text):
        wrong.append("a failure was logged")
    if wrong:
        wrong.append("\n".join(served.text.splitlines()[-_SHOWN_LINES:]))
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "--attack":
        attack(float(sys.argv[2]), sys.argv[3])
    else:
        found = fuzz(float(sys.argv[1]), *sys.argv[2:3])
        print("\n".join(found) or "live: nothing was found")
        sys.exit(bool(found))

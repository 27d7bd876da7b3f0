"""
Tests with a gateway that stands still for a while, while more packets are sent to it than the
kernel keeps.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

import pytest

from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.wire import gre
from tests.integration.world import ALICE, GATEWAY, INSIDE, Client, Served, World
from tests.lab.peers import Process
from tests.octets import encodeFrame

FLAG, ESCAPE = 0x7E, 0x7D
FLOOD = """
import socket, sys
opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
for _ in range(20_000):
    opened.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0))
"""
DATAGRAMS = """
import socket, sys, time
opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    opened.sendto(bytes(1200), (sys.argv[1], 9))
"""

# A program that receives the datagrams of caller.py. At its end it prints how many came from each
# address, and how many weren't sent by the caller or came out of order.
TAKEN = """
import json, signal, socket, sys
from hashlib import sha256
opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
opened.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)
opened.bind(("", 9))
taken, last, wrong = {}, {}, 0
def end(*arguments):
    print(json.dumps([taken, wrong]), flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("takes", flush=True)
while True:
    said, (address, _) = opened.recvfrom(2048)
    number = int.from_bytes(said[4:8], "big")
    taken[address] = taken.get(address, 0) + 1
    whole = said[:4] == socket.inet_aton(address) and said[8:] == sha256(said[:8]).digest() * 16
    wrong += not whole or number <= last.get(address, 0)
    last[address] = number
"""
# A program that sends frames in the name of calls, with numbers from the range of the callers' own.
NOISE = """
import os, random, socket, sys, time
from pptpgw.tunnels.pptp.wire import gre
opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
while True:
    for call in sys.argv[3:]:
        header = random.choice((0x9000, 0x1000)) + random.randrange(4096)
        frame = bytes.fromhex("ff0300fd") + header.to_bytes(2, "big") + os.urandom(540)
        number = random.randrange(int(sys.argv[2]))
        opened.sendto(gre.encode(int(call), frame, number), (sys.argv[1], 0))
    time.sleep(0.004)
"""
OFFERED, PORTION, RATE = 12_000, 2_000, 10_000
"""
The number of datagrams of each session, how many of them the client sends for one command, and how
many a second.
"""


def framed(frame: bytes) -> bytes:
    """
    A PPP frame in asynchronous framing (RFC 1662 section 4).
    """
    fcs = 0xFFFF
    for octet in frame:
        fcs ^= octet
        for _ in range(8):
            fcs = fcs >> 1 ^ (0x8408 if fcs & 1 else 0)
    result = bytearray([FLAG])
    for octet in frame + (fcs ^ 0xFFFF).to_bytes(2, "little"):
        if octet < 0x20 or octet in (FLAG, ESCAPE):
            result += bytes([ESCAPE, octet ^ 0x20])
        else:
            result.append(octet)
    return bytes(result) + bytes([FLAG])


@contextmanager
def standingStill(gateway: Served) -> Iterator[None]:
    """
    Stop the gateway's process meanwhile.
    """
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway.pid, signal.SIGCONT)


def carries(gateway: Served, client: Client, first: int, count: int) -> bool:
    """
    Have C{client} send C{count} datagrams through each call.

    @return: whether all of them, and nothing else, reach the gateway's network.
    """
    before = gateway.sessions()
    client.ask("datagrams", first, first + count - 1, 1000)
    deadline = time.monotonic() + 0.5
    while True:
        after = gateway.sessions()
        assert after.keys() == before.keys(), gateway.text
        more = [after[one]["packetsReceived"] - before[one]["packetsReceived"] for one in after]
        if more == [count] * len(more):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


@pytest.mark.skipif(shutil.which("pptp") is None, reason="needs the program pptp")
def test_aRealClientIsNotToldOfAFullQueue(
    world: World, serve: Callable[..., Served], tmp_path: Path
) -> None:
    """
    A real client isn't told of a full queue: Debian's pptp ends when the kernel answers a packet
    with ICMP 'protocol unreachable'.
    """
    gateway = serve()
    (tmp_path / "run").mkdir()
    mounted = f'mkdir -p /run/pptp && mount --bind {tmp_path}/run /run/pptp && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh"]
    command += ["pptp", GATEWAY, "--nolaunchpppd", "--loglevel", "0"]
    request = ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, b"")
    asked = framed(encodeFrame(ppp.LCP, request))
    acknowledged = framed(encodeFrame(ppp.LCP, b"\x02" + request[1:]))
    command = world.caller.command(*command)
    line, end = socket.socketpair()
    with line, end, subprocess.Popen(command, stdin=end.fileno(), stdout=end.fileno()) as client:
        try:
            line.settimeout(10)
            # The gateway's first Configure-Request shows that the call is set up.
            assert line.recv(1)
            with standingStill(gateway):
                packet = gre.encode(0xFFFF, bytes(1400), 1).hex()
                world.caller.run(sys.executable, "-c", FLOOD, GATEWAY, packet)
                for _ in range(20):
                    line.send(asked)
                    time.sleep(0.05)
                assert client.poll() is None
            heard = b""
            while acknowledged not in heard:
                line.send(asked)
                heard += line.recv(4096)
            assert client.poll() is None
        finally:
            client.kill()


@pytest.mark.parametrize(("pause", "times"), [(3.0, 1), (0.2, 15)], ids=["once", "often"])
def test_aSessionSurvivesWhatItLost(
    world: World,
    serve: Callable[..., Served],
    client: Callable[[], Client],
    tmp_path: Path,
    pause: float,
    times: int,
) -> None:
    """
    A session with MPPE survives the loss of many thousand packets, in a row or because more are
    sent than can be taken.
    """
    gateway = serve()
    dialling = client()
    call = dialling.dial()
    assert "MPPE" in call["encryption"]
    dialling.ask("kernel", call["number"])
    world.caller.ping(INSIDE)
    flood = [sys.executable, "-c", DATAGRAMS, INSIDE, str(pause * times)]
    flooding = Process(world.caller.command(*flood), tmp_path / "flood.log")
    for _ in range(times):
        with standingStill(gateway):
            time.sleep(pause)
        time.sleep(pause / 20)
    assert flooding.wait() == 0
    deadline = time.monotonic() + 10
    while not world.caller.reaches(INSIDE):
        assert time.monotonic() < deadline, gateway.text
    world.caller.ping(INSIDE)
    assert "ended" not in gateway.text


@pytest.mark.parametrize("kind", ["stateless", "stateful"])
def test_sessionsSurviveMoreThanTheGatewayCanTake(
    world: World,
    serve: Callable[..., Served],
    client: Callable[[], Client],
    tmp_path: Path,
    kind: str,
) -> None:
    """
    Two sessions with MPPE survive the loss of most of their packets, in a gateway that has a
    fraction of the time that they need, while forged frames arrive in their names. Only what the
    callers sent is let through.
    """
    stateful = kind == "stateful"
    gateway = serve(link={"encryption-stateful": stateful})
    dialling = client()
    calls = [dialling.ask("call", *ALICE, 1400, "mschapv2", stateful) for _ in range(2)]
    encryptions = [one["encryption"] for one in gateway.sessions().values()]
    assert encryptions == [f"MPPE 128 bit {kind}"] * 2
    command = world.inside.command(sys.executable, "-c", TAKEN)
    taking = Process(command, tmp_path / "taken.log")
    taking.waitFor("takes")
    command = [sys.executable, "-c", NOISE, GATEWAY, str(OFFERED)]
    command += [str(call["callID"]) for call in calls]
    noise = Process(world.caller.command(*command), tmp_path / "noise.log")

    def offer() -> None:
        for first in range(1, OFFERED, PORTION):
            dialling.ask("datagrams", first, first + PORTION - 1, RATE)

    with ThreadPoolExecutor(1) as pool:
        offering = pool.submit(offer)
        stalls = chain((0.6, 0.4), repeat(0.05))
        while not offering.done():
            with standingStill(gateway):
                time.sleep(next(stalls))
            time.sleep(0.003)
    offering.result()
    # What waits in the kernel is read, and then the gap at the end is noticed.
    first, deadline = OFFERED + 1, time.monotonic() + 10
    while not carries(gateway, dialling, first, 20):
        first += 20
        assert time.monotonic() < deadline, gateway.text
    noise.stop(signal.SIGKILL)
    # A forged frame that is held may have the number of a frame to come.
    time.sleep(0.3)
    assert carries(gateway, dialling, first + 20, 200)

    sessions = gateway.sessions()
    taking.stop()
    taken, wrong = json.loads(taking.text.splitlines()[-1])
    assert wrong == 0
    assert taken == {address: one["packetsReceived"] for address, one in sessions.items()}
    for one in sessions.values():
        # Those that the kernel dropped, and those that were dropped of a full lane.
        lost = one["discards"].pop("lost before it reached us")
        lost += one["discards"].pop("queue full", 0)
        assert lost > OFFERED / 4
        # The forged frames.
        assert sum(one["discards"].values()) > 0
        assert OFFERED / 50 < one["packetsReceived"] < OFFERED * 3 / 4
    for call in calls:
        assert dialling.ask("ping", call["number"]) == {}
    assert "ended" not in gateway.text

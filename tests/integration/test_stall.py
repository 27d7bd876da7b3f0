"""
A gateway that stands still for a while, with more packets on the way to it than the kernel keeps.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pptpgw.wire import gre, ppp
from tests.integration.world import GATEWAY, INSIDE, Client, Served, World
from tests.lab.peers import Process

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


def framed(frame: bytes) -> bytes:
    """
    A PPP frame as it is on an asynchronous line (RFC 1662 section 4).
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
    The gateway does nothing meanwhile.
    """
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway.pid, signal.SIGCONT)


@pytest.mark.skipif(shutil.which("pptp") is None, reason="needs the program pptp")
def test_aRealClientIsNotToldOfAFullQueue(
    world: World, serve: Callable[..., Served], tmp_path: Path
) -> None:
    """
    Debian's pptp ends when the kernel answers one of its packets with ICMP 'protocol unreachable'.
    """
    gateway = serve()
    (tmp_path / "run").mkdir()
    mounted = f'mkdir -p /run/pptp && mount --bind {tmp_path}/run /run/pptp && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh"]
    command += ["pptp", GATEWAY, "--nolaunchpppd", "--loglevel", "0"]
    request = ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, b"")
    asked = framed(ppp.encodeFrame(ppp.LCP, request))
    acknowledged = framed(ppp.encodeFrame(ppp.LCP, b"\x02" + request[1:]))
    command = world.caller.command(*command)
    line, end = socket.socketpair()
    with line, end, subprocess.Popen(command, stdin=end.fileno(), stdout=end.fileno()) as client:
        try:
            line.settimeout(10)
            # The gateway's first Configure-Request: the call is set up.
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
    Many thousand packets are lost, in a row or because there are always more than can be taken, and
    the session goes on under MPPE.
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

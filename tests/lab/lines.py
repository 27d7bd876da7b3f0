"""
Lines between programs of the lab: null modems, which may damage octets, pppd as the end that
answers, and octets that go by TCP there and back.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.lab.forked import Forked
from tests.lab.peers import Host, Namespace, Process

PPTPGW = Path(sys.executable).parent / "pptpgw"

SECRETS = """\
carol * "battery staple" *
"""
"""
The secrets of a pppd that answers.
"""

CAROL = ("carol", "battery staple")

# A program that accepts one TCP connection and makes it the standard input and output of a command.
_ACCEPT = """\
import os, socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
print("listening", file=sys.stderr, flush=True)
connection, _ = listener.accept()
os.dup2(connection.fileno(), 0)
os.dup2(connection.fileno(), 1)
os.execvp(sys.argv[2], sys.argv[2:])
"""

Damage = Callable[[bytes], bytes]


def unchanged(octets: bytes) -> bytes:
    return octets


def nothing(octets: bytes) -> bytes:
    return b""


class Spoiler:
    """
    Damages one octet in every C{every} that pass.

    @ivar done: how many octets it has damaged.
    """

    def __init__(self, every: int, change: Damage) -> None:
        self.done = 0
        self._every = every
        self._change = change
        self._passed = 0

    def __call__(self, octets: bytes) -> bytes:
        spoiled = bytearray()
        for octet in octets:
            self._passed += 1
            one = bytes([octet])
            if self._passed % self._every == 0:
                self.done += 1
                one = self._change(one)
            spoiled += one
        return bytes(spoiled)


def dropped(octet: bytes) -> bytes:
    return b""


def doubled(octet: bytes) -> bytes:
    return octet + octet


def flipped(octet: bytes) -> bytes:
    return bytes([octet[0] ^ 0x10])


class NullModem:
    """
    Two serial devices whose lines are crossed. There is no carrier: neither end notices when the
    other closes its device.

    @ivar devices: the paths of the devices.
    @ivar damage: the functions that change octets on their way from the first device to the second,
        and back.
    @ivar lost: how many octets were lost, as nobody has read them in time.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.damage: list[Damage] = [unchanged, unchanged]
        self.devices: list[str] = []
        self._ends: list[int] = []
        for _ in range(2):
            end, device = os.openpty()
            tty.setraw(device)
            self.devices.append(os.ttyname(device))
            os.close(device)
            os.set_blocking(end, False)
            self._ends.append(end)
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([*self._ends, self._stopped], [], [])
            if self._stopped in ready:
                return
            for way, end in enumerate(self._ends):
                if end in ready:
                    try:
                        octets = os.read(end, 4096)
                    except OSError:
                        # Nobody has opened this device.
                        time.sleep(0.01)
                        continue
                    octets = self.damage[way](octets)
                    written = 0
                    with suppress(BlockingIOError):
                        # Octets that nobody reads are lost.
                        written = os.write(self._ends[1 - way], octets)
                    self.lost += len(octets) - written

    def close(self) -> None:
        """
        Close both devices, and wait for the thread that copies octets.
        """
        os.write(self._stop, b".")
        self._thread.join()
        for descriptor in (*self._ends, self._stopped, self._stop):
            os.close(descriptor)


def echoed(here: Namespace, there: Namespace, address: str, octets: bytes) -> bytes:
    """
    Send C{octets} by TCP from one network namespace to C{address}, which is another one's, and
    return what comes back after that has them all.
    """

    def echo() -> None:
        connection = listener.accept()[0]
        with connection, connection.makefile("rb") as file:
            connection.sendall(file.read())

    with there.entered():
        listener = socket.create_server((address, 0))
    with listener:
        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        with here.entered():
            connection = socket.create_connection(listener.getsockname(), timeout=150)
        with connection, connection.makefile("rb") as file:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            returned = file.read()
        thread.join()
    return returned


def ppp(host: Host, *words: str, log: str = "pptpgw.log") -> Process:
    """
    Run C{pptpgw ppp} on C{host}.
    """
    return Forked(host, PPTPGW, ["ppp", *words], host.runFolder / log)


def passwordFile(host: Host, password: str) -> str:
    """
    Make a file with a password, and return its path.
    """
    path = host.runFolder / "password"
    path.touch(0o600)
    path.write_text(f"{password}\n")
    return str(path)


def answering(host: Host, line: Sequence[str], *options: str, port: int = 0) -> Process:
    """
    Run pppd as the end that answers, like a server that L{CAROL} calls.

    @param line: the options that name the line.
    @param port: the TCP port on which it waits; 0 for none.
    """
    folder = host.runFolder / "etc"
    folder.mkdir(exist_ok=True)
    (folder / "options").touch()
    for name in ("chap-secrets", "pap-secrets"):
        (folder / name).touch(0o600)
        (folder / name).write_text(SECRETS)
    mounted = f'mount --bind {folder} /etc/ppp && exec "$@"'
    accept = [sys.executable, "-c", _ACCEPT, str(port)] if port else []
    own = ["nodetach", "debug", "logfd", "2", "auth", "name", "server", "10.9.0.1:10.9.0.2"]
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *accept, "pppd", *line, *own]
    answerer = Process(host.command(*command, *options), host.runFolder / "answering.log")
    if port:
        answerer.waitFor("listening")
    return answerer

"""
Network namespaces with a gateway, callers of our own and a host behind the gateway.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from hashlib import sha256
from multiprocessing import Pipe
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from tests.lab.forked import Child, Forked
from tests.lab.peers import Namespace, Process, run
from tests.lab.server import Sections, toml

ROOT = Path(__file__).parents[2]
GATEWAY = "192.0.2.1"
CALLER = "192.0.2.10"
INSIDE = "198.51.100.2"
LOCAL = "10.77.0.1"
SECRETS = """\
alice * "open sesame" *
meter * kilowatt 10.99.0.7
"""
ALICE = ("alice", "open sesame")
METER = ("meter", "kilowatt")


class World:
    """
    Three namespaces: the gateway's, a caller's on a wire with it, and that of a host behind the
    gateway.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"pptpgw{os.getpid()}"
        self.made: list[Namespace] = []
        self.gateway = self.namespace("g")
        self.caller = self.namespace("c")
        self.inside = self.namespace("i")
        self.gateway.ip(
            f"link add wire type veth peer name eth0 netns {self.caller.name}",
            f"addr add {GATEWAY}/24 dev wire",
            "link set wire up",
            f"link add lan type veth peer name eth0 netns {self.inside.name}",
            "addr add 198.51.100.1/24 dev lan",
            "link set lan up",
        )
        self.caller.ip(f"addr add {CALLER}/24 dev eth0", "link set eth0 up")
        self.inside.ip(
            f"addr add {INSIDE}/24 dev eth0",
            "link set eth0 up",
            "route add default via 198.51.100.1",
        )
        self.gateway.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    def namespace(self, name: str) -> Namespace:
        """
        Make one more, empty namespace.
        """
        made = Namespace(f"{self.prefix}{name}{len(self.made)}")
        self.made.append(made)
        return made

    def reset(self) -> None:
        """
        Kill the programs in the namespaces, and repair the wire.
        """
        for namespace in self.made:
            namespace.kill()
        self.caller.ip("link set eth0 up")

    def remove(self) -> None:
        """
        Kill the programs in the namespaces, and remove the namespaces.
        """
        for namespace in self.made:
            namespace.kill()
            run("ip", "netns", "del", namespace.name)


class Program(Process):
    """
    A program of ours in a namespace. It is found by the name of its module or script.
    """

    def __init__(self, namespace: Namespace, log: Path, *command: str) -> None:
        super().__init__(namespace.command(*command), log)
        self.namespace = namespace


def devices(namespace: Namespace) -> list[tuple[object, object]]:
    """
    The network devices and routes of a namespace.
    """
    links: list[tuple[object, object]] = [
        ("link", link["ifname"]) for link in namespace.show("link")
    ]
    routes = namespace.show("route", "show", "table", "all")
    return sorted(links + [(route["dst"], route["dev"]) for route in routes], key=str)


def fingerprint(certificate: Path) -> str:
    """
    The SHA-256 of a gateway's certificate for SSTP, in hexadecimal digits.
    """
    text = certificate.read_text()
    der = PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
    return sha256(der).hexdigest()


class Served(Forked):
    """
    The gateway of C{served.py}. The constructor returns when it serves.
    """

    def __init__(
        self, world: World, folder: Path, sections: Sections, auth: str | None = None
    ) -> None:
        """
        @param auth: the checker of callers, or C{None} for a file with our users.
        """
        self.before = devices(world.gateway)
        self.starts = 1
        configuration, secrets = folder / "pptpgw.toml", folder / "chap-secrets"
        configuration.write_text(toml({"management": {"endpoints": []}, **sections}))
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        words = ["--config", str(configuration), "--auth", auth or f"chap-secrets:{secrets}"]
        script = Path(__file__).parent / "served.py"
        super().__init__(world.gateway, script, words, folder / "gateway.log")
        self.waitFor("serves")

    def state(self) -> dict[str, int]:
        """
        The numbers of everything that it has; see C{served.py}.
        """
        reports = self.text.count("STATE ")
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while (text := self.text).count("STATE ") == reports or not text.endswith("\n"):
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
        (line,) = [line for line in text.splitlines() if line.startswith("STATE ")][-1:]
        found: dict[str, int] = json.loads(line.removeprefix("STATE "))
        return found

    def sessions(self) -> dict[str, dict[str, Any]]:
        """
        The figures of its sessions, by address; see C{served.py}.
        """
        self.state()
        (line,) = [line for line in self.text.splitlines() if line.startswith("SESSIONS ")][-1:]
        found = json.loads(line.removeprefix("SESSIONS "))
        return {one["addresses"][0].removesuffix("/32"): one for one in found}

    def restart(self) -> None:
        """
        Stop its service and start it again.
        """
        os.kill(self.pid, signal.SIGUSR2)
        self.starts += 1
        self.waitFor(rf"(?s)(serves\n.*){{{self.starts}}}")

    def settle(self, wanted: dict[str, int], timeout: float = 5.0) -> None:
        """
        Wait until its state is C{wanted}.
        """
        deadline = time.monotonic() + timeout
        while (state := self.state()) != wanted:
            assert time.monotonic() < deadline, f"{state}, not {wanted}"
            time.sleep(0.05)


class Client:
    """
    Our own client in a namespace, the program C{caller.py}.
    """

    def __init__(self, namespace: Namespace, *path: Path) -> None:
        """
        @param path: additional folders in which Python looks for modules.
        """
        stdin, self._orders = Pipe(duplex=False)
        self._answers, stdout = Pipe(duplex=False)
        script = Path(__file__).parent / "caller.py"
        streams = {0: stdin, 1: stdout}
        self._child = Child(namespace, script, [GATEWAY], streams, list(map(str, path)))
        self._lines = b""

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def answer(self, timeout: float = 15.0) -> Any:
        """
        The next line that it prints, decoded from JSON.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._lines:
            left = deadline - time.monotonic()
            assert left > 0, f"the client says nothing within {timeout} s"
            if self._answers.poll(left):
                octets = os.read(self._answers.fileno(), 65536)
                assert octets, "the client ended"
                self._lines += octets
        line, _, self._lines = self._lines.partition(b"\n")
        return json.loads(line)

    def order(self, *command: object) -> None:
        """
        Send a command, without waiting for the answer; see C{caller.py}.
        """
        os.write(self._orders.fileno(), json.dumps(command).encode() + b"\n")

    def ask(self, *command: object) -> Any:
        """
        Send a command, and return the answer.
        """
        self.order(*command)
        return self.answer()

    def dial(self, who: Sequence[str] = ALICE, mru: int = 1400) -> dict[str, str]:
        """
        Place a call, over a new connection if there is none yet.
        """
        call = self.ask("call", *who, mru)
        assert "error" not in call, call
        found: dict[str, str] = call
        return found

    def kill(self) -> None:
        """
        Kill the client.
        """
        if self.running:
            self._child.send_signal(signal.SIGKILL)
        self._child.wait(15)
        self._orders.close()
        self._answers.close()

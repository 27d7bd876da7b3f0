"""
The gateway in its namespace, started as an operator starts it.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.forked import Forked
from tests.lab.peers import Namespace, Process

SECRETS = """\
# client  server  secret  addresses
alice     *       "correct horse"  *
bob       *       battery          10.77.0.200
"NT\\\\carol" *   staple           *
"""

ALICE = ("alice", "correct horse")
BOB = ("bob", "battery")

TWISTD = Path(sys.executable).parent / "twistd"

PORT, GRE = ":06BB", ":002F"
LISTENS, CONNECTED = "0A", {"01", "08"}
"""
TCP's port, GRE's number, and states of TCP's sockets, as proc(5) has them.
"""

Sections = Mapping[str, Mapping[str, object]]


def toml(sections: Sections) -> str:
    """
    Return a configuration file with these sections. JSON's strings, numbers, booleans and lists are
    valid TOML.
    """
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


class Gateway(Forked):
    """
    C{twistd -n pptpgw}. The constructor returns when it serves.

    @ivar down: whether L{shutDown} was called.
    """

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        sections: Sections,
        program: Path = TWISTD,
        auth: str = "",
    ) -> None:
        """
        @param auth: the checker of users; empty for one that has L{SECRETS}.
        """
        self.namespace = namespace
        self.down = False
        self._before = self._made()
        configuration = folder / "pptpgw.toml"
        configuration.write_text(toml({"management": {"endpoints": []}, **sections}))
        secrets = folder / "chap-secrets"
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        words = ["--nodaemon", "--pidfile=", "pptpgw"]
        words += ["--config", str(configuration), "--auth", auth or f"chap-secrets:{secrets}"]
        super().__init__(namespace, program, words, folder / "gateway.log")
        deadline = time.monotonic() + 30
        # The gateway says where it answers once everything has started, after its ports are open.
        while not self.serves() or " answers on " not in self.text:
            assert self.running, f"the gateway ended at once:\n{self.text}"
            assert time.monotonic() < deadline, f"the gateway doesn't listen:\n{self.text}"
            time.sleep(0.05)

    def serves(self) -> bool:
        """
        Return whether TCP port 1723 listens and a socket for GRE is open.
        """
        return LISTENS in self._sockets("tcp", PORT) and bool(self._sockets("raw", GRE))

    def rest(self) -> None:
        """
        Wait until no caller is connected, and no device of a call is left.
        """
        deadline = time.monotonic() + 20
        while CONNECTED & self._sockets("tcp", PORT) or re.search(
            r"(?m)^ *ppp\d", self._net("dev")
        ):
            assert time.monotonic() < deadline, f"calls are left:\n{self.text}"
            time.sleep(0.02)

    def _sockets(self, table: str, port: str) -> set[str]:
        """
        Return the states of the sockets of this port, which is a protocol's number for raw sockets.
        """
        rows = [line.split() for line in self._net(table).splitlines()[1:]]
        return {row[3] for row in rows if row[1].endswith(port)}

    def _net(self, table: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/net/{table}").read_text()
        except OSError:
            return ""

    def descriptors(self) -> int:
        """
        Return how many file descriptors the process has open.
        """
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def residentKiB(self) -> int:
        """
        Return how much memory of the process is resident, in KiB.
        """
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1])

    def shutDown(self) -> None:
        """
        Interrupt the gateway, as Ctrl-C does. It must end in order, and leave nothing behind.
        """
        self.down = True
        assert self.running, f"the gateway ended by itself:\n{self.text}"
        try:
            status = self.stop(signal.SIGINT)
        finally:
            self.stop(signal.SIGKILL)
        # After twistd has stopped everything, it ends by the signal that stopped it.
        assert status in (0, -signal.SIGINT), f"exit status {status}:\n{self.text}"
        assert self._made() == self._before
        assert "Traceback" not in self.text, self.text

    def _made(self) -> tuple[list[str], list[str]]:
        """
        Return the devices and routes that exist, without the ports of hosts that are new on the
        wire.
        """
        links, routes = self.namespace.showEach("link", "route show table all")
        return (
            sorted(name for link in links if not (name := str(link["ifname"])).startswith("port")),
            sorted(f"{route['dst']} {route['dev']}" for route in routes),
        )

    def shown(self, user: str) -> dict[str, Any]:
        """
        Return what C{pptpgw session show} says of a user's session. The gateway must have a
        management interface.
        """
        configuration = str(self.log.parent / "pptpgw.toml")
        command = [sys.executable, "-m", "pptpgw.command", "session", "show", user, "--json"]
        found: dict[str, Any] = json.loads(self.namespace.run(*command, "-c", configuration))
        return found


class Shared:
    """
    A gateway that several tests use in turn, as starting one takes seconds in the lab's kernel.
    """

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._sections: Sections = {}

    def start(self, namespace: Namespace, folder: Path, sections: Sections) -> None:
        """
        Have a gateway with these sections run: the one that runs, if it has them and has come to
        rest, or a new one.
        """
        if self._gateway is not None and self._sections == sections:
            self._gateway.rest()
            Process.logs.append(self._gateway.log)
        else:
            self.end()
            self._gateway, self._sections = Gateway(namespace, folder, sections), sections

    def end(self) -> None:
        """
        Shut the gateway down, if one runs.
        """
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.shutDown()


BOTH = pytest.mark.parametrize("path", ["python", "kernel", "native"], indirect=True)
"""
The mark of tests that run with either data path; others run with C{python}, and those of
C{test_kernel} with C{kernel}.
"""

ShareGateway = Callable[..., None]
"""
The type of the fixture C{shareGateway}. Its keyword arguments are the sections of a configuration.
"""

StartGateway = Callable[..., Gateway]
"""
The type of the fixture C{startGateway}. Its keyword arguments are the sections of a configuration;
C{program} runs in the place of twistd, and C{auth} is the checker of users, instead of one that has
L{SECRETS}.
"""

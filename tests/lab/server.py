"""
The gateway in its namespace, started as an operator starts it.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

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


class Gateway(Process):
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
        command = [sys.executable, str(program), "--nodaemon", "--pidfile=", "pptpgw"]
        command += ["--config", str(configuration), "--auth", auth or f"chap-secrets:{secrets}"]
        super().__init__(namespace.command(*command), folder / "gateway.log")
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
        folder = Path(f"/proc/{self.pid}/net")
        try:
            tcp, raw = (folder / "tcp").read_text(), (folder / "raw").read_text()
        except OSError:
            return False
        return any(
            line.split()[1].endswith(":06BB") and line.split()[3] == "0A"
            for line in tcp.splitlines()[1:]
        ) and any(line.split()[1].endswith(":002F") for line in raw.splitlines()[1:])

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
        links = (str(link["ifname"]) for link in self.namespace.show("link"))
        routes = self.namespace.show("route", "show", "table", "all")
        return (
            sorted(name for name in links if not name.startswith("port")),
            sorted(f"{route['dst']} {route['dev']}" for route in routes),
        )


StartGateway = Callable[..., Gateway]
"""
The type of the fixture C{startGateway}. Its keyword arguments are the sections of a configuration;
C{program} runs in the place of twistd, and C{auth} is the checker of users, instead of one that has
L{SECRETS}.
"""

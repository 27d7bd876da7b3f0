"""
A gateway and its callers, each in a process of its own, at the two ends of a veth pair. If there
are two processors they have one each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench import paths, tunnels
from tests.bench.caller import PASSWORD, PATIENCE
from tests.bench.gateway import CONFIGURATION
from tests.bench.namespaces import Namespaces, namespaces
from tests.bench.process import Worker
from tests.lab.server import toml

SECRETS, STORE, RADIUS = "chap-secrets", "accounts", "radius"
"""
What judges the callers: a file, the embedded account store, or a FreeRADIUS, which shares the
callers' processor.
"""

POOL = ("10.77.0.10-10.77.255.250",)
USERS = 1000
WARM_UP = 20
SETTLE = 1.5
"""
Seconds after which the acknowledgements of a set-up are sent and its timers are over.
"""

Sections = Mapping[str, Mapping[str, object]]
NOTHING: Sections = {}


class Both:
    """
    The gateway's process and a callers' process.

    @ivar server: the gateway.
    @ivar made: the namespaces.
    @ivar folder: the gateway's files.
    """

    def __init__(
        self,
        made: Namespaces,
        path: str,
        auth: str,
        folder: Path,
        tunnel: str,
        users: int,
        sources: int,
    ) -> None:
        self.made = made
        self.folder = folder
        self._who = tunnel, folder / tunnels.CERTIFICATE, users, sources
        self._workers: list[Worker] = []
        self.server = self._started(made.gateway, "gateway", path, auth, folder)
        # The server answers when it listens.
        self.sessions()

    def _started(self, namespace: str, module: str, *words: object) -> Worker:
        worker = Worker(namespace, module, *words)
        self._workers.append(worker)
        return worker

    @cached_property
    def caller(self) -> Worker:
        """
        The callers' process, which is started when it is needed.
        """
        return self.callers()

    def callers(self, encryption: str = "require", device: str = "") -> Worker:
        """
        Start another process of callers. See L{tests.bench.caller}.
        """
        words = [device] if device else []
        return self._started(self.made.callers, "caller", *self._who, encryption, *words)

    def cpu(self) -> float:
        """
        Return the processor time of the server process so far, in seconds.
        """
        seconds: float = self.server.ask("cpu")
        return seconds

    def memory(self) -> int:
        """
        Return the resident memory of the server process, in octets.
        """
        octets: int = self.server.ask("memory")
        return octets

    def paths(self) -> list[str]:
        """
        Return what carries the packets of the server's sessions: the names of data paths.
        """
        found: list[str] = self.server.ask("paths")
        return found

    def sessions(self) -> int:
        """
        Return how many sessions the server process has.
        """
        count: int = self.server.ask("sessions")
        return count

    def figures(self) -> dict[str, int]:
        """
        Return the server process's resident memory in octets, open files, and pending calls of its
        reactor.
        """
        figures: dict[str, int] = self.server.ask("figures")
        return figures

    def open(self, count: int, concurrency: int = 1) -> list[float]:
        """
        Set up C{count} more sessions, C{concurrency} at a time.

        @return: the seconds that each took.
        """
        before = self.sessions()
        took: list[float] = self.caller.ask(f"open {count} {concurrency}")
        if len(took) != count or self.sessions() != before + count:
            raise RuntimeError(f"{len(took)} of {count} sessions were set up")
        return took

    def close(self) -> int:
        """
        Hang up every session.

        @return: how many there were.
        """
        count: int = self.caller.ask("close")
        if self.sessions():
            raise RuntimeError("a session outlived its caller")
        return count

    def vanish(self) -> Any:
        """
        Kill the callers while the server process stands still, so that it learns of all ends at
        once. The next callers are in a new process.

        @return: how late the server's reactor was.
        """
        pid = self.server.process.pid
        self.server.send("vanish")
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
        self.caller.kill()
        self._workers.remove(self.caller)
        time.sleep(1)
        os.kill(pid, signal.SIGCONT)
        del self.caller
        return self.server.read()

    def end(self) -> None:
        """
        Kill all processes.
        """
        for worker in reversed(self._workers):
            worker.kill()


def configure(
    folder: Path,
    sections: Sections,
    users: int = USERS,
    owners: bool = False,
    name: str = "",
    tunnel: str = tunnels.PPTP,
) -> None:
    """
    Write the server's files: the defaults except for limits and the size of the pool.

    @param users: how many users there are.
    @param owners: whether every other user has an address of its own.
    @param name: the configuration's name, for one that isn't read yet.
    """
    secrets = folder / "chap-secrets"
    secrets.touch(0o600)
    own = (f"10.80.{n >> 8}.{n & 255}" if owners and n % 2 else "*" for n in range(users))
    secrets.write_text("".join(f'caller{n} * "{PASSWORD}" {one}\n' for n, one in enumerate(own)))
    all_: dict[str, Mapping[str, object]] = {
        "listen": {
            "tunnels": [tunnel],
            "max-connections": 32768,
            "max-connections-per-host": 32768,
            # All callers share a process, which has connected thousands before it says a word.
            "max-silent-connections": 32768,
        },
        **tunnels.sections(tunnel, folder, PATIENCE),
        "limits": {"max-setups": 0, "max-setups-per-source": 0},
        "link": {"encryption": "require", "setup-timeout": PATIENCE},
        "ipv4": {"pool": POOL},
        "management": {"endpoints": []},
        "accounts": {"store": f"sqlite:{folder}/accounts.sqlite", "key": f"{folder}/key"},
    }
    for section, keys in sections.items():
        all_[section] = {**all_.get(section, {}), **keys}
    path = folder / (name or CONFIGURATION)
    path.touch(0o600)
    path.write_text(toml(all_))


@contextmanager
def running(
    path: str = paths.PYTHON,
    auth: str = SECRETS,
    sections: Sections = NOTHING,
    *,
    tunnel: str = tunnels.PPTP,
    users: int = USERS,
    sources: int = 1,
    warmUp: int = WARM_UP,
    owners: bool = False,
) -> Iterator[Both]:
    """
    A gateway and its callers, warmed up by some set-ups, one after the other.

    @param sections: what its configuration has besides.
    @param tunnel: by which tunnel they call.
    @param users: how many users there are.
    @param sources: from how many addresses the callers call.
    @param owners: whether every other user has an address of its own.
    """
    # The files are in memory, as others who use a disk delay the writing to it.
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    radius = None
    with (
        tempfile.TemporaryDirectory(dir=shared) as name,
        # FreeRADIUS can't open its file of accounting records there.
        tempfile.TemporaryDirectory() as other,
        namespaces() as made,
    ):
        folder = Path(name)
        more = {**sections, "datapath": paths.configured(path)}
        both = None
        try:
            if auth == RADIUS:
                radius = Worker(made.gateway, "radius", Path(other) / "radius", users)
                more["[radius.server]"] = radius.read()
            configure(folder, more, users, owners, tunnel=tunnel)
            if auth == STORE:
                command = [sys.executable, "-m", "tests.bench.accounts", name, str(users)]
                subprocess.run(command, check=True)
            judge = f"{auth}:{folder}/chap-secrets" if auth == SECRETS else auth
            both = Both(made, path, judge, folder, tunnel, users, sources)
            for _ in range(warmUp):
                both.open(1)
                both.close()
            yield both
        finally:
            if both is not None:
                both.end()
            if radius is not None:
                radius.end()

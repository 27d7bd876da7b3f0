"""
Runs the PostgreSQL server of Debian's package for tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

_NUMBERS = count(1)


class Server:
    """
    A server with a cluster of its own, in a temporary folder, and with a Unix socket there.
    """

    def __init__(self) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not binaries:
            pytest.skip("needs PostgreSQL: apt-get install postgresql")
        self._bin = binaries[-1]
        # The folder is in /tmp because the path of a Unix socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        # PostgreSQL refuses to run as root.
        self._who: Any = {"user": "postgres", "group": "postgres", "extra_groups": []}
        if os.geteuid():
            self._who = {}
        else:
            shutil.chown(self.folder, "postgres", "postgres")
        options: list[str | Path] = [
            "--auth=trust",
            "--no-sync",
            "--username=tests",
            "--pgdata",
            self._cluster,
        ]
        subprocess.run(
            [self._bin / "initdb", *options], check=True, capture_output=True, **self._who
        )
        self.start()

    def start(self) -> None:
        """
        Start the server, and wait until it serves.
        """
        settings = f"listen_addresses= unix_socket_directories={self.folder} fsync=off".split()
        command: list[str | Path] = [self._bin / "postgres", "-D", self._cluster]
        for setting in settings:
            command += ["-c", setting]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._who)
        deadline = time.monotonic() + 30
        ready: list[str | Path] = [self._bin / "pg_isready", "--quiet", "--host", self.folder]
        while subprocess.run(ready).returncode:
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server doesn't answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """
        Stop the server, which cuts off its clients.
        """
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """
        Stop all processes of the server by SIGSTOP inside the block, so that it hangs.
        """
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        # The first process makes new ones, so it is stopped before the others are listed.
        os.kill(self._process.pid, signal.SIGSTOP)
        processes = [self._process.pid, *map(int, children.read_text().split())]
        for process in processes[1:]:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            # Continue the first process last: it would reap those that ended before they were
            # stopped.
            for process in reversed(processes):
                os.kill(process, signal.SIGCONT)

    def remove(self) -> None:
        """
        Stop the server, and remove its folder.
        """
        self.stop()
        shutil.rmtree(self.folder)

    def fresh(self) -> str:
        """
        Return the URL of a new schema without tables.
        """
        schema = f"t{next(_NUMBERS)}"
        self.execute(f"CREATE SCHEMA {schema}")
        return f"{self.url}&options={quote(f'-csearch_path={schema}')}"

    @property
    def url(self) -> str:
        """
        The URL of the database.
        """
        return f"postgresql://tests@/postgres?host={self.folder}"

    def execute(self, statement: str) -> None:
        """
        Run a statement as the owner of the database.
        """
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

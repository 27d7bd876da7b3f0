"""
Programs in Python that start at once. Imports take Python seconds in the lab's kernel, so one
process does them for all programs, and each program runs in a fork of it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pkgutil
import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, cast

from twisted import plugins

from tests.lab.peers import Namespace, Process, enter

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        __name__,
        "twisted.scripts.twistd",
        "twisted.internet.epollreactor",
        *(module.name for module in pkgutil.iter_modules(plugins.__path__, "twisted.plugins.")),
        "pptpgw.tap",
        "pptpgw.command.ppp",
        *(
            plugin.module
            for plugin in distribution("pptpgw").entry_points
            if plugin.group.startswith("pptpgw.")
        ),
    ]
)


def _run(
    namespace: str,
    script: str,
    words: Sequence[str],
    path: Sequence[str],
    streams: Mapping[int, Connection],
) -> None:
    """
    Become the program C{script} in a network namespace, given by its file.
    """
    # A collection that visited what the fork shares would copy it page by page.
    gc.freeze()
    for number, stream in streams.items():
        os.dup2(stream.fileno(), number)
    enter(namespace)
    sys.path[:0] = path
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")


class Child:
    """
    A forked process, with those methods of C{Popen} that L{Process} calls.
    """

    def __init__(
        self,
        namespace: Namespace,
        script: Path,
        words: Sequence[str],
        streams: Mapping[int, Connection],
        path: Sequence[str] = (),
    ) -> None:
        """
        @param script: the program's file, in Python.
        @param streams: the child's ends of its standard streams, by their numbers. They are closed
            here.
        @param path: additional folders in which Python looks for modules.
        """
        arguments = (namespace.path, str(script), words, path, streams)
        self._process = _FORKING.Process(target=_run, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        for stream in streams.values():
            stream.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("a forked program", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Forked(Process):
    """
    A program in Python in the network namespace C{namespace}, forked with pptpgw imported.
    """

    def __init__(self, namespace: Namespace, script: Path, words: Sequence[str], log: Path) -> None:
        """
        @param script: the program's file.
        """
        self.log = log
        self.logs.append(log)
        output, error = (
            Connection(os.open(log, os.O_WRONLY | os.O_APPEND | flag), readable=False)
            for flag in (os.O_CREAT | os.O_TRUNC, 0)
        )
        self._process = cast(Any, Child(namespace, script, words, {1: output, 2: error}))
        self.pid = self._process.pid

"""
The processes of a measurement: each runs a module of this folder in a network namespace, on a
processor of its own, and answers commands with lines of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

DESCRIPTORS = 32768
"""
The most files that a process of a measurement may have open.
"""

Answer = Callable[[list[str]], Coroutine[Any, Any, object]]


class Worker:
    """
    A process that answers commands.
    """

    def __init__(self, namespace: str, module: str, *words: object) -> None:
        self._name = " ".join(map(str, (module, *words)))
        command = ["ip", "netns", "exec", namespace, sys.executable, "-m", f"tests.bench.{module}"]
        self.process = subprocess.Popen(
            [*command, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, command: str) -> None:
        """
        Send a command, whose answer L{read} returns.
        """
        assert self.process.stdin is not None
        print(command, file=self.process.stdin, flush=True)

    def read(self) -> Any:
        """
        Return the next answer.

        @raise RuntimeError: the process has ended.
        """
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._name} ended")
        return json.loads(answer)

    def ask(self, command: str) -> Any:
        """
        Send a command, and return its answer.
        """
        self.send(command)
        return self.read()

    def kill(self) -> None:
        """
        Kill the process.
        """
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def end(self) -> None:
        """
        End the process in order: it ends with its input.
        """
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


def cpus() -> tuple[int, int]:
    """
    Return the processors of the load and of the server.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def settle(server: bool) -> None:
    """
    Bind this process to the processor of the server, or to that of the load, and permit it many
    files.
    """
    os.sched_setaffinity(0, {cpus()[server]})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))


def cpu() -> float:
    """
    Return the processor time of this process in seconds, that of the kernel included.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def used(pid: int) -> float:
    """
    Return the processor time of another process in seconds.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) * 1e-9


def printed(module: str, *words: object) -> list[float]:
    """
    Run a module of this folder here, and return the values that it prints.
    """
    command = [sys.executable, "-m", f"tests.bench.{module}", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: list[float] = json.loads(done.stdout)
    return values


def serveCommands(reactor: Any, answer: Answer) -> None:
    """
    Run the reactor, and answer each line of standard input with a line of JSON, until it ends.
    """
    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.internet.protocol import connectionDone
    from twisted.internet.stdio import StandardIO
    from twisted.protocols.basic import LineOnlyReceiver
    from twisted.python.failure import Failure

    class Commands(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            answered: Deferred[object] = ensureDeferred(answer(line.decode().split()))
            answered.addCallbacks(self.answered, self.failed)

        def answered(self, result: object) -> None:
            assert self.transport is not None
            self.transport.write(json.dumps(result).encode() + self.delimiter)

        def failed(self, failure: Failure) -> None:
            failure.printTraceback()
            reactor.stop()

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            if reactor.running:
                reactor.stop()

    reactor.callWhenRunning(StandardIO, Commands())
    reactor.run()

"""
The whole gateway as a server process of measurements, as the command line runs it: its real ports,
its settings of the garbage collector, and the log in a file.

C{python -m tests.bench.gateway PATH AUTH FOLDER} runs it with the files in a folder. Its commands:

 - C{sessions}: how many there are.
 - C{received}: the packets that each session has sent.
 - C{carried}: the processor time of the process in seconds, and how many packets all sessions have
   sent and got.
 - C{paths}: the data paths of all sessions, by name.
 - C{cpu}: the processor time of the process so far, in seconds.
 - C{memory}: its resident memory in octets.
 - C{figures}: resident memory, open files, and pending calls of the reactor.
 - C{begin}, C{late}: measure how late the reactor is (L{Ticks}), and what was found.
 - C{reload}, C{hangUp}, C{vanish}, C{stop}: what L{tests.bench.lateness} does to it. The answer is
   how late the reactor was meanwhile.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import paths
from tests.bench.process import cpu, serveCommands, settle

TICK = 0.005
CONFIGURATION = "pptpgw.toml"
RELOADED = "reloaded.toml"


class Ticks:
    """
    A timer that records how late it is.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pending: Any = None
        self.begin()

    def begin(self) -> None:
        """
        Begin, or forget the earlier ticks.
        """
        self._late: list[float] = []
        self._busy: list[float] = []
        self.end()
        self._next()

    def end(self) -> None:
        """
        Stop the timer.
        """
        if self._pending is not None and self._pending.active():
            self._pending.cancel()

    def report(self) -> dict[str, float]:
        """
        The lateness since L{begin}, in milliseconds.
        """
        found = {"ticks": float(len(self._late))}
        for name, values in (("late", self._late), ("busy", self._busy)):
            ordered = sorted(values) or [0.0]
            found[name] = ordered[-1] * 1e3
            found[f"{name}999"] = ordered[(len(ordered) - 1) * 999 // 1000] * 1e3
        return found

    def _next(self) -> None:
        self._due = time.monotonic() + TICK
        self._cpu = time.process_time()
        self._pending = self._reactor.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._late.append(max(0.0, time.monotonic() - self._due))
        self._busy.append(time.process_time() - self._cpu)
        self._next()


def memory() -> int:
    """
    Return the resident memory of this process after a garbage collection, in octets.
    """
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def serve(auth: str, folder: Path) -> None:
    """
    Run the server process, with its files in C{folder}.
    """
    from twisted.internet import reactor
    from twisted.internet.base import ReactorBase
    from twisted.internet.task import deferLater
    from twisted.logger import globalLogBeginner
    from twisted.python import usage

    from pptpgw.ports.logoutput import outputOf
    from pptpgw.tap import CommandService, Options

    assert isinstance(reactor, ReactorBase)
    log = outputOf({"logfile": str(folder / "twistd.log"), "nodaemon": True})
    globalLogBeginner.beginLoggingTo([log])
    reactor.callWhenRunning(log.start)
    options = Options()
    words = ["--config", str(folder / CONFIGURATION), "--auth", auth]
    usage.Options.parseOptions(options, words)
    service = CommandService(reactor, options)
    service.startService()
    ticks = Ticks(reactor)
    ticks.end()

    async def gone() -> None:
        while service.gateway.lines:
            await deferLater(reactor, 0.05, lambda: None)

    async def ordered(word: str) -> object:
        """
        Do one of the last commands.
        """
        if word == "reload":
            os.replace(folder / RELOADED, folder / CONFIGURATION)
            service.reload(options.load())
            await deferLater(reactor, 2, lambda: None)
        elif word == "hangUp":
            for session in service.gateway.sessions:
                session.hangUp("by order")
            await gone()
        elif word == "vanish":
            # The process stands still until L{tests.bench.both.Both.vanish} lets it go on.
            os.kill(os.getpid(), signal.SIGSTOP)
            ticks.begin()
            await gone()
        elif word == "stop":
            await service.stopService()
        elif word != "late":
            raise ValueError(word)
        await deferLater(reactor, 0.2, lambda: None)
        ticks.end()
        return ticks.report()

    async def answer(words: list[str]) -> object:
        match words[0]:
            case "sessions":
                return len(service.gateway.sessions)
            case "received":
                return [one.counters.packetsReceived for one in service.gateway.sessions]
            case "carried":
                counted = [one.counters for one in service.gateway.sessions]
                received = sum(one.packetsReceived for one in counted)
                return cpu(), received, sum(one.packetsSent for one in counted)
            case "paths":
                return sorted({one.path.partition(":")[0] for one in service.gateway.sessions})
            case "cpu":
                return cpu()
            case "memory":
                return memory()
            case "figures":
                octets = memory()
                calls = service.gateway.context.clock.getDelayedCalls()
                timers = [call for call in calls if call.active()]
                files = len(os.listdir("/proc/self/fd"))
                return {"memory": octets, "files": files, "timers": len(timers)}
            case "begin":
                ticks.begin()
                return None
            case word:
                return await ordered(word)

    serveCommands(reactor, answer)


if __name__ == "__main__":
    settle(server=True)
    paths.choose(sys.argv[1])
    serve(sys.argv[2], Path(sys.argv[3]))

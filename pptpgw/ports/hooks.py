"""
Scripts that are run when the networks of a session open and close, with the arguments and
environment variables of pppd's scripts (pppd(8), SCRIPTS).

The rules:

 - The scripts of a session run in order and one at a time: C{ip-down} begins when C{ip-up} has
   ended. The number of scripts that run at a time is limited, and sessions take turns.
 - No network or session waits for a script. But the addresses of a session aren't given to another
   one before its scripts have ended, within the time that the gateway grants observers
   (L{ISessionObserver.sessionEnded}).
 - If a network closes before the script that tells of its opening has begun, neither script is run.
   So a session has at most two scripts of a kind waiting, whatever its peer does.
 - Where pppd names a terminal and its speed, scripts get C{none} and 0, since there is no terminal.
   All sessions have the same interface.
"""

from __future__ import annotations

import os
import pwd
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.config.section import HooksSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Direction,
    IAddressedProtocol,
    INetworkProtocol,
    IPreparable,
    ISession,
    ISessions,
)
from pptpgw.log import Logger, escape
from pptpgw.ports.script import Run, check
from pptpgw.ppp.wire.ppp import IPCP, IPV6CP
from pptpgw.sessions.observer import SessionObserver
from pptpgw.timing.lifecycle import STOP_SECONDS
from pptpgw.timing.timer import cancelled

_DEVICE = "none"
_SPEED = "0"
# By control protocol: the kind of scripts, and the variables with our address and the peer's.
_SCRIPTS = {IPCP: ("ip", "IPLOCAL", "IPREMOTE"), IPV6CP: ("ipv6", "LLLOCAL", "LLREMOTE")}


class Task(NamedTuple):
    """
    A script to be run.

    @ivar kind: what the script tells of: C{auth}, C{ip} or C{ipv6}.
    @ivar up: whether it tells of the beginning, and not of the end.
    """

    kind: str
    up: bool
    path: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class ScriptQueue:
    """
    The scripts of one session.

    @ivar tasks: the scripts that haven't begun.
    @ivar running: whether one of the session's scripts runs.
    @ivar done: Deferreds to fire when all scripts have ended.
    """

    __slots__ = ("done", "running", "tasks")

    def __init__(self) -> None:
        self.tasks: deque[Task] = deque()
        self.running = False
        self.done: list[Deferred[None]] = []

    def add(self, task: Task) -> None:
        """
        Add a script, and remove a waiting one that it makes pointless.
        """
        if not task.up:
            waiting = [other for other in self.tasks if other.kind == task.kind]
            if waiting:
                # Either an up script that hasn't begun, whose down script this is: neither is run.
                # Or an earlier down script, which this one replaces.
                self.tasks.remove(waiting[-1])
                if waiting[-1].up:
                    return
        if task.path:
            self.tasks.append(task)


@implementer(IPreparable)
class Hooks(SessionObserver):
    """
    The observer that runs scripts for sessions.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: HooksSection,
        interface: str,
        sessions: ISessions,
    ) -> None:
        """
        @param interface: the name of the interface that sessions' packets go through.
        @param sessions: the sessions, which this observes while there is a script.
        """
        self._reactor = reactor
        self._sessions = sessions
        self._settings = settings
        self._scripts = _scripts(settings)
        self._interface = interface
        # The scripts of the sessions that have any left, by the identifier of the session.
        self._queues: dict[str, ScriptQueue] = {}
        # The sessions whose turn it is to run a script, in order; and the scripts that run.
        self._ready: dict[str, None] = {}
        self._running: set[Run] = set()
        self._stopped: Deferred[None] | None = None

    def start(self) -> None:
        """
        Check that every script can be run.

        @raise ConfigurationError: a script can't be run; the text says why.
        """
        _assertRunnable(self._settings)

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        return _lacking(self._settings)

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to run other scripts from now on. Those that wait already are run as they were.

        @raise ConfigurationError: a script can't be run; the text says why.
        """
        _assertRunnable(configuration.hooks)
        return ReloadStep("[hooks]", partial(self._follow, configuration.hooks))

    def _follow(self, settings: HooksSection) -> None:
        was = self.isNeeded
        self._settings, self._scripts = settings, _scripts(settings)
        if self.isNeeded and not was:
            self._sessions.addObserver(self)
        elif was and not self.isNeeded:
            self._sessions.removeObserver(self)
        self._next()

    @property
    def isNeeded(self) -> bool:
        """
        Whether there is a script to be run.
        """
        return any(self._scripts.values())

    @property
    def stopSeconds(self) -> float:
        """
        The time that L{stop} may take, in seconds.
        """
        return self._settings.deadline + STOP_SECONDS

    def stop(self) -> Deferred[None]:
        """
        Wait until every script has ended.

        @return: fires then, or after C{deadline} seconds. In that case the scripts that run are
            killed, and the others aren't run.
        """
        if not self._queues:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        late = self._reactor.callLater(self._settings.deadline, self._abandon)
        stopped.addCallback(lambda _: cancelled(late))
        return stopped

    # ISessionObserver

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}.
        """
        self._add("auth", True, session, self._authArguments(session), {})

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """
        self._changed(True, session, protocol)

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolClosed}.
        """
        self._changed(False, session, protocol)

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[None] | None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        self._add("auth", False, session, self._authArguments(session), {})
        queue = self._queues.get(session.identifier)
        if queue is None:
            return None
        done: Deferred[None] = Deferred()
        queue.done.append(done)
        return done

    # Scripts and their turns

    def _authArguments(self, session: ISession) -> tuple[str, ...]:
        return self._interface, escape(session.user), _userName(), _DEVICE, _SPEED

    def _changed(self, up: bool, session: ISession, protocol: INetworkProtocol) -> None:
        named = _SCRIPTS.get(protocol.control)
        if named is None or not IAddressedProtocol.providedBy(protocol):
            return
        addressed, (kind, *names) = IAddressedProtocol(protocol), named
        local, remote = str(addressed.localAddress), str(addressed.peerAddress or "")
        arguments = (self._interface, _DEVICE, _SPEED, local, remote, session.caller)
        addresses = dict(zip(names, (local, remote), strict=True))
        self._add(kind, up, session, arguments, addresses)

    def _add(
        self,
        kind: str,
        up: bool,
        session: ISession,
        arguments: tuple[str, ...],
        addresses: Mapping[str, str],
    ) -> None:
        path = self._scripts[f"{kind}-{'up' if up else 'down'}"]
        queue = self._queues.get(session.identifier)
        if queue is None:
            if not path:
                return
            queue = self._queues[session.identifier] = ScriptQueue()
        isOurs = session.direction is Direction.OUT
        environment = {
            "DEVICE": _DEVICE,
            "DIRECTION": session.direction.value,
            "IFNAME": self._interface,
            "LINKNAME": session.identifier,
            "ORIG_UID": str(os.getuid()),
            "PEERNAME": escape(session.user),
            "PPPLOGNAME": _userName(),
            "REMOTENUMBER": session.called if isOurs else session.caller,
            "SPEED": _SPEED,
            **addresses,
        }
        if not up:
            counters = session.counters
            environment["CONNECT_TIME"] = str(int(session.duration))
            environment["BYTES_SENT"] = str(counters.octetsSent)
            environment["BYTES_RCVD"] = str(counters.octetsReceived)
        queue.add(Task(kind, up, path, arguments, environment))
        self._settle(session.identifier, queue)

    def _settle(self, identifier: str, queue: ScriptQueue) -> None:
        """
        Run the next script of a session, or finish with the session if it has none left.
        """
        if not queue.running:
            if not queue.tasks:
                del self._queues[identifier]
                self._ready.pop(identifier, None)
                for done in queue.done:
                    done.callback(None)
            else:
                self._ready.setdefault(identifier)
        self._next()

    def _next(self) -> None:
        while self._ready and len(self._running) < self._settings.processes:
            identifier = next(iter(self._ready))
            del self._ready[identifier]
            queue = self._queues[identifier]
            queue.running = True
            task = queue.tasks.popleft()
            run = Run(self._reactor, task.path, self._settings.deadline, identifier)
            self._running.add(run)
            run.over.addCallback(self._over, run, identifier, queue)
            run.start(task.arguments, task.environment)
        if not self._queues and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    def _over(self, _: None, run: Run, identifier: str, queue: ScriptQueue) -> None:
        self._running.discard(run)
        queue.running = False
        self._settle(identifier, queue)

    def _abandon(self) -> None:
        """
        Kill the scripts that run and drop the others, because the gateway can't wait any longer.
        """
        waiting = sum(len(queue.tasks) for queue in self._queues.values())
        self._log.warn(
            "{running} scripts are killed, and {waiting} aren't run: the gateway stops",
            running=len(self._running),
            waiting=waiting,
        )
        self._ready.clear()
        for queue in self._queues.values():
            queue.tasks.clear()
        for identifier, queue in tuple(self._queues.items()):
            if not queue.running:
                self._settle(identifier, queue)
        for run in tuple(self._running):
            run.kill()


def _scripts(settings: HooksSection) -> Mapping[str, str]:
    """
    Return the paths of the scripts by their keys; empty for no script.
    """
    return {
        "auth-up": settings.authUp,
        "auth-down": settings.authDown,
        "ip-up": settings.ipUp,
        "ip-down": settings.ipDown,
        "ipv6-up": settings.ipv6Up,
        "ipv6-down": settings.ipv6Down,
    }


def _lacking(settings: HooksSection) -> Iterator[str]:
    """
    Return why scripts can't be run, one line for each that can't.
    """
    for name, path in _scripts(settings).items():
        if path:
            try:
                check(path)
            except ConfigurationError as error:
                yield f"[hooks] {name}: {error}"


def _assertRunnable(settings: HooksSection) -> None:
    lacking = list(_lacking(settings))
    if lacking:
        raise ConfigurationError("\n".join(lacking))


def _userName() -> str:
    """
    Return the name of the user that scripts run as.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())

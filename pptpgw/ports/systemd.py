"""
What the gateway tells systemd, which has started it as a service of C{Type=notify} (sd_notify(3)).

The rules:

 - Nothing is told unless C{NOTIFY_SOCKET} is set. The variables are removed from the environment,
   so that programs that the gateway starts don't speak for it.
 - Nothing blocks. If systemd can't take a message now, the latest message on the gateway's state
   is sent again later. Other messages are left out, since newer ones follow.
 - The watchdog is fed by the reactor, so systemd restarts a gateway whose reactor is blocked.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, MutableMapping
from time import monotonic_ns
from typing import NamedTuple, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import IGatewayService
from pptpgw.log import Logger, escape
from pptpgw.timing.timer import cancelled

STATUS_SECONDS = 5.0
"""
The least number of seconds between two messages that only tell the status.
"""

AGAIN_SECONDS = 0.5
"""
Seconds until a message is sent again that systemd couldn't take.
"""

LONGEST_STATUS = 500
"""
The most characters of the status.
"""

T = TypeVar("T")


class Supervisor(NamedTuple):
    """
    What systemd asks of the process.

    @ivar address: the address of the socket that takes messages, as in C{NOTIFY_SOCKET}.
    @ivar watchdogSeconds: the time without a sign of life after which systemd restarts the process;
        None if it needs no such signs.
    """

    address: str
    watchdogSeconds: float | None = None


def supervisor(environ: MutableMapping[str, str] = os.environ) -> Supervisor | None:
    """
    Take what systemd asks of this process out of the environment.

    @return: None if nobody asks for anything.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    microseconds = environ.pop("WATCHDOG_USEC", "")
    process = environ.pop("WATCHDOG_PID", "") or str(os.getpid())
    # Twisted has read it by now, and has removed the other variables of passed sockets.
    environ.pop("LISTEN_FDNAMES", None)
    if address[:1] not in ("/", "@") or len(address) < 2:
        return None
    isWatched = microseconds.isdecimal() and int(microseconds) and process == str(os.getpid())
    return Supervisor(address, int(microseconds) / 1e6 if isWatched else None)


class Supervision:
    """
    Tells systemd what becomes of the gateway.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        gateway: IGatewayService,
        supervisor: Supervisor,
        microseconds: Callable[[], int] = lambda: monotonic_ns() // 1000,
    ) -> None:
        """
        @param microseconds: gives the time of C{CLOCK_MONOTONIC} in microseconds.
        """
        self._clock = clock
        self._gateway = gateway
        self._supervisor = supervisor
        self._microseconds = microseconds
        self._socket: socket.socket | None = None
        # The latest message on the state, if it couldn't be sent yet.
        self._owed = ""
        self._status = ""
        self._failed = False
        self._serves = False
        # By what they do: sending again, feeding the watchdog, and looking at the status.
        self._again: IDelayedCall | None = None
        self._feeding: IDelayedCall | None = None
        self._looking: IDelayedCall | None = None

    def start(self) -> None:
        """
        Tell that the gateway takes calls, once the reactor runs.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._looking = self._clock.callLater(0, self._ready)

    def reloading(self) -> None:
        """
        Tell that the configuration is being read again.
        """
        if self._serves:
            self._tellState(f"RELOADING=1\nMONOTONIC_USEC={self._microseconds()}")

    def reloaded(self, result: T) -> T:
        """
        Tell that a reload is over.

        @return: C{result}, so that this can be a callback and an errback.
        """
        if self._serves:
            self._tellState(f"READY=1\n{self._newStatus()}")
        return result

    def stopping(self) -> None:
        """
        Tell that the gateway stops. Its watchdog is fed until L{stop}.
        """
        self._serves = False
        self._looking = cancelled(self._looking)
        if self._socket is not None:
            self._tellState("STOPPING=1\nSTATUS=Stopping")

    def stop(self) -> None:
        """
        Tell nothing any more. Calling this again does nothing.
        """
        self._serves = False
        self._again = cancelled(self._again)
        self._feeding = cancelled(self._feeding)
        self._looking = cancelled(self._looking)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ready(self) -> None:
        self._serves = True
        self.reloaded(None)
        self._feed()
        self._looking = self._clock.callLater(STATUS_SECONDS, self._look)

    def _feed(self) -> None:
        """
        Feed the watchdog, at half of the time that it allows.
        """
        if (seconds := self._supervisor.watchdogSeconds) is not None:
            self._feeding = self._clock.callLater(seconds / 2, self._feed)
            self._tell("WATCHDOG=1")

    def _look(self) -> None:
        """
        Tell the status if it has changed.
        """
        self._looking = self._clock.callLater(STATUS_SECONDS, self._look)
        before = self._status
        if (text := self._newStatus()) != before and not self._tell(text):
            self._status = before

    def _newStatus(self) -> str:
        self._status = f"STATUS={status(self._gateway)}"
        return self._status

    def _tellState(self, text: str) -> None:
        self._owed = text
        self._sendOwed()

    def _sendOwed(self) -> None:
        self._again = cancelled(self._again)
        if self._send(self._owed):
            self._owed = ""
        else:
            self._again = self._clock.callLater(AGAIN_SECONDS, self._sendOwed)

    def _tell(self, text: str) -> bool:
        """
        Send a message that may be left out.

        @return: whether it was sent.
        """
        return not self._owed and self._send(text)

    def _send(self, text: str) -> bool:
        """
        Send a message.

        @return: False if systemd can't take it now.
        """
        assert self._socket is not None
        address = self._supervisor.address
        # An @ stands for the zero octet of an address without a file (unix(7)).
        where = "\0" + address[1:] if address.startswith("@") else address
        try:
            self._socket.sendto(text.encode(), where)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                return False
            if not self._failed:
                self._log.warn(
                    "systemd can't be told anything at {address}: {why}",
                    address=address,
                    why=error.strerror,
                )
            self._failed = True
        else:
            self._failed = False
        return True


def status(gateway: IGatewayService) -> str:
    """
    Return the state of C{gateway} in one line.
    """
    if gateway.draining is not None:
        parts = ["Drained: no call is left" if gateway.drained else "Draining: takes no calls"]
    elif gateway.faults:
        parts = ["Takes no calls: " + ", ".join(gateway.faults)]
    else:
        parts = ["Takes calls"]
    parts.append(f"sessions: {len(gateway.sessions)}")
    if calls := sum(one.session is None for one in gateway.lines):
        parts.append(f"calls being set up: {calls}")
    last = gateway.lastReload
    if last is not None and last.error:
        parts.append(f"the last reload failed: {last.error}")
    return escape("; ".join(parts))[:LONGEST_STATUS]

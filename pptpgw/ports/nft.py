"""
Tables of nftables that the gateway makes for itself, by the program C{nft}, and makes again if
another program takes them away.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.python.procutils import which
from zope.interface import implementer

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.interfaces import IHealth
from pptpgw.ports.netlink import options
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ports.watch import NETFILTER, TABLE_GROUPS, Watch

TIMEOUT = 10.0
"""
Seconds after which nft is killed.
"""

_ERROR_LIMIT = 2048
_OUTPUT_LIMIT = 1 << 16

# From linux/netfilter/nf_tables.h and nfnetlink.h: the announcements of deletion, with words for
# what was deleted; and the attribute that names the table, which follows a header of its own.
_DELETED = {0x0A02: "it", 0x0A05: "its chain", 0x0A08: "its rule"}
_TABLE_NAME = 1
_GENERIC_HEADER = 4


def lackingTables(which: Callable[[str], list[str]] = which) -> str:
    """
    Return why tables can't be made on this machine, as far as that is seen without making one; an
    empty text if nothing is seen.

    @param which: see L{twisted.python.procutils.which}.
    """
    if not which("nft"):
        return "there is no nft here: install nftables"
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER).close()
    except OSError as error:
        return f"the kernel has no nftables ({error.strerror})"
    return ""


@implementer(IHealth)
class Table:
    """
    A table of nftables.

    @ivar name: the name of the table.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        chains: Callable[[], str],
        key: str,
        family: str = "ip",
        which: Callable[[str], list[str]] = which,
    ) -> None:
        """
        @param chains: returns the chains, as C{nft} reads them.
        @param key: what in the configuration asks for the table, and its value, for messages.
        @param family: the family of addresses: C{ip}, or C{inet} for IPv6 too.
        @param which: see L{twisted.python.procutils.which}.
        """
        self.name = name
        self._title = f"{family} {name}"
        self._chains = chains
        self._key = key
        self._which = which
        self._reactor = reactor
        # The process ID of the last nft process that was started. It is the netlink port of that
        # process too, by which the kernel announces the changes that nft made.
        self._process = -1
        self._upkeep = Upkeep(reactor, lambda: f"nftables' table {name}", self._makeAgain)
        self._watch = Watch(reactor, self._isTaken, self._upkeep.lost, TABLE_GROUPS, NETFILTER)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def list(self) -> Deferred[str]:
        """
        List the table.

        @return: fires with what C{nft} prints; empty if there is no such table.
        """
        # If listing fails there is no table; or making one fails too, and says why.
        return self._run(f"list table {self._title}\n").addErrback(_nothing)

    def make(self) -> Deferred[str]:
        """
        Make the table, in place of one that is there.

        @return: fires when that is done. Fails with L{ConfigurationError} without C{nft}, and with
            L{NotPermitted} if C{nft} refuses.
        """
        # The table may be taken away before nft has ended.
        self._watch.start()
        return self._run(self._script()).addErrback(self._unmade)

    def remove(self) -> Deferred[str]:
        """
        Remove the table.

        @return: fires when that is done; fails as L{make} does.
        """
        self._upkeep.stop()
        self._watch.stop()
        # The table is added first, since deleting it fails if another program has removed it.
        return self._run(f"add table {self._title}\ndelete table {self._title}\n")

    def _unmade(self, failure: Failure) -> Failure:
        """
        Stop watching for changes, since there is no table.
        """
        self._watch.stop()
        return failure

    def _makeAgain(self) -> Deferred[str]:
        """
        Make the table again, after another program has changed it.
        """
        return self._run(self._script())

    def _script(self) -> str:
        """
        Return the commands that make the table, one transaction for C{nft}.
        """
        return (
            # Adding a table that exists is no error; deleting one that doesn't exist is.
            f"add table {self._title}\n"
            f"delete table {self._title}\n"
            f"table {self._title} {{\n"
            f"{self._chains()}"
            "}\n"
        )

    def _isTaken(self, kind: int, sender: int, body: bytes) -> str:
        """
        Return what another program has taken from the table: see L{pptpgw.ports.watch.Announced}.
        """
        if sender == self._process:
            return ""
        named = options(body[_GENERIC_HEADER:]).get(_TABLE_NAME, b"").rstrip(b"\0")
        if kind in _DELETED and named == self.name.encode():
            return f"{_DELETED[kind]} was deleted"
        return ""

    def _run(self, script: str) -> Deferred[str]:
        """
        Run C{nft} with a script.

        @return: fires with the output of C{nft}.
        """
        programs = self._which("nft")
        if not programs:
            return fail(
                ConfigurationError(
                    f"{self._key}: the program nft isn't there; install the package nftables, or "
                    "set it to false"
                )
            )
        run = _Run(script)
        process = self._reactor.spawnProcess(
            run, programs[0], ["nft", "-f", "-"], env={"LC_ALL": "C"}
        )
        self._process = process.pid
        run.ended.addTimeout(TIMEOUT, self._reactor)
        return run.ended.addErrback(_explain)


def _nothing(failure: Failure) -> str:
    """
    Return the listing of a table that can't be listed: an empty text.
    """
    failure.trap(_Complaint)
    return ""


def _explain(failure: Failure) -> str:
    """
    Replace the exception of a time-out by one that says what took too long.
    """
    failure.trap(TimeoutError)
    raise NotPermitted(f"nft gave no answer within {TIMEOUT:g} seconds")


class _Complaint(NotPermitted):
    """
    The exception for an error that C{nft} reports, and not for one of the machine.
    """


class _Run(ProcessProtocol):
    """
    One run of C{nft}.

    @ivar ended: fires with the output of C{nft} when it has succeeded; fails with L{NotPermitted}.
    """

    def __init__(self, script: str) -> None:
        self.ended: Deferred[str] = Deferred(self._kill)
        self._output = b""
        self._script = script
        self._errors = b""

    def connectionMade(self) -> None:
        """
        Write the script to the standard input of C{nft}.
        """
        assert self.transport is not None
        self.transport.write(self._script.encode())
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """
        Collect the standard output of C{nft}, up to a limit.
        """
        self._output = (self._output + data)[:_OUTPUT_LIMIT]

    def errReceived(self, data: bytes) -> None:
        """
        Collect the standard error of C{nft}, up to a limit.
        """
        self._errors = (self._errors + data)[:_ERROR_LIMIT]

    def processEnded(self, reason: Failure) -> None:
        """
        Fire C{ended}, according to the exit status and the output.
        """
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(self._output.decode(errors="replace"))
            return
        complaint = self._errors.decode(errors="replace").strip() or reason.getErrorMessage()
        self.ended.errback(_Complaint(f"nft refuses the table: {complaint}"))

    def _kill(self, ended: Deferred[str]) -> None:
        """
        Kill C{nft}, because C{ended} was cancelled: it takes too long.
        """
        if self.transport is not None:
            self.transport.signalProcess("KILL")

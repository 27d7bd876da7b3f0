"""
Masquerading: packets of the peers leave by the default route's interface, with its address.

The gateway makes a table of its own in nftables, by the program C{nft}, and turns on the kernel's
switch for forwarding. It undoes both when it stops. A firewall in another table that drops
forwarded packets drops these too: no table can overrule another's drop.

If the gateway turns the switch on, the table has an empty chain whose name says what the switch was
before. A run that is killed leaves both, and the next run reads from the chain what to restore at
its end. The table lasts no longer than the switch: until the machine is booted, or the network
namespace is gone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.python.procutils import which
from zope.interface import implementer

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.interfaces import IHealth
from pptpgw.ports.rtnetlink import options
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ports.watch import NETFILTER, TABLE_GROUPS, Watch

TIMEOUT = 10.0
"""
Seconds after which nft is killed.
"""

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
ROUTES = Path("/proc/net/route")
_ON = "1"

_ERROR_LIMIT = 2048
_OUTPUT_LIMIT = 1 << 16
_BEFORE = "ip_forward_was_"

# From linux/netfilter/nf_tables.h and nfnetlink.h: the announcements of deletion, with words for
# what was deleted; and the attribute that names the table, which follows a header of its own.
_DELETED = {0x0A02: "it", 0x0A05: "its chain", 0x0A08: "its rule"}
_TABLE_NAME = 1
_GENERIC_HEADER = 4


class FirewallSystem(Protocol):
    """
    The parts of the machine that a L{Masquerade} uses besides C{nft}.
    """

    def which(self, name: str) -> list[str]:
        """
        See L{twisted.python.procutils.which}.
        """

    def read(self, path: Path) -> str:
        """
        Return the contents of the file at C{path}.
        """

    def write(self, path: Path, text: str) -> None:
        """
        Replace the contents of the file at C{path}.
        """


class RealFirewallSystem:
    """
    The L{FirewallSystem} of this machine.
    """

    which = staticmethod(which)
    read = staticmethod(Path.read_text)

    def write(self, path: Path, text: str) -> None:
        """
        See L{FirewallSystem.write}.
        """
        path.write_text(text)


@implementer(IHealth)
class Masquerade:
    """
    A table of nftables that gives the peers' packets this machine's address beyond the default
    route.

    @ivar table: the name of the table, one for each TUN device.
    """

    def __init__(self, reactor: Any, interface: str, system: FirewallSystem | None = None) -> None:
        """
        @param interface: the TUN device whose packets are masqueraded, whatever address they have.
        """
        self.table = "pptpgw_" + re.sub(r"\W", "_", interface, flags=re.ASCII)
        self._reactor = reactor
        self._interface = interface
        self._system: FirewallSystem = system or RealFirewallSystem()
        self._started = False
        # The process ID of the last nft process that was started. It is the netlink port of that
        # process too, by which the kernel announces the changes that nft made.
        self._process = -1
        # The value of the switch before this class turned it on; empty if it was on already.
        self._forwarding = ""
        what = f"nftables' table {self.table}"
        self._upkeep = Upkeep(reactor, lambda: what, self._setUpAgain)
        self._watch = Watch(reactor, self._isTaken, self._upkeep.lost, TABLE_GROUPS, NETFILTER)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def start(self) -> Deferred[None]:
        """
        Set the table up, in place of one that an earlier run left, and switch forwarding on.

        @return: fires when that is done. Fails with L{ConfigurationError} without nft or a default
            route, and with L{NotPermitted} if nft or the kernel refuses.
        """
        try:
            out = self._defaultInterface()
        except ConfigurationError:
            return fail()
        # If listing fails there is no table; or making one fails too, and says why.
        listed = self._run(f"list table ip {self.table}\n").addErrback(_nothing)
        return listed.addCallback(self._make, out)

    def stop(self) -> Deferred[None]:
        """
        Remove the table and restore the switch. Calling this again, or without L{start}, does
        nothing.
        """
        if not self._started:
            return succeed(None)
        self._started = False
        self._upkeep.stop()
        self._watch.stop()
        failure = self._restore()
        # The table is added first, since deleting it fails if another program has removed it.
        removed = self._run(f"add table ip {self.table}\ndelete table ip {self.table}\n")
        return removed.addCallback(lambda _: failure)

    def _restore(self) -> Failure | None:
        """
        Restore the switch, unless another program has changed it meanwhile.

        @return: a failure that says why this can't be done; None if it was.
        """
        before, self._forwarding = self._forwarding, ""
        try:
            if before and self._system.read(FORWARDING).strip() == _ON:
                self._system.write(FORWARDING, f"{before}\n")
        except OSError as error:
            return Failure(
                NotPermitted(
                    f"{FORWARDING} can't be set back to {before} ({error.strerror}): set it with "
                    f"sysctl net.ipv4.ip_forward={before}"
                )
            )
        return None

    def _make(self, listed: str, out: str) -> Deferred[None]:
        """
        Make the table, replacing an old one.

        @param listed: what C{nft} printed of the old one; empty if there is none.
        @param out: the interface of the default route.
        """
        left = re.search(rf"{_BEFORE}(\d+)", listed)
        before = left[1] if left else self._system.read(FORWARDING).strip()
        self._forwarding = "" if before == _ON else before
        # The table may be taken away before nft has ended.
        self._watch.start()
        return self._run(self._script(out)).addCallbacks(self._forward, self._unmade)

    def _unmade(self, failure: Failure) -> Failure:
        """
        Stop watching for changes, since there is no table.
        """
        self._watch.stop()
        return failure

    def _forward(self, _: str) -> None:
        """
        Turn the switch for forwarding on, since the table is set up.
        """
        self._started = True
        if self._system.read(FORWARDING).strip() != _ON:
            try:
                self._system.write(FORWARDING, f"{_ON}\n")
            except OSError as error:
                raise NotPermitted(
                    f"{FORWARDING} can't be set ({error.strerror}): set net.ipv4.ip_forward=1 with "
                    "sysctl beforehand, or let the service write there"
                ) from error

    def _setUpAgain(self) -> Deferred[str]:
        """
        Set the table up again, after another program has changed it.
        """
        return self._run(self._script(self._defaultInterface()))

    def _isTaken(self, kind: int, sender: int, body: bytes) -> str:
        """
        Return what another program has taken from the table: see L{pptpgw.ports.watch.Announced}.
        """
        if sender == self._process:
            return ""
        named = options(body[_GENERIC_HEADER:]).get(_TABLE_NAME, b"").rstrip(b"\0")
        if kind in _DELETED and named == self.table.encode():
            return f"{_DELETED[kind]} was deleted"
        return ""

    def _script(self, out: str) -> str:
        """
        Return the commands that make the table, one transaction for C{nft}.
        """
        before = f"  chain {_BEFORE}{self._forwarding} {{}}\n" if self._forwarding else ""
        return (
            # Adding a table that exists is no error; deleting one that doesn't exist is.
            f"add table ip {self.table}\n"
            f"delete table ip {self.table}\n"
            f"table ip {self.table} {{\n"
            "  chain postrouting {\n"
            "    type nat hook postrouting priority 100; policy accept;\n"
            f'    iifname "{self._interface}" oifname "{out}" masquerade\n'
            "  }\n"
            f"{before}"
            "}\n"
        )

    def _defaultInterface(self) -> str:
        """
        Return the interface of the default route with the lowest metric.

        @raise ConfigurationError: there is no default route.
        """
        best: tuple[int, str] | None = None
        for line in self._system.read(ROUTES).splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and fields[7] == "00000000":
                candidate = (int(fields[6]), fields[0])
                best = min(best, candidate) if best else candidate
        if best is None:
            raise ConfigurationError(
                "[network] masquerade = true: there is no default route to leave by; add one, or "
                "set it to false"
            )
        return best[1]

    def _run(self, script: str) -> Deferred[str]:
        """
        Run C{nft} with a script.

        @return: fires with the output of C{nft}.
        """
        programs = self._system.which("nft")
        if not programs:
            return fail(
                ConfigurationError(
                    "[network] masquerade = true: the program nft isn't there; install the package "
                    "nftables, or set it to false"
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
        self.ended.errback(_Complaint(f"nft refused the masquerading table: {complaint}"))

    def _kill(self, ended: Deferred[str]) -> None:
        """
        Kill C{nft}, because C{ended} was cancelled: it takes too long.
        """
        if self.transport is not None:
            self.transport.signalProcess("KILL")

"""
Masquerading: packets of the peers leave by the default route's interface, with its address.

The gateway makes a table of its own in nftables (L{pptpgw.ports.nft}), and turns on the kernel's
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

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.python.procutils import which
from zope.interface import implementer

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.interfaces import IHealth
from pptpgw.ports.nft import Table

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
ROUTES = Path("/proc/net/route")
_ON = "1"

_BEFORE = "ip_forward_was_"


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


def nameFor(interface: str) -> str:
    """
    Return the name of the table for the gateway whose TUN device is C{interface}.
    """
    return "pptpgw_" + re.sub(r"\W", "_", interface, flags=re.ASCII)


@implementer(IHealth)
class Masquerade:
    """
    A table of nftables that gives the peers' packets this machine's address beyond the default
    route.
    """

    def __init__(
        self, reactor: Any, interface: str, group: int = 0, system: FirewallSystem | None = None
    ) -> None:
        """
        @param interface: the TUN device whose packets are masqueraded, whatever address they have.
        @param group: the group of devices whose packets are masqueraded too; 0 for none.
        """
        self._sources = [f'iifname "{interface}"']
        if group:
            self._sources.append(f"iifgroup {group}")
        self._system: FirewallSystem = system or RealFirewallSystem()
        self._started = False
        # The value of the switch before this class turned it on; empty if it was on already.
        self._forwarding = ""
        self._table = Table(
            reactor,
            nameFor(interface),
            self._chains,
            "[network] masquerade = true",
            which=self._system.which,
        )

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._table.fault

    def start(self) -> Deferred[None]:
        """
        Set the table up, in place of one that an earlier run left, and switch forwarding on.

        @return: fires when that is done. Fails with L{ConfigurationError} without nft or a default
            route, and with L{NotPermitted} if nft or the kernel refuses.
        """
        try:
            self._defaultInterface()
        except ConfigurationError:
            return fail()
        return self._table.list().addCallback(self._make)

    def stop(self) -> Deferred[None]:
        """
        Remove the table and restore the switch. Calling this again, or without L{start}, does
        nothing.
        """
        if not self._started:
            return succeed(None)
        self._started = False
        failure = self._restore()
        return self._table.remove().addCallback(lambda _: failure)

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

    def _make(self, listed: str) -> Deferred[None]:
        """
        Make the table, replacing an old one.

        @param listed: what C{nft} printed of the old one; empty if there is none.
        """
        left = re.search(rf"{_BEFORE}(\d+)", listed)
        before = left[1] if left else self._system.read(FORWARDING).strip()
        self._forwarding = "" if before == _ON else before
        return self._table.make().addCallback(self._forward)

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

    def _chains(self) -> str:
        out = self._defaultInterface()
        rules = "".join(f'    {one} oifname "{out}" masquerade\n' for one in self._sources)
        before = f"  chain {_BEFORE}{self._forwarding} {{}}\n" if self._forwarding else ""
        return (
            "  chain postrouting {\n"
            "    type nat hook postrouting priority 100; policy accept;\n"
            f"{rules}"
            "  }\n"
            f"{before}"
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

"""
The kernel's clamp of the MSS of TCP, for the devices of sessions: a table of nftables lowers the
MSS in what passes between the peers and the network to what fits into the route's MTU, both ways.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.interfaces import IHealth
from pptpgw.log import Logger
from pptpgw.ports.nft import Table
from pptpgw.ports.nftables import FirewallSystem, RealFirewallSystem, nameFor


@implementer(IHealth)
class Clamp:
    """
    The clamp of the MSS for devices of one group: a table of nftables, which is there while it is
    wanted.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, interface: str, group: int, system: FirewallSystem | None = None
    ) -> None:
        """
        @param interface: the name of the gateway's TUN device, after which the table is named.
        @param group: the group of the devices.
        """
        self._group = group
        self._isOn = False
        self._done: Deferred[Any] = succeed(None)
        self._table = Table(
            reactor,
            f"{nameFor(interface)}_mss",
            self._chains,
            "[network] mss-clamp = true",
            family="inet",
            which=(system or RealFirewallSystem()).which,
        )

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._table.fault

    def set(self, on: bool) -> Deferred[None]:
        """
        Clamp from now on, or no more. A failure is logged, and then nothing is clamped.

        @return: fires when that is done.
        """
        if on != self._isOn:
            self._isOn = on
            act = self._table.make if on else self._table.remove
            self._done.addCallback(lambda _: act())
            self._done.addErrback(self._failed)
        told: Deferred[None] = Deferred()
        self._done.addCallback(lambda _: told.callback(None))
        return told

    def _failed(self, failure: Failure) -> None:
        self._isOn = False
        self._log.warn(
            "the MSS of TCP isn't clamped for calls that the kernel carries: {why}",
            why=failure.getErrorMessage(),
        )

    def _chains(self) -> str:
        rule = "tcp flags syn tcp option maxseg size set rt mtu"
        return (
            "  chain forward {\n"
            "    type filter hook forward priority mangle; policy accept;\n"
            f"    iifgroup {self._group} {rule}\n"
            f"    oifgroup {self._group} {rule}\n"
            "  }\n"
        )

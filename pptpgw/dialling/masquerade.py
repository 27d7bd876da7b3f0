"""
Masquerading on dialled calls: what the networks behind this gateway send there leaves with the
address that the other end has given us. The rules are a table of nftables for each call, which is
there while IPv4 is open (L{pptpgw.ports.nft}).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from pptpgw.log import Logger
from pptpgw.ports.nft import Table


def nameFor(name: str) -> str:
    """
    Return the name of the table of the dialled call C{name}.
    """
    escaped = re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_", name)
    return f"pptpgw_dial_{escaped}"


class DialMasquerade:
    """
    The table of one dialled call.
    """

    _log = Logger()

    def __init__(self, reactor: Any, name: str) -> None:
        self._name = name
        self._rule = ""
        self._isMade = False
        self._table = Table(
            reactor, nameFor(name), self._chains, f"[[dial]] {name}: masquerade = true"
        )
        # What is being done; the next step waits for it.
        self._last: Deferred[Any] = succeed(None)

    def use(self, address: IPv4Address, interface: str, networks: Sequence[IPv4Network]) -> None:
        """
        Have what leaves by C{interface} for C{networks} come from C{address}.
        """
        to = ", ".join(map(str, networks))
        rule = (
            f'    oifname "{interface}" ip daddr {{ {to} }} ip saddr != {address} '
            f"snat to {address}\n"
        )
        self._do(lambda: self._make(rule))

    def stop(self) -> Deferred[Any]:
        """
        Remove the table, if there is one.

        @return: fires when that is done.
        """
        self._do(self._remove)
        done: Deferred[Any] = Deferred()
        self._last.addBoth(lambda _: done.callback(None))
        return done

    def _do(self, step: Callable[[], Deferred[Any]]) -> None:
        self._last.addCallback(lambda _: step()).addErrback(self._failed)

    def _make(self, rule: str) -> Deferred[Any]:
        self._rule = rule
        self._isMade = True
        return self._table.make()

    def _remove(self) -> Deferred[Any]:
        if not self._isMade:
            return succeed(None)
        self._isMade = False
        return self._table.remove()

    def _failed(self, failure: Failure) -> None:
        self._log.error(
            "{name}: packets of the networks behind this gateway aren't masqueraded: {why}",
            name=self._name,
            why=failure.getErrorMessage(),
        )

    def _chains(self) -> str:
        return (
            "  chain postrouting {\n"
            "    type nat hook postrouting priority 100; policy accept;\n"
            f"{self._rule}"
            "  }\n"
        )

"""
What is withheld from the kernel's PPP where IPsec doesn't protect L2TP: packets of CCP at which it
would stop to encrypt (L{pptpgw.ports.ppp.COMPRESSION_ENDS}). Anybody could send one in the peer's
name, and Linux' L2TP has no filter for the data messages that it takes.

A table of nftables changes the version of data messages with such a packet to L{VERSION}, which the
tunnel doesn't have. The kernel leaves them to be read from the UDP socket, and there L{restored}
gives them their version back. So it does with data messages that have an offset, behind which
nftables can't look.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.interfaces import IHealth
from pptpgw.log import Logger
from pptpgw.ports.nft import Table
from pptpgw.ports.ppp import COMPRESSION_ENDS
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, CCP
from pptpgw.tunnels.l2tp.wire.header import VERSION as SPOKEN
from pptpgw.tunnels.l2tp.wire.header import L, O, S, T

VERSION = 3
"""
The version of data messages that are withheld. It is that of L2TPv3 (RFC 3931), which isn't spoken
here.
"""

_UDP_HEADER, _IDS = 8, 6
_VERSION_BITS = 0x000F


def restored(datagram: bytes) -> bytes:
    """
    Return a data message with the version that it had when it came.
    """
    if datagram[1] == VERSION:
        return datagram[:1] + bytes((SPOKEN,)) + datagram[2:]
    return datagram


@implementer(IHealth)
class Withholding:
    """
    The table for one UDP port.
    """

    _log = Logger()

    def __init__(self, reactor: Any, name: str, port: int) -> None:
        """
        @param name: the name of the table.
        @param port: the number of the UDP port.
        """
        self._port = port
        self._isMade = False
        self._done: Deferred[Any] = succeed(None)
        self._table = Table(reactor, name, self._chains, '[l2tp] clear = "accept"')

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._table.fault

    @property
    def works(self) -> bool:
        """
        Whether everything is withheld that is to be.
        """
        return self._isMade and not self.fault

    def start(self) -> None:
        """
        Make the table. A failure is logged.
        """
        self._done.addCallback(lambda _: self._table.make())
        self._done.addCallbacks(self._made, self._failed)

    def stop(self) -> Deferred[Any]:
        """
        Remove the table. Calling this again does nothing.

        @return: fires when it is removed.
        """
        self._done.addCallback(self._remove)
        removed: Deferred[Any] = Deferred()
        self._done.addBoth(removed.callback)
        return removed

    def _made(self, _: object) -> None:
        self._isMade = True

    def _failed(self, failure: Failure) -> None:
        self._log.warn(
            "the kernel carries no L2TP that may have MPPE and no IPsec: {why}",
            why=failure.getErrorMessage(),
        )

    def _remove(self, _: object) -> Deferred[str] | None:
        wasMade, self._isMade = self._isMade, False
        return self._table.remove() if wasMade else None

    def _chains(self) -> str:
        return "".join(
            (
                "  chain withhold {\n"
                # 0 stands for no checksum.
                f"    udp checksum set 0 @th,{8 * (_UDP_HEADER + 1)},8 set {VERSION}\n"
                "  }\n"
                "  chain data {\n",
                *(f"    {rule} goto withhold\n" for rule in _withheld()),
                "  }\n"
                "  chain input {\n"
                "    type filter hook input priority mangle; policy accept;\n"
                f"    udp dport {self._port} {_flags(T | _VERSION_BITS, SPOKEN)} jump data\n"
                "  }\n",
            )
        )


def _withheld() -> Iterator[str]:
    """
    Iterate over the expressions of nft that match data messages that are withheld.
    """
    codes = ", ".join(map(str, COMPRESSION_ENDS))
    for length, numbers in product((0, L), (0, S)):
        size = _IDS + (2 if length else 0) + (4 if numbers else 0)
        fields = _flags(L | S | O, length | numbers | O)
        yield f"{fields} {_at(size, 16)} != 0"
        for offset in (0, O):
            fields = _flags(L | S | O, length | numbers | offset)
            frame = size + (2 if offset else 0)
            for before in (0, len(ADDRESS_CONTROL)):
                begin = ""
                if before:
                    begin = f" {_at(frame, 16)} {int.from_bytes(ADDRESS_CONTROL)}"
                protocol, code = _at(frame + before, 16), _at(frame + before + 2, 8)
                yield f"{fields}{begin} {protocol} {CCP} {code} {{ {codes} }}"


def _at(place: int, bits: int) -> str:
    """
    Return an expression of nft for what is at C{place} in a message of L2TP.
    """
    return f"@th,{8 * (_UDP_HEADER + place)},{bits}"


def _flags(mask: int, value: int) -> str:
    """
    Return an expression of nft that matches messages whose flags are C{value} under C{mask}.
    """
    return f"{_at(0, 16)} & {mask:#06x} == {value:#06x}"

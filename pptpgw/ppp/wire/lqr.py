"""
Link-Quality-Reports (RFC 1989 section 2.6).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pptpgw.error import Malformed

NUMBERS = 1 << 32
"""
The number of different values of each counter, which goes on from 0.
"""

_report = Struct("!12I")


class Report(NamedTuple):
    """
    A Link-Quality-Report. C{peer...} are counters of the end that sends it, and C{lastOut...} those
    that it was told last by the other end.

    @ivar magic: the magic number of the end that sends it; 0 if it has none.
    """

    magic: int = 0
    lastOutLQRs: int = 0
    lastOutPackets: int = 0
    lastOutOctets: int = 0
    peerInLQRs: int = 0
    peerInPackets: int = 0
    peerInDiscards: int = 0
    peerInErrors: int = 0
    peerInOctets: int = 0
    peerOutLQRs: int = 0
    peerOutPackets: int = 0
    peerOutOctets: int = 0


def decode(octets: bytes) -> Report:
    """
    Decode a report. Octets after it are ignored, as in other packets (RFC 1661 section 5).

    @raise Malformed: it isn't complete.
    """
    if len(octets) < _report.size:
        raise Malformed(f"a Link-Quality-Report has only {len(octets)} octets")
    return Report(*_report.unpack_from(octets))


def encode(report: Report) -> bytes:
    """
    Return the octets of a report. Of each number the lowest 32 bits are sent.
    """
    return _report.pack(*(number % NUMBERS for number in report))

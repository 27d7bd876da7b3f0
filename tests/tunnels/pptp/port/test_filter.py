"""
Tests for L{pptpgw.tunnels.pptp.port.filter}, with programs that this machine's kernel runs.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.ports.bpf import NOTHING, Assembled
from pptpgw.tunnels.pptp.port.filter import COMPRESSIBLE, ENCRYPTED, OURS, share
from tests.ports.bpfkernel import kept

CCP, MPPE = 0x80FD, 0x00FD
# The rest of an IP header, up to the addresses.
_REST = (0, 0, 0, 0, 64, 47, 0)


class GRE(NamedTuple):
    """
    A GRE packet.

    @ivar code: the first octet of the information field.
    """

    callID: int
    protocol: int
    code: int = 2
    acknowledges: bool = False
    address: bool = True
    short: bool = False
    hasFrame: bool = True
    options: int = 0
    source: int = 1

    @property
    def octets(self) -> bytes:
        field = self.protocol.to_bytes(2, "big")
        if self.short and self.protocol < 0x100 and self.protocol & 1:
            field = field[1:]
        frame = b"\xff\x03" * self.address + field + bytes((self.code, 1, 0, 4))
        frame = frame if self.hasFrame else b""
        flags = (0x30 if self.hasFrame else 0x20), (0x81 if self.acknowledges else 0x01)
        head = struct.pack("!BBHHH", *flags, 0x880B, len(frame), self.callID)
        return head + bytes(4) * (self.hasFrame + self.acknowledges) + frame

    @property
    def datagram(self) -> bytes:
        head = struct.pack("!BBHHHBBHII", 0x45 + self.options, *_REST, self.source, 2)
        return head + bytes(4 * self.options) + self.octets

    @property
    def isWithheld(self) -> bool:
        return self.hasFrame and self.protocol == CCP and self.code in (1, 5, 6)


packets = st.builds(
    GRE,
    callID=st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]),
    protocol=st.one_of(
        st.sampled_from([CCP, MPPE, 0x0021, 0x0057, 0xC021, 0xC223, 0x8021, 0x00FB, 0x7FFD]),
        st.integers(0, 0xFFFF),
    ),
    code=st.one_of(st.sampled_from([1, 5, 6, 0x10, 0x90, 0x9F, 0xB0, 0xD0]), st.integers(0, 255)),
    acknowledges=st.booleans(),
    address=st.booleans(),
    short=st.booleans(),
    hasFrame=st.booleans(),
    options=st.integers(0, 10),
    source=st.one_of(st.integers(0, 0xFFFFFFFF), st.just(0xFFFFFFFF)),
).filter(lambda one: one.address or one.protocol != 0xFF03)


def isKept(program: Assembled, octets: bytes) -> bool:
    (found,) = kept(program, [octets])
    return found


@given(packets, st.integers(1, 64), st.booleans())
@settings(deadline=None)
def test_oneOfSeveralSockets(one: GRE, count: int, isCut: bool) -> None:
    """
    Of the packets that come here each socket gets its share: every packet is kept by one of them,
    and those of a call always by the same.
    """
    octets = one.datagram[: 27 + 4 * one.options] if isCut else one.datagram
    found = [number for number in range(count) if isKept(share(number, count), octets)]
    assert len(found) == isKept(OURS, octets) <= 1
    assert not (isCut and found)
    if found:
        assert found == [(one.source // 0x10000 + one.source % 0x10000 + one.callID) % count]


@given(packets)
@settings(deadline=None)
def test_whatComesHere(one: GRE) -> None:
    """
    A raw socket gets the packets of this process' calls, and what is withheld from the kernel's.
    """
    assert isKept(OURS, one.datagram) == (one.callID < 0x8000 or one.isWithheld)


@given(packets)
@settings(deadline=None)
def test_whatTheKernelSees(one: GRE) -> None:
    """
    The kernel's PPP gets frames that aren't withheld, and with encryption nothing in clear, and no
    packet of MPPE that isn't flushed and encrypted.
    """
    valid = one.protocol >> 8 & 1 == 0
    passes = one.hasFrame and not one.isWithheld
    if valid:
        assert isKept(COMPRESSIBLE, one.octets) == passes
    if one.protocol == MPPE:
        passes &= one.code >> 4 == 9
    elif one.protocol >> 8 == MPPE:
        # A protocol number whose first octet is odd is that octet alone.
        passes &= one.protocol >> 4 & 0x0F == 9
    else:
        passes &= valid and one.protocol >= 0x8000
    assert isKept(ENCRYPTED, one.octets) == passes


@given(st.binary(min_size=1, max_size=40))
@settings(deadline=None)
def test_anything(octets: bytes) -> None:
    """
    What isn't GRE, or is cut short, passes only where nobody would be harmed.
    """
    assert not isKept(NOTHING, octets)
    if len(octets) < 14:
        assert not isKept(ENCRYPTED, octets) and not isKept(COMPRESSIBLE, octets)

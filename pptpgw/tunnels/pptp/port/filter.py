"""
Programs of BPF for GRE packets: what the kernel keeps for whom. Packets of CCP at which the
kernel's PPP would stop to encrypt are withheld from it.
"""

from __future__ import annotations

from functools import cache

from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled, Instruction
from pptpgw.ports.ppp import COMPRESSION_ENDS
from pptpgw.ppp.wire.ppp import CCP, MPPE
from pptpgw.tunnels.pptp.callid import KERNELS

# The GRE header with a sequence number; an acknowledgement number makes it longer (RFC 2637 section
# 4.1).
_HEADER = 12
_HAS_SEQUENCE, _HAS_ACKNOWLEDGEMENT = 0x10, 0x80
_CALL_ID = 6
# Where an IPv4 header has the address of the sender.
_SOURCE = 12
_CONTROL = 0x8000


def _frame() -> tuple[Instruction, ...]:
    """
    Return the instructions that move X from the GRE header to the protocol number of the PPP frame.
    They go to C{drop} if there is no frame.
    """
    return (
        bpf.byteAtX(0),
        bpf.anyOf(_HAS_SEQUENCE, no="drop"),
        bpf.byteAtX(1),
        bpf.both(_HAS_ACKNOWLEDGEMENT),
        # Of 0x80, the 4 octets of a number.
        bpf.right(5),
        bpf.add(_HEADER),
        bpf.addX(),
        bpf.toX(),
        # Address and control may be left out.
        bpf.halfAtX(0),
        bpf.equal(0xFF03, no="protocol"),
        bpf.fromX(),
        bpf.add(2),
        bpf.toX(),
        # A protocol number of one octet is odd.
        bpf.here("protocol"),
        bpf.byteAtX(0),
    )


def _isStateless(at: int) -> tuple[Instruction, ...]:
    """
    Return the instructions that go to C{keep} if the header of MPPE, C{at} octets behind X, is that
    of a stateless packet, which is flushed and encrypted (RFC 3078 section 3.1), and otherwise to
    C{drop}. At others the kernel's MPPE stops to decrypt, until it sees a Reset-Ack.
    """
    return bpf.byteAtX(at), bpf.both(0xF0), bpf.equal(0x90, yes="keep", no="drop")


def _isWithheld(yes: str, no: str) -> tuple[Instruction, ...]:
    """
    Return the instructions that go to C{yes} if the packet of CCP at X is one of withheld, and
    otherwise to C{no}.
    """
    *others, last = COMPRESSION_ENDS
    return (
        bpf.byteAtX(2),
        *(bpf.equal(code, yes=yes) for code in others),
        bpf.equal(last, yes=yes, no=no),
    )


_END = (
    bpf.here("keep"),
    bpf.result(bpf.KEEP),
    bpf.here("drop"),
    bpf.result(bpf.DROP),
)

_OURS = (
    bpf.headerToX(0),
    bpf.halfAtX(_CALL_ID),
    bpf.least(KERNELS.start, no="keep"),
    *_frame(),
    bpf.halfAtX(0),
    bpf.equal(CCP, no="drop"),
    *_isWithheld(yes="keep", no="drop"),
    *_END,
)

OURS = Assembled(_OURS)
"""
Of IP packets with GRE, those of calls that the kernel doesn't carry are kept, and of calls that it
does carry what is withheld from it.
"""


@cache
def share(number: int, count: int) -> Assembled:
    """
    Return a program that keeps those packets of L{OURS} that belong to one of several sockets. Each
    packet belongs to exactly one, and all packets of a call to the same. The two halves of the
    peer's address and the call id are added, as C{session.c} of the native data path does it.

    @param number: which one of them, from 0 on.
    @param count: how many sockets there are.
    """
    if count == 1:
        return OURS
    return Assembled(
        (
            bpf.half(_SOURCE + 2),
            bpf.toX(),
            bpf.half(_SOURCE),
            bpf.addX(),
            bpf.store(0),
            bpf.headerToX(0),
            bpf.halfAtX(_CALL_ID),
            bpf.toX(),
            bpf.recall(0),
            bpf.addX(),
            bpf.modulo(count),
            bpf.equal(number, no="drop"),
            *_OURS,
        )
    )


COMPRESSIBLE = Assembled(
    (
        bpf.setX(0),
        *_frame(),
        bpf.halfAtX(0),
        bpf.equal(CCP, no="keep"),
        *_isWithheld(yes="drop", no="keep"),
        *_END,
    )
)
"""
Of the GRE packets of a call those with a frame are kept, but none that is withheld.
"""

ENCRYPTED = Assembled(
    (
        bpf.setX(0),
        *_frame(),
        bpf.anyOf(0x01, yes="short"),
        bpf.halfAtX(0),
        bpf.equal(MPPE, yes="long"),
        bpf.equal(CCP, yes="ccp"),
        bpf.least(_CONTROL, yes="keep", no="drop"),
        bpf.here("short"),
        bpf.equal(MPPE, no="drop"),
        *_isStateless(1),
        bpf.here("long"),
        *_isStateless(2),
        bpf.here("ccp"),
        *_isWithheld(yes="drop", no="keep"),
        *_END,
    )
)
"""
Of the GRE packets of a call those with a packet of stateless MPPE or a control frame are kept, but
none that is withheld.
"""

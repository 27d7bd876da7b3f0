"""
Tests for L{pptpgw.ports.bpf}, with programs that this machine's kernel runs.
"""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from pptpgw.ports import bpf
from pptpgw.ports.bpf import LIMIT, Assembled, Instruction, Program, TooLarge, assemble
from tests.ports.bpfkernel import kept

KEEP, DROP = bpf.result(bpf.KEEP), bpf.result(bpf.DROP)
ENDS = (bpf.here("keep"), KEEP, bpf.here("drop"), DROP)
PACKET = bytes((0x45, 0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE))


def isTrue(*program: Instruction) -> bool:
    """
    Whether the kernel keeps L{PACKET} by C{program}, to which the two ends are added.
    """
    (found,) = kept(Assembled((*program, *ENDS)), [PACKET])
    return found


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ((bpf.byte(1),), 0x12),
        ((bpf.half(1),), 0x1234),
        ((bpf.word(1),), 0x12345678),
        ((bpf.byte(1), bpf.both(0x30)), 0x10),
        ((bpf.byte(1), bpf.add(3)), 0x15),
        ((bpf.byte(1), bpf.right(1)), 0x09),
        ((bpf.byte(1), bpf.both(0x2), bpf.toX(), bpf.byteAtX(3)), 0x9A),
        ((bpf.byte(1), bpf.both(0x2), bpf.toX(), bpf.halfAtX(3)), 0x9ABC),
        ((bpf.headerToX(0), bpf.fromX()), 20),
        ((bpf.headerToX(0), bpf.byte(1), bpf.addX()), 0x12 + 20),
        ((bpf.setX(1), bpf.halfAtX(0)), 0x1234),
        ((bpf.byte(1), bpf.subtract(3)), 0x0F),
        ((bpf.byte(1), bpf.left(4)), 0x120),
        ((bpf.length(),), 8),
        ((bpf.immediate(0x12345678),), 0x12345678),
        ((bpf.byte(1), bpf.store(15), bpf.byte(2), bpf.recall(15)), 0x12),
    ],
)
def test_registers(program: Program, value: int) -> None:
    assert isTrue(*program, bpf.equal(value, yes="keep", no="drop"))
    assert not isTrue(*program, bpf.equal(value + 1, yes="keep", no="drop"))


def test_comparisons() -> None:
    load = bpf.byte(1)
    assert isTrue(load, bpf.least(0x12, yes="keep", no="drop"))
    assert not isTrue(load, bpf.least(0x13, yes="keep", no="drop"))
    assert isTrue(load, bpf.anyOf(0x06, yes="keep", no="drop"))
    assert not isTrue(load, bpf.anyOf(0x0D, yes="keep", no="drop"))
    assert isTrue(bpf.setX(0x12), load, bpf.leastX(yes="keep", no="drop"))
    assert not isTrue(bpf.setX(0x13), load, bpf.leastX(yes="keep", no="drop"))
    assert not isTrue(bpf.goTo("drop"))
    assert not isTrue(load, bpf.equal(0x12, no="keep"), bpf.goTo("drop"))


def test_beyondTheEnd() -> None:
    """
    A packet that is shorter than what is loaded isn't kept.
    """
    assert list(kept(Assembled((bpf.byte(2), KEEP)), [b"abc", b"ab"])) == [True, False]


@pytest.mark.parametrize("between", [0, 1, 254, 255, 256, 1000])
def test_jumps(between: int) -> None:
    """
    Jumps reach any instruction, the next one and far ones, whether or not a comparison holds.
    """
    load, rest = bpf.byte(1), [bpf.byte(0)] * between
    assert not isTrue(bpf.goTo("drop"), *rest)
    for value, holds in ((0x12, True), (0x13, False)):
        assert isTrue(load, bpf.equal(value, yes="keep", no="drop"), *rest) is holds
        assert isTrue(load, bpf.equal(value, yes="keep"), *rest, DROP) is holds
        assert isTrue(load, bpf.equal(value, no="keep"), *rest, DROP) is not holds
        assert (
            isTrue(load, bpf.equal(value, yes="keep", no="near"), *rest, bpf.here("near"), DROP)
            is holds
        )


def test_theEnd() -> None:
    """
    A program may go to what follows it.
    """
    more = assemble((KEEP,))
    program = (bpf.byte(1), bpf.equal(0x12, yes=bpf.END), DROP)
    packets = [PACKET, bytes(8)]
    assert list(kept(Assembled(program, more), packets)) == [True, False]


def test_errors() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        assemble((bpf.equal(1, yes="nowhere"), KEEP))
    with pytest.raises(TooLarge, match="4097 instructions"):
        assemble([bpf.byte(0)] * (LIMIT + 1))
    with pytest.raises(TooLarge, match="4097 instructions"):
        Assembled([bpf.byte(0)] * LIMIT, assemble((KEEP,)))
    with pytest.raises(ValueError, match="two places are named 'twice'"):
        assemble((bpf.here("twice"), KEEP, bpf.here("twice"), KEEP))
    with pytest.raises(ValueError, match="jumps back"):
        assemble((bpf.here("back"), KEEP, bpf.equal(1, yes="back")))


def test_replaced() -> None:
    """
    A program takes the place of the one before.
    """
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with closing(sender), closing(receiver):
        Assembled((DROP,)).attach(receiver)
        Assembled((KEEP,)).attach(receiver)
        sender.send(b"x")
        assert receiver.recv(1, socket.MSG_DONTWAIT) == b"x"

"""
Programs of classic BPF, by which the kernel decides for each packet whether it is kept (the
socket option C{SO_ATTACH_FILTER}, and PPP's filters).

A program is written with labels: a jump names the label that it goes to, and L{assemble} counts the
instructions between. All jumps go forward. A program sees a packet from its first octet on, and has
two registers, the accumulator A and the index X, and 16 places in memory.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Container, Sequence
from struct import Struct, pack
from typing import NamedTuple

from pptpgw.error import PPTPGWError

KEEP, DROP = 0xFFFFFFFF, 0
"""
What a program returns for a packet that is kept, and for one that isn't.
"""

LIMIT = 4096
"""
The most instructions of a program, C{BPF_MAXINSNS}.
"""

ATTACH_FILTER = 26
"""
The socket option C{SO_ATTACH_FILTER}, which the module socket lacks.
"""

_INSTRUCTION = Struct("=HBBI")
_NEAR = 255

END = "end"
"""
The label of what follows a program.
"""


class TooLarge(PPTPGWError):
    """
    The kernel takes no program of this size; the text says how large it is.
    """


class Instruction(NamedTuple):
    """
    One instruction.

    @ivar code: the operation, with its source or width; L{LABEL} for a label.
    @ivar value: its operand.
    @ivar yes: the label to go to if a comparison holds; empty for the next instruction.
    @ivar no: the label to go to if it doesn't hold; empty for the next instruction.
    """

    code: int
    value: int = 0
    yes: str = ""
    no: str = ""


LABEL = -1
"""
The code of what is no instruction, but names the one that follows.
"""


def here(label: str) -> Instruction:
    """
    Mark the place of the next instruction, to which jumps with this label go. The mark itself takes
    no room in a program.
    """
    return Instruction(LABEL, yes=label)


def byte(at: int) -> Instruction:
    """
    Load an octet into A, the one at the offset C{at}. A packet that is too short isn't kept.
    """
    return Instruction(0x30, at)


def half(at: int) -> Instruction:
    """
    Load the two octets at the offset C{at} into A, as a number in network order. A packet that is
    too short isn't kept.
    """
    return Instruction(0x28, at)


def word(at: int) -> Instruction:
    """
    Load the four octets at the offset C{at} into A, as a number in network order. A packet that is
    too short isn't kept.
    """
    return Instruction(0x20, at)


def byteAtX(at: int) -> Instruction:
    """
    Load an octet into A, the one at the offset C{X + at}. A packet that is too short isn't kept.
    """
    return Instruction(0x50, at)


def halfAtX(at: int) -> Instruction:
    """
    Load the two octets at the offset C{X + at} into A, as a number in network order. A packet that
    is too short isn't kept.
    """
    return Instruction(0x48, at)


def headerToX(at: int) -> Instruction:
    """
    Load four times the lower half of the octet at the offset C{at} into X: the length of an IPv4
    header in octets. A packet that is too short isn't kept.
    """
    return Instruction(0xB1, at)


def length() -> Instruction:
    """
    Load the length of the packet in octets into A.
    """
    return Instruction(0x80)


def etherType() -> Instruction:
    """
    Load into A the EtherType of what the packet came in; 0 if the kernel has made the packet
    itself, as by decryption.
    """
    return Instruction(0x28, 0xFFFFF000)


def immediate(value: int) -> Instruction:
    """
    Set A to C{value}.
    """
    return Instruction(0x00, value)


def store(place: int) -> Instruction:
    """
    Copy A to a place in memory, from 0 to 15.
    """
    return Instruction(0x02, place)


def recall(place: int) -> Instruction:
    """
    Load a place in memory, which the program has stored before, into A.
    """
    return Instruction(0x60, place)


def both(mask: int) -> Instruction:
    """
    Set A to the bitwise AND of A and C{mask}.
    """
    return Instruction(0x54, mask)


def add(value: int) -> Instruction:
    """
    Add a number to A, modulo 2**32.
    """
    return Instruction(0x04, value)


def subtract(value: int) -> Instruction:
    """
    Subtract a number from A, modulo 2**32.
    """
    return Instruction(0x14, value)


def addX() -> Instruction:
    """
    Add X to A, modulo 2**32.
    """
    return Instruction(0x0C)


def modulo(value: int) -> Instruction:
    """
    Set A to the remainder of its division by C{value}, which isn't 0.
    """
    return Instruction(0x94, value)


def left(bits: int) -> Instruction:
    """
    Shift A to the left by 0 to 31 bits. Those that leave it are lost, and zeros follow.
    """
    return Instruction(0x64, bits)


def right(bits: int) -> Instruction:
    """
    Shift A to the right by 0 to 31 bits. Those that leave it are lost, and zeros follow.
    """
    return Instruction(0x74, bits)


def toX() -> Instruction:
    """
    Copy A to X.
    """
    return Instruction(0x07)


def setX(value: int) -> Instruction:
    """
    Set X to C{value}.
    """
    return Instruction(0x01, value)


def fromX() -> Instruction:
    """
    Copy X to A.
    """
    return Instruction(0x87)


def equal(value: int, yes: str = "", no: str = "") -> Instruction:
    """
    Go to the label C{yes} if A is C{value}, and otherwise to C{no}. An empty label is that of the
    next instruction.
    """
    return Instruction(0x15, value, yes, no)


def least(value: int, yes: str = "", no: str = "") -> Instruction:
    """
    Go to the label C{yes} if A is C{value} or more, unsigned, and otherwise to C{no}. An empty
    label is that of the next instruction.
    """
    return Instruction(0x35, value, yes, no)


def leastX(yes: str = "", no: str = "") -> Instruction:
    """
    Go to the label C{yes} if A is X or more, unsigned, and otherwise to C{no}. An empty label is
    that of the next instruction.
    """
    return Instruction(0x3D, 0, yes, no)


def anyOf(bits: int, yes: str = "", no: str = "") -> Instruction:
    """
    Go to the label C{yes} if one of these bits is set in A, and otherwise to C{no}. An empty label
    is that of the next instruction.
    """
    return Instruction(0x45, bits, yes, no)


def goTo(to: str) -> Instruction:
    """
    Go to a label, which comes later in the program.
    """
    return Instruction(0x05, 0, to)


def resultA() -> Instruction:
    """
    End the program with A as its result.
    """
    return Instruction(0x16)


def result(value: int) -> Instruction:
    """
    End the program with the result C{value}: L{KEEP} or L{DROP}.
    """
    return Instruction(0x06, value)


Program = Sequence[Instruction]


def assemble(program: Program) -> bytes:
    """
    Return the program as the kernel reads it, an array of C{struct sock_filter}. A comparison that
    jumps farther than its eight bits reach goes by unconditional jumps behind it.

    @raise TooLarge: the program has more than L{LIMIT} instructions.
    @raise ValueError: a jump goes backwards, or two places have the same label.
    @raise KeyError: a jump names a label that isn't there.
    """
    # The places of the comparisons that jump too far.
    far: set[int] = set()
    while True:
        starts, labels = _placed(program, far)
        octets = bytearray()
        farther = []
        for place, (code, value, yes, no) in enumerate(program):
            if code == LABEL:
                continue
            following = starts[place] + 1
            jumpYes = labels[yes] - following if yes else 0
            jumpNo = labels[no] - following if no else 0
            if jumpYes < 0 or jumpNo < 0:
                raise ValueError(f"instruction {place} jumps back")
            if code == _JUMP:
                octets += _INSTRUCTION.pack(_JUMP, 0, 0, jumpYes)
            elif place in far:
                octets += _INSTRUCTION.pack(code, 0, 1, value)
                octets += _INSTRUCTION.pack(_JUMP, 0, 0, jumpYes - 1 if yes else 1)
                octets += _INSTRUCTION.pack(_JUMP, 0, 0, jumpNo - 2 if no else 0)
            elif jumpYes > _NEAR or jumpNo > _NEAR:
                farther.append(place)
            else:
                octets += _INSTRUCTION.pack(code, jumpYes, jumpNo, value)
        if not farther:
            return bytes(octets)
        far.update(farther)


_JUMP = goTo("").code


def _placed(program: Program, far: Container[int]) -> tuple[list[int], dict[str, int]]:
    """
    Return where each instruction begins, and where each label is.

    @param far: the places of the comparisons with two jumps behind them.
    @raise TooLarge: the program has more than L{LIMIT} instructions.
    """
    starts, labels, at = [], {}, 0
    for place, (code, _, yes, _) in enumerate(program):
        starts.append(at)
        if code == LABEL:
            if yes in labels:
                raise ValueError(f"two places are named {yes!r}")
            labels[yes] = at
        else:
            at += 3 if place in far else 1
    _judge(at)
    labels[END] = at
    return starts, labels


def _judge(count: int) -> None:
    if count > LIMIT:
        raise TooLarge(f"a program of {count} instructions; the kernel takes {LIMIT}")


class Assembled:
    """
    A program in memory, as the kernel takes it (C{struct sock_fprog}).

    @ivar argument: the structure, which points to the program: it is valid while this object is.
    """

    def __init__(self, program: Program, more: bytes = b"") -> None:
        """
        @param more: what follows the program, as L{assemble} returned it.
        @raise TooLarge: both together have more than L{LIMIT} instructions.
        """
        octets = assemble(program) + more
        count = len(octets) // _INSTRUCTION.size
        _judge(count)
        self._octets = ctypes.create_string_buffer(octets, len(octets))
        self.argument = pack("@HP", count, ctypes.addressof(self._octets))

    def attach(self, to: socket.socket) -> None:
        """
        Have the kernel decide by this program what C{to} receives, in place of an earlier one.

        @raise OSError: the kernel refuses.
        """
        to.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, self.argument)


NOTHING = Assembled((result(DROP),))
"""
The program that keeps nothing.
"""

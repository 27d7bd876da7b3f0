"""
Programs of BPF, run by this machine's kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

from pptpgw.ports.bpf import Assembled


def kept(program: Assembled, packets: Sequence[bytes]) -> Iterator[bool]:
    """
    Tell of each packet whether the kernel keeps it by C{program}. No packet may be empty.
    """
    with ExitStack() as stack:
        sender, receiver = (
            stack.enter_context(closing(one))
            for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        )
        program.attach(receiver)
        for packet in packets:
            sender.send(packet)
            try:
                assert receiver.recv(65536, socket.MSG_DONTWAIT) == packet
            except BlockingIOError:
                yield False
            else:
                yield True

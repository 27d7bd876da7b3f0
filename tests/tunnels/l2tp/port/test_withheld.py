"""
Tests for L{pptpgw.tunnels.l2tp.port.withheld}, with the real kernel in a network namespace.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from struct import pack
from typing import Any

from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from pptpgw.tunnels.l2tp.port.withheld import VERSION, Withholding, restored
from pptpgw.tunnels.l2tp.wire.header import L, O, S, T
from tests.lab.peers import run
from tests.ports.namespace import inNamespace

CCP, IPCP = 0x80FD, 0x8021


def messages(frame: bytes, offset: int = 0) -> Iterator[bytes]:
    """
    Iterate over data messages with a frame, with each kind of header.
    """
    for flags in (0, L, S, L | S, O, O | L, O | S, O | L | S):
        head = pack("!2H", 0x1234, 0x5678)
        head += bytes(4) if flags & S else b""
        head += pack("!H", offset) + bytes(offset) if flags & O else b""
        length = pack("!H", 4 + len(head) + len(frame)) if flags & L else b""
        yield pack("!H", flags | 2) + length + head + frame


def ccp(code: int, protocol: int = CCP) -> bytes:
    return pack("!H2BH", protocol, code, 1, 4)


def withheld() -> Iterator[tuple[bytes, bool]]:
    """
    Iterate over messages, and whether each is withheld.
    """
    for code in range(1, 16):
        for begin in (b"\xff\x03", b""):
            yield from ((one, code in (1, 5, 6)) for one in messages(begin + ccp(code)))
    yield from ((one, False) for one in messages(b"\xff\x03" + ccp(1, IPCP)))
    yield from ((one, False) for one in messages(b"\xff\x03\x00\x21" + bytes(20)))
    for one in messages(b"\xff\x03\x00\x21" + bytes(20), 2):
        yield one, bool(one[0] & O >> 8)
    # A control message, one of another version, and what is no message.
    control = pack("!6H", T | L | S | 2, 20, 1, 2, 3, 4)
    yield control + ccp(1) + ccp(1), False
    yield b"\x00\x04" + bytes(4) + ccp(1), False
    yield from ((bytes(size), False) for size in range(9))


async def watch(reactor: Any) -> None:
    """
    Have the kernel pass messages with and without the table.
    """
    run("ip", "link", "set", "lo", "up")
    table: Any = Withholding(reactor, "pptpgw_test_l2tp", 1701)
    assert not table.works
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        here.bind(("127.0.0.1", 1701))
        here.settimeout(5)

        def passed(message: bytes) -> bytes:
            there.sendto(message, ("127.0.0.1", 1701))
            return here.recv(2048)

        for message, _ in withheld():
            assert passed(message) == message
        table.start()
        await table._done
        assert table.works and table.fault == ""
        for message, isWithheld in withheld():
            got = passed(message)
            assert got[2:] == message[2:], message
            assert (got[1:2] == bytes((VERSION,))) is isWithheld, message
            assert not isWithheld or restored(got) == message
        await table.stop()
        assert not table.works and "table" not in run("nft", "list", "ruleset")
        for message, _ in withheld():
            assert passed(message) == message
    await table.stop()


def test_kernel() -> None:
    """
    Packets of CCP at which the kernel would stop to encrypt are withheld, and no others, whichever
    fields the header of the message has.
    """
    inNamespace("watch", "nft", module="tests.tunnels.l2tp.port.test_withheld")


if __name__ == "__main__":
    task.react(lambda reactor: ensureDeferred(globals()[sys.argv[1]](reactor)))

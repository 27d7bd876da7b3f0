"""
Tests for L{pptpgw.tunnels.pptp.port.pppox}, with a socket of another family in the place of PPPoX'.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable, Iterator
from errno import EHOSTUNREACH
from typing import Any

import pytest

from pptpgw.error import NotPermitted
from pptpgw.ports import pppox as family
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.port import pppox
from pptpgw.tunnels.pptp.port.pppox import PPPoXSocket
from tests.tunnels.pptp.port.test_filter import CCP, GRE, MPPE

ENDS = Ends("192.0.2.1", "192.0.2.10", 0x8001, 0x1234)
CLEAR, ENCRYPTED, REQUEST = (
    GRE(0x8001, 0x21).octets,
    GRE(0x8001, MPPE, code=0x90).octets,
    GRE(0x8001, CCP, code=1).octets,
)


class Port:
    """
    The GRE port.
    """

    def __init__(self) -> None:
        self.registered: dict[tuple[str, int], Callable[..., object]] = {}

    def register(self, address: str, callID: int, receive: Callable[..., object]) -> None:
        self.registered[address, callID] = receive

    def unregister(self, address: str, callID: int) -> None:
        del self.registered[address, callID]


class Library:
    """
    The C library's functions for sockets.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.error = 0

    def bind(self, descriptor: int, address: bytes, size: int) -> int:
        self.asked.append(("bind", address[:size]))
        return 0

    def connect(self, descriptor: int, address: bytes, size: int) -> int:
        self.asked.append(("connect", address[:size]))
        ctypes.set_errno(self.error)
        return -1 if self.error else 0


class World:
    """
    A kernel with PPPoX.

    @ivar peer: the other end of the socket.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peer, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.library, self.port = Library(), Port()
        self.frames: list[tuple[int, bytes]] = []
        monkeypatch.setattr(pppox, "openPPPoX", lambda protocol: self.socket)
        monkeypatch.setattr(family, "_library", self.library)
        monkeypatch.setattr("fcntl.ioctl", lambda descriptor, request, argument: b"\x07\0\0\0")

    def open(self) -> PPPoXSocket:
        port: Any = self.port
        return PPPoXSocket(ENDS, port, lambda *frame: self.frames.append(frame), lambda *maps: None)

    def passes(self, packet: bytes) -> bool:
        """
        Whether a GRE packet from the peer reaches the kernel's PPP.
        """
        self.peer.send(packet)
        try:
            return self.socket.recv(2048, socket.MSG_DONTWAIT) == packet
        except BlockingIOError:
            return False


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    made.peer.close()
    made.socket.close()


def test_addresses(world: World) -> None:
    """
    The kernel is given struct sockaddr_pppox: family 24, protocol 2, call id and address.
    """
    assert world.open().channel == 7
    head = b"\x18\x00\x02\x00\x00\x00"
    assert world.library.asked == [
        ("bind", head + b"\x01\x80\0\0" + bytes((192, 0, 2, 1)) + bytes(16)),
        ("connect", head + b"\x34\x12\0\0" + bytes((192, 0, 2, 10)) + bytes(16)),
    ]


def test_filters(world: World) -> None:
    """
    What would end encryption never reaches the kernel, and nothing in clear once that is required.
    """
    transport = world.open()
    assert [world.passes(one) for one in (CLEAR, ENCRYPTED, REQUEST)] == [True, True, False]
    transport.requireEncryption()
    transport.requireEncryption()
    assert [world.passes(one) for one in (CLEAR, ENCRYPTED, REQUEST)] == [False, True, False]


def test_withheldFrames(world: World) -> None:
    """
    What the kernel doesn't see comes from the GRE port, until the transport is closed.
    """
    transport = world.open()
    receive = world.port.registered["192.0.2.10", 0x8001]
    receive(5, CCP, [b"one", b"two"])
    assert world.frames == [(CCP, b"one"), (CCP, b"two")]
    transport.close()
    assert world.port.registered == {} and world.socket.fileno() == -1


def test_refused(world: World) -> None:
    world.library.error = EHOSTUNREACH
    with pytest.raises(OSError, match="No route to host"):
        world.open()
    assert world.port.registered == {} and world.socket.fileno() == -1


def test_noFamily(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A kernel without PPTP says which module is missing.
    """
    # No protocol of the family has this number.
    monkeypatch.setitem(family._MODULES, 0x7F, ("PPTP", "pptp"))
    with pytest.raises(NotPermitted, match="module pptp"):
        family.openPPPoX(0x7F)
    assert "module pptp" in family.lackingPPPoX(0x7F)

"""
Tests for L{pptpgw.ports.udpsockets}.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from pptpgw.ports.udpsockets import (
    APART,
    OCTETS,
    PARTS,
    UDP_GRO,
    DatagramWriter,
    openUDP,
    renewUDP,
    shareUDP,
    unshareUDP,
)

HERE = "127.0.0.1"
SO_NO_CHECK = 11


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """
    A socket, and the one that it sends to.
    """
    made = openUDP(HERE, 0, 1 << 20), openUDP(HERE, 0, 1 << 22)
    yield made
    for one in made:
        one.close()


def received(one: socket.socket) -> list[bytes]:
    """
    Read all that waits.
    """
    found = []
    while True:
        try:
            found.append(one.recv(1 << 17))
        except BlockingIOError:
            return found


class TestWriting:
    def test_datagramsAreWhole(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """
        Whatever sizes datagrams have, each arrives as it was sent, by few system calls.
        """
        near, far = pair
        calls: list[int] = []
        writer = DatagramWriter(near, [], far.getsockname(), lambda: 0.0)
        sendmsg = writer._sendmsg

        def counted(parts: list[bytes], *more: object) -> int:
            calls.append(len(parts))
            return sendmsg(parts, *more)  # type: ignore[arg-type]

        writer._sendmsg = counted  # type: ignore[assignment]
        sizes = [1400] * 50 + [3] * 2 + [0, 0, 5, 7, 7, 6, 8, 0] + [10] * (PARTS + 1)
        datagrams = [bytes([place % 256]) * size for place, size in enumerate(sizes)]
        assert writer.writeAll(datagrams) == []
        assert received(far) == datagrams
        most = OCTETS // 1400
        assert calls == [most, 50 - most + 1, 1, 1, 1, 1, 3, 1, 1, PARTS, 1]
        writer.write(b"alone")
        assert received(far) == [b"alone"]

    def test_theSystemJoinsNone(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """
        If the system refuses to make several datagrams of one message they leave one by one, and it
        is tried again after a while.
        """
        near, far = pair
        now = 1.0
        writer = DatagramWriter(near, [], far.getsockname(), lambda: now)
        far.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        # Without checksums the kernel splits nothing.
        near.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        assert writer.writeAll([b"one", b"two"]) == []
        near.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 0)
        assert writer.writeAll([b"one", b"two"]) == []
        assert received(far) == [b"one", b"two"] * 2
        now += APART
        assert writer.writeAll([b"one", b"two"]) == []
        assert received(far) == [b"onetwo"]

    def test_failures(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """
        A datagram that the system refuses doesn't keep the others back.
        """
        near, far = pair
        writer = DatagramWriter(near, [], far.getsockname(), lambda: 0.0)
        ((place, error),) = writer.writeAll([b"one", bytes(70000), b"two"])
        assert (place, error.errno) == (1, errno.EMSGSIZE)
        assert received(far) == [b"one", b"two"]
        with pytest.raises(OSError, match="long"):
            writer.write(bytes(70000))


class TestSharing:
    def test_nobodyElseHasThePort(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """
        Sockets that share a port keep it for themselves, as a single one does.
        """
        first = pair[0]
        number = first.getsockname()[1]
        for count in (1, 3):
            others = shareUDP(first, HERE, count, 1 << 16)
            assert [one.getsockname()[1] for one in others] == [number] * (count - 1)
            with pytest.raises(OSError, match="in use"):
                openUDP(HERE, number, 1 << 16)
            unshareUDP((first, *others))
            assert all(one.fileno() == -1 for one in others)
            with pytest.raises(OSError, match="in use"):
                openUDP(HERE, number, 1 << 16, shares=True)

    def test_noMoreSockets(
        self, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = pair[0]

        def refuse(*arguments: object, **more: object) -> socket.socket:
            raise OSError(errno.EMFILE, "too many")

        monkeypatch.setattr("pptpgw.ports.udpsockets.openUDP", refuse)
        with pytest.raises(OSError, match="too many"):
            shareUDP(first, HERE, 2, 1 << 16)
        assert not first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)

    def test_renewing(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """
        A socket that another program's code has closed is replaced, by one with its number.
        """
        first, far = pair
        number, descriptor = first.getsockname()[1], first.fileno()
        others = shareUDP(first, HERE, 2, 1 << 16)
        waited: list[int] = []
        renewUDP((first, *others), HERE, number, 1 << 16, lambda: waited.append(1))
        assert (first.fileno(), first.getsockname()[1], waited) == (descriptor, number, [1])
        far.sendto(b"again", (HERE, number))
        assert received(first) + received(others[0]) == [b"again"]
        for one in others:
            one.close()
        renewUDP((first,), HERE, number, 1 << 16, None)
        far.sendto(b"again", (HERE, number))
        assert received(first) == [b"again"]

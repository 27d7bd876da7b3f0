"""
Fuzzing of the C extensions, under the sanitizers where L{tests.fuzz} runs it. They must do the same
as their twins in Python, and keep no reference.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from pptpgw.datapath import _mppe
from pptpgw.datapath.mppe import PythonDecryptor, PythonEncryptor
from pptpgw.ports import _tun
from pptpgw.tunnels.pptp.port import _gre
from pptpgw.tunnels.pptp.port.raw import CompiledRaw, PythonRaw
from tests.fuzz.reader import Reader, Target

_PEER, _CALL_ID = 0xC6336401, 7
_IP = bytes.fromhex("4500 0000 0000 0000 402f 0000") + _PEER.to_bytes(4, "big") + bytes(4)
# Distances of coherency counts at which the meaning changes.
_JUMPS = (1, 2, 255, 256, 257, 2047, 2048, 2049, 4094, 4095)
_PREFIX, _PROTOCOL = b"\xff\x03\x00\xfd", b"\x00\x21"


def _bothWays(name: str, compiled: Any, python: Any, *arguments: Any) -> Any:
    """
    Call a method of both twins, whose results or exceptions must be equal, and return the result or
    the class of the exception.
    """
    results: list[Any] = []
    for one in (compiled, python):
        try:
            results.append(getattr(one, name)(*arguments))
        except (ValueError, TypeError, OSError) as error:
            results.append(type(error))
    assert results[0] == results[1], (name, arguments, results)
    return results[0]


def _mppePackets(octets: bytes) -> None:
    """
    MPPE in both directions, with packets that arrive, are lost, were altered or are made up.
    """
    reader = Reader(octets)
    bits = reader.choose((128, 56, 40))
    stateful = bool(reader.number() & 1)
    key = reader.take(16).ljust(16, b"\0")[: 16 if bits == 128 else 8]
    sending = _mppe.Encryptor(key, bits, stateful), PythonEncryptor(key, bits, stateful)
    receiving = _mppe.Decryptor(key, bits, stateful), PythonDecryptor(key, bits, stateful)
    while reader.more:
        kind = reader.number() % 8
        if kind == 0:
            sending[0].reset()
            sending[1].reset()
            continue
        if kind == 1:
            _bothWays("skip", *receiving, reader.number(2) % 5000)
            if reader.number() & 1:
                receiving = receiving[0].copy(), receiving[1].copy()
            continue
        if kind == 2:
            frame = reader.chunk()
        else:
            packet = b"\x45" + reader.chunk()
            frame = _bothWays("encrypt", *sending, _PREFIX, _PROTOCOL, packet)[len(_PREFIX) :]
        if kind == 3:
            # The packet is lost.
            continue
        if kind == 4:
            frame = reader.take(2) + frame[2:]
        if kind == 5 and len(frame) > 1:
            # The packet arrives as if all before it were lost.
            count = int.from_bytes(frame[:2], "big")
            _bothWays("skip", *receiving, (count - receiving[0].count - 1) % 4096)
        if kind == 6:
            header = int.from_bytes(frame[:2].ljust(2, b"\0"), "big")
            header = header & 0xF000 | (header + reader.choose(_JUMPS)) & 0x0FFF
            frame = header.to_bytes(2, "big") + frame[2:]
        _bothWays("decrypt", *receiving, frame)
        assert receiving[0].count == receiving[1].count
        assert receiving[0].rekeys == receiving[1].rekeys
    assert sending[0].rekeys == sending[1].rekeys


def _mppeArguments(octets: bytes) -> None:
    """
    Arguments with which nobody calls MPPE.
    """
    reader = Reader(octets)
    key, bits = reader.chunk(), reader.choose((0, 40, 56, 128, -1, 2**31 - 1))
    kinds = ((_mppe.Encryptor, PythonEncryptor), (_mppe.Decryptor, PythonDecryptor))
    for compiled, python in kinds:
        made: list[Any] = []
        for kind in (compiled, python):
            try:
                made.append(kind(key, bits))
            except ValueError:
                made.append(None)
        assert (made[0] is None) == (made[1] is None)
    length = reader.number(3)
    encryptor = _mppe.Encryptor(bytes(16), 128), PythonEncryptor(bytes(16), 128)
    if length <= 0x12000:
        _bothWays("encrypt", *encryptor, b"", b"", bytes(length))
    for arguments in ((), (None,), (b"", b""), (b"", b"", None), (b"", b"", b"", b"")):
        try:
            encryptor[0].encrypt(*arguments)
        except TypeError:
            continue
        raise AssertionError(arguments)


class _Sockets:
    """
    A socket for each twin, and one that sends to both.
    """

    def __init__(self) -> None:
        self.compiled, self._first = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.python, self._second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for one in (self.compiled, self._first, self.python, self._second):
            one.setblocking(False)

    def send(self, packet: bytes) -> None:
        """
        Send a packet to both.
        """
        self._first.send(packet)
        self._second.send(packet)


_sockets = _Sockets()


def _packet(reader: Reader) -> bytes:
    """
    An IP packet: any octets, or GRE with a header that may be wrong.
    """
    kind = reader.number()
    if kind & 1:
        return reader.chunk()
    flags = reader.choose((0x3001880B, 0x3081880B, 0x2081880B, reader.number(4)))
    payload = reader.chunk()
    length = reader.number(2) if kind & 2 else len(payload)
    if kind & 32:
        length = (length + reader.choose((1, -1, 2, -2))) & 0xFFFF
    callID = reader.number(2) if kind & 4 else _CALL_ID
    header = flags.to_bytes(4, "big") + length.to_bytes(2, "big") + callID.to_bytes(2, "big")
    numbers = reader.take(1).rjust(4, b"\0") + (reader.take(4) if kind & 8 else b"")
    start = reader.take(1) + _IP[1:] if kind & 16 else _IP
    return start + header + numbers + payload


def _greReceive(octets: bytes) -> None:
    """
    Received packets.
    """
    reader = Reader(octets)

    def channel(*arguments: Any) -> None: ...

    channels: dict[int, Any] = {_PEER << 16 | _CALL_ID: channel, _PEER << 16 | 8: channel}
    held = sys.getrefcount(channel)
    for _ in range(8):
        if not reader.more:
            break
        _sockets.send(_packet(reader))
    runs = CompiledRaw().receive(_sockets.compiled, channels)
    assert runs == PythonRaw().receive(_sockets.python, channels)
    del runs
    assert sys.getrefcount(channel) == held


def _greSend(octets: bytes) -> None:
    """
    The sender of packets, with addresses and packets of any form.
    """
    reader = Reader(octets)
    source, destination = reader.take(reader.choose((4, 4, 3, 5))), reader.take(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        number = closed.fileno()
    try:
        send = _gre.sender(number, source, destination)
    except ValueError:
        assert (len(source), len(destination)) != (4, 4)
    else:
        assert (len(source), len(destination)) == (4, 4)
        _fails(send, reader.chunk(), OSError)
        _fails(send, None, TypeError)


def _tunWrite(octets: bytes) -> None:
    """
    Packets of any form, written to a socket in place of a TUN device.
    """
    write = _tun.writer(_sockets.compiled.fileno())
    write(octets)
    assert _sockets._first.recv(65536) == octets
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        number = closed.fileno()
    _fails(_tun.writer(number), octets, OSError)
    _fails(write, None, TypeError)


def _fails(call: Any, argument: object, kind: type[Exception]) -> None:
    """
    Assert that C{call} raises this kind of exception.
    """
    try:
        call(argument)
    except kind:
        return
    raise AssertionError(f"{call} took {argument!r}")


TARGETS: dict[str, Target] = {
    "gre-receive": _greReceive,
    "gre-send": _greSend,
    "mppe": _mppePackets,
    "mppe-arguments": _mppeArguments,
    "tun-write": _tunWrite,
}
"""
Targets by name.
"""

"""
Fuzzing of the C extensions, under the sanitizers where L{tests.fuzz} runs it. They must do the same
as their twins in Python, and keep no reference.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from pptpgw.datapath import _mppe
from pptpgw.datapath.mppe import PythonDecryptor, PythonEncryptor
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ports import _tun
from pptpgw.ppp import _des, _md4
from pptpgw.ppp.des import pythonDES
from pptpgw.ppp.md4 import pythonMD4
from pptpgw.tunnels.pptp.port import _gre
from pptpgw.tunnels.pptp.port.raw import CompiledRaw, PythonRaw
from tests.fuzz.reader import Reader, Target
from tests.fuzz.thread import datagrams, thread

_PEER, _CALL_ID = 0xC6336401, 7
_IP = bytes.fromhex("4500 0000 0000 0000 402f 0000") + _PEER.to_bytes(4, "big") + bytes(4)
# Distances of coherency counts at which the meaning changes.
_JUMPS = (1, 2, 255, 256, 257, 2047, 2048, 2049, 4094, 4095)
_PREFIX, _PROTOCOL = b"\xff\x03\x00\xfd", b"\x00\x21"
_VNET = struct.Struct("=BBHHHH")
_HEADERS = {
    4: bytes.fromhex("4500 0000 0000 4000 4006 0000 0a4d000a 0a010101"),
    6: bytes.fromhex("60000000 0000 0640") + bytes(15) + b"\1" + bytes(15) + b"\2",
}


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
    MPPE in both directions, with packets that arrive, are lost, were altered or are made up, and
    runs of them.
    """
    reader = Reader(octets)
    bits = reader.choose((128, 56, 40))
    stateful = bool(reader.number() & 1)
    key = reader.take(16).ljust(16, b"\0")[: 16 if bits == 128 else 8]
    sending = _mppe.Encryptor(key, bits, stateful), PythonEncryptor(key, bits, stateful)
    receiving = _mppe.Decryptor(key, bits, stateful), PythonDecryptor(key, bits, stateful)
    while reader.more:
        kind = reader.number() % 9
        if kind == 0:
            sending[0].reset()
            sending[1].reset()
            continue
        if kind == 1:
            _bothWays("skip", *receiving, reader.number(2) % 5000)
            if reader.number() & 1:
                receiving = receiving[0].copy(), receiving[1].copy()
            continue
        if kind == 8:
            _bothWays("decryptRun", *receiving, _run(reader, sending))
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


def _run(reader: Reader, sending: tuple[Any, Any]) -> list[bytes]:
    """
    A run of frames, of which some are lost, doubled or made up.
    """
    frames: list[bytes] = []
    for _ in range(reader.number() % 12):
        kind = reader.number() % 8
        if kind == 0:
            frames.append(reader.chunk())
            continue
        field = reader.choose((_PROTOCOL, b"\x21", b"\x00\x57", b"\x00", b""))
        frame = _bothWays("encrypt", *sending, b"", field, b"\x45" + reader.chunk())
        frames += [frame] * (kind - 1 if kind < 4 else 1)
    return frames


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
        decryptor = _mppe.Decryptor(bytes(16), 128), PythonDecryptor(bytes(16), 128)
        _bothWays("decryptRun", *decryptor, [b"\x90\x00x", bytes(length)])
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
_receivers = CompiledRaw().receiver(_sockets.compiled), PythonRaw().receiver(_sockets.python)


def _md4Message(octets: bytes) -> None:
    """
    MD4 of a message.
    """
    assert _md4.md4(octets) == pythonMD4(octets)


def _desBlock(octets: bytes) -> None:
    """
    DES of a block, or of octets of other sizes.
    """
    clear, key = octets[:8], octets[8:]
    try:
        expected = pythonDES(clear, key)
    except ValueError:
        _fails(lambda one: _des.des(one, key), clear, ValueError)
    else:
        assert _des.des(clear, key) == expected


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
    while reader.more:
        kind = reader.number()
        if kind % 8 == 0:
            _bothWays("take", *_receivers, channels)
        elif kind % 8 == 1:
            channels.pop(_PEER << 16 | 8, None)
        packet = _packet(reader)
        # Sometimes more than may wait.
        for _ in range(kind >> 2 if kind % 8 == 2 else 1):
            for _ in range(8 if kind > 0xF0 else 1):
                _sockets.send(packet)
            _bothWays("read", *_receivers, channels)
        assert _receivers[0].waiting == _receivers[1].waiting
    while _receivers[0].waiting:
        _bothWays("take", *_receivers, channels)
    channels.clear()
    assert sys.getrefcount(channel) == held - 2


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
        sendAll = _gre.allSender(number, source, destination)
        packets = [reader.chunk() for _ in range(reader.number())]
        failures = sendAll(packets)
        assert [place for place, _ in failures] == list(range(len(packets)))
        assert all(type(error) is OSError for _, error in failures)
        _fails(sendAll, [b"", None], TypeError)


def _segment(reader: Reader, version: int, sequence: int) -> bytes:
    """
    A TCP segment with right lengths and checksums, some octets of which may then be altered.
    """
    head = _HEADERS[version]
    kind = reader.number()
    flags = reader.choose((0x10, 0x10, 0x10, 0x18, reader.number()))
    options = bytes(4 * (kind & 1))
    payload = reader.choose((100, 100, 100, 50, 0, reader.number())) * b"x"
    tcp = struct.pack("!HHIIBBHHH", 1, 2, sequence, 7, 80 + 4 * len(options), flags, 9, 0, 0)
    tcp += options + payload
    size = len(tcp).to_bytes(2, "big")
    start = 12 if version == 4 else 8
    tcp = tcp[:16] + checksum(head[start:] + b"\0\6" + size + tcp).to_bytes(2, "big") + tcp[18:]
    if version == 4:
        head = head[:2] + (20 + len(tcp)).to_bytes(2, "big") + head[4:]
        head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    else:
        head = head[:4] + size + head[6:]
    packet = head + tcp
    if kind & 2:
        at = reader.number() % len(packet)
        packet = packet[:at] + reader.take(1 + kind % 3) + packet[at + 1 + kind % 3 :]
    return packet[: -reader.number() - 1] if kind & 4 else packet


def _tunRead(octets: bytes) -> None:
    """
    Frames with headers of every form, which are split or discarded. What is split has the payload
    of the frame.
    """
    reader = Reader(octets)
    while reader.more:
        packet = _segment(reader, reader.choose((4, 6)), 0xFFFFFFF0)
        start = reader.choose((20, 40, reader.number(2)))
        header = _VNET.pack(
            reader.choose((1, 1, 1, reader.number())),
            reader.choose((1, 4, 5, 0, reader.number())),
            reader.number(2),
            reader.choose((1, 33, 100, reader.number(2))),
            start,
            reader.choose((16, 6, reader.number(2))),
        )
        _sockets._first.send(header + packet)
        packets, malformed = _tun.reader(_sockets.compiled.fileno(), True)()
        assert malformed + bool(packets) == 1
        if len(packets) > 1:
            headers = start + (8 if header[1] & 0x7F == 5 else (packet[start + 12] >> 4) * 4)
            assert b"".join(one[headers:] for one in packets) == packet[headers:]


def _tunWriteAll(octets: bytes) -> None:
    """
    Segments of two flows, most of which follow each other. What is joined is split into the same
    packets.
    """
    reader = Reader(octets)
    sequences = {4: 0xFFFFFF00, 6: 5}
    packets: list[bytes] = []
    while reader.more and len(packets) < 40:
        version = reader.choose((4, 6))
        packet = _segment(reader, version, sequences[version])
        sequences[version] = sequences[version] + len(packet) - len(_HEADERS[version]) - 20
        sequences[version] &= 0xFFFFFFFF
        if packet:
            packets.append(packet)
    number = _sockets.compiled.fileno()
    write, read = _tun.allWriter(number, True), _tun.reader(number, True)
    _sockets._first.setblocking(False)
    found: list[bytes] = []
    # The socket takes a few frames at a time.
    for at in range(0, len(packets), 8):
        assert write(packets[at : at + 8]) == 0
        frames = []
        try:
            while True:
                frames.append(_sockets._first.recv(1 << 17))
        except BlockingIOError:
            pass
        for frame in frames:
            _sockets._first.send(frame)
            pieces, malformed = read()
            assert not malformed
            found += pieces
    assert sorted(map(_normal, found)) == sorted(map(_normal, packets))


def _normal(packet: bytes) -> bytes:
    """
    The packet without the identification that means nothing under DF, and without its checksum.
    """
    if packet[0] == 0x45 and len(packet) >= 20 and packet[6] & 0x40 and not checksum(packet[:20]):
        return packet[:4] + packet[6:10] + packet[12:]
    return packet


def _tunWrite(octets: bytes) -> None:
    """
    Packets of any form, written to a socket in place of a TUN device.
    """
    for offload in (False, True):
        write = _tun.writer(_sockets.compiled.fileno(), offload)
        write(octets)
        assert _sockets._first.recv(65536) == bytes(_VNET.size * offload) + octets
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        number = closed.fileno()
    _fails(_tun.writer(number, False), octets, OSError)
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
    "des": _desBlock,
    "gre-receive": _greReceive,
    "gre-send": _greSend,
    "md4": _md4Message,
    "mppe": _mppePackets,
    "mppe-arguments": _mppeArguments,
    "thread": thread,
    "thread-l2tp": datagrams,
    "tun-read": _tunRead,
    "tun-write": _tunWrite,
    "tun-write-all": _tunWriteAll,
}
"""
Targets by name.
"""

"""
Fuzzing of the thread of the native data path: GRE packets and datagrams of L2TP, frames of the TUN
device, and what Python does with sessions meanwhile.
"""

from __future__ import annotations

import os
import select
import socket

from pptpgw.datapath import _mppe, _native
from tests.fuzz.reader import Reader

_PEER, _LOCAL = bytes((198, 51, 100, 1)), bytes((192, 0, 2, 1))
_CALL_ID = 7
_IDS = 0x12345678
# The options of UDP sockets for one message that becomes several datagrams, and vice versa.
_UDP_SEGMENT, _UDP_GRO = 103, 104
_KEY = bytes(range(16))
_IP = bytes.fromhex("4500 0000 0000 0000 402f 0000") + _PEER + bytes(4)
_HOST = bytes((10, 77, 0, 10))
_PREFIX = bytes.fromhex("20010db800000007") + bytes(8)
_SOURCES = {
    4: _HOST.ljust(16, b"\0") + b"\xff" * 4 + bytes(12),
    6: _PREFIX + b"\xff" * 8 + bytes(8),
}
_HEADERS = {
    4: bytes.fromhex("4500 0040 0000 4000 4006 0000") + _HOST + _HOST,
    6: bytes.fromhex("60000000 0018 0640") + _PREFIX + _PREFIX,
}


_LOOPBACK = socket.inet_aton("127.0.0.1")
_NONE = 0x10000


def _opened() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind(("127.0.0.1", 0))
    return opened


def _pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in pair:
        one.setblocking(False)
    return pair


class _World:
    """
    A thread with a session, and the sockets around it.
    """

    def __init__(self) -> None:
        self.gre, self.engineGRE = _pair()
        self.device, self.engineDevice = _pair()
        self.greLeft, self.engineGRELeft = _pair()
        self.deviceLeft, self.engineDeviceLeft = _pair()
        self.engine = _native.Engine()
        self.offload = True
        self.time = 1_000_000_000
        self.sync()
        self.port = self.engine.watch(
            _native.GRE, (self.engineGRE.fileno(),), self.engineGRELeft.fileno()
        )
        self.caller, self.udp = _opened(), _opened()
        self.udp.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        left = self.engineGRELeft.fileno()
        self.place = self.engine.watch(_native.L2TP, (self.udp.fileno(),), left)
        self.engine.start()

    def sync(self) -> None:
        """
        Wait until the thread has carried out all commands.
        """
        device, left = self.engineDevice.fileno(), self.engineDeviceLeft.fileno()
        self.engine.tun((device,), self.offload, left)

    def timePasses(self, hundredths: int) -> None:
        """
        Have the thread's time pass.
        """
        self.time += hundredths * 10_000_000
        self.engine.time(self.time)

    def settle(self) -> None:
        """
        Wait until the thread has read all that was sent, and read all that it sent.
        """
        waiting = [self.engineGRE, self.engineDevice, self.udp]
        while select.select(waiting, [], [], 0)[0]:
            os.sched_yield()
        self.sync()
        for one in (self.gre, self.device, self.greLeft, self.deviceLeft, self.caller):
            try:
                while True:
                    one.recv(1 << 17)
            except BlockingIOError:
                pass


_made: list[_World] = []


def thread(octets: bytes) -> None:
    """
    The thread, with a session of PPTP in one of the modes of MPPE, or without.
    """
    if not _made:
        _made.append(_World())
    _run(_made[0], Reader(octets), False)


def datagrams(octets: bytes) -> None:
    """
    The same with a session of L2TP.
    """
    if not _made:
        _made.append(_World())
    _run(_made[0], Reader(octets), True)


def _run(world: _World, reader: Reader, isL2TP: bool) -> None:
    kind = reader.number()
    world.offload = bool(kind & 4)
    world.sync()
    session = world.engine.session(world.port, _PEER, 0, _LOCAL, _CALL_ID, 9)
    if isL2TP:
        session.close()
        port = world.caller.getsockname()[1]
        session = world.engine.session(world.place, _LOOPBACK, port, _LOOPBACK, _IDS, 9)
    world.engine.route(0, _HOST, session)
    world.engine.route(64, _PREFIX, session)
    sending: _mppe.Encryptor | None = None
    states = b"", b""
    if kind & 1:
        sending = _mppe.Encryptor(_KEY, 128, bool(kind & 2))
        states = sending.state(), _mppe.Decryptor(_KEY, 128, bool(kind & 2)).state()
    session.frame(b"\0\xfd", not kind & 1)
    for family, mtu in ((0, 200), (1, 1280)):
        sources = _SOURCES[6 if family else 4] * (1 + (kind >> 3 & 3))
        session.network(family, mtu, True, bool(kind & 32), b"\xff\x03\0\x21", sources)
    sequence = 0
    world.timePasses(0)
    # No numbers come, or none are sent, at first.
    numbered = reader.choose(((0, 0), (_NONE, 0), (0xFFFE, _NONE), (_NONE, _NONE)))
    first = (numbered[0], 0, 0, numbered[1]) if isL2TP else (0,) * 4
    session.give((*first, *(0,) * 10), bool(kind & 64), *states)
    late: list[bytes] = []
    while reader.more:
        step = reader.number()
        if step % 8 == 0:
            numbers, _, *taken = session.take()
            sequence = numbers[0]
            session.give(numbers, bool(step & 16), *taken[:2])
        elif step % 8 == 1:
            world.device.send(_frame(reader))
        elif step % 8 == 2:
            world.timePasses(step >> 3)
            world.settle()
            session.figures()
        elif step % 8 == 3 and not isL2TP:
            world.gre.send(_IP + reader.chunk())
        elif step % 8 == 3:
            # Any octets, as one datagram or as several of a size.
            size = reader.number()
            parts = [(socket.IPPROTO_UDP, _UDP_SEGMENT, size.to_bytes(2, "little"))]
            _send(world, reader.chunk() + b"\0\2" + _IDS.to_bytes(4, "big"), parts if size else [])
        else:
            inner = _inner(reader)
            payload = b"\xff\x03" + inner
            if sending is not None:
                payload = sending.encrypt(b"\0\xfd", inner[:2], inner[2:])
            if step & 64:
                payload = payload[: reader.number()]
            if isL2TP:
                _send(world, _message(reader, payload), [])
                continue
            length = len(payload) + (step & 128 and reader.number())
            header = bytes.fromhex("3001880b") + length.to_bytes(2, "big") + b"\0\x07"
            late.append(_IP + header + sequence.to_bytes(4, "big") + payload)
            sequence = (sequence + (2 if step & 32 else 1)) & 0xFFFFFFFF
            if step & 24 != 24:
                world.gre.send(late.pop(reader.number() % len(late)))
    world.settle()
    world.engine.unroute(0, _HOST)
    world.engine.unroute(64, _PREFIX)
    session.close()
    world.engine.events()


def _message(reader: Reader, payload: bytes) -> bytes:
    """
    A data message, whose header may have any fields.
    """
    kind = reader.number()
    flags = 2 if kind < 0x40 else reader.choose((0x4002, 0x0802, 0x0202, 0x4A02, reader.number(2)))
    head = _IDS.to_bytes(4, "big")
    if flags & 0x0800:
        head += reader.number(2 if kind & 1 else 1).to_bytes(2, "big") + bytes(2)
    if flags & 0x0200:
        size = reader.number()
        head += size.to_bytes(2, "big") + bytes(size if kind & 2 else 0)
    if flags & 0x4000:
        length = 4 + len(head) + len(payload) + (reader.number() - 128 if kind & 4 else 0)
        head = (length & 0xFFFF).to_bytes(2, "big") + head
    return flags.to_bytes(2, "big") + head + payload


def _send(world: _World, octets: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
    """
    Have the caller send octets, if the system takes them.
    """
    try:
        world.caller.sendmsg([octets], ancillary, 0, world.udp.getsockname())
    except OSError:
        return


def _inner(reader: Reader) -> bytes:
    """
    A protocol number of two octets and a packet.
    """
    version = reader.choose((4, 6))
    packet = bytearray(_HEADERS[version] + reader.chunk())
    for _ in range(reader.number() % 4):
        packet[reader.number() % len(packet)] = reader.number()
    return reader.choose((b"\0\x21", b"\0\x57", b"\xc0\x21")) + bytes(packet)


def _frame(reader: Reader) -> bytes:
    """
    A frame of the device, with its header.
    """
    return reader.take(10).ljust(10, b"\0") + _inner(reader)[2:]

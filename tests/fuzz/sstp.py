"""
Fuzzing of SSTP: both state machines, with the framer before them, from each of their states, and
the opening by HTTP.

Nothing may raise. The owner is told once that a call ends, no packet passes without a binding that
holds, and no timer is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pptpgw.error import Malformed
from pptpgw.sessions.cause import Cause
from pptpgw.tunnels.sstp import binding, wire
from pptpgw.tunnels.sstp.clientside import ClientMachine
from pptpgw.tunnels.sstp.framer import Framer
from pptpgw.tunnels.sstp.machine import State
from pptpgw.tunnels.sstp.opening import LARGEST_HEAD, Head, decodeRequest, decodeStatus
from pptpgw.tunnels.sstp.serverside import ServerMachine
from pptpgw.tunnels.sstp.wire import Attribute, Kind, Message
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.tunnels.sstp.test_machine import CERTIFICATE, KEY, NONCE, REQUEST, Driven

_ACK = Message(Kind.CALL_CONNECT_ACK, (wire.CryptoBindingRequest(3, NONCE).encode(),)).encode()
_BOUND = binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY)
_FALSE = binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, binding.NO_KEY)


def machine(make: Callable[..., Any], *first: bytes) -> Target:
    """
    The target of one end that has received C{first}.
    """

    def target(octets: bytes) -> None:
        with unfailing():
            _run(Driven(make), Reader(octets), *first)

    return target


def _run(driven: Driven, reader: Reader, *first: bytes) -> None:
    owner, clock = driven.owner, driven.clock
    frames: list[bytes] = []

    def received(packet: bytes) -> None:
        driven.machine.heard()
        driven.machine.received(packet)
        told = owner.told
        if "ending" in told:
            framer.close()
        elif "established" in told:
            framer.bound()
        elif "link up" in told:
            framer.open()

    framer = Framer(lambda octets: None, received, lambda reason: None, lambda: None)
    framer.receive = frames.append
    for packet in first:
        framer.feed(packet)
    while reader.more:
        kind = reader.number() % 8
        if kind == 0:
            clock.advance(reader.number())
        elif kind == 1:
            driven.machine.authenticated([KEY] if reader.number() & 1 else [])
        elif kind == 2 and reader.number() == 7:
            driven.machine.disconnect(Cause("enough"))
        else:
            try:
                framer.feed(_octets(reader, kind))
            except Malformed:
                driven.machine.lost(Cause("malformed"))
                break
        if driven.machine.state is not State.CONNECTED and isinstance(
            driven.machine, ServerMachine
        ):
            assert not any(_isNetwork(frame) for frame in frames) or "established" in owner.told
        assert len(clock.getDelayedCalls()) <= 1
    driven.machine.disconnect(Cause("enough"))
    runOut(clock)
    assert owner.told.count("ending") == 1
    assert owner.told.count("established") <= 1


def _isNetwork(frame: bytes) -> bool:
    return frame.startswith((b"\xff\x03\x00", b"\x00\x21", b"\x21"))


def _octets(reader: Reader, kind: int) -> bytes:
    """
    Octets of the stream: likely packets, packets of any attributes, frames, or anything.
    """
    if kind == 3:
        return reader.choose(
            (REQUEST.encode(), _ACK, _BOUND, _FALSE, Message(Kind.ECHO_REQUEST).encode())
        )
    if kind in (4, 5):
        attributes = [Attribute(reader.number(), reader.chunk()) for _ in range(kind - 3)]
        return Message(reader.number() % 11, tuple(attributes)).encode()
    if kind == 6:
        return wire.encodeFrame(reader.chunk())
    return reader.chunk()


def _opening(octets: bytes) -> None:
    """
    An HTTP head, which must be found the same however it is cut.
    """
    reader = Reader(octets)
    size = 1 + reader.number()
    stream = reader.rest()

    def found(step: int) -> object:
        head = Head()
        try:
            for at in range(0, len(stream), step):
                if length := head.feed(stream[at : at + step]):
                    whole = head.octets[:length]
                    return decodeRequest(whole) if whole[:1] != b"H" else decodeStatus(whole)
        except Malformed:
            return Malformed
        return None

    whole, cut = found(max(len(stream), 1)), found(size)
    assert whole == cut or len(stream) > LARGEST_HEAD


TARGETS: dict[str, Target] = {
    "client": machine(ClientMachine),
    "client-acknowledged": machine(ClientMachine, _ACK),
    "opening": _opening,
    "server": machine(ServerMachine),
    "server-requested": machine(ServerMachine, REQUEST.encode()),
}
"""
Targets by name.
"""

"""
Fuzzing of L2TP's control connections and calls, as LNS and as LAC, by a stranger, and of a call's
data messages.

Nothing that arrives may raise, no table may exceed its limit, and a stranger that hasn't shown that
it reads our answers gets no more datagrams than it has sent. When it falls silent everything must
end. Frames with numbers are passed on in the order of the numbers, each at most once.
"""

from __future__ import annotations

from typing import Any

from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import Refusal
from pptpgw.tunnels.l2tp.secrets import PeerTrust
from pptpgw.tunnels.l2tp.sender import DataSender
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import (
    ControlHeader,
    DataMessage,
    encodeControl,
    encodeData,
)
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, encode
from pptpgw.tunnels.l2tp.wire.secret import response
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.tunnels.l2tp.joined import LNS, CallOwner, Stranger, Wire
from tests.tunnels.l2tp.test_connection import SCCRQ, VALUES

STEPS = 64
"""
The most steps of an input.
"""

_CALLS = 3
_TYPES = (*MessageType, 5, 900)


def stranger(secret: bytes, permissive: bool, isLAC: bool, isBelieved: bool = False) -> Target:
    """
    The target for one kind of end, which the stranger talks to.

    @param isLAC: whether our end is a LAC, which calls the stranger.
    @param isBelieved: whether the stranger knows the secret, and it is its own.
    """

    def target(octets: bytes) -> None:
        trust = PeerTrust(True, secret, isBelieved)
        settings = ControlSettings(
            trust=lambda name: trust, permissive=permissive, maximumCalls=_CALLS
        )
        with unfailing():
            wire = Wire(settings, settings)
            _run(wire, isLAC, Reader(octets), secret if isBelieved else b"")
        runOut(wire.clock, 1000)
        assert len(wire.lns.connections) == len(wire.lac.connections) == 0

    return target


def _run(wire: Wire, isLAC: bool, reader: Reader, secret: bytes) -> None:
    peer = Stranger(wire, wire.lns)
    if isLAC:
        ours = wire.lac.dial()
        wire.datagrams.clear()
        peer = Stranger(wire, wire.lac, LNS)
        peer.peerID, peer.expected = ours.localID, 1
    elif reader.number() & 1:
        # Most inputs wouldn't get so far.
        answers = peer.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
        proof: dict[int, Any] = {}
        if secret:
            challenge = answers[0].get(AVP.CHALLENGE)
            proof[AVP.CHALLENGE_RESPONSE] = response(MessageType.SCCCN, secret, challenge)
        peer.say(MessageType.SCCCN, proof)
    end = peer.end
    sent = 0
    for received in range(1, STEPS):
        if not reader.more:
            break
        kind = reader.number()
        end.refusal = reader.choose((None, None, None, Refusal.BUSY)) if kind & 1 else None
        end.owner = CallOwner() if kind & 6 else None
        if kind < 0xA0:
            message = L2TPMessage(*_message(reader))
            body = encode(message)
            if kind < 0x20:
                body += reader.chunk()
            _send(peer, reader, kind, body)
        elif kind < 0xB0:
            _send(peer, reader, kind, reader.chunk())
        elif kind < 0xC0:
            end.receive(peer.address, reader.chunk() or b"\x80")
        elif kind < 0xE0:
            wire.clock.advance(reader.number() / 16)
        elif end.opened:
            _act(end, reader, kind)
        sent += len(wire.datagrams)
        peer.answers()
        wire.datagrams.clear()
        if not isLAC and not end.opened:
            assert sent <= received
        assert len(end.connections) <= received + 1
        for connection in end.begun:
            assert len(connection.calls) <= _CALLS


def _message(reader: Reader) -> tuple[int, dict[int, Any], bool]:
    kind = reader.choose(_TYPES)
    return kind, VALUES.get(kind, {}), bool(reader.number() & 1)


def _send(peer: Stranger, reader: Reader, kind: int, body: bytes) -> None:
    """
    Send a message, mostly with the right numbers and ids.
    """
    calls = [call.localID for call in peer.end.calls[-_CALLS:]]
    session = reader.choose((0, *calls, 1)) if kind & 8 else (calls[-1:] or [0])[0]
    tunnel = reader.choose((peer.peerID, 0, 1)) if kind & 16 else peer.peerID
    number = peer.sent
    if kind & 3 == 3:
        number = (number + reader.number() - 128) & 0xFFFF
    else:
        peer.sent = (peer.sent + 1) & 0xFFFF
    header = ControlHeader(tunnel, session, number, peer.expected)
    peer.end.receive(peer.address, encodeControl(header, body))


def _act(end: Any, reader: Reader, kind: int) -> None:
    """
    Do something that the owner of the connection may do.
    """
    connection = end.opened[-1]
    calls = list(connection.calls.values())
    if kind & 3 == 0 and calls:
        reader.choose(calls).hangUp("enough")
    elif kind & 3 == 1 and reader.number() < 64:
        connection.stop("enough")
    else:
        try:
            connection.placeCall(CallOwner(), outgoing=bool(kind & 4))
        except (CallError, Exhausted):
            pass


def _data(octets: bytes) -> None:
    """
    The data messages of a call, most of which have its ids.
    """
    reader, wire = Reader(octets), Wire()
    with unfailing():
        call, taken, _ = wire.called()
        peer, frames = call.connection.peer, list[bytes]()
        ours = wire.lac if reader.number() & 1 else wire.lns
        end = call if ours is wire.lac else taken
        ids = end.connection.localID, end.localID
        sender = DataSender(
            (end.connection.peerID, end.peerID),
            ours.writer("", peer),
            lambda: ours.unregister(ids),
            ours.counters.discard,
            lambda send, receive: None,
            follows=bool(reader.number() & 1),
        )
        sender.receive = frames.append
        ours.register(ids, peer, sender)
        last = -1
        while reader.more:
            kind = reader.number()
            before = len(frames)
            if kind < 0x20:
                ours.receive(peer, reader.chunk())
                last = -1
                continue
            sequence = -1 if kind < 0x60 else (last + reader.number() - 96) & 0xFFFF
            tunnel, session = (reader.number(2), reader.number(2)) if kind > 0xF0 else ids
            message = DataMessage(tunnel, session, sequence, reader.chunk())
            ours.receive(peer, encodeData(message))
            if sequence >= 0 and len(frames) > before:
                assert last < 0 or 0 < (sequence - last) % 0x10000 <= 0x8001
                last = sequence
            if (tunnel, session) == ids:
                sender.send(b"\xff\x03\x00\x21")
        sender.disconnected()
        before = len(frames)
        ours.receive(peer, encodeData(DataMessage(*ids, -1, b"late")))
        assert len(frames) == before and not ours.senders


TARGETS: dict[str, Target] = {
    "data": _data,
    "lac": stranger(b"", False, True),
    "lns": stranger(b"", False, False),
    "lns-permissive": stranger(b"", True, False),
    "lns-secret": stranger(b"sesame", False, False),
    "lns-believing": stranger(b"sesame", False, False, isBelieved=True),
}
"""
Targets by name.
"""

"""
Fuzzing of lines: a call over octets that a stranger sends, from its connection to its end, and chat
scripts that a modem answers.

Nothing may raise, no more than permitted may be kept or added to a full transport, and the owner is
told of the end of a call once, after which no frame is passed on. A script ends once, and leaves no
timer.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from pptpgw.error import CallError
from pptpgw.interfaces import Refusal
from pptpgw.tunnels.hdlc import wire
from pptpgw.tunnels.hdlc.chat import parseChat
from pptpgw.tunnels.hdlc.framer import EXCESS, LONGEST
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.tunnels.hdlc.test_chat import DIAL, Modem
from tests.tunnels.hdlc.test_tunnel import Owner, World, connected

KEPT = 2 * (LONGEST + wire.FCS_OCTETS) + LONGEST
"""
The most octets of a frame that are kept: each may have been escaped, and others inserted.
"""

_SCRIPTS = (
    DIAL,
    "ABORT BUSY TIMEOUT 5 ogin:--ogin:-wake-ogin: me sword: secret",
    r"ABORT NO ABORT OK a '\r\c' aa b ABORT aa c d",
)


def _line(octets: bytes) -> None:
    """
    A connection with its call.
    """
    with unfailing():
        _run(Reader(octets))


def _run(reader: Reader) -> None:
    world, owner = World(), Owner()
    protocol, transport = connected(world)
    (call,) = world.calls
    framer: Any = call._framer
    received: list[bytes] = []
    excess = 0
    while reader.more:
        kind = reader.number() % 12
        written = len(transport.value())
        if kind < 3:
            protocol.dataReceived(reader.chunk())
        elif kind < 5:
            protocol.dataReceived(wire.FLAG + wire.encode(reader.chunk()))
        elif kind == 5:
            world.clock.advance(reader.number() / 16)
        elif kind == 6:
            framer.setACCM(reader.number(4), reader.number(4))
        elif kind == 7:
            full = bool(reader.number() & 1)
            (protocol.pauseProducing if full else protocol.resumeProducing)()
            excess = 0
        elif kind == 8 and "established" in owner.heard:
            try:
                framer.send(reader.chunk() * (1 + reader.number() % 16))
            except OSError:
                assert framer.full
            excess += len(transport.value()) - written if framer.full else 0
        elif kind == 9 and not owner.heard:
            call.accept(owner)
            framer.receive = received.append
        elif kind == 10 and not owner.heard:
            call.refuse(Refusal.BUSY)
        elif kind == 11 and reader.number() < 16:
            call.hangUp("enough")
        assert excess <= EXCESS
        assert len(framer._decoder._buffer) <= KEPT
        assert all(len(frame) <= LONGEST for frame in received)
        assert len(world.clock.getDelayedCalls()) <= 1
    protocol.connectionLost()
    before = len(received)
    protocol.dataReceived(wire.FLAG + wire.encode(bytes(8)))
    assert len(received) == before
    assert owner.heard[:1] != ["established"] or len(owner.heard) == 2
    assert not world.factory.entrance.connections
    runOut(world.clock)


def _chat(octets: bytes) -> None:
    """
    A script, and a modem that says anything.
    """
    reader = Reader(octets)
    script = reader.choose(_SCRIPTS)
    steps = parseChat(script)
    words = [word for one in steps for word in (*one.aborts, *dict(one.expected)) if word]
    modem = Modem(script)
    ended: list[object] = []
    modem.chat.done.addBoth(ended.append)
    while reader.more and modem.result is None:
        kind = reader.number() % 8
        if kind == 0:
            modem.clock.advance(reader.number() / 4)
        elif kind == 1 and reader.number() < 16:
            modem.chat.lost("the device is gone")
        elif kind == 2 and reader.number() < 8:
            modem.chat.done.cancel()
        elif kind < 5:
            modem.says(reader.choose(words))
        else:
            modem.says(reader.chunk())
        if modem.result is None:
            assert len(modem.chat._buffer) <= max(map(len, words))
            assert len(modem.clock.getDelayedCalls()) == 1
    runOut(modem.clock, 1000)
    assert len(ended) == 1
    if isinstance(modem.result, Failure):
        assert modem.result.check(CallError, CancelledError)


TARGETS: dict[str, Target] = {"chat": _chat, "line": _line}
"""
Targets by name.
"""

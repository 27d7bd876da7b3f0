"""
Fuzzing of the control connection, on either side and from each of its states.

Nothing that arrives may raise, and no table may exceed its limit. When the TCP connection is lost
every call must end, and nothing may be left.
"""

from __future__ import annotations

from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import Refusal
from pptpgw.tunnels.pptp.asked import AskedCall
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.statetable import ConnectionState, Side
from pptpgw.tunnels.pptp.wire.message import (
    CONTROL_MESSAGE,
    LONGEST,
    MAGIC_COOKIE,
    MESSAGES,
    encode,
)
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.tunnels.pptp.test_connection import SETTINGS, Bench

_HEADER = 12
_SIZES = {kind.messageType: len(encode(kind())) for kind in MESSAGES}


def control(side: Side, state: ConnectionState) -> Target:
    """
    The target that begins in C{state}.
    """

    def target(octets: bytes) -> None:
        with unfailing():
            _run(Bench(side, state), Reader(octets))

    return target


def _run(bench: Bench, reader: Reader) -> None:
    connection = bench.connection
    decision = reader.number()
    undecided: list[AskedCall] = []
    took: list[Call] = []

    def decide(call: AskedCall) -> None:
        choice = (decision >> 2 * (len(bench.requested) % 4)) & 3
        if choice == 0:
            call.refuse(Refusal.BUSY)
        elif choice == 1:
            undecided.append(call)
        else:
            took.append(call)
            call.accept(bench)

    bench.decide = decide
    while reader.more:
        kind = reader.number() % 8
        if kind == 0:
            bench.clock.advance(reader.number())
        elif kind == 1:
            connection.dataReceived(reader.chunk())
        elif kind == 2:
            _act(bench, reader, undecided, took)
        else:
            connection.dataReceived(_message(bench, reader))
        assert len(connection.calls) == len(bench.callIDs) <= SETTINGS.maximumCalls
        assert len(bench.clock.getDelayedCalls()) <= 2 + SETTINGS.maximumCalls
    connection.connectionLost("lost")
    assert not connection.calls and not len(bench.callIDs)
    assert {call for call, _ in bench.ended} == set(took)
    assert len(bench.ended) == len(took)
    runOut(bench.clock)


def _message(bench: Bench, reader: Reader) -> bytes:
    """
    A message that usually has the right size and names an existing call.
    """
    kind = reader.choose(MESSAGES).messageType
    form = reader.number()
    body = reader.chunk().ljust(_SIZES[kind] - _HEADER, b"\0")[: LONGEST - _HEADER]
    if not form & 1:
        body = body[: _SIZES[kind] - _HEADER]
    living = list(bench.connection.calls.values())
    if living and form & 2:
        call = living[(form >> 4) % len(living)]
        ids = call.localCallID.to_bytes(2, "big"), (call.peerCallID & 0xFFFF).to_bytes(2, "big")
        # The call id of the sender comes first, and in replies it is followed by that of the
        # receiver.
        body = ids[form >> 2 & 1] + (ids[form >> 3 & 1] if form & 8 else body[2:4]) + body[4:]
    header = (_HEADER + len(body)).to_bytes(2, "big") + CONTROL_MESSAGE.to_bytes(2, "big")
    return header + MAGIC_COOKIE.to_bytes(4, "big") + kind.to_bytes(2, "big") + bytes(2) + body


def _act(bench: Bench, reader: Reader, undecided: list[AskedCall], took: list[Call]) -> None:
    """
    Let this end do something.
    """
    kind = reader.number() % 6
    living = list(bench.connection.calls.values())
    if kind in (0, 5):
        try:
            place = bench.connection.offerCall if kind else bench.connection.placeCall
            took.append(place(bench))
        except (CallError, Exhausted):
            pass
    elif kind == 1 and undecided:
        call = undecided.pop()
        took.append(call)
        call.accept(bench)
    elif kind == 2 and living:
        reader.choose(living).hangUp("enough")
    elif kind == 3 and undecided:
        undecided.pop().refuse(Refusal.BUSY)
    elif kind == 4:
        bench.connection.stop("enough")


TARGETS: dict[str, Target] = {
    "receiver-idle": control(Side.RECEIVER, ConnectionState.IDLE),
    "receiver-established": control(Side.RECEIVER, ConnectionState.ESTABLISHED),
    "receiver-stopping": control(Side.RECEIVER, ConnectionState.WAIT_STOP_REPLY),
    "originator-waiting": control(Side.ORIGINATOR, ConnectionState.IDLE),
    "originator-established": control(Side.ORIGINATOR, ConnectionState.ESTABLISHED),
    "originator-stopping": control(Side.ORIGINATOR, ConnectionState.WAIT_STOP_REPLY),
}
"""
Targets by name.
"""

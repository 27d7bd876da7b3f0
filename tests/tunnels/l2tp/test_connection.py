"""
Tests for control connections and calls of L2TP: L{pptpgw.tunnels.l2tp.connection},
L{pptpgw.tunnels.l2tp.connections} and L{pptpgw.tunnels.l2tp.call}.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import ICall, IStagedCall, Refusal
from pptpgw.sessions.cause import Cause, Termination, codeOf
from pptpgw.tunnels.l2tp.secrets import PeerTrust, trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import (
    CALL_ACTIONS,
    CONNECTION_ACTIONS,
    CallKind,
    CallPhase,
    ControlState,
)
from pptpgw.tunnels.l2tp.wire.avp import CallErrors, Q931Cause, ResultCode, SendReceiveACCM
from pptpgw.tunnels.l2tp.wire.code import (
    AVP,
    CDNResult,
    ErrorCode,
    MessageType,
    StopResult,
)
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, encodeControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, encode
from tests.tunnels.l2tp.joined import LAC, LNS, CallOwner, Datagram, Stranger, Wire

SCCRQ: dict[int, Any] = {
    AVP.PROTOCOL_VERSION: 0x100,
    AVP.FRAMING_CAPABILITIES: 3,
    AVP.HOST_NAME: b"stranger",
    AVP.ASSIGNED_TUNNEL_ID: 77,
}
ICRQ: dict[int, Any] = {AVP.ASSIGNED_SESSION_ID: 88, AVP.CALL_SERIAL_NUMBER: 1}
ICCN: dict[int, Any] = {AVP.TX_CONNECT_SPEED: 64000, AVP.FRAMING_TYPE: 1}
OCRQ: dict[int, Any] = ICRQ | {
    AVP.MINIMUM_BPS: 0,
    AVP.MAXIMUM_BPS: 64000,
    AVP.BEARER_TYPE: 0,
    AVP.FRAMING_TYPE: 1,
    AVP.CALLED_NUMBER: b"",
}
CDN: dict[int, Any] = {AVP.RESULT_CODE: ResultCode(3), AVP.ASSIGNED_SESSION_ID: 88}
STOP: dict[int, Any] = {AVP.RESULT_CODE: ResultCode(1), AVP.ASSIGNED_TUNNEL_ID: 77}
VALUES: dict[int, dict[int, Any]] = {
    MessageType.SCCRQ: SCCRQ,
    MessageType.SCCRP: SCCRQ,
    MessageType.STOPCCN: STOP,
    MessageType.OCRQ: OCRQ,
    MessageType.OCRP: {AVP.ASSIGNED_SESSION_ID: 88},
    MessageType.OCCN: ICCN,
    MessageType.ICRQ: ICRQ,
    MessageType.ICRP: {AVP.ASSIGNED_SESSION_ID: 88},
    MessageType.ICCN: ICCN,
    MessageType.CDN: CDN,
    MessageType.WEN: {AVP.CALL_ERRORS: CallErrors(1)},
    MessageType.SLI: {AVP.ACCM: SendReceiveACCM()},
}
"""
What messages of each type have; others have nothing.
"""


def established(wire: Wire) -> Stranger:
    """
    A stranger with a control connection to the LNS.
    """
    stranger = Stranger(wire, wire.lns)
    (answer,) = stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
    assert answer.type == MessageType.SCCRP
    assert stranger.say(MessageType.SCCCN) == []
    return stranger


def stopped(answers: list[L2TPMessage]) -> ResultCode:
    """
    The result of the StopCCN that is the only answer.
    """
    (answer,) = answers
    assert answer.type == MessageType.STOPCCN
    result: ResultCode = answer.get(AVP.RESULT_CODE)
    return result


def disconnected(answers: list[L2TPMessage]) -> ResultCode:
    """
    The result of the CDN that is the last answer.
    """
    answer = answers[-1]
    assert answer.type == MessageType.CDN
    result: ResultCode = answer.get(AVP.RESULT_CODE)
    return result


class TestBothEnds:
    def test_anIncomingCall(self) -> None:
        """
        A call is set up by as few messages as RFC 2661 shows, and each end is told.
        """
        wire = Wire()
        call, answered, owner = wire.called()
        assert wire.names(LNS) == ["SCCRQ", "SCCCN", "ICRQ", "ICCN"]
        assert wire.names(LAC) == ["SCCRP", "ZLB", "ICRP", "ZLB"]
        verifyObject(ICall, answered)
        verifyObject(IStagedCall, answered)
        assert (call.kind, answered.kind) == (CallKind.LAC_INCOMING, CallKind.LNS_INCOMING)
        assert (call.caller, call.called) == (answered.caller, answered.called)
        assert (answered.caller, answered.called) == (LAC[0], LNS[0])
        assert LAC[0] in answered.silence
        call.hangUp(Cause("the line broke", Termination.LOST_CARRIER))
        wire.run()
        lns = wire.lns.owner
        assert lns is not None
        assert owner.heard == ["established", "the line broke"]
        assert lns.heard[0] == "established"
        assert lns.heard[1].endswith("loss of carrier (1): the line broke")
        assert codeOf(lns.heard[1]) is Termination.LOST_CARRIER

    def test_anOutgoingCall(self) -> None:
        wire = Wire()
        ours, _ = wire.dialled()
        owner = CallOwner()
        call = ours.placeCall(owner, outgoing=True)
        wire.run()
        assert wire.names(LNS)[2:] == ["OCRQ", "ZLB", "ZLB"]
        assert wire.names(LAC)[2:] == ["OCRP", "OCCN"]
        assert owner.heard == ["established"]
        assert wire.lns.calls[0].kind is CallKind.LAC_OUTGOING
        wire.lns.calls[0].hangUp("enough")
        wire.run()
        assert owner.heard[1].endswith("administrative reasons (3): enough")
        assert call.phase is CallPhase.ENDED

    def test_stopping(self) -> None:
        """
        The end of a connection ends its calls, and both ends forget it.
        """
        wire = Wire()
        call, answered, owner = wire.called()
        fired: list[None] = []
        answered.connection.stop("maintenance").addCallback(fired.append)  # type: ignore[attr-defined]
        assert not fired
        wire.run()
        assert fired
        assert owner.heard[1].startswith(
            "the peer closed the control connection: shutting down (6)"
        )
        assert wire.lac.closed == [owner.heard[1]] and wire.lns.closed == ["maintenance"]
        assert len(wire.lns.connections) == len(wire.lac.connections) == 0
        assert not wire.clock.getDelayedCalls()
        with pytest.raises(CallError):
            call.connection.placeCall(owner)  # type: ignore[attr-defined]

    def test_severalCalls(self) -> None:
        wire = Wire(lac=ControlSettings(maximumCalls=3))
        ours, theirs = wire.dialled()
        calls = [ours.placeCall(CallOwner()) for _ in range(3)]
        with pytest.raises(Exhausted):
            ours.placeCall(CallOwner())
        wire.run()
        assert len(theirs.calls) == 3
        assert len({call.peerID for call in calls}) == 3
        calls[1].hangUp("enough")
        wire.run()
        assert len(theirs.calls) == 2

    @pytest.mark.parametrize(
        ("refusal", "result"),
        [
            (Refusal.BUSY, CDNResult.NO_FACILITIES_NOW),
            (Refusal.FORBIDDEN, CDNResult.ADMINISTRATIVE_REASONS),
            (Refusal.STOPPING, CDNResult.GENERAL_ERROR),
        ],
    )
    def test_refusing(self, refusal: Refusal, result: CDNResult) -> None:
        wire = Wire()
        wire.lns.refusal = refusal
        _, answered, owner = wire.called()
        assert f"({result.value})" in owner.heard[0]
        assert answered.phase is CallPhase.ENDED
        late = CallOwner()
        answered.accept(late)
        assert late.heard == [f"refused: {refusal.value}"]

    def test_aGatewayThatNeverDecides(self) -> None:
        wire = Wire(lac=ControlSettings(answerTimeout=60))
        wire.lns.owner = None
        _, _, owner = wire.called()
        wire.run(31)
        assert owner.heard[0].endswith("no facilities now (4)")

    def test_callsThatCannotBeAnswered(self) -> None:
        wire = Wire()
        call, answered, _ = wire.called()
        for wrong in (call, answered):
            with pytest.raises(CallError):
                wrong.accept(CallOwner())
            with pytest.raises(CallError):
                wrong.refuse(Refusal.BUSY)

    def test_aPeerThatIsGone(self) -> None:
        """
        A peer that says nothing any more is found out by a HELLO.
        """
        wire = Wire()
        _, _, owner = wire.called()
        wire.passes = lambda datagram: 0
        wire.run(95)
        assert owner.heard[1:] == ["control messages aren't acknowledged"]
        assert codeOf(owner.heard[1]) is Termination.LOST_CARRIER
        assert wire.lns.closed and wire.lac.closed
        assert not wire.clock.getDelayedCalls()

    def test_HELLOsKeepAConnection(self) -> None:
        wire = Wire()
        _, _, owner = wire.called()
        wire.run(600, step=1)
        assert owner.heard == ["established"]
        assert wire.names(LNS).count("HELLO") + wire.names(LAC).count("HELLO") >= 9

    def test_trafficCountsAsLife(self) -> None:
        """
        A phone that doesn't acknowledge HELLOs is there as long as frames come.
        """
        wire = Wire()
        _, answered, _ = wire.called()
        frames = {"count": 0}

        class Channel:
            class counters:
                framesReceived = 0

        answered._carriage._channel = Channel()  # type: ignore[assignment]

        def passes(datagram: Datagram) -> int:
            return 0

        wire.passes = passes
        for _ in range(20):
            wire.run(50, step=1)
            frames["count"] += 1
            Channel.counters.framesReceived = frames["count"]
        assert answered.connection is wire.lns.opened[0]
        assert not wire.lns.closed
        wire.run(120, step=1)
        assert wire.lns.closed == ["control messages aren't acknowledged"]

    def test_anIdleConnectionIsClosed(self) -> None:
        wire = Wire(lns=ControlSettings(idleTimeout=20))
        wire.dialled()
        wire.run(21)
        assert wire.lns.closed == ["no call for 20 s"]
        wire = Wire(lns=ControlSettings(idleTimeout=20))
        call, _, _ = wire.called()
        wire.run(100)
        assert not wire.lns.closed
        call.hangUp("enough")
        wire.run(21)
        assert wire.lns.closed == ["no call for 20 s"]

    def test_nobodyAnswers(self) -> None:
        wire = Wire()
        wire.lac.dial(("198.51.100.1", 1701))
        wire.run(11)
        assert wire.lac.closed == ["no SCCRP in 10 s"]
        assert not wire.clock.getDelayedCalls()

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**32))
    def test_overABadWire(self, seed: int) -> None:
        """
        A call is set up and ended over a wire that loses, repeats and reorders datagrams. It never
        loses more than two in a row, since a peer is given up after a few repetitions.
        """
        chance = random.Random(seed)
        lost = 0
        wire = Wire(
            lns=ControlSettings(handshakeTimeout=300, answerTimeout=300, idleTimeout=300),
            lac=ControlSettings(handshakeTimeout=300, answerTimeout=300, stopTimeout=300),
        )

        def passes(datagram: Datagram) -> int:
            if len(wire.datagrams) > 1 and chance.random() < 0.3:
                chance.shuffle(wire.datagrams)
            nonlocal lost
            copies = chance.choice((0, 1, 1, 1, 2) if lost < 2 else (1, 2))
            lost = 0 if copies else lost + 1
            return copies

        wire.passes = passes
        ours = wire.lac.dial()
        for _ in range(200):
            wire.run(1)
            if wire.lac.opened:
                break
        assert ours.state is ControlState.ESTABLISHED
        owner = CallOwner()
        call = ours.placeCall(owner)
        for _ in range(200):
            wire.run(1)
            if owner.heard and wire.lns.owner is not None and wire.lns.owner.heard:
                break
        assert owner.heard == ["established"]
        call.hangUp("enough")
        ours.stop("done")
        for _ in range(200):
            wire.run(1)
            if wire.lac.closed and wire.lns.closed:
                break
        assert wire.lac.closed and wire.lns.closed
        assert len(wire.lns.begun) == 1


class TestSecrets:
    def outcome(self, ours: bytes, theirs: bytes) -> tuple[list[str], list[str], bool]:
        """
        Why a connection was closed at each end, and whether it was established.
        """
        wire = Wire(
            lns=ControlSettings(trust=trusting(ours)), lac=ControlSettings(trust=trusting(theirs))
        )
        wire.lac.dial()
        wire.run(40)
        return wire.lns.closed, wire.lac.closed, bool(wire.lac.opened and wire.lns.opened)

    def test_theRightOne(self) -> None:
        wire = Wire(
            lns=ControlSettings(trust=trusting(b"sesame")),
            lac=ControlSettings(trust=trusting(b"sesame")),
        )
        ours, theirs = wire.dialled()
        assert ours.state is theirs.state is ControlState.ESTABLISHED

    @pytest.mark.parametrize(
        ("ours", "theirs"), [(b"sesame", b"guess"), (b"sesame", b""), (b"", b"sesame")]
    )
    def test_wrongOnes(self, ours: bytes, theirs: bytes) -> None:
        closed, told, established = self.outcome(ours, theirs)
        assert not established
        assert any("secret" in reason for reason in closed + told)
        assert not any("sesame" in reason for reason in closed + told)

    def test_peersThatAreNotKnown(self) -> None:
        wire = Wire(lns=ControlSettings(trust=lambda name: PeerTrust(False)))
        wire.lac.dial()
        wire.run()
        assert wire.lns.closed == ["no secret is agreed on with 'pptpgw'"]
        assert "not authorized (4)" in wire.lac.closed[0]


class TestStrangers:
    def test_onlyAnSCCRQBegins(self) -> None:
        wire = Wire()
        stranger = Stranger(wire, wire.lns)
        for kind in MessageType:
            if kind != MessageType.SCCRQ:
                assert stranger.say(kind, VALUES.get(kind), tunnelID=0) == []
                assert stranger.say(kind, VALUES.get(kind), tunnelID=4711) == []
        stranger.raw(b"\x80", tunnelID=0)
        wire.lns.receive(stranger.address, b"\xc8\x02spam")
        assert not wire.lns.begun and not wire.datagrams
        assert wire.lns.discards("L2TP of no connection") == 2 * 13 + 1
        assert wire.lns.discards("not L2TP") == 1

    def test_whoIsNotLetIn(self) -> None:
        wire = Wire()
        wire.lns.admitted = False
        stranger = Stranger(wire, wire.lns)
        assert stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0) == []
        assert not wire.datagrams

    def test_nothingIsAmplified(self) -> None:
        """
        A peer that never shows that it reads our SCCRP gets one for each SCCRQ, and nothing else.
        """
        wire = Wire()
        stranger = Stranger(wire, wire.lns)
        assert len(stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)) == 1
        for _ in range(3):
            wire.run(2)
            stranger.sent = 0
            stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
        wire.run(60)
        answers = [one for one in wire.seen if one[1] == stranger.address]
        assert len(answers) == 0 and not wire.datagrams
        assert wire.lns.closed == ["no SCCCN in 10 s"]
        assert len(wire.lns.begun) == 1

    def test_anotherVersion(self) -> None:
        wire = Wire()
        stranger = Stranger(wire, wire.lns)
        answers = stranger.say(MessageType.SCCRQ, SCCRQ | {AVP.PROTOCOL_VERSION: 0x200}, tunnelID=0)
        assert stopped(answers) == (StopResult.UNSUPPORTED_PROTOCOL_VERSION, 0x100, b"")

    def test_anotherAddressOrPort(self) -> None:
        """
        Messages to a connection are only taken from where it was opened.
        """
        wire = Wire()
        stranger = established(wire)
        header = ControlHeader(stranger.peerID, 0, stranger.sent, stranger.expected)
        octets = encodeControl(header, encode(L2TPMessage(MessageType.STOPCCN, STOP)))
        for other in (("192.0.2.67", 5000), ("192.0.2.66", 5001)):
            wire.lns.receive(other, octets)
        assert not wire.lns.closed
        wire.lns.receive(stranger.address, octets)
        assert wire.lns.closed
        # The peer didn't see the acknowledgement, and repeats the StopCCN.
        wire.datagrams.clear()
        wire.lns.receive(stranger.address, octets)
        assert len(wire.datagrams) == 1
        wire.run(40)
        wire.lns.receive(stranger.address, octets)
        assert not wire.datagrams

    def test_theTunnelIDZero(self) -> None:
        """
        A peer that forgets our id is understood only if that is permitted.
        """
        for permissive in (False, True):
            wire = Wire(lns=ControlSettings(permissive=permissive))
            stranger = Stranger(wire, wire.lns)
            stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
            stranger.say(MessageType.SCCCN, SCCRQ, tunnelID=0)
            assert bool(wire.lns.opened) is permissive

    def test_theAnswerOfAnotherPort(self) -> None:
        """
        As RFC 2661 section 8.1 permits, the answer to an SCCRQ may come from another port.
        """
        wire = Wire()
        ours = wire.lac.dial(("192.0.2.1", 1701))
        wire.datagrams.clear()
        other = Stranger(wire, wire.lac, ("192.0.2.1", 40000))
        values = SCCRQ | {AVP.ASSIGNED_TUNNEL_ID: 5}
        other.expected = 1
        other.say(MessageType.SCCRP, values, tunnelID=ours.localID)
        assert ours.state is ControlState.ESTABLISHED
        assert ours.peer == ("192.0.2.1", 40000)

    @pytest.mark.parametrize(("mine", "remains"), [(bytes(8), True), (b"\xff" * 8, False)])
    def test_theTieBreaker(self, mine: bytes, remains: bool) -> None:
        """
        Of two connections that both ends open at once, the one with the lower value remains.
        """
        wire = Wire()
        ours = wire.lac.dial()
        wire.datagrams.clear()
        values = SCCRQ | {AVP.TIE_BREAKER: mine}
        theirs = Stranger(wire, wire.lac, LNS)
        answers = theirs.say(MessageType.SCCRQ, values, tunnelID=0)
        assert [one.type for one in answers] == ([MessageType.SCCRP] if remains else [])
        assert (ours.state is ControlState.CLOSED) is remains

    def test_equalTieBreakers(self) -> None:
        wire = Wire()
        ours = wire.lac.dial()
        wire.datagrams.clear()
        theirs = Stranger(wire, wire.lac, LNS)
        values = SCCRQ | {AVP.TIE_BREAKER: ours.tieBreaker}
        assert theirs.say(MessageType.SCCRQ, values, tunnelID=0) == []
        assert ours.state is ControlState.CLOSED


class TestErrorsOfPeers:
    @pytest.mark.parametrize("permissive", [False, True])
    def test_whatIsUnknown(self, permissive: bool) -> None:
        """
        What the peer insists on, and we don't know, ends the call or the connection.
        """
        unknown = bytes.fromhex("8006 0000 0384")
        wire = Wire(lns=ControlSettings(permissive=permissive))
        stranger = established(wire)
        answers = stranger.say(MessageType.ICRQ, ICRQ)
        session = answers[0].get(AVP.ASSIGNED_SESSION_ID)
        assert stranger.say(900, mustKnow=False) == []
        body = encode(L2TPMessage(MessageType.ICCN, ICCN)) + unknown
        answers = stranger.raw(body, session)
        if permissive:
            assert answers == [] and wire.lns.calls[0].phase is CallPhase.ESTABLISHED
            assert stranger.say(900) == []
        else:
            assert disconnected(answers)[:2] == (2, ErrorCode.UNKNOWN_MANDATORY_AVP)
            answers = stranger.raw(encode(L2TPMessage(MessageType.HELLO)) + unknown)
            assert stopped(answers)[:2] == (2, ErrorCode.UNKNOWN_MANDATORY_AVP)

    def test_malformed(self) -> None:
        wire = Wire()
        stranger = established(wire)
        answers = stranger.say(MessageType.ICRQ, ICRQ)
        session = answers[0].get(AVP.ASSIGNED_SESSION_ID)
        answers = stranger.raw(b"\x80\x08\x00\x00\x00\x00\x00\x0c", session)
        assert disconnected(answers)[:2] == (2, ErrorCode.WRONG_LENGTH)
        assert stopped(stranger.raw(b"spam"))[:2] == (2, ErrorCode.WRONG_LENGTH)
        assert wire.lns.closed == []
        stranger.raw(b"")
        assert wire.lns.closed

    def test_asManyCallsAsThereMayBe(self) -> None:
        wire = Wire(lns=ControlSettings(maximumCalls=1))
        stranger = established(wire)
        stranger.say(MessageType.ICRQ, ICRQ)
        assert stranger.say(MessageType.ICRQ, ICRQ) == []
        answers = stranger.say(MessageType.ICRQ, ICRQ | {AVP.ASSIGNED_SESSION_ID: 89})
        assert disconnected(answers)[:2] == (2, ErrorCode.NO_RESOURCES)
        assert len(wire.lns.calls) == 1

    def test_whyALineHasDisconnected(self) -> None:
        """
        A LAC's cause code of Q.931 is told, with its text.
        """
        wire = Wire()
        stranger = established(wire)
        stranger.say(MessageType.ICRQ, ICRQ)
        cause = {AVP.Q931_CAUSE_CODE: Q931Cause(17, 0x45, b"line busy")}
        result = {AVP.RESULT_CODE: ResultCode(1, 0, b"gone")}
        stranger.say(MessageType.CDN, CDN | result | cause, wire.lns.calls[0].localID)
        assert wire.lns.calls[0].cause == (
            "the peer disconnected the call: loss of carrier (1), Q.931 cause 17: gone: line busy"
        )

    def test_aCDNWithoutOurID(self) -> None:
        wire = Wire()
        stranger = established(wire)
        stranger.say(MessageType.ICRQ, ICRQ)
        stranger.say(MessageType.CDN, CDN, sessionID=0)
        assert wire.lns.calls[0].phase is CallPhase.ENDED
        stranger.say(MessageType.CDN, CDN, sessionID=0)
        assert wire.lns.discards("control message of no call") == 1

    def test_noICCN(self) -> None:
        wire = Wire()
        stranger = established(wire)
        stranger.say(MessageType.ICRQ, ICRQ)
        stranger.raw(b"")
        wire.clock.advance(30)
        assert disconnected(stranger.answers())[0] == CDNResult.LOSS_OF_CARRIER

    def test_everyMessageInEveryState(self) -> None:
        """
        The tables have an action for each message in each state, and it is what happens.
        """
        for state in ControlState:
            for kind in MessageType:
                if state is not ControlState.CLOSED:
                    assert (state, kind) in CONNECTION_ACTIONS
        for kind in MessageType:
            wire = Wire()
            stranger = Stranger(wire, wire.lns)
            stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
            answers = stranger.say(kind, VALUES.get(kind))
            action = CONNECTION_ACTIONS[ControlState.WAIT_CTL_CONN, kind]
            if action == "end":
                assert stopped(answers)[0] == StopResult.FINITE_STATE_MACHINE_ERROR
            else:
                assert answers == []

    @pytest.mark.parametrize("phase", [CallPhase.WAIT_CONNECT, CallPhase.ESTABLISHED])
    def test_everyMessageToACall(self, phase: CallPhase) -> None:
        for kind in MessageType:
            action = CALL_ACTIONS.get((CallKind.LNS_INCOMING, phase, kind))
            if action is None:
                continue
            wire = Wire()
            stranger = established(wire)
            answers = stranger.say(MessageType.ICRQ, ICRQ)
            session = answers[0].get(AVP.ASSIGNED_SESSION_ID)
            if phase is CallPhase.ESTABLISHED:
                stranger.say(MessageType.ICCN, ICCN, session)
            call = wire.lns.calls[0]
            assert call.phase is phase
            answers = stranger.say(kind, VALUES.get(kind), session)
            if action == "end":
                assert disconnected(answers)[0] == CDNResult.GENERAL_ERROR
            else:
                assert answers == []
            gone = action == "end" or kind == MessageType.CDN
            assert (call.phase is CallPhase.ENDED) is gone


MESSAGE = st.tuples(
    st.sampled_from([*MessageType, 5, 900]),
    st.booleans(),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(MESSAGE, max_size=25), st.booleans())
def test_anyMessages(messages: list[tuple[int, bool, int, bool]], permissive: bool) -> None:
    """
    Whatever a peer sends, nothing raises, what it can grow is bounded, and everything ends.
    """
    wire = Wire(lns=ControlSettings(permissive=permissive, maximumCalls=2))
    stranger = Stranger(wire, wire.lns)
    stranger.say(MessageType.SCCRQ, SCCRQ, tunnelID=0)
    for kind, ours, session, late in messages:
        ids = [0, *(call.localID for call in wire.lns.calls if call.phase is not CallPhase.ENDED)]
        stranger.say(kind, VALUES.get(kind), ids[session % len(ids)], None if ours else 0)
        if late:
            wire.clock.advance(3)
            stranger.answers()
    assert len(wire.lns.connections) <= 1
    wire.passes = lambda datagram: 0
    wire.run(400, step=1)
    assert len(wire.lns.connections) == 0
    assert not wire.clock.getDelayedCalls()

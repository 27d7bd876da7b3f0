"""
Tests for L{pptpgw.sessions.cause}, and for the codes with which links, calls and control
connections end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pptpgw.auth.protocols import CHAP
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.cause import SHUT_DOWN, Cause, Termination, asCause, codeOf
from pptpgw.tunnels.pptp.statetable import Side
from pptpgw.tunnels.pptp.wire.code import DisconnectResult
from pptpgw.tunnels.pptp.wire.message import (
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    StopControlConnectionRequest,
)
from tests.ppp.test_link import CLIENT, SERVER, Pair
from tests.tunnels.pptp.test_call import Line


class TestCause:
    def test_itIsItsTextAndKnowsItsCode(self) -> None:
        cause = Cause("enough", Termination.SESSION_TIMEOUT)
        assert cause == "enough" and f"{cause}" == "enough"
        assert codeOf(cause) is Termination.SESSION_TIMEOUT

    def test_aPlainTextIsTheGatewaysOwnDecision(self) -> None:
        assert codeOf("enough") is Termination.NAS_REQUEST

    def test_whatKnowsItsCodeKeepsIt(self) -> None:
        cause = Cause("enough", Termination.SESSION_TIMEOUT)
        assert asCause(cause, Termination.USER_ERROR) is cause
        assert asCause("enough", Termination.USER_ERROR).code is Termination.USER_ERROR

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("USER_REQUEST", 1),
            ("LOST_CARRIER", 2),
            ("LOST_SERVICE", 3),
            ("IDLE_TIMEOUT", 4),
            ("SESSION_TIMEOUT", 5),
            ("ADMIN_RESET", 6),
            ("ADMIN_REBOOT", 7),
            ("NAS_ERROR", 9),
            ("NAS_REQUEST", 10),
            ("USER_ERROR", 17),
        ],
    )
    def test_codesAreThoseOfRFC2866(self, name: str, value: int) -> None:
        assert Termination[name] == value


def opened(server: LinkSettings = SERVER) -> Pair:
    """
    Two links on which IPv4 is open.
    """
    pair = Pair(server)
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened
    return pair


def linkCode(pair: Pair) -> Termination:
    """
    Run until the gateway's link has ended, and return the code of its cause.
    """
    pair.run(80, 0.1)
    (cause,) = pair.gateway.causes
    return codeOf(cause)


class TestLink:
    def test_thePeerTerminatesLCP(self) -> None:
        """
        The code is that of the peer's Terminate-Request, even if the call ends before the link has
        waited for the Restart timer.
        """
        for lost in (False, True):
            pair = opened()
            pair.client.close("User request")
            pair.run(0.01)
            if lost:
                pair.server.lowerDown(Cause("gone", Termination.LOST_CARRIER))
            assert linkCode(pair) is Termination.USER_REQUEST

    def test_thePeerTerminatesItsLastNetworkProtocol(self) -> None:
        pair = opened()
        pair.server.frameReceived(ppp.IPCP, ppp.encodePacket(5, 9, b"bye"))
        assert linkCode(pair) is Termination.USER_REQUEST

    def test_thePeerRejectsItsLastNetworkProtocol(self) -> None:
        pair = opened()
        rejection = ppp.encodePacket(8, 9, ppp.IPCP.to_bytes(2, "big") + bytes(4))
        pair.server.frameReceived(ppp.LCP, rejection)
        assert linkCode(pair) is Termination.USER_ERROR

    def test_thePeerRejectsACodeOfLCP(self) -> None:
        pair = opened()
        pair.server.frameReceived(ppp.LCP, ppp.encodePacket(7, 9, b"\x01\x01\x00\x04"))
        assert linkCode(pair) is Termination.USER_ERROR

    def test_theCallIsLost(self) -> None:
        pair = opened()
        pair.server.lowerDown(Cause("gone", Termination.LOST_CARRIER))
        assert linkCode(pair) is Termination.LOST_CARRIER

    def test_thePeerIsSilent(self) -> None:
        pair = opened()
        pair.cut()
        pair.run(90, 0.1)
        assert linkCode(pair) is Termination.LOST_CARRIER

    def test_whatClosesItKeepsItsCode(self) -> None:
        """
        A link keeps the first cause and its code, whatever else ends the call.
        """
        pair = opened()
        pair.server.close(Cause("time is up", Termination.SESSION_TIMEOUT))
        pair.server.lowerDown(Cause("gone", Termination.LOST_CARRIER))
        assert pair.gateway.causes == ["time is up"]
        assert linkCode(pair) is Termination.SESSION_TIMEOUT

    def test_encryptionEnds(self) -> None:
        for server in (SERVER, replace(SERVER, encryption="prefer")):
            pair = opened(server)
            pair.server.frameReceived(ppp.CCP, ppp.encodePacket(5, 9, b""))
            assert linkCode(pair) is Termination.USER_ERROR

    def test_decryptionFails(self) -> None:
        pair = opened()
        pair.server.channelFailed("the peer doesn't resynchronise MPPE")
        assert linkCode(pair) is Termination.NAS_ERROR

    def test_aWrongPassword(self) -> None:
        pair = Pair(client=replace(CLIENT, identity=Identity(b"alice", b"wrong", (CHAP,))))
        pair.start()
        assert linkCode(pair) is Termination.USER_ERROR

    def test_anotherPasswordInTheMiddle(self) -> None:
        """
        A peer that doesn't know the password any more when it is challenged during the session ends
        with L{Termination.USER_ERROR}.
        """
        pair = opened(replace(SERVER, rechallenge=10))
        pair.gateway.password = b"another"
        assert linkCode(pair) is Termination.USER_ERROR

    def test_noResponseInTheMiddle(self) -> None:
        pair = opened(replace(SERVER, rechallenge=10))
        pair.clientChannel.lose = lambda frame: frame[0] == ppp.CHAP
        assert linkCode(pair) is Termination.LOST_CARRIER

    def test_noNetworkOpensInTime(self) -> None:
        pair = Pair()
        pair.clientChannel.lose = lambda frame: frame[0] == ppp.IPCP
        pair.start()
        assert linkCode(pair) in (Termination.USER_ERROR, Termination.LOST_CARRIER)
        pair = Pair(replace(SERVER, setupTimeout=5))
        pair.clientChannel.lose = lambda frame: frame[0] == ppp.IPCP
        pair.start()
        assert linkCode(pair) is Termination.USER_ERROR

    def test_nothingIsHeardOfThePeer(self) -> None:
        pair = Pair()
        pair.serverChannel.lose = lambda frame: True
        pair.server.lowerUp(pair.serverChannel)
        assert linkCode(pair) is Termination.LOST_CARRIER


Act = Callable[[Line], object]


def receiving(message: ControlMessage) -> Act:
    return lambda line: line.receive(message)


class TestCall:
    """
    Tests for a call of a PAC whose peer's call id is 0x1234.
    """

    @pytest.mark.parametrize(
        ("act", "code"),
        [
            (receiving(CallClearRequest(0x1234)), Termination.USER_REQUEST),
            (
                receiving(CallDisconnectNotify(0x1234, DisconnectResult.LOST_CARRIER)),
                Termination.LOST_CARRIER,
            ),
            (
                receiving(CallDisconnectNotify(0x1234, DisconnectResult.ADMIN_SHUTDOWN)),
                Termination.USER_REQUEST,
            ),
            (receiving(StopControlConnectionRequest()), Termination.USER_REQUEST),
            (lambda line: line.connection.connectionLost("gone"), Termination.LOST_CARRIER),
            (lambda line: line.connection.dataReceived(bytes(64)), Termination.USER_ERROR),
            (lambda line: line.clock.pump([60, 60]), Termination.LOST_CARRIER),
            (lambda line: line.connection.stop(SHUT_DOWN), Termination.ADMIN_REBOOT),
        ],
        ids=["cleared", "carrier", "notified", "stopped", "lost", "malformed", "silent", "ours"],
    )
    def test_itsEndHasACode(self, act: Act, code: Termination) -> None:
        line = Line(Side.RECEIVER)
        line.asked()
        act(line)
        (told,) = line.told
        assert isinstance(told[1], str) and codeOf(told[1]) is code, told

    def test_whatHangsUpKeepsItsCode(self) -> None:
        line = Line(Side.RECEIVER)
        line.asked().hangUp(Cause("idle", Termination.IDLE_TIMEOUT))
        (told,) = line.told
        assert isinstance(told[1], Cause) and told[1].code is Termination.IDLE_TIMEOUT

"""
Tests for L{pptpgw.tunnels.l2tp.concentrator}: calls are passed on to an LNS.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import DNSLookupError

from pptpgw.auth.protocols import CHAP
from pptpgw.error import CallError
from pptpgw.interfaces import Forward, ICall, Negotiated, ProxyClaim, Refusal
from pptpgw.testing import makeClaim, resultOf
from pptpgw.tunnels.l2tp.concentrator import L2TPConcentrator
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import decodeControl, isControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode
from pptpgw.tunnels.pptp.owner import Ends
from tests.sessions.legs import LegCall
from tests.tunnels.l2tp.joined import LNS, CallOwner, Wire

TO_LNS = Forward("l2tp", LNS[0])


class World(Wire):
    """
    An LNS, and a gateway that passes calls on to it.

    @ivar known: what names are looked up as.
    """

    def __init__(self, lns: ControlSettings | None = None) -> None:
        super().__init__(lns)
        self.known: dict[str, Deferred[str]] = {}
        self.clock.resolve = self._resolve  # type: ignore[attr-defined]
        self.concentrator = L2TPConcentrator(
            self.clock,
            ControlSettings(name=b"pop", idleTimeout=5.0),
            lambda settings, owner, source, peer: self.lac.connections.open(
                owner, source or self.lac.address[0], peer, settings
            ),
        )
        self.caller: Any = LegCall(self.clock, Ends("192.0.2.1", "192.0.2.77", 1, 2))
        self.owner = CallOwner()

    def _resolve(self, name: str) -> Deferred[str]:
        return self.known[name]

    def place(
        self, forward: Forward = TO_LNS, negotiated: Negotiated | None = None
    ) -> Deferred[ICall]:
        return self.concentrator.place(forward, negotiated or Negotiated(), self.caller, self.owner)

    def messages(self, kind: MessageType) -> list[L2TPMessage]:
        """
        The messages of this kind that the LNS has got.
        """
        bodies = [
            decodeControl(octets)[1]
            for _, to, octets in self.seen
            if to == LNS
            if isControl(octets)
        ]
        decoded = [decode(body) for body in bodies if body]
        return [one for one in decoded if one.type == kind]


def test_aCall() -> None:
    """
    The LNS is told who calls whom, what LCP agreed on, and the caller's claim.
    """
    world = World()
    claim = makeClaim(CHAP, b"alice@isp.example")
    placed = world.place(
        negotiated=Negotiated(
            b"\x01\x04\x05\xdc", b"", b"\x03\x05\xc2\x23\x05", ProxyClaim.of(claim)
        )
    )
    world.run()
    call: Any = resultOf(placed)
    assert call.tunnel.name == "l2tp" and world.owner.heard == []
    (request,) = world.messages(MessageType.ICRQ)
    assert request.get(AVP.CALLING_NUMBER) == b"192.0.2.77"
    assert request.get(AVP.CALLED_NUMBER) == b"192.0.2.1"
    (connected,) = world.messages(MessageType.ICCN)
    assert connected.get(AVP.INITIAL_RECEIVED_LCP_CONFREQ) == b"\x01\x04\x05\xdc"
    assert connected.get(AVP.LAST_RECEIVED_LCP_CONFREQ) == b""
    assert connected.get(AVP.LAST_SENT_LCP_CONFREQ) == b"\x03\x05\xc2\x23\x05"
    assert connected.get(AVP.PROXY_AUTHEN_TYPE) == 2
    assert connected.get(AVP.PROXY_AUTHEN_NAME) == b"alice@isp.example"
    assert connected.get(AVP.PROXY_AUTHEN_CHALLENGE) == claim.challenge
    assert connected.get(AVP.PROXY_AUTHEN_ID) == claim.identifier
    assert connected.get(AVP.PROXY_AUTHEN_RESPONSE) == claim.response
    (answered,) = world.lns.calls
    answered.hangUp("go away")
    world.run()
    assert (
        world.owner.heard == ["the peer disconnected the call: administrative reasons: go away"]
        or "go away" in world.owner.heard[0]
    )


def test_oneConnection() -> None:
    """
    Calls share a control connection if all is the same that is agreed on; it is closed a while
    after its last call.
    """
    world = World()
    first, second = world.place(), world.place(Forward(3, LNS[0], preference=7))
    other = world.place(Forward("l2tp", LNS[0], assignment="gold"))
    world.run()
    assert len(world.lns.opened) == 2
    calls = [resultOf(one) for one in (first, second, other)]
    third = world.place()
    world.run()
    assert len(world.lns.opened) == 2
    for one in (*calls, resultOf(third)):
        one.hangUp("over")
    world.run(4)
    again = world.place()
    world.run()
    resultOf(again).hangUp("over")
    assert len(world.lns.opened) == 2
    world.run(7)
    assert len(world.lns.closed) == 2
    fresh = world.place()
    world.run()
    resultOf(fresh)
    assert len(world.lns.opened) == 3


def test_secrets() -> None:
    """
    Both ends prove that they know the secret; the LNS knows us by the name that it is told.
    """
    world = World(ControlSettings(name=b"lns", trust=trusting(b"hush")))
    placed = world.place(Forward("l2tp", LNS[0], b"hush", "pop1", "lns"))
    world.run()
    resultOf(placed)
    assert world.lns.opened[0].peerName == "pop1"
    for wrong in (Forward("l2tp", LNS[0], b"guess"), Forward("l2tp", LNS[0], b"hush", "", "evil")):
        placed = world.place(wrong)
        world.run(1)
        with pytest.raises(CallError):
            resultOf(placed)


def test_refused() -> None:
    world = World()
    world.lns.refusal = Refusal.BUSY
    placed = world.place()
    world.run()
    with pytest.raises(CallError):
        resultOf(placed)
    assert world.owner.heard == []


def test_noAnswer() -> None:
    """
    An LNS that isn't there costs the time that the connection has, and no more calls wait then.
    """
    world = World()
    world.passes = lambda datagram: 0
    placed = world.place()
    world.run(15)
    with pytest.raises(CallError):
        resultOf(placed)
    world.passes = lambda datagram: 1
    placed = world.place()
    world.run()
    resultOf(placed)


def test_cancelled() -> None:
    """
    A call that is given up isn't placed when the connection is there, or is ended.
    """
    world = World()
    early = world.place()
    early.cancel()
    world.run()
    assert len(world.lns.opened) == 1 and world.lns.calls == []
    world.lns.owner = None
    late = world.place()
    world.run()
    assert len(world.lns.calls) == 1
    late.cancel()
    world.run()
    for one in (early, late):
        with pytest.raises(CancelledError):
            resultOf(one)
    assert world.lns.opened[0].calls == {} and world.owner.heard == []


def test_names() -> None:
    """
    Names are looked up; what isn't known costs only the call.
    """
    world = World()
    world.known = {"lns": succeed(LNS[0]), "nowhere": fail(DNSLookupError()), "slow": Deferred()}
    placed = world.place(Forward("l2tp", "lns"))
    world.run()
    resultOf(placed)
    with pytest.raises(CallError, match="'nowhere' isn't known"):
        resultOf(world.place(Forward("l2tp", "nowhere")))
    slow = world.place(Forward("l2tp", "slow"))
    stopped = world.concentrator.stop()
    world.run()
    resultOf(stopped)
    with pytest.raises(CallError):
        resultOf(slow)
    assert world.owner.heard != [] and len(world.lns.closed) == 1


def test_noAddress() -> None:
    """
    A source that we have no port for costs only the call.
    """
    world = World()

    def refuse(*_: object) -> Any:
        raise CallError("no port")

    concentrator: Any = world.concentrator
    concentrator.connect = refuse
    with pytest.raises(CallError, match="no port"):
        resultOf(world.place())

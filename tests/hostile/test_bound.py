"""
A caller by SSTP who has an account and means harm, and a network server that does, too, to which
the calls of that account are passed on.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.sstp.binding import Hash, callConnected
from pptpgw.tunnels.sstp.wire import Splitter, encodeFrame
from tests.logged import loggedFailures
from tests.sessions.test_bound import THERE, Silent

PROTOCOLS = [ppp.LCP, ppp.PAP, ppp.CHAP, ppp.EAP, ppp.IPCP, ppp.CCP, ppp.MPPE, ppp.IPV4, 0xC123]


def isAnew(protocol: int, information: bytes) -> bool:
    """
    Whether a frame belongs to an authentication, or begins one.
    """
    asks = protocol == ppp.LCP and information[:1] == b"\x01"
    return asks or protocol in ppp.AUTHENTICATION


class Hostile(RuleBasedStateMachine):
    """
    Both of them. The caller has authenticated, and hasn't bound its tunnel to that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.isBound = self.isWrong = False

    @initialize()
    def begin(self) -> None:
        # Hypothesis makes machines, too, that it doesn't run and doesn't tear down.
        self._logging = loggedFailures()
        self.failures = self._logging.__enter__()
        self.caller = Silent()
        self.caller.mute()
        self.world = self.caller.world
        self.forwarder = self.world.forwarder
        self.forwarder.silent.add(THERE)
        self.forwarder.peers[THERE] = None
        self._read = len(self.caller.peer.heard)
        self.frames: list[tuple[int, bytes]] = []
        self._splitter = Splitter(self._heard, lambda packet: None)

    def _heard(self, frame: bytes) -> None:
        self.frames.append(decodeFrame(frame))

    @property
    def legs(self) -> Any:
        return self.world.dataPath.legs

    @precondition(lambda self: self.caller.held)
    @rule()
    def bind(self) -> None:
        self.isBound = not self.isWrong
        self.caller.bind()

    @precondition(lambda self: not self.isBound)
    @rule(secret=st.binary(min_size=32, max_size=32))
    def bindWrongly(self, secret: bytes) -> None:
        self.isWrong = True
        self.caller.write(callConnected(Hash.SHA256, bytes(32), b"another", secret))

    @rule(protocol=st.sampled_from(PROTOCOLS), code=st.integers(0, 12), data=st.binary(max_size=8))
    def callerSends(self, protocol: int, code: int, data: bytes) -> None:
        packet = bytes((code, 1)) + (4 + len(data)).to_bytes(2, "big") + data
        self.caller.write(encodeFrame(b"\xff\x03" + protocol.to_bytes(2, "big") + packet))

    @rule(octets=st.binary(max_size=12))
    def callerSendsOctets(self, octets: bytes) -> None:
        self.caller.write(encodeFrame(octets))

    @precondition(lambda self: self.legs)
    @rule(protocol=st.sampled_from(PROTOCOLS), frame=st.binary(max_size=8))
    def serverSends(self, protocol: int, frame: bytes) -> None:
        self.legs[-1].received(protocol, frame)

    @precondition(lambda self: self.forwarder.waiting)
    @rule()
    def serverAnswers(self) -> None:
        if THERE in self.forwarder.cancelled:
            self.forwarder.waiting.clear()
        else:
            self.forwarder.answer()
            # What was sent to the caller before this isn't the server's.
            self.world.run(0.01)
            self._look()
            self.frames.clear()

    @precondition(lambda self: self.forwarder.calls)
    @rule()
    def serverEnds(self) -> None:
        self.forwarder.calls[-1].ended("enough")

    @rule(seconds=st.sampled_from([0.002, 0.002, 0.5, 3, 70]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds, seconds / 20)

    def _look(self) -> None:
        """
        Read what has come to the caller.
        """
        heard = self.caller.peer.heard
        self._splitter.feed(heard[self._read :])
        self._read = len(heard)

    @invariant()
    def isGuarded(self) -> None:
        if not hasattr(self, "world"):
            return
        self._look()
        assert self.isBound or not self.forwarder.placed
        assert len(self.world.gateway.sessions) <= len(self.world.gateway.lines) <= 1
        if self.legs:
            assert not [one for one in self.legs[-1].sent if isAnew(*one)]
            assert not [one for one in self.frames if isAnew(*one)]
        assert not self.failures, self.failures

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._logging.__exit__(None, None, None)
            with loggedFailures() as failures:
                self.caller.peer.theirs.end()
                self.world.rest(130)
            gateway = self.world.gateway
            assert not gateway.lines and not gateway.sessions
            assert not failures, failures


TestHostile = Hostile.TestCase
TestHostile.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

"""
A caller by PPTP, our gateway as LAC and our gateway as LNS, in one process.
"""

from __future__ import annotations

from typing import Any

from pptpgw.datapath.python import PythonDataPath
from pptpgw.interfaces import Forward, IChannelOwner
from pptpgw.ppp.wire.ppp import IPV4
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DELAY, MemoryTUN, World, resultOf
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.concentrator import L2TPConcentrator
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from tests.reload.world import Users
from tests.sessions.legs import LegDataPath
from tests.tunnels.l2tp.joined import LNS, Wire

ENDS = (
    Forward("l2tp", "192.0.2.250", b"hush"),
    Forward(3, LNS[0], b"hush", "pop1", preference=1),
)


class DataPath(LegDataPath):
    """
    A data path that carries L2TP's calls in Python, and others in memory.
    """

    def openChannel(self, call: Any, owner: IChannelOwner, number: int = 0) -> Any:
        if not isinstance(call, L2TPCall):
            return super().openChannel(call, owner, number)
        host = PythonDataPath(self._network.clock, MemoryTUN())
        return call.openChannel(owner, host)


class L2TPWorld(World):
    """
    A gateway whose calls by L2TP are on a L{Wire}.
    """

    def makeDataPath(self) -> DataPath:
        return DataPath(self.network)


def test_failover() -> None:
    """
    The call passes to the LNS after one that doesn't answer. The caller authenticates at both
    gateways, has its address from the LNS, and sends packets there. The LNS hangs up, and the
    caller's call ends with the cause.
    """
    trust = ControlSettings(name=b"lns", trust=trusting(b"hush"))
    wire = Wire(trust)
    gateway = L2TPWorld("", [Users([Profile("alice", forwards=ENDS)])], clock=wire.clock)
    lns = L2TPWorld("[link]\necho-interval = 5", [Users()], clock=wire.clock)
    concentrator: Any = L2TPConcentrator(
        wire.clock,
        ControlSettings(),
        lambda settings, owner, source, peer: wire.lac.connections.open(
            owner, source or wire.lac.address[0], peer, settings
        ),
    )
    concentrator.kind = L2TPCall.tunnel
    gateway.gateway.context.forwarding.forwarders = {"l2tp": concentrator}
    answering: Any = wire.lns
    answering.callRequested = lns.gateway.callRequested

    def pump() -> None:
        wire.run()
        wire.clock.callLater(DELAY, pump)

    pump()
    placed = gateway.placeCall(gateway.connect())
    gateway.run(12)
    caller: Any = resultOf(placed)
    (session,) = gateway.gateway.sessions
    (beyond,) = lns.gateway.sessions
    assert session.path == f"memory; passed on by l2tp to {LNS[0]}"
    assert (session.user, session.authentication) == ("alice", "mschapv2")
    assert (beyond.user, beyond.tunnel.name, beyond.path) == ("alice", "l2tp", "python")
    assert beyond.networks and not session.networks
    assert wire.lns.opened[0].peerName == "pop1"
    before = session.counters.packetsReceived
    for _ in range(10):
        caller.channel.sendPacket(IPV4, bytes(64))
    gateway.run(0.1)
    assert session.counters.packetsReceived == before + 10
    beyond.hangUp("maintenance")
    gateway.run(4)
    assert not gateway.gateway.lines and not lns.gateway.lines
    (attempt,) = gateway.gateway.attempts
    assert attempt.cause.startswith("the end that the call passed to: the peer disconnected")
    assert "maintenance" in attempt.cause
    assert codeOf(attempt.cause) is Termination.USER_REQUEST

"""
Tests for what an LNS believes of a LAC, and what the two tell each other of a line.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from zope.interface import alsoProvides

from pptpgw.auth.protocols import PAP
from pptpgw.datapath.python import PythonDataPath
from pptpgw.interfaces import Forward, ILineCall, LineErrors, Negotiated, ProxyClaim, Stations
from pptpgw.ppp.wire.ppp import DEFAULT_ACCM
from pptpgw.testing import makeClaim, resultOf
from pptpgw.tunnels.hdlc.call import HDLCCall
from pptpgw.tunnels.hdlc.framer import Framer
from pptpgw.tunnels.l2tp.details import CallDetails
from pptpgw.tunnels.l2tp.secrets import PeerTrust, trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.avp import CallErrors
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from tests.tunnels.l2tp.joined import LAC, LNS, CallOwner, Wire
from tests.tunnels.l2tp.test_concentrator import World

SECRET = b"open sesame"
NAMED = PeerTrust(True, SECRET, isNamed=True)
LCP = b"\x03\x04\xc0\x23"
DETAILS = CallDetails(
    {AVP.CALLING_NUMBER: b"030123", AVP.CALLED_NUMBER: b"0190", AVP.PHYSICAL_CHANNEL_ID: 9},
    {
        AVP.LAST_SENT_LCP_CONFREQ: LCP,
        AVP.LAST_RECEIVED_LCP_CONFREQ: b"",
        AVP.PRIVATE_GROUP_ID: b"gold",
    },
)


def dialled(trust: PeerTrust, secret: bytes) -> tuple[Wire, Any, Any]:
    """
    A call from a LAC, and its two ends.
    """
    lns = ControlSettings(name=b"core", trust=lambda name: trust)
    wire = Wire(lns, ControlSettings(name=b"pop", trust=trusting(secret)))
    connection, _ = wire.dialled()
    call = connection.placeCall(CallOwner(), details=DETAILS)
    wire.run()
    return wire, call, wire.lns.calls[-1]


def test_believed() -> None:
    """
    A LAC that has proved that it knows a secret of its own is believed: what it has negotiated, and
    who calls.
    """
    _, ours, theirs = dialled(NAMED, SECRET)
    assert theirs.concentrator == "pop"
    assert theirs.negotiated == Negotiated(b"", b"", LCP)
    assert theirs.stations == Stations("030123", "0190", "", "gold", "9")
    assert theirs.caller == LAC[0]
    ends = theirs.tunnelEnds
    assert ends == ours.tunnelEnds
    assert (ends.client, ends.server, ends.clientName, ends.serverName, ends.connection) == (
        LAC[0],
        LNS[0],
        "pop",
        "core",
        "1",
    )
    assert ours.concentrator == "" and ours.negotiated is None


@pytest.mark.parametrize(
    ("trust", "secret"),
    [(PeerTrust(), b""), (PeerTrust(True, SECRET), SECRET), (PeerTrust(True, b"", True), b"")],
    ids=["no secret", "a secret of all", "a name without a secret"],
)
def test_notBelieved(trust: PeerTrust, secret: bytes) -> None:
    """
    Nobody else is: without a secret, or with one that others have, too, it could be anybody.
    """
    _, _, theirs = dialled(trust, secret)
    assert theirs.phase.value == "established"
    assert theirs.negotiated is None and theirs.concentrator == ""
    assert theirs.stations == Stations()


def test_aPassword() -> None:
    """
    A password in clear reaches an LNS that the LAC shares a secret with, and nobody on the way.
    """
    claim = ProxyClaim.of(makeClaim(PAP))
    world = World(ControlSettings(trust=lambda name: NAMED))
    placed = world.place(Forward("l2tp", LNS[0], SECRET), Negotiated(b"", b"", LCP, claim))
    world.run()
    resultOf(placed)
    (answered,) = world.lns.calls
    assert answered.negotiated is not None and answered.negotiated.claim == claim
    assert not any(claim.response in octets for _, _, octets in world.seen)


def test_anAsynchronousLine() -> None:
    """
    The LAC's line escapes what LCP has agreed on between the caller and the LNS.
    """
    world = World()
    world.caller.accm = 0
    placed = world.place()
    world.run()
    call: Any = resultOf(placed)
    told: list[tuple[int, int]] = []
    call.setACCM = lambda send, receive: told.append((send, receive))
    answered: Any = world.lns.calls[0]
    channel = answered.openChannel(None, PythonDataPath(world.clock))
    channel.setFraming(False, False, DEFAULT_ACCM, DEFAULT_ACCM)
    channel.setFraming(True, True, 0xA0000, 0)
    world.run()
    assert told == [(0xA0000, 0)]
    call.hangUp("over")
    assert call.setACCM is None
    channel.close()


def test_aSerialLine() -> None:
    """
    A line's call that is passed on: the LNS is told that the line is asynchronous, the line escapes
    what it says, and it is told of the line's errors.
    """
    world, sent = World(), bytearray()
    owner: Any = None
    framer = Framer(world.clock, sent.extend, lambda reason: line.channel.counters.discard(reason))
    line: Any = HDLCCall("ttyS0", "ttyS0", framer, 0, lambda: None)
    world.caller = line
    channel = line.openChannel(owner, PythonDataPath(world.clock))
    placed = world.place()
    world.run()
    call: Any = resultOf(placed)
    call.joined(line)
    call.setACCM = partial(channel.setFraming, False, False)
    channel.setFraming(False, False, DEFAULT_ACCM, 0)
    answered: Any = world.lns.calls[0]
    beyond = answered.openChannel(owner, PythonDataPath(world.clock))
    channel.sendFrame(0x8021, b"\x01\x11")
    beyond.setFraming(True, True, 0x20000, 0)
    world.run()
    channel.sendFrame(0x8021, b"\x01\x11")
    before, after = bytes(sent).strip(b"\x7e").split(b"\x7e")
    assert b"\x7d\x21\x7d\x31" in before and b"\x01\x7d\x31" in after
    framer.dataReceived(b"\x7espam spam\x7e")
    world.run(61)
    (told,) = world.messages(MessageType.WEN)
    assert told.get(AVP.CALL_ERRORS) == CallErrors(1, 0)
    # An LNS tells a LAC nothing of that.
    answered.joined(line)
    framer.dataReceived(b"\x7espam spam\x7e")
    world.run(61)
    assert len(world.messages(MessageType.WEN)) == 2
    call.hangUp("over")
    for one in (channel, beyond):
        one.close()


def test_aSynchronousLine() -> None:
    world = World()
    placed = world.place()
    world.run()
    resultOf(placed)
    answered: Any = world.lns.calls[0]
    channel = answered.openChannel(None, PythonDataPath(world.clock))
    channel.setFraming(True, True, 0xA0000, 0)
    world.run()
    assert world.names(world.lac.address).count("SLI") == 0
    channel.close()


def test_errorsOfALine() -> None:
    """
    The LNS is told of errors of the caller's line, a minute apart at least, and only of new ones.
    """
    world = World()
    line = world.caller
    line.errors = LineErrors()
    alsoProvides(line, ILineCall)
    placed = world.place()
    world.run()
    call: Any = resultOf(placed)
    call.joined(line)
    world.run(130)
    assert world.messages(MessageType.WEN) == []
    line.errors = LineErrors(3, 1)
    world.run(125)
    line.errors = LineErrors(5, 1, 7)
    world.run(61)
    told = [one.get(AVP.CALL_ERRORS) for one in world.messages(MessageType.WEN)]
    assert told == [CallErrors(3, 1), CallErrors(5, 1, bufferOverruns=7)]
    assert world.lns.counters.discards["L2TP line errors told by a LAC"] == 2
    line.errors = LineErrors(9, 9)
    call.hangUp("over")
    world.run(130)
    assert len(world.messages(MessageType.WEN)) == 2

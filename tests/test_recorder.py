"""
Tests for L{pptpgw.testing.recorder} and L{pptpgw.testing.gre}, with a whole gateway in memory.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.error import CallError
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.sessions.cause import Termination
from pptpgw.testing import PASSWORD, GREWorld, MemoryTUN, SessionRecorder, resultOf
from tests.chapsecrets import secretsIn


def datagram(source: str, destination: str) -> bytes:
    """
    An IPv4 packet of 40 octets.
    """
    header = bytes.fromhex("4500 0028 0001 4000 4011 0000")
    return header + IPv4Address(source).packed + IPv4Address(destination).packed + bytes(20)


def assertRefused(world: GREWorld, name: bytes) -> None:
    """
    Assert that a call in this name is refused.
    """
    placed = world.placeCall(world.connect(), name)
    world.run(3, 0.01)
    with pytest.raises(CallError):
        resultOf(placed)


def test_aCallWhosePacketsGoThroughGRE(tmp_path: object) -> None:
    """
    Packets of a call reach the TUN device and come back from it, encrypted on the wire, and the
    recorder has the events of the session in order.
    """
    recorder = SessionRecorder()
    world = GREWorld(
        checkers=[ChapSecretsChecker(secretsIn(tmp_path, "alice * sesame *"))],
        observers=[recorder],
    )
    came: list[bytes] = []
    seen: set[int] = set()
    ipv4 = IPCP(IPv4Settings.client(came.append))
    call = world.setUpCall(b"alice", PASSWORD, ipv4)
    world.wire.tap = lambda source, destination, protocol, information: seen.add(protocol)
    out, back = datagram(ipv4.localAddress, "8.8.8.8"), datagram("8.8.8.8", ipv4.localAddress)
    ipv4.sendPacket(out)
    world.tun.receive(back)
    world.run(0.1)
    assert (world.tun.written, came, seen) == ([out], [back], {0xFD})
    call.hangUp("enough")
    world.run(1)
    assert recorder.told == [(one, "alice") for one in ("started", "opened", "closed", "ended")]
    ((user, _, code),) = recorder.ended
    assert (user, code) == ("alice", Termination.USER_REQUEST)
    assertRefused(world, b"mallory")
    assert [(name, tunnel) for _, name, *_, tunnel in recorder.refused] == [("mallory", "pptp")]
    world.stop()


def test_aTUNDeviceThatKeepsTheLastPackets() -> None:
    """
    A device that keeps two packets forgets those before them, and one that has an error keeps none.
    """
    tun = MemoryTUN(keep=2)
    for number in range(4):
        tun.write(bytes((number,)))
    assert tun.written == [b"\2", b"\3"]
    tun.error = OSError("it is down")
    with pytest.raises(OSError, match="it is down"):
        tun.write(b"\4")
    assert tun.written == [b"\2", b"\3"]


def test_anEndThatIsAccountedForLater(tmp_path: object) -> None:
    """
    An address is given again only when the test has accounted for the end of its session.
    """
    recorder = SessionRecorder()
    recorder.reports = []
    world = GREWorld(
        checkers=[ChapSecretsChecker(secretsIn(tmp_path, "alice * sesame *"))],
        observers=[recorder],
    )
    ipv4: Any = world.networks["ipv4"]
    world.setUpCall().hangUp("enough")
    world.run(1)
    assert not world.gateway.sessions and ipv4.pool.used == 1
    (report,) = recorder.reports
    report.callback(None)
    assert ipv4.pool.used == 0
    world.stop()

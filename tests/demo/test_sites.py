"""
Tests for L{pptpgw.demo.sites}: its configurations, its accounts, its hosts and its other program.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import CancelledError
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.auth.realm import AvatarID
from pptpgw.config.configuration import parse
from pptpgw.demo.selfcall import echoReply, echoRequest
from pptpgw.demo.sites import NETWORKS, PASSWORDS, Accounts, Host, Program, configuration, section
from pptpgw.demo.tunnels import LINE, sections
from pptpgw.error import PPTPGWError
from pptpgw.networks.wire.checksum import checksum
from pptpgw.testing import resultOf


class WiredHost(Host):
    """
    A host whose device is a list of the packets that it sends.
    """

    def __init__(self, site: str) -> None:
        super().__init__(Clock(), site)
        self.sent: list[bytes] = []
        self._device.write = self.sent.append

    def receive(self, packet: bytes) -> None:
        """
        Have the kernel send a packet to the device.
        """
        self._device.receive(packet)


class Transport:
    """
    The transport of a program, which keeps the signals.
    """

    def __init__(self) -> None:
        self.signals: list[str] = []

    def signalProcess(self, signal: str) -> None:
        self.signals.append(signal)


def test_configurations(tmp_path: Path) -> None:
    """
    The southern gateway calls the line at which the northern one answers, expects that one's name
    and password, and has its own. Only their owner may read the files.
    """
    folder = str(tmp_path)
    north = parse(section(folder) + sections(folder), "the demo")
    south = parse(configuration(folder), "the demo")
    (dial,) = south.dial.dial
    assert dial.addresses == (f"unix:{folder}/{LINE}",)
    assert f"unix:{folder}/{LINE}" in north.sections["hdlc"].endpoints
    assert (dial.user, dial.passwords()) == ("south", (PASSWORDS["south"], b""))
    assert (dial.peerName, dial.peerPassword()) == (north.link.user, PASSWORDS["north"])
    assert dial.routes == (NETWORKS["north"],)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_accounts() -> None:
    """
    Only the southern gateway has a network behind it.
    """
    accounts = Accounts({b"alice": b"open sesame"})
    routes = {}
    for name, password in {b"alice": b"open sesame", b"south": PASSWORDS["south"]}.items():
        found = resultOf(accounts.requestAvatarId(UsernamePassword(name, password)))
        assert isinstance(found, AvatarID)
        routes[bytes(found)] = found.profile.routes
    assert routes == {b"alice": (), b"south": (NETWORKS["south"],)}


def test_answer() -> None:
    """
    The answer to a ping goes back, with the same content and right checksums. Nothing else is
    answered.
    """
    question = echoRequest("10.2.0.2", "10.1.0.2", b"abcd")
    answer = echoReply(question)
    assert answer[12:20] == question[16:20] + question[12:16]
    assert answer[20:22] == b"\x00\x00" and answer[24:] == question[24:]
    assert checksum(answer[:20]) == checksum(answer[20:]) == 0
    assert echoReply(answer) == echoReply(b"") == echoReply(question[:27]) == b""
    assert echoReply(question[:9] + b"\x11" + question[10:]) == b""


def test_hosts() -> None:
    """
    A host answers what is for it, and knows the answer to its last ping from that to an earlier
    one.
    """
    north, south = WiredHost("north"), WiredHost("south")
    first = south.ping(IPv4Address(north.address))
    second = south.ping(IPv4Address(north.address))
    for packet in south.sent:
        north.receive(packet)
    early, late = north.sent
    south.receive(early)
    north.receive(late)
    assert len(north.sent) == 2
    assert [one.called for one in (first, second)] == [False, False]
    south.receive(late)
    south.receive(late)
    assert [one.called for one in (first, second)] == [False, True]


def test_program() -> None:
    """
    The results are what the program wrote, if it has ended well.
    """
    good = Program()
    good.outReceived(b"{")
    good.outReceived(b"}")
    good.processEnded(Failure(ProcessDone(0)))
    assert resultOf(good.ended) == b"{}"
    bad = Program()
    bad.processEnded(Failure(ProcessTerminated(1)))
    with pytest.raises(PPTPGWError, match=r"the other site: .*exit code 1"):
        resultOf(bad.ended)


def test_programKilled() -> None:
    """
    A program that isn't waited for any more is killed.
    """
    program = Program()
    transport = Transport()
    program.transport = transport  # type: ignore[assignment]
    program.ended.cancel()
    assert transport.signals == ["KILL"]
    program.processEnded(Failure(ProcessTerminated(signal=9)))
    with pytest.raises(CancelledError):
        resultOf(program.ended)

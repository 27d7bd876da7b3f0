"""
Tests for the data path within the kernel with Linux' own L2TP. Debian's xl2tpd and pppd call.
"""

from __future__ import annotations

import re
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.capture import COMPRESSED, IPV4, Capture, Packet
from tests.lab.kernelstate import assertGone, connected, devices, loadL2TP, tunnels
from tests.lab.l2tp import XL2TPD
from tests.lab.peers import GATEWAY_ADDRESS, INSIDE_ADDRESS, LOCAL_ADDRESS, Network, Process
from tests.lab.server import ALICE, BOB, StartGateway
from tests.lab.test_kernel import ECHO, FORGE, checked, ipv4

SECTIONS: dict[str, Any] = {
    "listen": {"tunnels": ["pptp", "l2tp"]},
    "l2tp": {"clear": "accept"},
}


LAC = Path(__file__).with_name("lac.py")
UNGUARDED = Path(__file__).with_name("unguarded.py")


@pytest.fixture
def path() -> str:
    """
    The data path of gateways whose test doesn't name one.
    """
    return "kernel"


@pytest.fixture(autouse=True)
def module() -> None:
    """
    Have the kernel's L2TP.
    """
    loadL2TP()


def test_aCall(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    A call in clear has a device of its own and is counted exactly; when it is hung up, and when its
    caller vanishes, nothing is left of it. Another one calls from the same address and port.
    """
    gateway = startGateway(
        **SECTIONS,
        link={"encryption": "off", "echo-interval": 1, "echo-failures": 2},
        management={"endpoints": [f"unix:{tmp_path / 'gateway.socket'}"]},
    )
    host = network.host()
    caller = XL2TPD(host, *ALICE).up()
    assert devices(network) == ["ppp1"]
    assert tunnels(network).count("SESSION") == 2 and len(connected(network)) == 1
    caller.ping(LOCAL_ADDRESS, "-s", "1000", count=10)
    time.sleep(1.2)
    found = gateway.shown("alice")
    assert (found["interface"], found["path"], found["number"]) == ("ppp1", "kernel", 1)
    for direction in ("received", "sent"):
        assert found[f"octets_{direction}"] == 10 * 1028
        assert found[f"packets_{direction}"] == 10
    assert found["discards"] == {}
    caller.disconnect()
    gateway.waitFor(f"{10 * 1028} octets received, {10 * 1028} sent")
    assertGone(network)
    caller.stop()
    again = XL2TPD(host, *BOB).up()
    again.ping(count=3)
    again.stop(signal.SIGKILL)
    gateway.waitFor("bob from .* ended after.*Echo-Requests")
    gateway.shutDown()
    assertGone(network)


def sentProtocols(packets: list[Packet]) -> set[int]:
    """
    Return the PPP protocols of the data messages that the gateway has sent, among C{packets}. They
    have no optional fields.
    """
    datagrams = [one.payload[8:] for one in packets if one.source == GATEWAY_ADDRESS]
    frames = [one[6:] for one in datagrams if one[:2] == b"\0\2"]
    assert {one[:2] for one in frames} == {b"\xff\x03"}
    return {int.from_bytes(one[2:4]) for one in frames}


def test_mppe(network: Network, startGateway: StartGateway) -> None:
    """
    The kernel encrypts. A packet that somebody sends in clear in the caller's name goes nowhere,
    and a packet of CCP that is withheld from the kernel ends the call, without a packet in clear.
    """
    gateway = startGateway(program=UNGUARDED, **SECTIONS, link={"encryption": "prefer"})
    host, attacker = network.hosts(2)
    caller = XL2TPD(host, *ALICE, "require-mppe-128").up()
    assert "MPPE 128-bit stateless compression enabled" in caller.text
    assert devices(network) == ["ppp1"]
    caller.flood(200)
    found = re.search(r"/([0-9A-F]{4}) -> \w+/\w+ 3", tunnels(network))
    ours = re.search(r"/1701 ([0-9A-F]{4})/", tunnels(network))
    assert found and ours
    ids = bytes.fromhex(ours[1] + found[1])
    host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
    inside = Capture(network.inside, "eth0", network.folder, "icmp")
    wire = Capture(network.gateway, "wire", network.folder, "udp", "port", "1701")
    command = network.inside.command("ping", "-i", "0.005", "-c", "2000", caller.address)
    pinging = Process(command, network.folder / "ping.log")
    pinging.waitFor("icmp_seq=3 ")
    clear = checked(ipv4(caller.address, INSIDE_ADDRESS, 1, ECHO))

    def forge(message: bytes) -> None:
        datagram = struct.pack("!4H", 1701, 1701, 8 + len(message), 0) + message
        packet = ipv4(host.address, GATEWAY_ADDRESS, 17, datagram).hex()
        attacker.run(sys.executable, "-c", FORGE.format(to=GATEWAY_ADDRESS), packet)

    for begin in (b"\xff\x03\x00\x21", b"\x21", b"\x00\x21"):
        forge(b"\0\2" + ids + begin + clear)
    caller.ping()
    assert not any(one.payload[4:8] == ECHO[4:] for one in inside.stop())
    forge(b"\0\3" + ids + b"\xff\x03\x80\xfd\x05\x65\x00\x04")
    gateway.waitFor("alice from .* ended after.*encryption end")
    pinging.stop(signal.SIGINT)
    sent = sentProtocols(wire.stop())
    assert COMPRESSED in sent and IPV4 not in sent
    caller.stop()
    assertGone(network)


def test_numbers(network: Network, startGateway: StartGateway) -> None:
    """
    The kernel sends sequence numbers to a LAC that asks for them, and takes the LAC's own.
    """
    startGateway(**SECTIONS, link={"encryption": "off"})
    host = network.host()
    words = GATEWAY_ADDRESS, *ALICE, "", "numbered"
    wire = Capture(network.gateway, "wire", network.folder, "udp", "port", "1701")
    calling = Process(host.command(sys.executable, str(LAC), *words), host.runFolder / "lac.log")
    assert calling.wait(60) == 0
    assert re.findall("(?m)^answered", calling.text) == ["answered"] * 2
    # By source and ids, whether they are the gateway's or the LAC's.
    numbers: dict[tuple[str, bytes], list[int]] = {}
    for one in wire.stop():
        if one.payload[8:10] == b"\x08\x02":
            message = one.payload[8:]
            numbers.setdefault((one.source, message[2:6]), []).append(int.from_bytes(message[6:8]))
    assert sorted(source for source, _ in numbers) == [GATEWAY_ADDRESS] * 2 + [host.address] * 2
    for each in numbers.values():
        assert len(each) > 20 and each == list(range(len(each)))
    assertGone(network)

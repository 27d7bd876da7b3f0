"""
Tests for the data path within the kernel, with Linux' own PPP, PPTP and MPPE at both ends. Those of
both data paths are in the other files, see L{tests.lab.server.BOTH}.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
import time
from pathlib import Path

import pytest

from tests.lab.capture import COMPRESSED, IPV4, Capture, Packet, frames
from tests.lab.kernelstate import devices
from tests.lab.peers import (
    GATEWAY_ADDRESS,
    INSIDE_ADDRESS,
    LOCAL_ADDRESS,
    Namespace,
    Network,
    Process,
    run,
)
from tests.lab.server import ALICE, BOB, Gateway, StartGateway

ECHO = b"\x08\x00\xa6\x52\x51\xad\x00\x00"
"""
An ICMP Echo-Request.
"""

FORGE = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
    for packet in sys.argv[1:]:
        opened.sendto(bytes.fromhex(packet), ("{to}", 0))
"""
"""
A program that sends whole IP packets, each given in hexadecimal.
"""


@pytest.fixture
def path() -> str:
    """
    The data path of gateways whose test doesn't name one.
    """
    return "kernel"


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """
    Return an IPv4 packet. The kernel fills in the checksum of the header.
    """
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head + ends + payload


def checked(packet: bytes) -> bytes:
    """
    Return an IPv4 packet with the checksum of its header.
    """
    total = sum(struct.unpack("!10H", packet[:20]))
    total = (total & 0xFFFF) + (total >> 16)
    return (
        packet[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + packet[12:]
    )


def gre(callID: int, sequence: int, frame: bytes) -> bytes:
    """
    Return an enhanced GRE packet (RFC 2637 section 4.1).
    """
    return struct.pack("!BBHHHI", 0x30, 1, 0x880B, len(frame), callID, sequence) + frame


def forge(sender: Namespace, victim: str, payloads: list[bytes], to: str = GATEWAY_ADDRESS) -> None:
    """
    Send GRE packets in the name of the address C{victim}.
    """
    packets = [ipv4(victim, to, 47, one).hex() for one in payloads]
    sender.run(sys.executable, "-c", FORGE.format(to=to), *packets)


def lastOf(source: str, packets: list[Packet]) -> tuple[int, int]:
    """
    Return the call id and the last sequence number in the GRE packets from an address.
    """
    found = (0, 0)
    for packet in packets:
        if packet.source == source and packet.payload[0] & 0x10:
            found = struct.unpack_from("!HI", packet.payload, 6)
    return found


def test_countersAndPlace(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    The session says what carries it, and counts exactly what passed. Its device has the number of
    the session.
    """
    place = tmp_path / "gateway.socket"
    sections = {"management": {"endpoints": [f"unix:{place}"]}}
    gateway = startGateway(**sections)
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    assert devices(network) == ["ppp1"]
    caller.ping(LOCAL_ADDRESS, "-s", "1000", count=10)
    time.sleep(1.2)
    configuration = str(gateway.log.parent / "pptpgw.toml")
    command = [sys.executable, "-m", "pptpgw.command", "session", "show", "alice", "--json"]
    shown = json.loads(network.gateway.run(*command, "-c", configuration))
    assert (shown["interface"], shown["path"], shown["number"]) == ("ppp1", "kernel", 1)
    for direction in ("received", "sent"):
        assert shown[f"octets_{direction}"] == 10 * 1028
        assert shown[f"packets_{direction}"] == 10
    assert shown["discards"] == {}
    caller.ping(LOCAL_ADDRESS, "-s", "1000", count=5)
    caller.hangUp()
    # The last packets count too, although the figures are read once a second.
    gateway.waitFor(f"{15 * 1028} octets received, {15 * 1028} sent")
    deadline = time.monotonic() + 5
    while devices(network):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_forgedFrames(network: Network, startGateway: StartGateway) -> None:
    """
    Somebody who knows the call id and sends in the caller's name gets no packet in clear through
    the gateway, and none out of it, whatever the frames say of CCP.
    """
    startGateway()
    host, attacker = network.hosts(2)
    inside = Capture(network.inside, "eth0", network.folder, "icmp")
    for begin in (
        "0163000a120601000040",  # the Configure-Request of pppd
        "0164000a120600000020",  # another one
        "05650004",  # Terminate-Request
        "06660004",  # Terminate-Ack
    ):
        wire = Capture(network.gateway, "wire", network.folder, "proto", "47")
        caller = host.call(*ALICE, "require-mppe-128").up()
        caller.ping()
        callID, sequence = lastOf(host.address, wire.stop())
        assert callID >= 0x8000
        host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
        wire = Capture(network.gateway, "wire", network.folder, "proto", "47")
        command = network.inside.command("ping", "-i", "0.005", "-c", "2000", caller.address)
        pinging = Process(command, network.folder / "ping.log")
        pinging.waitFor("icmp_seq=3 ")
        clear = checked(ipv4(caller.address, INSIDE_ADDRESS, 1, ECHO))
        payloads = [
            gre(callID, sequence + 5000 + place, frame)
            for place, frame in enumerate(
                (
                    b"\xff\x03\x00\x21" + clear,
                    b"\x21" + clear,
                    b"\xff\x03\x80\xfd" + bytes.fromhex(begin),
                    b"\x00\x21" + clear,
                ),
                1,
            )
        ]
        forge(attacker, host.address, payloads)
        time.sleep(0.5)
        pinging.stop(signal.SIGINT)
        sent = {one.protocol for one in frames(wire.stop()) if one.source == GATEWAY_ADDRESS}
        assert COMPRESSED in sent and not {IPV4, 0x0057} & sent
        caller.hangUp()
    assert not [one for one in inside.stop() if one.payload[0] == 8 and one.payload[4:] == ECHO[4:]]


def test_whatCannotBeDecrypted(network: Network, startGateway: StartGateway) -> None:
    """
    A packet of MPPE that isn't flushed, forged, changes nothing at the gateway. After one that is
    too long it asks for a Reset-Ack and goes on, and it acknowledges the caller's own request.
    """
    startGateway()
    host, attacker = network.hosts(2)
    caller = host.call(*ALICE, "require-mppe-128").up()
    unflushed = b"\xff\x03\x00\xfd\x10\x00" + bytes(40)
    long = b"\xff\x03\x00\xfd\x90\x00" + bytes(1440)

    def forged(source: str, to: str, frame: bytes) -> None:
        wire = Capture(network.gateway, "wire", network.folder, "proto", "47")
        caller.ping()
        callID, sequence = lastOf(source, wire.stop())
        forge(attacker, source, [gre(callID, sequence + 1, frame)], to)
        # The next frame of the one in whose name this was may be lost.
        assert caller.reaches(5)

    forged(host.address, GATEWAY_ADDRESS, unflushed)
    assert not caller.received("CCP ResetReq")
    forged(host.address, GATEWAY_ADDRESS, long)
    assert caller.received("CCP ResetReq")
    deadline = time.monotonic() + 30
    while not caller.received("CCP ResetAck"):
        assert time.monotonic() < deadline
        forged(GATEWAY_ADDRESS, host.address, unflushed)
    caller.ping()


def test_strayGRE(network: Network, startGateway: StartGateway) -> None:
    """
    GRE of no call, and of the call but with nonsense, changes nothing.
    """
    startGateway(link={"encryption": "prefer"})
    host, stranger = network.hosts(2)
    caller = host.call(*ALICE, "nomppe").up()
    stray = [gre(callID, 1, b"\xff\x03\x00\x21" + bytes(40)) for callID in (1, 0x8001, 0xFFFF)]
    stray += [b"", b"\x30", b"\x30\x01\x88\x0b", bytes(12), b"\x30\x81\x88\x0b" + bytes(8)]
    forge(stranger, stranger.address, stray)
    forge(stranger, host.address, stray)
    caller.ping()


def test_behindOneAddress(network: Network, startGateway: StartGateway) -> None:
    """
    Two calls from one address have devices and packets of their own.
    """
    startGateway()
    host = network.host()
    first = host.call(*ALICE, "require-mppe-128").up()
    second = host.call(*BOB, "require-mppe-128").up()
    assert devices(network) == ["ppp1", "ppp2"]
    for caller in (first, second):
        caller.ping()
    first.hangUp()
    second.ping()
    assert host.redial(10, *ALICE, "require-mppe-128").reaches(5)
    assert devices(network) == ["ppp2", "ppp3"]


def test_aVolume(network: Network, startGateway: StartGateway) -> None:
    """
    A session ends when it has carried its volume.
    """
    startGateway(limits={"volume": 50_000})
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    caller.host.run("ping", "-q", "-i", "0.01", "-c", "60", "-s", "1000", LOCAL_ADDRESS)
    caller.wait(10)
    assert any("volume" in line for line in caller.received("LCP TermReq"))


def test_renegotiation(network: Network, startGateway: StartGateway) -> None:
    """
    A call whose LCP is negotiated anew, here since somebody forges a Configure-Request, goes on
    with new keys.
    """
    startGateway()
    host, attacker = network.hosts(2)
    wire = Capture(network.gateway, "wire", network.folder, "proto", "47")
    caller = host.call(*ALICE, "require-mppe-128").up()
    caller.ping()
    callID, sequence = lastOf(host.address, wire.stop())
    request = bytes.fromhex("ff03c0210177000a050612345678")
    forge(attacker, host.address, [gre(callID, sequence + 1, request)])
    caller.waitFor("(?s)(MPPE 128-bit stateless compression enabled.*){2}")
    caller.waitFor("(?s)(remote IP address.*){2}")
    assert caller.reaches(10)
    assert devices(network) == ["ppp1"]


def test_killed(network: Network, startGateway: StartGateway) -> None:
    """
    Nothing is left of a gateway that is killed, since the kernel removes what it had open.
    """
    gateway = startGateway()
    before = network.gateway.show("link")
    assert before
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    assert devices(network) == ["ppp1"]
    gateway.stop(signal.SIGKILL)
    gateway.down = True
    assert devices(network) == []
    caller.wait(20)


def following(network: Network, gateway: Gateway, *words: str) -> Process:
    """
    Start a command that follows what happens, and wait until it does.
    """
    configuration = str(gateway.log.parent / "pptpgw.toml")
    command = [sys.executable, "-m", "pptpgw.command", *words, "-c", configuration]
    log = gateway.log.with_name(f"{words[0]}.log")
    process = Process(network.gateway.command(*command), log)
    gateway.waitFor(f"/{words[0]}.*: begins")
    return process


def test_trace(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    A trace shows the control frames of a call that the kernel carries.
    """
    gateway = startGateway(management={"endpoints": [f"unix:{tmp_path}/socket"]})
    trace = following(network, gateway, "trace", "alice")
    network.host().call(*ALICE, "require-mppe-128").up().hangUp()
    trace.waitFor(r"(?s)LCP ConfReq.*CHAP Success.*CCP ConfAck.*IPCP ConfAck.*LCP TermReq.*ended")
    trace.stop(signal.SIGINT)


class TestChoice:
    def test_aCaptureWaits(
        self, network: Network, startGateway: StartGateway, tmp_path: Path
    ) -> None:
        """
        While a capture waits for a caller, C{auto} takes the other path, and not for the next call.
        C{kernel} refuses the capture.
        """
        management = {"endpoints": [f"unix:{tmp_path}/socket"]}
        gateway = startGateway(datapath={"path": "auto"}, management=management)
        gateway.waitFor("packets pass by kernel")
        file = tmp_path / "alice.pcapng"
        capture = following(network, gateway, "capture", "alice", str(file))
        caller = network.host().call(*ALICE, "require-mppe-128").up()
        assert devices(network) == []
        caller.ping(LOCAL_ADDRESS, "-p", "deadbeef")
        caller.hangUp()
        assert capture.wait() == 0
        assert b"\xde\xad\xbe\xef" * 4 in file.read_bytes()
        network.host().call(*ALICE, "require-mppe-128").up().ping()
        assert devices(network) == ["ppp2"]
        gateway.shutDown()
        gateway = startGateway(management=management)
        words = ("capture", "alice", f"{file}-2", "-c", str(gateway.log.parent / "pptpgw.toml"))
        command = network.gateway.command(sys.executable, "-m", "pptpgw.command", *words)
        refused = Process(command, tmp_path / "refused.log")
        assert refused.wait() != 0
        assert '"auto" is possible' in refused.text

    def test_whatTheKernelDoesNotCarry(self, network: Network, startGateway: StartGateway) -> None:
        """
        With IPX C{auto} takes the other path and says why, and C{kernel} doesn't start.
        """
        sections = {"network": {"protocols": ["ipv4", "ipx"]}, "ipx": {"network": 0x10}}
        gateway = startGateway(datapath={"path": "auto"}, **sections)
        gateway.waitFor("packets pass by native: .network. protocols has ipx")
        network.host().call(*ALICE, "require-mppe-128").up().ping()
        assert devices(network) == []
        with pytest.raises(AssertionError, match="protocols has ipx"):
            startGateway(**sections)

    def test_aModuleIsMissing(self, network: Network, startGateway: StartGateway) -> None:
        """
        Without the kernel's PPTP C{auto} takes the other path and says why in one line, and
        C{kernel} doesn't start.
        """
        run("rmmod", "pptp")
        try:
            gateway = startGateway(datapath={"path": "auto"})
            gateway.waitFor("packets pass by native: .*module pptp")
            network.host().call(*ALICE, "require-mppe-128").up().ping()
            assert gateway.text.count("pptp isn't there") == 1
            with pytest.raises(AssertionError, match="module pptp"):
                startGateway()
        finally:
            run("modprobe", "-d", "/run/lab/modroot", "pptp")

"""
Tests with the real kernel, each in a network namespace of its own. L{inNamespace} runs this file as
a script in one (C{unshare --net}).
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet import defer, task
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

ROOT = Path(__file__).resolve().parents[2]
HERE, OTHER, PEER = "192.0.2.1", "192.0.2.3", "192.0.2.2"
GATEWAY, SUBSCRIBER = "10.77.0.1", "10.77.0.10"


def inNamespace(name: str, *programs: str, module: str = "tests.ports.namespace") -> None:
    """
    Run one of the functions below, or of C{module}, in a namespace. The test is skipped where
    something is missing for that.
    """
    lacking = [program for program in ("unshare", "ip", *programs) if shutil.which(program) is None]
    if os.geteuid() != 0:
        lacking.append("root's privileges")
    if not Path("/dev/net/tun").exists():
        lacking.append("/dev/net/tun")
    if lacking:
        pytest.skip(f"a network namespace can't be used without {', '.join(lacking)}")
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", module, name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


class Readers(Clock):
    """
    A reactor that leaves reading and time to the test.
    """

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    def removeReader(self, reader: object) -> None:
        """
        Do nothing.
        """


def ip(command: str) -> str:
    """
    Run C{ip}.

    @return: its output.
    """
    return subprocess.run(
        ["ip", *command.split()], check=True, capture_output=True, text=True
    ).stdout


def ends() -> socket.socket:
    """
    Give the loopback interface the addresses of both ends, and open the peer's socket.
    """
    ip("link set lo up")
    for address in (HERE, OTHER, PEER):
        ip(f"address add {address}/32 dev lo")
    peer = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
    peer.bind((PEER, 0))
    peer.settimeout(5)
    return peer


def addresses() -> None:
    """
    GRE packets leave from the address at which the call arrived, on every kind of port.
    """
    from pptpgw.counting.counters import Counters
    from pptpgw.tunnels.pptp.port.gre import GREPort
    from pptpgw.tunnels.pptp.port.raw import PythonRaw, fastest

    peer = ends()
    for bound, raw in product(("", OTHER), (PythonRaw(), fastest)):
        port = GREPort(cast(Any, Readers()), bound, Counters(), raw=raw)
        port.startListening()
        for source in (bound,) if bound else (HERE, OTHER, PEER):
            packets = [b"\x30\x01\x88\x0b octets", *(b"%d" % number for number in range(200))]
            port.sender(source, PEER)(packets[0])
            # One that is too large fails alone.
            ((place, error),) = port.allSender(source, PEER)(
                [*packets[1:], bytes(70000), packets[0]]
            )
            assert (place, error.errno) == (200, errno.EMSGSIZE)
            for wanted in (*packets, packets[0]):
                octets = peer.recv(100)
                assert socket.inet_ntoa(octets[12:16]) == source, (bound, source)
                assert octets[20:] == wanted
        port.stopListening()


def full() -> None:
    """
    A packet that finds a full queue is lost, and the kernel sends no error about it.
    """
    from pptpgw.counting.counters import Counters
    from pptpgw.tunnels.pptp.port.gre import GREPort

    peer = ends()
    told = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    told.bind((PEER, 0))
    told.settimeout(0)
    # The kernel does send an error where nothing listens for GRE, so an error would be noticed.
    peer.sendto(b"octets", (HERE, 0))
    assert told.recv(100)[20:22] == b"\x03\x02"
    for bound in ("", HERE):
        port = GREPort(cast(Any, Readers()), bound, Counters())
        port.startListening()
        assert port._socket is not None
        port._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        for _ in range(100):
            peer.sendto(bytes(1000), (HERE, 0))
        with pytest.raises(BlockingIOError):
            told.recv(100)
        kept = 0
        while select.select([port], [], [], 0)[0]:
            port._socket.recv(2000)
            kept += 1
        assert 0 < kept < 100
        port.stopListening()


def packets() -> None:
    """
    Packets go from GRE through the TUN device to a socket and back, with an ICMP error on the way.
    """
    from pptpgw.counting.counters import Counters
    from pptpgw.datapath.python import PythonDataPath
    from pptpgw.interfaces import Attachment
    from pptpgw.networks.wire.checksum import checksum
    from pptpgw.ports.kernelinterface import KernelInterface
    from pptpgw.ports.tun import TUNPort
    from pptpgw.tunnels.pptp.channel import GREChannel
    from pptpgw.tunnels.pptp.owner import Ends
    from pptpgw.tunnels.pptp.port.gre import GREPort
    from pptpgw.tunnels.pptp.wire.gre import decode, encode
    from tests.datapath.test_python import Owner

    peer = ends()
    reactor = cast(Any, Readers())
    port, tun = GREPort(reactor, HERE, Counters()), TUNPort(reactor, "test%d", Counters())
    netlink = KernelInterface(reactor, "")
    dataPath = PythonDataPath(Clock(), tun, interface=netlink)
    port.startListening()
    tun.startReading()
    assert tun.name == "test0"
    netlink.name = tun.name
    netlink.configure(1400)
    netlink.addAddress(IPv4Interface(GATEWAY))
    channel = GREChannel(dataPath, Owner(), Ends(HERE, PEER, 7, 9), port)
    channel.openNetwork(0x21, Attachment((IPv4Network(SUBSCRIBER),), 600))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(5)
    udp.bind((GATEWAY, 0))
    number = udp.getsockname()[1].to_bytes(2, "big")

    head = b"\x45\x00\x00\x22\x00\x00\x00\x00\x40\x11\x00\x00"
    head += socket.inet_aton(SUBSCRIBER) + socket.inet_aton(GATEWAY)
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    datagram = head + b"\x10\x00" + number + b"\x00\x0e\x00\x00" + b"there!"
    peer.sendto(encode(7, b"\xff\x03\x00\x21" + datagram, 0), (HERE, 0))
    port.doRead()
    octets, sender = udp.recvfrom(100)
    assert (octets, sender) == (b"there!", (SUBSCRIBER, 0x1000))

    def arrived() -> bytes:
        callID, payload, _, _ = decode(peer.recv(2000)[20:])
        assert callID == 9
        assert payload[:4] == b"\xff\x03\x00\x21"
        return payload[4:]

    udp.sendto(b"and back", sender)
    tun.doRead()
    assert arrived()[28:] == b"and back"

    # A packet that is larger than the caller takes and smaller than the device's MTU is fragmented
    # or refused.
    discovery = 10
    udp.setsockopt(socket.IPPROTO_IP, discovery, 0)
    udp.sendto(bytes(1000), sender)
    tun.doRead()
    assert [len(arrived()), len(arrived())] == [596, 452]
    udp.setsockopt(socket.IPPROTO_IP, discovery, 2)
    udp.sendto(bytes(1000), sender)
    tun.doRead()
    try:
        udp.sendto(bytes(1000), sender)
        udp.sendto(bytes(1000), sender)
    except OSError as error:
        assert error.errno == errno.EMSGSIZE
    else:
        raise AssertionError("the kernel didn't hear of the MTU")
    assert f"{SUBSCRIBER} dev test0" in ip("route get " + SUBSCRIBER)
    assert "mtu 600" in ip("route get " + SUBSCRIBER)
    channel.close()
    assert SUBSCRIBER not in ip("route show")
    netlink.remove()
    tun.stop()
    port.stopListening()


def netlink() -> None:
    """
    Addresses and routes are set, and are gone at the end.
    """
    from pptpgw.error import ConfigurationError, NotPermitted
    from pptpgw.ports.kernelinterface import KernelInterface

    ip("tuntap add dev made mode tun")
    before = ip("route show"), ip("address show dev made")
    made = KernelInterface(Clock(), "made")
    made.queue = 2048
    made.configure(1234)
    assert "qlen 2048" in ip("link show dev made")
    made.addAddress(IPv4Interface(GATEWAY))
    for network in ("10.77.0.0/24", "10.78.0.0/16"):
        made.addRoute(IPv4Network(network))
    shown = ip("address show dev made")
    assert f"inet {GATEWAY}/32" in shown and "mtu 1234" in shown and "UP" in shown
    assert "10.77.0.0/24 dev made" in ip("route show")
    other = KernelInterface(Clock(), "made")
    other.configure(1234)
    other.addAddress(IPv4Interface("10.99.0.1"))
    try:
        other.addRoute(IPv4Network("10.78.0.0/16"))
    except ConfigurationError as error:
        assert "10.78.0.0/16" in str(error) and "such a route already" in str(error)
    else:
        raise AssertionError("the same route twice")
    other.remove()
    assert "10.99.0.1" not in ip("address show dev made")
    other.configure(1234)
    other.addAddress(IPv4Interface("10.99.0.1"), IPv4Address("10.99.0.2"))
    assert "inet 10.99.0.1 peer 10.99.0.2/32" in ip("address show dev made")
    assert "10.99.0.2 dev made" in ip("route show")
    other.remove()
    assert "10.99.0.1" not in ip("address show dev made")
    made.remove()
    made.remove()
    assert ip("route show") == before[0]
    assert "inet " not in ip("address show dev made")
    try:
        KernelInterface(Clock(), "absent").configure(1400)
    except NotPermitted as error:
        assert "absent" in str(error)
    else:
        raise AssertionError("an interface that isn't there")
    gone = KernelInterface(Clock(), "made")
    gone.configure(1400)
    gone.addRoute(IPv4Network("10.77.0.0/24"))
    ip("link delete made")
    gone.remove()


def bridge() -> None:
    """
    A TAP device joins a bridge, which keeps its own address. Frames pass in both directions, and
    the device is gone at the end.
    """
    from pptpgw.counting.counters import Counters
    from pptpgw.error import ConfigurationError
    from pptpgw.networks.ethernet.port import BridgePort

    reactor = cast(Any, Readers())
    ip("link add br0 type bridge")
    ip("link add lan type veth peer name far")
    ip("link set lan address 7e:00:00:00:00:01 master br0 up")
    ip("link set br0 up")
    ip("link set far up")
    before = "link/ether 7e:00:00:00:00:01"
    assert before in ip("link show br0")
    frames: list[bytes] = []
    port = BridgePort(reactor, "tap%d", 1380, "br0", Counters())
    port.receive = frames.append
    port.start()
    assert port.name == "tap0"
    shown = ip("link show tap0")
    assert "master br0" in shown and "mtu 1380" in shown and "UP" in shown
    assert "link/ether fe:" in shown
    assert before in ip("link show br0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as far:
        far.bind(("far", 0x88B5))
        far.settimeout(5)
        whole = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(100)
        port.write(whole)
        assert far.recv(2000) == whole
        other = b"\xff" * 6 + b"\x02" + bytes(4) + b"\x01" + b"\x88\xb5" + bytes(1380)
        far.send(other)
        port.doRead()
        assert other in frames
    port.stop()
    assert "tap0" not in ip("link show")
    for name in ("lan", "absent"):
        refused = BridgePort(reactor, "tap0", 1380, name, Counters())
        try:
            refused.start()
        except ConfigurationError as error:
            assert name in str(error)
        else:
            raise AssertionError("not a bridge")
        assert "tap0" not in ip("link show")


def labels() -> None:
    """
    The device of labelled packets is brought up and switched on, and is left as it was found. The
    kernel's switches are files of the test, as few kernels have MPLS.
    """
    from tempfile import TemporaryDirectory

    from pptpgw.counting.counters import Counters
    from pptpgw.error import NotPermitted
    from pptpgw.networks.mpls.port import MPLSPort

    with TemporaryDirectory() as folder:
        sysctl = Path(folder)
        (sysctl / "platform_labels").write_text("100\n")
        reactor = cast(Any, Readers())
        lacking = MPLSPort(reactor, "labels0", 1396, Counters(), sysctl)
        try:
            lacking.start()
        except NotPermitted as error:
            assert "labels0" in str(error)
        else:
            raise AssertionError("labelled packets would be dropped")
        assert "labels0" not in ip("link show")
        switch = sysctl / "conf" / "labels0" / "input"
        switch.parent.mkdir(parents=True)
        switch.write_text("0\n")
        for before in ("", "tuntap add dev labels0 mode tap"):
            if before:
                ip(before)
            frames: list[bytes] = []
            port = MPLSPort(reactor, "labels0", 1396, Counters(), sysctl)
            port.receive = frames.append
            port.start()
            shown = ip("link show labels0")
            assert "mtu 1396" in shown and "UP" in shown
            assert f"link/ether {port.address.hex(':')} " in shown
            assert switch.read_text() == "1\n"
            kernel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8847))
            kernel.bind(("labels0", 0x8847))
            kernel.settimeout(5)
            port.write(port.address + bytes.fromhex("02000a4d000a8847") + b"labelled")
            assert kernel.recv(100)[14:] == b"labelled"
            kernel.send(bytes.fromhex("02000a4d000a") + port.address + b"\x88\x47and back")
            port.doRead()
            assert b"and back" in [frame[14:] for frame in frames]
            kernel.close()
            port.stop()
            port.stop()
            assert switch.read_text() == "0\n"
            assert ("labels0" in ip("link show")) is bool(before)


def netlink6() -> None:
    """
    Addresses and routes of IPv6 are set and gone at the end, and the kernel's switches are read.
    """
    from pptpgw.ports.kernelinterface import KernelInterface
    from pptpgw.ports.sysctl import FOLDER, ipv6Disabled, ipv6NotForwarded

    ip("tuntap add dev made mode tun")
    # Link-local addresses come and go with the state of the interface.
    ip("link set made up")
    before = ip("-6 route show"), ip("-6 address show dev made")
    made = KernelInterface(Clock(), "made")
    made.configure(1400)
    assert ipv6Disabled("made") == ""
    made.addAddress(IPv6Interface("fc00:0:1::1"))
    wide, session, delegated = map(
        IPv6Network, ("fc00:0:1::/48", "fc00:0:1:7::/64", "fc00:1:0:700::/56")
    )
    for network in (wide, session, delegated):
        made.addRoute(network)
    assert "inet6 fc00:0:1::1/128 scope global" in ip("-6 address show dev made")
    routes = ip("-6 route show dev made")
    assert str(wide) in routes and str(delegated) in routes and str(session) not in routes
    made.removeRoute(session)
    made.removeRoute(delegated)
    routes = ip("-6 route show dev made")
    assert str(wide) in routes and str(delegated) not in routes
    made.remove()
    assert (ip("-6 route show"), ip("-6 address show dev made")) == before
    (FOLDER / "made" / "disable_ipv6").write_text("1")
    assert "disabled on interface made" in ipv6Disabled("made")
    for switch in "01":
        (FOLDER / "all" / "forwarding").write_text(switch)
        assert (ipv6NotForwarded() == "") is (switch == "1")


def nftables() -> None:
    """
    The nftables table exists while masquerading is on, and forwarding is restored.
    """
    from twisted.internet.epollreactor import EPollReactor
    from twisted.logger import formatEvent, globalLogPublisher

    from pptpgw.ports.nftables import FORWARDING, Masquerade, nameFor
    from pptpgw.ports.upkeep import SOON

    ip("link set lo up")
    ip("link add out type veth peer name far")
    ip("address add 203.0.113.2/24 dev out")
    ip("link set out up")
    ip("route add default via 203.0.113.1 dev out")
    FORWARDING.write_text("0\n")
    reactor = EPollReactor()
    steps: list[str] = []
    notices: list[str] = []

    @implementer(ILogObserver)
    def noticed(event: LogEvent) -> None:
        if "restoring" in (notice := formatEvent(event)):
            notices.append(notice)

    globalLogPublisher.addObserver(noticed)

    def rules() -> str:
        return subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
        ).stdout

    async def course() -> None:
        masquerade = Masquerade(reactor, "pptp-0")
        # A table that an earlier run left is replaced.
        left = f"table ip {nameFor('pptp-0')} {{ chain left {{ }}; }}"
        subprocess.run(["nft", "-f", "-"], input=left, text=True, check=True)
        FORWARDING.write_text("0\n")
        await masquerade.start()
        assert rules().count("masquerade") == 1 and "left" not in rules()
        assert 'iifname "pptp-0" oifname "out"' in rules()
        assert FORWARDING.read_text() == "1\n"
        await masquerade.stop()
        await masquerade.stop()
        assert rules() == ""
        assert FORWARDING.read_text() == "0\n"
        # A table that is deleted before nft's end has been noticed is made again.
        started = masquerade.start()
        while "masquerade" not in rules():
            await task.deferLater(reactor, 0)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        await started
        while "masquerade" not in rules():
            await task.deferLater(reactor, 0.05)
        await task.deferLater(reactor, 2 * SOON)
        assert len(notices) == 1 and "was deleted" in notices[0], notices
        await masquerade.stop()
        steps.append("done")

    def begin() -> None:
        running = defer.ensureDeferred(course())
        running.addErrback(lambda failure: failure.printTraceback())
        running.addBoth(lambda ignored: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.callLater(30, reactor.stop)
    # Twisted needs the installed reactor to notice the end of a process.
    sys.modules["twisted.internet.reactor"] = cast(Any, reactor)
    reactor.run()
    assert steps == ["done"]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    functions = (addresses, packets, full, netlink, netlink6, bridge, labels, nftables)
    {function.__name__: function for function in functions}[sys.argv[1]]()

"""
Tests of IPsec beneath L2TP, with Debian's strongSwan at both ends.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any, NamedTuple

import pytest
from cryptography import x509

from pptpgw.config.configuration import parse
from pptpgw.ipsec.swanctl import written
from pptpgw.ipsec.watch import GRACE
from tests.certificates import SERVER, Authority
from tests.lab.ipsec import StrongSwan, client
from tests.lab.kernelstate import assertGone, devices
from tests.lab.l2tp import XL2TPD
from tests.lab.peers import (
    GATEWAY_ADDRESS,
    INSIDE_ADDRESS,
    LOCAL_ADDRESS,
    Host,
    Namespace,
    Network,
    Process,
    run,
)
from tests.lab.server import ALICE, BOB, TWISTD, StartGateway, toml
from tests.radius.freeradius import SECRET as SECRET_OF_RADIUS
from tests.radius.freeradius import FreeRADIUS

PPTPGW = str(TWISTD.parent / "pptpgw")
SECRET = "shared by all"


class System(NamedTuple):
    """
    What the L2TP client of a system proposes.

    @ivar ike: its proposals for IKE.
    @ivar esp: its proposals for ESP.
    @ivar chosenIKE: which of those for IKE the gateway is to take, as charon writes it.
    @ivar chosenESP: the same for ESP.
    @ivar isNATted: whether it calls through a NAT.
    """

    ike: str
    esp: str
    chosenIKE: str
    chosenESP: str = "AES_CBC-256/HMAC_SHA1_96"
    isNATted: bool = False


SYSTEMS = {
    "Windows": System(
        "aes256-sha1-ecp384, aes128-sha1-ecp256, aes256-sha1-modp2048, 3des-sha1-modp2048, "
        "3des-sha1-modp1024",
        "aes256-sha1, aes128-sha1, 3des-sha1",
        "AES_CBC-256/HMAC_SHA1_96/PRF_HMAC_SHA1/ECP_384",
    ),
    "macOS and iOS": System(
        "aes256-sha256-modp2048, aes256-sha1-modp2048, aes256-md5-modp2048, aes256-sha512-modp2048,"
        "aes256-sha256-modp1536, aes256-sha1-modp1024, aes128-sha1-modp1024, 3des-sha1-modp1024",
        "aes256-sha1, aes256-md5, aes128-sha1, aes128-md5, 3des-sha1, 3des-md5",
        "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
        isNATted=True,
    ),
    "Android": System(
        "aes256-sha384-modp1024, aes256-sha256-modp1024, aes256-sha512-modp1024, "
        "aes256-sha1-modp1024, aes128-sha1-modp1024, 3des-sha1-modp1024",
        "aes256-sha512, aes256-sha384, aes256-sha256, aes256-sha1, aes128-sha1, 3des-sha1",
        "AES_CBC-256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_1024",
    ),
    "Windows XP": System(
        "3des-sha1-modp1024, 3des-md5-modp1024",
        "3des-md5, 3des-sha1",
        "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
        "3DES_CBC/HMAC_SHA1_96",
    ),
}


@pytest.fixture
def path() -> str:
    """
    The data path of gateways whose test doesn't name one. The kernel carries what IPsec protects.
    """
    return "auto"


class Site:
    """
    What an operator sets up: files, the gateway's configuration, and strongSwan with what C{pptpgw
    ipsec print} has printed.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self.authority = Authority(folder)
        names = [x509.DNSName("vpn.example.com")]
        certificate, key = self.authority.issue("vpn.example.com", SERVER, names, isRSA=True)
        psk = folder / "psk"
        psk.touch(0o600)
        psk.write_text(SECRET)
        (folder / "server").mkdir()
        self.strongSwan = StrongSwan(network.gateway, folder / "server")
        self.section: dict[str, object] = {
            "socket": str(self.strongSwan.socket),
            "secret-file": str(psk),
            "certificate": str(certificate),
            "private-key": str(key),
            "ca": str(self.authority.certificate),
        }
        self._key = key
        self._clients: list[StrongSwan] = []

    def command(self, *words: str, management: str = "") -> str:
        """
        Run C{pptpgw}, which must succeed, and return its output.

        @param management: where the gateway answers.
        """
        path = self.folder / "pptpgw.toml"
        endpoints = [management] if management else []
        path.write_text(toml({"ipsec": self.section, "management": {"endpoints": endpoints}}))
        return self.network.gateway.run(PPTPGW, *words, "--config", str(path), timeout=120)

    def secret(self) -> tuple[str, str]:
        """
        Return how a client authenticates by the pre-shared key: its settings, and the key.
        """
        return "auth = psk", SECRET

    def certificate(self, index: int = 0) -> tuple[str, str]:
        """
        Return the same for a certificate, which is issued to the client with this number.
        """
        folder = self.folder / f"client{index}"
        certificate, key = self.authority.issue("client", isRSA=True)
        os.link(key, folder / "private/client.key")
        os.link(self.authority.certificate, folder / "x509ca/ca.pem")
        return f"auth = pubkey\ncerts = {certificate}", ""

    def load(self, printed: str = "") -> None:
        """
        Have strongSwan load the key and what C{pptpgw ipsec print} prints.

        @param printed: what it has printed; empty to do without running it.
        """
        os.link(self._key, self.folder / "server/private/vpn.key")
        ipsec = parse(toml({"ipsec": self.section}), "test").ipsec
        self.strongSwan.load(printed or written(ipsec, ()))

    def client(self, index: int = 0) -> StrongSwan:
        """
        Return strongSwan on the host of a caller.
        """
        while len(self._clients) <= index:
            number = len(self._clients)
            folder = self.folder / f"client{number}"
            folder.mkdir()
            self._clients.append(StrongSwan(self.network.host(number), folder))
        return self._clients[index]

    def stop(self) -> None:
        """
        End every strongSwan.
        """
        for one in (*self._clients, self.strongSwan):
            one.stop()


@pytest.fixture
def site(network: Network, tmp_path: Path) -> Iterator[Site]:
    """
    A gateway with strongSwan.
    """
    made = Site(network, tmp_path)
    yield made
    made.stop()


def test_whatIsPrinted(network: Network, site: Site, startGateway: StartGateway) -> None:
    """
    strongSwan takes it, C{pptpgw ipsec check} finds everything there, and clients get associations
    by what their systems propose, with the pre-shared key and by certificates. A gateway that
    accepts L2TP in clear serves one with IPsec and one without.
    """
    site.load(site.command("ipsec", "print"))
    found = json.loads(site.command("ipsec", "check", "--json"))
    assert [one["level"] for one in found["findings"]] == ["ok"] * 6, found
    peer = site.client()
    for name, system in SYSTEMS.items():
        way = ("auth = psk", SECRET, system.isNATted)
        peer.load(client(GATEWAY_ADDRESS, *way, system.ike, system.esp))
        peer.initiate()
        listed = site.strongSwan.listed("pptpgw-psk")
        carrier = "TRANSPORT-in-UDP" if system.isNATted else "TRANSPORT"
        assert f"  {system.chosenIKE}\n" in listed, (name, listed)
        assert f" {carrier}, ESP:{system.chosenESP}\n" in listed, (name, listed)
        peer.swanctl("--terminate", "--ike", "l2tp")
    peer.load(client(GATEWAY_ADDRESS, *site.certificate(), proposals="aes256-sha256-modp2048"))
    peer.initiate()
    site.strongSwan.listed("pptpgw-cert")
    gateway = startGateway(
        listen={"tunnels": ["pptp", "l2tp"]},
        link={"encryption": "prefer"},
        l2tp={"clear": "accept"},
        ipsec=site.section,
    )
    gateway.waitFor("charon answers")
    callers = [XL2TPD(network.host(0), *ALICE), XL2TPD(network.host(1), *BOB)]
    for caller in callers:
        caller.up().ping()
    gateway.waitFor("alice .*IPsec ESP AES_CBC-256/HMAC_SHA1_96, pptpgw-cert")
    gateway.waitFor("bob .*not encrypted")
    gateway.waitFor("packets of a call pass through this process: there is no table of nftables")
    assert devices(network) == ["ppp1"]


def blocked(network: Network) -> int:
    """
    Return how many packets to the gateway IPsec's policies have blocked: those for which there is
    no association, and those that should have come through one.
    """
    counted = network.gateway.run("cat", "/proc/net/xfrm_stat")
    found = re.findall(r"(?:XfrmInPolBlock|XfrmInTmplMismatch)\s+(\d+)", counted)
    assert len(found) == 2
    return sum(map(int, found))


def forge(host: Host, source: str) -> None:
    """
    Send a data message in clear to the gateway that seems to come from another host.
    """
    ends = socket.inet_aton(source) + socket.inet_aton(GATEWAY_ADDRESS)
    message = struct.pack("!HHH", 2, 1, 1) + b"\xff\x03\xc0\x21"
    header = struct.pack("!BxHxxxxBBxx", 0x45, 28 + len(message), 64, socket.IPPROTO_UDP) + ends
    datagram = struct.pack("!HHHxx", 1701, 1701, 8 + len(message)) + message
    raw = socket.SOCK_RAW, socket.IPPROTO_RAW
    with host.entered(), socket.socket(socket.AF_INET, *raw) as sending:
        sending.sendto(header + datagram, (GATEWAY_ADDRESS, 0))


USERS = "".join(
    f'{name} Connect-Info =~ "^L2TP: IPsec", Cleartext-Password := "{password}"\n'
    for name, password in (ALICE, BOB)
)
"""
The users of FreeRADIUS, who may call by IPsec alone.
"""


@pytest.fixture
def radius(network: Network, tmp_path: Path) -> Iterator[FreeRADIUS]:
    """
    FreeRADIUS beside the gateway.
    """
    server = FreeRADIUS(tmp_path / "radius", USERS)
    server.start(network.gateway.command())
    yield server
    server.stop()


def asking(radius: FreeRADIUS) -> dict[str, dict[str, object]]:
    """
    Return the sections of a gateway that asks and tells C{radius}.
    """
    secret = radius.folder / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET_OF_RADIUS)
    server = {
        "host": "127.0.0.1",
        "auth-port": radius.authPort,
        "acct-port": radius.acctPort,
        "secret-file": str(secret),
    }
    return {"radius": {"accounting": True}, "[radius.server]": server}


def accounted(radius: FreeRADIUS, user: str) -> list[dict[str, str]]:
    """
    Wait until the last record of a user is a Stop, and return all of them.
    """
    deadline = time.monotonic() + 20
    while True:
        found = [one for one in radius.records() if one.get("User-Name") == user]
        if found and found[-1]["Acct-Status-Type"] == "Stop":
            return found
        assert time.monotonic() < deadline, radius.log[-4000:]
        time.sleep(0.05)


def hangUp(caller: XL2TPD) -> None:
    """
    End a call in order, and then its xl2tpd.
    """
    caller.disconnect()
    caller.waitFor("Terminating on signal")
    caller.stop(SIGKILL)


def test_callsThroughIPsec(
    network: Network,
    site: Site,
    radius: FreeRADIUS,
    iperf: Process,
    startGateway: StartGateway,
) -> None:
    """
    Clients call through ESP in UDP, with the pre-shared key, and through ESP, with certificates; in
    clear nobody does, and no data message gets in. TCP passes both ways within the kernel, and
    calls go on while keys are renewed. One client calls again 20 times. When the other vanishes
    meanwhile, its call ends with its IPsec. RADIUS is told what protects each call, and why it has
    ended.
    """
    site.section["dead-peer"] = 1
    site.load()
    management = f"unix:{site.folder}/management:mode=600"
    gateway = startGateway(
        auth="radius",
        listen={"tunnels": ["pptp", "l2tp"]},
        link={"echo-interval": 60, "echo-failures": 9},
        l2tp={"hello-interval": 600},
        datapath={"path": "kernel"},
        ipsec=site.section,
        management={"endpoints": [management]},
        **asking(radius),
    )
    gateway.waitFor("charon answers")
    hosts, before = network.hosts(3), blocked(network)
    stranger = XL2TPD(hosts[2], *ALICE)
    peers = [site.client(index) for index in range(2)]
    ways = ((*site.secret(), True), (*site.certificate(1), False))
    callers = []
    for host, peer, user, way in zip(hosts, peers, (ALICE, BOB), ways, strict=False):
        peer.load(client(GATEWAY_ADDRESS, *way))
        peer.initiate()
        caller = XL2TPD(host, *user).up()
        caller.ping()
        caller.ping(INSIDE_ADDRESS, "-s", "1300")
        callers.append(caller)
    assert devices(network) == ["ppp1", "ppp2"]
    for caller, peer in zip(callers, peers, strict=True):
        traffic = Process(
            caller.host.command("ping", "-i", "0.02", LOCAL_ADDRESS), caller.log.with_name("ping")
        )
        for what in ("--child", "--ike", "--child"):
            peer.swanctl("--rekey", what, "l2tp")
            caller.flood(200)
        traffic.interrupt()
    renewed = time.monotonic()
    alice, bob = callers
    shown = site.command("sessions", "--columns", "user,path,encryption", management=management)
    for name, association in (
        ("alice", r"IPsec ESP in UDP AES_CBC-256/HMAC_SHA1_96, pptpgw-psk\[\d+\], from 192.0.2.10"),
        ("bob", r"IPsec ESP AES_CBC-256/HMAC_SHA1_96, pptpgw-cert\[\d+\], from .*CN=client"),
    ):
        assert re.search(f"{name} +kernel +{association}", shown), shown
    for caller, carrier in ((alice, "ESP in UDP"), (bob, "ESP")):
        caller.reachInside()
        caller.transfer(carrier, seconds=1)
    assert blocked(network) > before
    assert "Connection established" not in stranger.text
    stranger.stop(SIGKILL)
    before = blocked(network)
    for host in hosts:
        forge(hosts[2], host.address)
    assert blocked(network) == before + 3
    # What was renewed counts as ended for good only after a while.
    time.sleep(max(0.0, renewed + GRACE + 1 - time.monotonic()))
    bob.ping()
    hosts[1].unplug()
    hosts[1].kill()
    for _ in range(20):
        hangUp(alice)
        alice = XL2TPD(hosts[0], *ALICE).up()
        alice.ping(count=1)
    hangUp(alice)
    gateway.waitFor("bob from .* ended after.*the IPsec beneath it has ended", 120)
    assertGone(network)
    for name, calls, carrier, cause in (
        ("alice", 21, "ESP in UDP", "User-Request"),
        ("bob", 1, "ESP", "Lost-Carrier"),
    ):
        records = accounted(radius, name)
        connection = f"L2TP: IPsec {carrier} AES_CBC-256/HMAC_SHA1_96"
        assert {one["Connect-Info"] for one in records} == {connection}
        stops = [one for one in records if one["Acct-Status-Type"] == "Stop"]
        assert [one["Acct-Terminate-Cause"] for one in stops] == [cause] * calls


def test_theThreadsCarryCallsThroughIPsec(
    network: Network, site: Site, iperf: Process, startGateway: StartGateway
) -> None:
    """
    Threads carry calls through ESP, of whose packets the kernel makes no datagrams of one message.
    """
    site.load()
    gateway = startGateway(
        listen={"tunnels": ["pptp", "l2tp"]},
        datapath={"path": "native"},
        ipsec=site.section,
        management={"endpoints": [f"unix:{site.folder}/management:mode=600"]},
    )
    gateway.waitFor("charon answers")
    peer = site.client()
    peer.load(client(GATEWAY_ADDRESS, *site.secret()))
    peer.initiate()
    caller = XL2TPD(network.host(), *ALICE).up()
    caller.reachInside()
    caller.transfer("ESP, native", seconds=1)
    found = gateway.shown("alice")
    assert (found["path"], found["discards"]) == ("native", {})


class Natted(Namespace):
    """
    A host behind the NAT that a caller's host is.

    @ivar runFolder: the folder of its files.
    """

    def __init__(self, network: Network, index: int, folder: Path) -> None:
        super().__init__(f"natted{index}")
        self.runFolder = folder / self.name
        self.runFolder.mkdir()
        nat = network.host()
        nat.ip(
            f"link add lan{index} type veth peer name eth0 netns {self.name}",
            f"addr add 10.1.{index}.1/24 dev lan{index}",
            f"link set lan{index} up",
        )
        self.ip(
            f"addr add 10.1.{index}.2/24 dev eth0",
            "link set eth0 up",
            f"route add default via 10.1.{index}.1",
        )


@pytest.fixture
def behindNAT(network: Network, site: Site) -> Iterator[list[Any]]:
    """
    Two hosts behind the NAT that a caller's host is.
    """
    rule = ["POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"]
    nat = network.host()
    nat.sysctl("net.ipv4.ip_forward=1")
    nat.run("iptables-legacy", "-t", "nat", "-A", *rule)
    hosts = [Natted(network, index, site.folder) for index in range(2)]
    yield hosts
    for host in hosts:
        host.kill()
        run("ip", "netns", "del", host.name)
    nat.run("iptables-legacy", "-t", "nat", "-D", *rule)


def test_twoClientsBehindOneNAT(
    network: Network, site: Site, behindNAT: list[Any], startGateway: StartGateway
) -> None:
    """
    With marks both have calls at once on the native data path, if their ports differ.
    """
    site.section["marks"] = True
    site.load()
    gateway = startGateway(
        listen={"tunnels": ["pptp", "l2tp"]}, ipsec=site.section, datapath={"path": "native"}
    )
    callers = []
    for host, user, port in zip(behindNAT, (ALICE, BOB), (1701, 1702), strict=True):
        peer = StrongSwan(host, host.runFolder)
        peer.load(client(GATEWAY_ADDRESS, *site.secret(), port=port))
        peer.initiate()
        caller = XL2TPD(host, *user, port=port)
        callers.append(caller)
        caller.up()
    for caller in (*callers, *callers):
        caller.flood(50)
    for name in ("alice", "bob"):
        gateway.waitFor(f"{name} .*IPsec ESP in UDP .*pptpgw-psk")
    assert "isn't carried natively" not in gateway.text

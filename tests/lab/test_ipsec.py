"""
Tests of IPsec beneath L2TP, with Debian's strongSwan at both ends.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from cryptography import x509

from tests.certificates import SERVER, Authority
from tests.lab.ipsec import StrongSwan, client
from tests.lab.l2tp import XL2TPD
from tests.lab.peers import (
    GATEWAY_ADDRESS,
    INSIDE_ADDRESS,
    LOCAL_ADDRESS,
    Namespace,
    Network,
    Process,
    run,
)
from tests.lab.server import ALICE, BOB, TWISTD, StartGateway, toml

PPTPGW = str(TWISTD.parent / "pptpgw")
SECRET = "shared by all"

SYSTEMS = {
    "Windows": ("aes256-sha1-ecp384", "aes256-sha1", ""),
    "iOS": ("aes256-sha256-modp2048", "aes256-sha1", "UDP"),
    "Android": ("aes256-sha384-modp1024", "aes256-sha1", ""),
    "Windows 7": ("3des-sha1-modp1024", "3des-sha1", ""),
}
"""
What a system proposes first that the gateway takes: for IKE and ESP.
"""


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
        certificate, key = self.authority.issue("vpn.example.com", SERVER, names)
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

    def certificate(self) -> tuple[str, str]:
        """
        Return the same for a certificate, which is issued to the first client.
        """
        folder = self.folder / "client0"
        certificate, key = self.authority.issue("client")
        os.link(key, folder / "private/client.key")
        os.link(self.authority.certificate, folder / "x509ca/ca.pem")
        return f"auth = pubkey\ncerts = {certificate}", ""

    def load(self) -> None:
        """
        Do what C{pptpgw ipsec print} says.
        """
        target = self.folder / "server/private/vpn.key"
        if not target.exists():
            os.link(self._key, target)
        self.strongSwan.load(self.command("ipsec", "print"))

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


def test_whatIsPrinted(site: Site) -> None:
    """
    strongSwan takes it, C{pptpgw ipsec check} finds everything there, and clients get associations
    by what their systems propose, with the pre-shared key and by certificates.
    """
    site.load()
    found = json.loads(site.command("ipsec", "check", "--json"))
    assert [one["level"] for one in found["findings"]] == ["ok"] * 6, found
    peer = site.client()
    for system, (ike, esp, carrier) in SYSTEMS.items():
        peer.load(client(GATEWAY_ADDRESS, "auth = psk", SECRET, bool(carrier), ike, esp))
        peer.initiate()
        listed = site.strongSwan.listed("pptpgw-psk")
        assert "TRANSPORT" in listed, (system, listed)
        assert ("in-UDP" in listed) is bool(carrier), (system, listed)
        peer.swanctl("--terminate", "--ike", "l2tp")
    peer.load(client(GATEWAY_ADDRESS, *site.certificate(), proposals="aes256-sha256-modp2048"))
    peer.initiate()
    site.strongSwan.listed("pptpgw-cert")


def blocked(network: Network) -> int:
    """
    Return how many packets to the gateway IPsec's policies have blocked.
    """
    found = re.search(r"XfrmInPolBlock\s+(\d+)", network.gateway.run("cat", "/proc/net/xfrm_stat"))
    assert found
    return int(found[1])


def test_callsThroughIPsec(network: Network, site: Site, startGateway: StartGateway) -> None:
    """
    Clients call through ESP and through ESP in UDP, with the pre-shared key and with certificates;
    in clear nobody does. Calls go on while keys are renewed; a client calls again 20 times; and
    when one vanishes, its call ends with its IPsec.
    """
    site.load()
    management = f"unix:{site.folder}/management:mode=600"
    gateway = startGateway(
        listen={"tunnels": ["pptp", "l2tp"]},
        link={"echo-interval": 60, "echo-failures": 9},
        l2tp={"hello-interval": 600},
        ipsec=site.section,
        management={"endpoints": [management]},
    )
    gateway.waitFor("charon answers")
    before = blocked(network)
    stranger = XL2TPD(network.host(1), *BOB)
    peer, host = site.client(), network.host()
    for way, carrier in ((site.secret(), "ESP in UDP"), (site.certificate(), "ESP")):
        auth, secret = way
        peer.load(client(GATEWAY_ADDRESS, auth, secret, carrier == "ESP in UDP"))
        peer.initiate()
        caller = XL2TPD(host, *ALICE)
        caller.up()
        caller.ping()
        caller.ping(INSIDE_ADDRESS, "-s", "1300")
        shown = site.command("session", "show", "alice", management=management)
        name = "pptpgw-cert" if carrier == "ESP" else "pptpgw-psk"
        assert re.search(rf"IPsec {name}\[\d+\], {carrier}, AES_CBC-256/HMAC_SHA1_96", shown), shown
        traffic = Process(
            host.command("ping", "-i", "0.02", LOCAL_ADDRESS), host.runFolder / "ping"
        )
        for what in ("--child", "--ike", "--child"):
            peer.swanctl("--rekey", what, "l2tp")
            caller.flood(200)
        traffic.interrupt()
        caller.disconnect()
        caller.waitFor("Terminating on signal")
        caller.stop(SIGKILL)
        peer.swanctl("--terminate", "--ike", "l2tp")
    assert blocked(network) > before
    assert "bob" not in gateway.text and "Connection established" not in stranger.text
    peer.initiate()
    for _ in range(20):
        caller = XL2TPD(host, *ALICE)
        caller.up().ping(count=1)
        caller.disconnect()
        caller.waitFor("Terminating on signal")
        caller.stop(SIGKILL)
    peer.swanctl("--terminate", "--ike", "l2tp")
    site.section["dead-peer"] = 1
    site.load()
    peer.initiate()
    caller = XL2TPD(host, *ALICE)
    caller.up().ping()
    host.unplug()
    host.kill()
    gateway.waitFor("alice from .* ended after.*the IPsec beneath it has ended", 120)


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
    network: Network, site: Site, startGateway: StartGateway, behindNAT: list[Any]
) -> None:
    """
    With marks both have calls at once, if their ports differ.
    """
    site.section["marks"] = True
    site.load()
    gateway = startGateway(listen={"tunnels": ["pptp", "l2tp"]}, ipsec=site.section)
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
    gateway.waitFor("alice .*IPsec pptpgw-psk.*ESP in UDP")
    gateway.waitFor("bob .*IPsec pptpgw-psk.*ESP in UDP")

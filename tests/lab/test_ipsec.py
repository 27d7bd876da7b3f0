"""
Tests of IPsec beneath L2TP, with Debian's strongSwan at both ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import SERVER, Authority
from tests.lab.ipsec import StrongSwan, client
from tests.lab.peers import GATEWAY_ADDRESS, Network
from tests.lab.server import TWISTD, toml

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
            "dead-peer": 2,
        }
        self._key = key
        self._clients: list[StrongSwan] = []

    def command(self, *words: str) -> str:
        """
        Run C{pptpgw ipsec}, which must succeed, and return its output.
        """
        path = self.folder / "ipsec.toml"
        path.write_text(toml({"ipsec": self.section}))
        return self.network.gateway.run(PPTPGW, "ipsec", *words, "--config", str(path), timeout=120)

    def load(self) -> None:
        """
        Do what C{pptpgw ipsec print} says.
        """
        target = self.folder / "server/private/vpn.key"
        if not target.exists():
            os.link(self._key, target)
        self.strongSwan.load(self.command("print"))

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
    found = json.loads(site.command("check", "--json"))
    assert [one["level"] for one in found["findings"]] == ["ok"] * 6, found
    peer = site.client()
    for system, (ike, esp, carrier) in SYSTEMS.items():
        peer.load(client(GATEWAY_ADDRESS, "auth = psk", SECRET, bool(carrier), ike, esp))
        peer.initiate()
        listed = site.strongSwan.swanctl("--list-sas")
        assert "pptpgw-psk" in listed and "TRANSPORT" in listed, (system, listed)
        assert ("in-UDP" in listed) is bool(carrier), (system, listed)
        peer.swanctl("--terminate", "--ike", "l2tp")
    certificate, key = site.authority.issue("client")
    os.link(key, site.folder / "client0/private/client.key")
    os.link(site.authority.certificate, site.folder / "client0/x509ca/ca.pem")
    own = f"auth = pubkey\ncerts = {certificate}"
    peer.load(client(GATEWAY_ADDRESS, own, proposals="aes256-sha256-modp2048"))
    peer.initiate()
    assert "pptpgw-cert" in site.strongSwan.swanctl("--list-sas")

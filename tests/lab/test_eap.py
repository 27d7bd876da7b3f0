"""
EAP, with pppd as the caller.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import SERVER, Authority
from tests.lab.peers import Network
from tests.lab.server import ALICE, StartGateway


class Certificates:
    """
    Who issues, and what the gateway's section is.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("pptpgw", SERVER)
        self.section = {
            "certificate": str(certificate),
            "key": str(key),
            "ca": str(self.authority.certificate),
        }

    def options(self, certificate: Path, key: Path) -> list[str]:
        """
        pppd's options.
        """
        ca = self.authority.certificate
        return ["ca", str(ca), "cert", str(certificate), "key", str(key), "remotename", "pptpgw"]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_MD5(network: Network, startGateway: StartGateway) -> None:
    startGateway(
        link={"encryption": "off", "authentication": ["eap"]}, eap={"methods": ["md5"]}
    )
    caller = network.host().call(*ALICE).up()
    caller.ping()


def test_MSCHAPv2(network: Network, startGateway: StartGateway) -> None:
    startGateway(link={"authentication": ["eap"]})
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    caller.ping()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_TLS(
    version: str, network: Network, startGateway: StartGateway, certificates: Certificates
) -> None:
    startGateway(link={"authentication": ["eap"]}, eap=certificates.section)
    issued = certificates.authority.issue("alice", large=True)
    options = [*certificates.options(*issued), "max-tls-version", version, "require-mppe-128"]
    caller = network.host().call("alice", "", *options).up()
    caller.ping()

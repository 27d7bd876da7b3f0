"""
Tests for EAP, with pppd as the caller.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import SERVER, Authority
from tests.lab.peers import LOCAL_ADDRESS, Network
from tests.lab.server import ALICE, StartGateway
from tests.lab.test_authentication import only

EAP = {"authentication": ["eap"]}


class Certificates:
    """
    An authority, and the gateway's section of the configuration.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("pptpgw", SERVER, large=True)
        self.section = {
            "certificate": str(certificate),
            "key": str(key),
            "ca": str(self.authority.certificate),
        }

    def options(
        self, issued: tuple[Path, Path], authority: Authority | None = None, version: str = "1.2"
    ) -> list[str]:
        """
        pppd's options for a caller with this certificate and its key.
        """
        ca = (authority or self.authority).certificate
        own = ["cert", str(issued[0]), "key", str(issued[1])]
        return ["ca", str(ca), *own, "remotename", "pptpgw", "max-tls-version", version]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_MD5(network: Network, startGateway: StartGateway) -> None:
    gateway = startGateway(link={"encryption": "off", **EAP}, eap={"methods": ["md5"]})
    host = network.host()
    caller = host.call(*ALICE).up()
    assert caller.received("EAP Request .* MD5-Challenge")
    caller.ping()
    caller.hangUp()
    wrong = host.call("alice", "a wrong one")
    assert wrong.wait() != 0
    assert wrong.received("EAP Failure") and "local  IP address" not in wrong.text
    gateway.waitFor("'alice' is refused, by eap: no such user or wrong password")


def test_MSCHAPv2(network: Network, startGateway: StartGateway) -> None:
    """
    MS-CHAPv2 within EAP gives keys that carry packets, and a caller without EAP is served too.
    """
    startGateway(link={"authentication": ["eap", "mschapv2"]})
    host = network.host()
    caller = host.call(*ALICE, "require-mppe-128").up()
    assert caller.received("EAP Request .* MSCHAPv2 Challenge")
    assert "MPPE 128-bit stateless compression enabled" in caller.text
    caller.ping()
    caller.hangUp()
    wrong = host.call("alice", "a wrong one", "require-mppe-128")
    assert wrong.wait() != 0
    assert wrong.received("EAP Failure") and "local  IP address" not in wrong.text
    without = host.call(*ALICE, *only("mschapv2"), "require-mppe-128").up()
    assert not without.received("EAP ")
    without.ping()


def test_TLS(network: Network, startGateway: StartGateway, certificates: Certificates) -> None:
    """
    EAP-TLS gives keys that carry packets in both directions, and the user is whom the certificate
    names, whatever the caller's identity says. With TLS 1.3 the call is in clear: pppd 2.4.9 is
    older than RFC 9190, and derives its keys without the context of section 2.3.
    """
    gateway = startGateway(link={"encryption": "prefer", **EAP}, eap=certificates.section)
    issued = certificates.authority.issue("alice", large=True)
    for version, mppe in (("1.2", "require-mppe-128"), ("1.3", "nomppe")):
        options = certificates.options(issued, version=version)
        caller = network.host().call("whoever", "", *options, mppe).up()
        assert caller.received("EAP Request .* TLS LM") and caller.sent("EAP Response .* TLS LM")
        assert ("Finished: TLS 1.3" in caller.text) is (version == "1.3")
        caller.ping()
        encrypted = "MPPE 128-bit stateless compression enabled" in caller.text
        assert encrypted is (version == "1.2")
        caller.hangUp()
    gateway.waitFor("(?s)(alice from 192.0.2.10: ipv4.*){2}")


def test_TLSOnAWireThatLosesPackets(
    network: Network, startGateway: StartGateway, certificates: Certificates
) -> None:
    """
    EAP-TLS works over a wire that loses packets on their way to the caller. In the other direction
    pppd 2.4.9 doesn't support losses: it takes a fragment that is repeated, because its
    acknowledgement was lost, for the next one.
    """
    startGateway(link=EAP, eap=certificates.section)
    host = network.host()
    options = certificates.options(certificates.authority.issue("alice", large=True))
    host.impair("loss", "20%")
    host.impairSending("delay", "1ms")
    caller = host.call("alice", "", *options, "require-mppe-128").up(60)
    host.restore()
    # A packet that was on its way, such as a Configure-Request, may make IPCP negotiate once more.
    assert any(host.reaches(LOCAL_ADDRESS, "-I", caller.interface) for _ in range(15))
    caller.ping()


def test_certificatesThatDoNotDo(
    network: Network, startGateway: StartGateway, certificates: Certificates, tmp_path: Path
) -> None:
    """
    A certificate of another authority, an expired one and one without an account are refused. A
    caller refuses our certificate if it doesn't trust our authority.
    """
    gateway = startGateway(link=EAP, eap=certificates.section)
    ours, other = certificates.authority, Authority(tmp_path, "Other CA")
    expired = ours.issue("alice", days=(-9, -1))
    logged: list[str] = []
    for issued, trusted, reason in (
        (other.issue("alice"), ours, "TLS failed: certificate verify failed"),
        (expired, ours, "TLS failed: certificate verify failed"),
        (ours.issue("mallory"), ours, "'mallory' is refused, by eap: no such user or wrong"),
        (ours.issue("alice"), other, "TLS failed: .*unknown ca"),
    ):
        logged.append(reason)
        caller = network.host().call("alice", "", *certificates.options(issued, trusted))
        assert caller.wait() != 0
        assert "local  IP address" not in caller.text
        gateway.waitFor("(?s)" + ".*".join(logged))

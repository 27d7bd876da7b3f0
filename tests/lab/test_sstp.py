"""
Tests for SSTP, with Debian's sstpc and pppd as the caller.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import SERVER, Authority
from tests.lab.forked import Forked
from tests.lab.l2tp import CAROL, LNS
from tests.lab.peers import GATEWAY_ADDRESS, Caller, Host, Network, Process
from tests.lab.server import ALICE, Gateway, StartGateway
from tests.lab.test_authentication import only
from tests.lab.test_eap import Certificates

LISTEN = {"tunnels": ["pptp", "sstp"]}
RELAY = Path(__file__).with_name("relay.py")
SOCKETS = Path("/run/sstpc")


class Clients:
    """
    Callers by sstpc, which trust one authority, and the gateway's section of the configuration.
    """

    def __init__(self, folder: Path) -> None:
        SOCKETS.mkdir(exist_ok=True)
        self.authority = Authority(folder, "authority")
        self.server = self.issue(GATEWAY_ADDRESS)
        certificate, key = self.server
        self.section = {"certificate": str(certificate), "key": str(key)}
        self._calls = 0

    def issue(self, address: str) -> tuple[Path, Path]:
        """
        Issue a certificate for the server at an address.
        """
        names = [x509.IPAddress(ip_address(address)), x509.DNSName("vpn.example.org")]
        return self.authority.issue("vpn.example.org", SERVER, names)

    def call(
        self, host: Host, *options: str, who: tuple[str, str] = ALICE, to: str = GATEWAY_ADDRESS
    ) -> Caller:
        """
        Dial with pppd, whose connection is sstpc. On its wire everything takes a moment, since
        sstpc 1.0.18 doesn't wait for the answer to its HTTP request if the handshake of TLS is over
        at its first write.
        """
        host.impairSending("delay", "1ms")
        self._calls += 1
        name = f"call{self._calls}"
        words = ["sstpc", "--log-stderr", "--log-level", "4", "--nolaunchpppd", "--ipparam", name]
        words += ["--ca-cert", str(self.authority.certificate), "--cert-warn"]
        words += ["--host", "vpn.example.org", "--tls-ext", to]
        plugin = ["plugin", "sstp-pppd-plugin.so", "sstp-sock", f"{SOCKETS}/sstpc-{name}"]
        line = ["pty", " ".join(words), *plugin, "ipparam", name]
        return host.callBy(line, *who, *options)


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return Clients(tmp_path)


def start(startGateway: StartGateway, clients: Clients, **sections: dict[str, object]) -> Gateway:
    gateway = startGateway(listen=LISTEN, sstp=clients.section, **sections)
    gateway.waitFor("answers on .*tcp:443")
    return gateway


def test_packetsBothWays(
    network: Network, startGateway: StartGateway, clients: Clients, iperf: Process
) -> None:
    """
    A caller by MS-CHAPv2 sends and receives, and hangs up, beside one by PPTP.
    """
    gateway = start(startGateway, clients)
    network.gateway.sysctl("net.ipv4.conf.all.forwarding=1")
    hosts = network.hosts(2)
    caller = clients.call(hosts[0], *only("mschapv2")).up()
    gateway.waitFor(r"mschapv2, TLSv1\.[23] ")
    beside = hosts[1].call(*ALICE, "require-mppe-128").up()
    caller.ping(count=2)
    beside.ping(count=2)
    caller.reachInside()
    caller.transfer("SSTP")
    caller.ping(count=2)
    caller.hangUp()
    gateway.waitFor("ended after")


def test_aWrongPassword(network: Network, startGateway: StartGateway, clients: Clients) -> None:
    gateway = start(startGateway, clients)
    wrong = clients.call(network.host(), *only("mschapv2"), who=("alice", "a wrong one"))
    assert wrong.wait() != 0
    assert "local  IP address" not in wrong.text
    gateway.waitFor("'alice' is refused, by mschapv2")


def test_somebodyInTheMiddle(
    network: Network, startGateway: StartGateway, clients: Clients, tmp_path: Path
) -> None:
    """
    A caller whose TLS somebody else terminates is refused, although it trusts that one's
    certificate, and although the password is right.
    """
    gateway = start(startGateway, clients)
    hosts = network.hosts(2)
    words = [*map(str, clients.issue(hosts[1].address)), GATEWAY_ADDRESS]
    relay = Forked(hosts[1], RELAY, words, tmp_path / "relay.log")
    relay.waitFor("relaying")
    caller = clients.call(hosts[0], *only("mschapv2"), to=hosts[1].address)
    gateway.waitFor("an attack on the call of 'alice'. the crypto binding doesn't hold: the caller")
    assert caller.wait() != 0
    assert "local  IP address" not in caller.text
    gateway.waitFor("ended after .*binding doesn't hold")


def test_redials(network: Network, startGateway: StartGateway, clients: Clients) -> None:
    """
    A caller that hangs up, or vanishes, can call again. No call waits for LCP's Restart timer of 3
    seconds, as it would if a packet were left unread in sstpc.
    """
    gateway = start(startGateway, clients)
    host = network.host()
    for vanishes in (False, True, False):
        caller = clients.call(host, *only("mschapv2")).up()
        caller.ping(count=2)
        if vanishes:
            host.kill()
            caller.wait()
        else:
            caller.hangUp()
    gateway.waitFor("(?s)(alice from .* ended after.*){3}")
    seconds = re.findall(r"open ([\d.]+) s after the call", gateway.text)
    print("set-up:", seconds)
    assert len(seconds) == 3 and all(float(one) < 3 for one in seconds)


def test_EAPTLS(
    network: Network, startGateway: StartGateway, clients: Clients, tmp_path: Path
) -> None:
    """
    A caller by EAP-TLS whose pppd is older than 2.5 binds the tunnel by half keys.
    """
    folder = tmp_path / "eap"
    folder.mkdir()
    certificates = Certificates(folder)
    eap: dict[str, object] = {**certificates.section}
    start(startGateway, clients, link={"authentication": ["eap"]}, eap=eap)
    options = certificates.options(certificates.authority.issue("alice"))
    caller = clients.call(network.host(), *options, who=("whoever", "")).up()
    caller.ping(count=2)
    caller.hangUp()


class Onwards:
    """
    A gateway that passes the calls of everybody on by L2TP.

    @ivar caller: the host of the caller.
    @ivar server: that of the LNS.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.caller, self.server = network.hosts(2)
        self._folder = folder
        for name, text in (("secret", "open sesame\n"), ("secrets", 'pop1 "open sesame"\n')):
            (folder / name).touch(0o600)
            (folder / name).write_text(text)

    def lns(self, encryption: str) -> Gateway:
        """
        Start a gateway of ours to which calls pass, and which believes the other one.
        """
        folder = self._folder / "lns"
        folder.mkdir()
        sections: dict[str, dict[str, object]] = {
            "listen": {"tunnels": ["pptp", "l2tp"]},
            "l2tp": {"clear": "accept", "secrets": str(self._folder / "secrets")},
            "datapath": {"path": "python"},
            "link": {"encryption": encryption},
        }
        return Gateway(self.server, folder, sections)

    def start(self, startGateway: StartGateway, clients: Clients, auth: str = "") -> Gateway:
        destination = {
            "name": "isp",
            "tunnel": "l2tp",
            "endpoints": [self.server.address],
            "secret-file": str(self._folder / "secret"),
            "host-name": "pop1",
            "called": [GATEWAY_ADDRESS, "vpn.example.org"],
        }
        gateway = startGateway(
            auth=auth,
            listen={"tunnels": ["pptp", "sstp", "l2tp"]},
            sstp=clients.section,
            l2tp={"clear": "accept"},
            **{"[forwarding.destination]": destination},
        )
        gateway.waitFor("answers on .*tcp:443")
        return gateway


@pytest.mark.parametrize("encryption", ["require", "off"])
def test_toOurLNS(
    network: Network,
    startGateway: StartGateway,
    clients: Clients,
    tmp_path: Path,
    encryption: str,
) -> None:
    """
    A call passes to an LNS of ours when its binding has been verified. pppd authenticates once. The
    LNS takes what it has claimed, and makes the same keys for MPPE, if it wants them. A wrong
    password doesn't get that far, and a caller can hang up and call again.
    """
    onwards = Onwards(network, tmp_path)
    lns = onwards.lns(encryption)
    gateway = onwards.start(startGateway, clients)
    mppe = ["require-mppe-128"] if encryption == "require" else []
    wrong = clients.call(onwards.caller, *only("mschapv2"), who=("alice", "a wrong one"))
    assert wrong.wait() != 0
    gateway.waitFor("'alice' is refused, by mschapv2")
    assert "192.0.2.1" not in lns.text
    for number in range(2):
        caller = clients.call(onwards.caller, *only("mschapv2"), *mppe).up(60)
        gateway.waitFor(
            f"alice from {onwards.caller.address}: .*passed on by l2tp to {onwards.server.address}"
        )
        assert caller.text.count("rcvd [CHAP Challenge") == 1
        assert caller.text.count("rcvd [CHAP Success") == 1
        assert caller.text.count("rcvd [LCP ConfAck") == 1
        assert ("MPPE 128-bit stateless compression enabled" in caller.text) == bool(mppe)
        lns.waitFor("(?s)" + "alice from 192.0.2.1.*" * (number + 1))
        caller.ping("10.77.0.1", "-s", "1300")
        caller.hangUp()
        gateway.waitFor("(?s)" + "alice from .* ended after.*" * (number + 1))
        lns.waitFor("(?s)" + "alice from .* ended after.*" * (number + 1))
    lns.shutDown()


def test_somebodyInTheMiddleOfACallPassedOn(
    network: Network, startGateway: StartGateway, clients: Clients, tmp_path: Path
) -> None:
    """
    A call whose TLS somebody else terminates never reaches the LNS.
    """
    onwards = Onwards(network, tmp_path)
    lns = onwards.lns("off")
    gateway = onwards.start(startGateway, clients)
    words = [*map(str, clients.issue(onwards.server.address)), GATEWAY_ADDRESS]
    relay = Forked(onwards.server, RELAY, words, tmp_path / "relay.log")
    relay.waitFor("relaying")
    caller = clients.call(onwards.caller, *only("mschapv2"), to=onwards.server.address)
    gateway.waitFor("an attack on the call of 'alice'. the crypto binding doesn't hold: the caller")
    assert caller.wait() != 0
    gateway.waitFor("binding doesn't hold, perhaps")
    assert "192.0.2.1" not in lns.text
    lns.shutDown()


def test_toXl2tpd(
    network: Network, startGateway: StartGateway, clients: Clients, tmp_path: Path
) -> None:
    """
    xl2tpd doesn't take what callers have claimed: its pppd would negotiate LCP and authenticate the
    caller anew. That ends the call.
    """
    onwards = Onwards(network, tmp_path)
    lns = LNS(onwards.server, "noccp", secret="open sesame")
    (tmp_path / "users").touch(0o600)
    (tmp_path / "users").write_text('carol * "battery staple" *\n')
    gateway = onwards.start(startGateway, clients, f"chap-secrets:{tmp_path / 'users'}")
    caller = clients.call(onwards.caller, "noccp", who=CAROL)
    lns.waitFor("Connection established to 192.0.2.1")
    gateway.waitFor("the end that the call passed to negotiates LCP anew")
    assert caller.wait() != 0
    assert caller.text.count("rcvd [LCP ConfAck") == 1
    assert "remote IP address" not in caller.text

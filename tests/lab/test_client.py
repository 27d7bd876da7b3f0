"""
Tests for our own client, with Debian's pptpd and pppd as the server, and with our gateway.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.certificates import SERVER, Authority
from tests.lab.peers import GATEWAY_ADDRESS, Host, Network, Process
from tests.lab.pptpd import PPTPD
from tests.lab.server import ALICE

CALLING = Path(__file__).with_name("calling.py")
COUNTS = 4096
"""
How many values the coherency count of MPPE has before it wraps.
"""

Serve = Callable[..., PPTPD]


@pytest.fixture
def serve(network: Network, tmp_path: Path) -> Iterator[Serve]:
    """
    A function that starts pptpd; its arguments are options of pppd.
    """
    started: list[PPTPD] = []

    def start(*options: str) -> PPTPD:
        started.append(PPTPD(network.gateway, tmp_path / f"pptpd-{len(started)}", options))
        return started[-1]

    yield start
    for one in started:
        one.end()


class Calls:
    """
    Calls by our client from one host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._password = host.runFolder / "password"
        self._password.touch(0o600)
        self._password.write_text(ALICE[1])
        self._count = 0

    def call(
        self,
        *words: str,
        pings: int = 20,
        user: str = ALICE[0],
        own: bool = True,
        program: Sequence[str] = (),
    ) -> Process:
        """
        Call, and return the process when it has ended.

        @param words: the parts of the endpoint string behind the name of the user.
        @param own: whether to log in with the password of the user.
        @param program: more words for the program.
        """
        self._count += 1
        password = [f"password-file={self._password}"] if own else []
        where = ":".join(["pptp", GATEWAY_ADDRESS, f"user={user}", *password, *words])
        log = self._host.runFolder / f"calling-{self._count}.log"
        command = self._host.command(sys.executable, str(CALLING), where, str(pings), *program)
        process = Process(command, log)
        process.wait(90)
        return process


@pytest.fixture
def calls(network: Network) -> Calls:
    return Calls(network.host())


def opened(call: Process, method: str, encryption: str, pings: int = 20) -> None:
    """
    Check that a call opened, carried all of its pings and ended in order.
    """
    pattern = f"10\\.77\\.0\\.1[0-9] to 10\\.77\\.0\\.1, {method}, {encryption}\n"
    assert re.search(pattern + f"{pings} of {pings} answered\nended: ", call.text), call.text


class TestPPTPD:
    @pytest.mark.parametrize(
        ("method", "option"),
        [
            ("mschapv2", "require-mschap-v2"),
            ("mschap", "require-mschap"),
            ("chap", "require-chap"),
            ("pap", "require-pap"),
        ],
    )
    def test_everyMethod(self, method: str, option: str, serve: Serve, calls: Calls) -> None:
        serve(option, "nomppe")
        call = calls.call(f"methods={method}", "encryption=off")
        opened(call, method, "not encrypted")

    @pytest.mark.parametrize("bits", [40, 128])
    def test_statelessMPPE(self, bits: int, serve: Serve, calls: Calls) -> None:
        """
        Packets pass with either key length that the kernel has, also past the point where the
        coherency count wraps, whichever of ours is preferred.
        """
        server = serve("require-mschap-v2", f"require-mppe-{bits}")
        for ours in (str(bits), "40,56,128"):
            call = calls.call(f"encryption-bits={ours}", pings=COUNTS + 100)
            opened(call, "mschapv2", f"MPPE {bits} bit stateless", COUNTS + 100)
        assert f"MPPE {bits}-bit stateless compression enabled" in server.said

    @pytest.mark.parametrize("bits", [40, 128])
    def test_statefulMPPE(self, bits: int, serve: Serve, calls: Calls) -> None:
        """
        Packets pass in stateful MPPE, too. pppd answers stateless to us by default, even where it
        may be stateful.
        """
        server = serve("require-mschap-v2", f"require-mppe-{bits}", "mppe-stateful")
        words = f"encryption-bits={bits}", "encryption-stateful=yes"
        opened(calls.call(*words), "mschapv2", f"MPPE {bits} bit stateless")
        call = calls.call(*words, pings=COUNTS + 100, program=("stateful",))
        opened(call, "mschapv2", f"MPPE {bits} bit stateful", COUNTS + 100)
        assert f"MPPE {bits}-bit stateful compression enabled" in server.said

    @pytest.mark.parametrize(
        ("option", "reason"),
        [("require-mppe-40", "MPPE required but"), ("nomppe", "encryption is required: ")],
    )
    def test_aServerThatDoesNotEncryptAsDemanded(
        self, option: str, reason: str, serve: Serve, calls: Calls
    ) -> None:
        """
        A server that has shorter keys than we permit, or none, gets no packet.
        """
        server = serve("require-mschap-v2", option)
        call = calls.call()
        assert "to 10.77.0.1" not in call.text
        assert reason in call.text
        assert "remote IP address" not in server.said

    def test_aWrongName(self, serve: Serve, calls: Calls) -> None:
        serve("require-mschap-v2", "require-mppe-128")
        assert "the authenticator does not believe us" in calls.call(user="mallory").text


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Authority(folder, "CA")


class TestEAP:
    """
    Tests of EAP, in which pppd is the authenticator.
    """

    def test_passwords(self, serve: Serve, calls: Calls) -> None:
        serve("require-eap", "nomppe")
        opened(calls.call("methods=eap", "encryption=off"), "eap", "not encrypted")
        assert "the authenticator does not believe us" in calls.call("methods=eap", user="eve").text

    def test_TLS(self, serve: Serve, calls: Calls, authority: Authority) -> None:
        """
        EAP-TLS earns keys that carry packets, where the server's certificate has the name that we
        expect. Another name, or another authority, ends the call before our certificate is sent.
        """
        server, key = authority.issue("gate.example", SERVER)
        other = Authority(authority.folder, "Another").certificate
        mine, myKey = authority.issue("alice", large=True)
        secrets = Path("/etc/ppp/eaptls-server")
        secrets.touch(0o600)
        secrets.write_text(f"* gate - {server} {authority.certificate} {key} *\n")
        served = serve("require-eap", "require-mppe-128", "max-tls-version 1.2")

        def call(name: str, ca: Path = authority.certificate) -> Process:
            own = f"eap-certificate={mine}", f"eap-key={myKey}", f"eap-ca={ca}"
            return calls.call("methods=eap", *own, *name.split(), own=False)

        for name in ("eap-server=Gate.example", ""):
            opened(call(name), "eap", "MPPE 128 bit stateless")
        assert "certificate verify failed" in call("", other).text
        wrong = call("eap-server=other.example")
        assert "the server's certificate has another name" in wrong.text
        # pppd prints what TLS says.
        assert served.said.count("Certificate CN: alice") == served.said.count("<- Alert: ") == 2

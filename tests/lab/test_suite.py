"""
The cases of pppd's own integration suite, the folder C{testsuite} of ppp-project/ppp, and more of
their kind: Debian's pppd and C{pptpgw ppp}, which takes the place of the suite's second pppd
(L{tests.lab.standin}), are the ends of a socket pair, each in a network namespace of its own.

Of the suite, C{00-version} is left out, which asks both programs for their version. Of pppd's
options, C{demand} and C{persist} are: a socket pair that is closed can't be dialled again.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import pytest

from tests.lab.forked import Child
from tests.lab.peers import Host, Network, Process
from tests.lab.standin import HANGUP, NEGOTIATION_FAILED, PEER_AUTH_FAILED, USER_REQUEST

STANDIN = Path(__file__).with_name("standin.py")
PPP = Path("/etc/ppp")

A, B = "10.0.0.1", "10.0.0.2"
"""
The addresses of pppd's end and of ours.
"""

# pppd's exit statuses, besides those of the stand-in.
PEER_DEAD, AUTH_TOPEER_FAILED = 15, 19
OVER = {USER_REQUEST, PEER_DEAD, HANGUP}

LINE = ["notty", "nodetach", "local", "debug"]
SERVER = ["auth", "name", "srv"]
CLIENT = ["user", "cli", "remotename", "srv", "password"]
METHODS = ["pap", "chap", "mschap", "mschap-v2", "eap"]


class End(Process):
    """
    One end of a link.

    @ivar host: the host whose network namespace it is in.
    """

    def __init__(self, host: Host, log: Path, process: Any) -> None:
        self.host = host
        self.log = log
        self.logs.append(log)
        self._process = process
        self.pid = process.pid

    def up(self, own: str, other: str) -> None:
        """
        Wait until IPCP is open with these addresses.
        """
        self.waitFor(rf"local +IP address {own}\n")
        self.waitFor(rf"remote IP address {other}\n")

    @property
    def device(self) -> str:
        """
        The name of its device.
        """
        return self.waitFor(r"Using interface (\S+)")[1]

    @property
    def addresses(self) -> list[tuple[object, object]]:
        """
        The addresses of its device, each with the peer's.
        """
        (device,) = self.host.show("-4", "addr", "show", "dev", self.device)
        found = cast(list[dict[str, object]], device["addr_info"])
        return [(one["local"], one.get("address")) for one in found]

    @property
    def mtu(self) -> object:
        (device,) = self.host.show("link", "show", "dev", self.device)
        return device["mtu"]


@dataclass
class Pair:
    """
    A link.

    @ivar first: the end that is pppd's.
    @ivar second: ours.
    """

    first: End
    second: End

    def up(self) -> Pair:
        self.first.up(A, B)
        self.second.up(B, A)
        return self

    def down(self) -> None:
        """
        End the link in order, as the suite does: the second end first.
        """
        assert self.second.stop() == USER_REQUEST
        assert "Connection terminated" in self.second.text
        assert self.first.wait() in OVER

    def ping(self) -> None:
        """
        Ping from each end to the other one.
        """
        self.first.host.ping(B)
        self.second.host.ping(A)


Join = Callable[..., Pair]


@pytest.fixture
def join(network: Network, tmp_path: Path) -> Iterator[Join]:
    """
    A function that joins two ends. Its arguments are the options of each, in pppd's words, and
    their addresses.
    """
    hosts = network.hosts(2)
    pairs = 0

    def joined(
        first: Sequence[str] = (),
        second: Sequence[str] = (),
        addresses: tuple[str, str] = (f"{A}:{B}", f"{B}:{A}"),
    ) -> Pair:
        nonlocal pairs
        pairs += 1
        logs = [tmp_path / f"{name}-{pairs}.log" for name in ("pppd", "standin")]
        left, right = socket.socketpair()
        words = [
            [*LINE, "logfile", str(log), *_added(options), *options, address]
            for log, options, address in zip(logs, (first, second), addresses, strict=True)
        ]
        for log in logs:
            log.touch()
        with left, right:
            pppd = subprocess.Popen(
                hosts[0].command("pppd", *words[0]),
                stdin=left.fileno(),
                stdout=left.fileno(),
                stderr=subprocess.DEVNULL,
            )
            streams = {number: Connection(os.dup(right.fileno())) for number in (0, 1)}
            errors = os.open(logs[1], os.O_WRONLY | os.O_APPEND)
            streams[2] = Connection(errors, readable=False)
            standin = Child(hosts[1], STANDIN, words[1], streams)
        return Pair(End(hosts[0], logs[0], pppd), End(hosts[1], logs[1], standin))

    yield joined
    for name in ("chap-secrets", "pap-secrets"):
        (PPP / name).write_text("")


def _added(options: Sequence[str]) -> list[str]:
    """
    Return what the suite adds to the options of an end.
    """
    auth = [] if "auth" in options else ["noauth"]
    return [*auth, "lcp-echo-interval", "1", "lcp-echo-failure", "10"]


def secrets() -> None:
    """
    Let C{cli} authenticate itself to C{srv} at either end.
    """
    for name in ("chap-secrets", "pap-secrets"):
        (PPP / name).write_text('cli\tsrv\t"s3cret"\t*\n')


def test_linkUp(join: Join) -> None:
    """
    C{link-up}: both devices have the addresses of both ends, and SIGTERM ends the link.
    """
    pair = join().up()
    assert pair.first.addresses == [(A, B)]
    assert pair.second.addresses == [(B, A)]
    pair.down()


def test_pppdEndsTheLink(join: Join) -> None:
    pair = join().up()
    assert pair.first.stop() == USER_REQUEST
    assert pair.second.wait() in OVER
    assert "Connection terminated" in pair.second.text


def test_ping(join: Join) -> None:
    """
    C{ping}: packets pass in both directions.
    """
    pair = join().up()
    pair.ping()
    pair.down()


def test_ourMTUIsThePeersMRU(join: Join) -> None:
    """
    C{mtu-negotiation}: pppd's C{mru 512} is the MTU of our device, and larger pings pass.
    """
    pair = join(["mru", "512"]).up()
    assert pair.second.mtu == 512
    pair.second.host.ping(A, "-s", "1000")
    pair.down()


def test_thePeersMTUIsOurMRU(join: Join) -> None:
    pair = join([], ["mru", "1000"]).up()
    assert pair.first.mtu == 1000
    pair.first.host.ping(B, "-s", "1400")
    pair.down()


_RECEIVER = """\
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 7771))
print("listening", flush=True)
connection, _ = listener.accept()
digest = hashlib.sha256()
while octets := connection.recv(65536):
    digest.update(octets)
print(digest.hexdigest(), flush=True)
"""
_SENDER = """\
import socket, sys
with socket.create_connection((sys.argv[1], 7771), timeout=30) as connection:
    connection.sendall(open(sys.argv[2], "rb").read())
"""


@pytest.mark.parametrize(
    "options",
    [[], ["asyncmap", "0"], ["asyncmap", "a0000", "escape", "41,7e"]],
    ids=["default", "none", "some"],
)
def test_dataTransfer(options: list[str], join: Join, tmp_path: Path) -> None:
    """
    C{data-transfer}: two million random octets arrive by TCP in each direction, with every control
    character escaped and with none; and with some, and with others that pppd escapes of itself.
    Both ends compress the headers of TCP, and then packets by Deflate, as two pppds do.
    """
    pair = join(options, options[:2]).up()
    for verb in ("sent", "rcvd"):
        assert re.search(rf"{verb} \[IPCP ConfAck .*<compress VJ", pair.first.text)
    pair.first.waitFor(r"Deflate \(15\) compression enabled")
    octets = os.urandom(2 * 1024 * 1024)
    path = tmp_path / "octets"
    path.write_bytes(octets)
    for number, (sender, receiver, address) in enumerate(
        [(pair.second, pair.first, A), (pair.first, pair.second, B)]
    ):
        program = receiver.host.command(sys.executable, "-c", _RECEIVER, address)
        receiving = Process(program, tmp_path / f"receiver-{number}.log")
        receiving.waitFor("listening")
        sender.host.run(sys.executable, "-c", _SENDER, address, str(path), timeout=120)
        receiving.waitFor(hashlib.sha256(octets).hexdigest())
    pair.down()


@pytest.mark.parametrize("method", METHODS)
def test_weAuthenticateThePeer(method: str, join: Join) -> None:
    """
    C{auth-pap}, C{auth-chap}, and the other methods: our end demands one, and lets in who has the
    secret, but nobody else.
    """
    secrets()
    server = [*SERVER, f"require-{method}"]
    pair = join([*CLIENT, "s3cret"], server).up()
    name = method.replace("-", "").upper()
    assert f"Peer cli authenticated with {name}" in pair.second.text
    pair.ping()
    pair.down()
    pair = join([*CLIENT, "wrong"], server)
    pair.second.waitFor("(PAP|EAP) peer authentication failed for cli|cli failed CHAP auth")
    assert pair.first.wait() in {AUTH_TOPEER_FAILED, PEER_AUTH_FAILED, PEER_DEAD, HANGUP}
    assert "remote IP address" not in pair.first.text
    assert pair.second.wait() == PEER_AUTH_FAILED


@pytest.mark.parametrize("method", METHODS)
def test_thePeerAuthenticatesUs(method: str, join: Join) -> None:
    """
    The same with the ends exchanged.
    """
    secrets()
    server = [*SERVER, f"require-{method}"]
    pair = join(server, [*CLIENT, "s3cret"]).up()
    assert re.search(r"sent \[(PAP AuthAck|CHAP Success|EAP Success)", pair.first.text)
    pair.ping()
    pair.down()
    pair = join(server, [*CLIENT, "wrong"])
    assert pair.first.wait() == PEER_AUTH_FAILED
    assert pair.second.wait() == AUTH_TOPEER_FAILED
    assert "IP address" not in pair.second.text


def test_noMethodInCommon(join: Join) -> None:
    """
    The link ends if one end demands a method that the other one refuses, whichever it is.
    """
    secrets()
    pair = join([*CLIENT, "s3cret", "refuse-pap"], [*SERVER, "require-pap"])
    assert pair.first.wait() != 0
    assert pair.second.wait() == NEGOTIATION_FAILED
    pair = join([*SERVER, "require-pap"], [*CLIENT, "s3cret", "refuse-pap"])
    assert pair.first.wait() == PEER_AUTH_FAILED
    pair.second.wait()
    assert "IP address" not in pair.second.text


@pytest.mark.parametrize("ours", [False, True], ids=["theirs", "ours"])
@pytest.mark.parametrize("bits", [40, 128])
def test_encryption(bits: int, ours: bool, join: Join) -> None:
    """
    MPPE opens with the length of key that both ends demand, whichever end authenticates.
    """
    secrets()
    mppe = [f"require-mppe-{bits}"]
    ends = [[*CLIENT, "s3cret", *mppe], [*SERVER, "require-mschap-v2", *mppe]]
    pair = join(*(ends if ours else reversed(ends))).up()
    assert f"MPPE {bits}-bit stateless compression enabled" in pair.first.text
    pair.ping()
    pair.down()


def test_keysOfDifferentLengths(join: Join) -> None:
    """
    No packet passes if the ends demand keys of different lengths.
    """
    secrets()
    pair = join(
        [*CLIENT, "s3cret", "require-mppe-40"],
        [*SERVER, "require-mschap-v2", "require-mppe-128"],
    )
    assert pair.first.wait() != 0
    pair.second.wait()
    for end in (pair.first, pair.second):
        assert "IP address" not in end.text


@pytest.mark.parametrize(
    ("addresses", "own", "other"),
    [
        # Both know the address of our end, not the same one: pppd insists on its own.
        ((f"{A}:10.0.0.3", f"{B}:{A}"), A, "10.0.0.3"),
        # Each end is told the other's address.
        ((f"{A}:", f"{B}:"), A, B),
        # We have none, and are given one.
        ((f"{A}:{B}", ":"), A, B),
        # pppd has none, and is given one.
        ((":", f"{B}:{A}"), A, B),
        # We ask for one, and get another one.
        ((f"{A}:10.0.0.3", f"{B}:"), A, "10.0.0.3"),
    ],
)
def test_addresses(addresses: tuple[str, str], own: str, other: str, join: Join) -> None:
    """
    Each end gets the addresses that IPCP agrees on.
    """
    options = ["noipdefault"] if addresses[0] == ":" else []
    pair = join(options, [], addresses)
    pair.first.up(own, other)
    pair.second.up(other, own)
    pair.first.host.ping(other)
    pair.down()


@pytest.mark.parametrize(
    "addresses",
    [
        # pppd keeps its own.
        (f"{A}:{B}", f"{B}:10.0.0.3"),
        # Nobody has an address for us.
        (f"{A}:", ":"),
    ],
)
def test_addressesThatDontFit(addresses: tuple[str, str], join: Join) -> None:
    """
    The link ends without a packet if the ends insist on addresses that don't fit.
    """
    pair = join([], [], addresses)
    assert pair.second.wait(60) == NEGOTIATION_FAILED
    assert pair.first.wait() != 0
    for end in (pair.first, pair.second):
        assert "remote IP address" not in end.text


def test_nameServers(join: Join) -> None:
    """
    Either end gives the other one name servers.
    """
    secrets()
    given = ["ms-dns", "10.0.0.53", "ms-dns", "10.0.0.54"]
    pair = join([*CLIENT, "s3cret", "usepeerdns"], [*SERVER, "require-chap", *given]).up()
    assert "primary   DNS address 10.0.0.53" in pair.first.text
    assert "secondary DNS address 10.0.0.54" in pair.first.text
    pair.down()
    pair = join(given).up()
    assert "name servers 10.0.0.53, 10.0.0.54" in pair.second.text
    pair.down()


@pytest.mark.usefixtures("ipv6")
def test_IPv6(join: Join) -> None:
    """
    IPV6CP opens beside IPCP, with interface identifiers that differ.
    """
    secrets()
    pair = join([*CLIENT, "s3cret", "+ipv6"], [*SERVER, "require-chap", "+ipv6"]).up()
    local = pair.first.waitFor(r"local  LL address (\S+)")[1]
    remote = pair.first.waitFor(r"remote LL address (\S+)")[1]
    assert local != remote
    pair.ping()
    pair.down()


def test_whatWeRefuse(join: Join) -> None:
    """
    The link comes up with a pppd that offers all of its compression, none of which we take.
    """
    pair = join(
        ["bsdcomp", "15", "deflate", "15", "vj-max-slots", "16"], ["novj", "nodeflate"]
    ).up()
    text = pair.first.text
    assert "<compress VJ" in text.partition("rcvd [IPCP ConfRej")[2].partition("\n")[0]
    assert re.search(r"rcvd \[LCP ProtRej.* 80 fd|rcvd \[CCP (ConfRej|TermReq)", text)
    pair.ping()
    pair.down()


@pytest.mark.parametrize("silent", ["first", "second"])
def test_silence(silent: str, join: Join) -> None:
    """
    Either end ends the link when the other one answers no more Echo-Requests.
    """
    failures = ["lcp-echo-failure", "3"]
    pair = join(failures, failures).up()
    stopped, left = (pair.first, pair.second)[:: 1 if silent == "first" else -1]
    for pid in _tree(stopped.pid):
        os.kill(pid, signal.SIGSTOP)
    left.waitFor("Echo-Requests unanswered|No response to 3 echo-requests")
    assert left.wait() in OVER


def _tree(pid: int) -> list[int]:
    """
    The process and its children.
    """
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, path.read_text().split())]


_HOOK = """\
#!/bin/sh
echo "$0 $*" >>{marker}
"""


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Path]:
    """
    Scripts that pppd runs, and the file in which each leaves a line.
    """
    marker = tmp_path / "ran"
    marker.touch()
    paths = [PPP / name for name in ("ip-pre-up", "ip-up", "ip-down", "auth-up", "auth-down")]
    for path in paths:
        path.write_text(_HOOK.format(marker=marker))
        path.chmod(0o755)
    yield marker
    for path in paths:
        path.unlink()


def ran(marker: Path, name: str) -> None:
    """
    Wait until a script has run.
    """
    deadline = time.monotonic() + 20
    while f"/{name} " not in marker.read_text():
        assert time.monotonic() < deadline, f"{name} didn't run: {marker.read_text()}"
        time.sleep(0.05)


def test_scriptsOfAddresses(join: Join, hooks: Path) -> None:
    """
    C{script-run}: pppd runs its scripts when the link comes up and goes down.
    """
    pair = join().up()
    ran(hooks, "ip-pre-up")
    ran(hooks, "ip-up")
    pair.down()
    ran(hooks, "ip-down")


def test_scriptsOfAuthentication(join: Join, hooks: Path) -> None:
    secrets()
    pair = join([*SERVER, "require-pap"], [*CLIENT, "s3cret"]).up()
    ran(hooks, "auth-up")
    pair.down()
    ran(hooks, "auth-down")

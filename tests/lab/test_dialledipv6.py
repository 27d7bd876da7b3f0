"""
Tests for IPv6 on calls that our gateway dials: Debian's pptpd and pppd answer, radvd advertises and
WIDE's dhcp6s delegates a prefix; and our own gateway does all of that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pptpgw.networks.ipv6.port import machineUUID
from pptpgw.networks.ipv6.wire.dhcpv6 import makeDUID
from tests.lab.peers import GATEWAY_ADDRESS, Host, Namespace, Network, Process
from tests.lab.pptpd import PPTPD
from tests.lab.server import ALICE, Gateway

RADVD = """\
interface ppp0 {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvOtherConfigFlag on;
    prefix 2001:db8:5::/64 { AdvOnLink off; AdvAutonomous on; };
    RDNSS 2001:db8::54 { };
};
"""
DHCP6S = """\
option domain-name-servers 2001:db8::53;
interface ppp0 { };
host south { duid %s; prefix 2001:db8:100::/56 3600 7200; };
"""
SECONDS = 30


class Site:
    """
    A gateway that dials, and one host on the network behind it.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        host.setIPv6(True)
        host.sysctl("net.ipv6.conf.all.forwarding=1")
        self.behind = Namespace("behind")
        self.behind.setIPv6(True)
        host.ip("link add lan type veth peer name eth0 netns behind", "link set lan up")
        self.behind.ip("link set eth0 up")

    def dial(self, folder: Path, path: str) -> Gateway:
        """
        Start the gateway, which dials.
        """
        folder.mkdir()
        password = folder / "password"
        password.touch(0o600)
        password.write_text(ALICE[1])
        dial: dict[str, object] = {
            "name": "north",
            "tunnel": "pptp",
            "addresses": [GATEWAY_ADDRESS],
            "user": ALICE[0],
            "password-file": str(password),
            "networks": ["ipv4", "ipv6"],
            "prefix-to": ["lan"],
            "routes": ["::/0"],
        }
        sections: dict[str, dict[str, object]] = {
            "network": {"protocols": ["ipv4", "ipv6"]},
            "ipv4": {"local": "10.79.0.1", "pool": []},
            "ipv6": {"prefixes": ["fc00:0:9::/48"], "delegate": ["fc00:9::/36"]},
            "datapath": {"path": path},
            "[dial]": dial,
        }
        return Gateway(self.host, folder, sections)

    def addressOf(self, device: str, begin: str) -> str:
        """
        Wait until a device has an address that begins so, and return it.
        """
        deadline = time.monotonic() + SECONDS
        while True:
            for link in self.host.show("-6", "addr", "show", "dev", device):
                text = json.dumps(link)
                for one in link.get("addr_info", ()):  # type: ignore[attr-defined]
                    if one["local"].startswith(begin):
                        return f"{one['local']}/{one['prefixlen']}"
            assert time.monotonic() < deadline, text
            time.sleep(0.1)

    def reach(self, address: str, part: str) -> None:
        """
        Reach C{address} from the host behind, which makes itself an address of C{part}.
        """
        router = part.partition("/")[0]
        own = router.removesuffix("1") + "2"
        self.behind.ip(f"addr add {own}/64 dev eth0 nodad", f"route add default via {router}")
        self.behind.ping(address)

    def left(self) -> list[str]:
        """
        The addresses and routes of the prefix that the machine still has.
        """
        found = [*self.host.show("-6", "addr"), *self.host.show("-6", "route")]
        return [text for one in found if "2001:db8:1" in (text := json.dumps(one))]

    def close(self) -> None:
        self.host.ip("link del lan")
        self.host.run("ip", "netns", "del", "behind")


@pytest.fixture
def site(network: Network) -> Iterator[Site]:
    one = Site(network.host())
    yield one
    one.close()


@pytest.mark.parametrize("path", ["python", "native"], indirect=True)
def test_pppd(network: Network, site: Site, tmp_path: Path, path: str) -> None:
    """
    What radvd advertises and dhcp6s delegates is used: the network behind us gets its part, and
    reaches the other end by it. The prefix is given back in the end, and leaves nothing.
    """
    gateway = network.gateway
    gateway.setIPv6(True)
    gateway.sysctl("net.ipv6.conf.all.forwarding=1")
    options = ("require-mschap-v2", "require-mppe-128", "+ipv6")
    server = PPTPD(gateway, tmp_path / "pptpd", options)
    dialler = site.dial(tmp_path / "south", path)
    programs = []
    state = tmp_path / "state"
    state.mkdir()
    try:
        deadline = time.monotonic() + SECONDS
        while "remote LL address" not in server.said:
            assert time.monotonic() < deadline, server.said
            time.sleep(0.1)
        gateway.ip(
            "addr add 2001:db8:5::1/64 dev ppp0 nodad",
            "route add 2001:db8:100::/56 dev ppp0",
        )
        duid = makeDUID(machineUUID("dial north")).hex(":")
        for name, text, words in (
            ("radvd", RADVD, ("radvd", "-n", "-d", "3", "-m", "stderr", "-p", f"{tmp_path}/pid")),
            ("dhcp6s", DHCP6S % duid, ("dhcp6s", "-f", "-D", "-P", f"{tmp_path}/dhcp6s.pid")),
        ):
            conf = tmp_path / f"{name}.conf"
            conf.write_text(text)
            option = "-C" if name == "radvd" else "-c"
            tail = () if name == "radvd" else ("ppp0",)
            # dhcp6s keeps its own DUID there.
            script = f'mount --bind {state} /var/lib/dhcpv6 && exec "$@"'
            apart = ("unshare", "--mount", "sh", "-c", script, "sh")
            command = gateway.command(*apart, *words, option, str(conf), *tail)
            programs.append(Process(command, tmp_path / f"{name}.log"))
        part = site.addressOf("lan", "2001:db8:100:")
        assert part == "2001:db8:100::1/64"
        assert site.addressOf("pptp0", "2001:db8:5:").endswith("/128")
        site.reach("2001:db8:5::1", part)
        dialler.shutDown()
        programs[1].waitFor("(?i)release")
        assert not site.left()
    finally:
        for program in programs:
            program.stop()
        server.end()
        gateway.setIPv6(False)

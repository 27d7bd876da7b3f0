"""
Tests for DHCPv6 with real clients: WIDE's dhcp6c and dhcpcd.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from tests.lab.peers import INSIDE_ADDRESS6, Host, Namespace, Network, Process, run
from tests.lab.server import ALICE, BOTH, StartGateway

LINKS = IPv6Network("fc00:0:1::/48")
DELEGATED = IPv6Network("fc00:1::/36")
NAME_SERVER = "fc00:0:ff::53"

DHCP6C = """\
interface %(device)s {
    send ia-na 0, ia-pd 1;
    %(option)s
    request domain-name-servers, domain-name;
    script "%(script)s";
};
id-assoc na 0 { };
id-assoc pd 1 {
    prefix-interface lan { sla-id 1; sla-len 8; };
};
"""

STATELESS = """\
interface %(device)s {
    information-only;
    request domain-name-servers, domain-name;
    script "%(script)s";
};
"""

DHCPCD = """\
allowinterfaces %(device)s lan
ipv6only
noipv6rs
nodev
script %(script)s
option dhcp6_name_servers
interface %(device)s
    ia_na 0
    ia_pd 1/::/56 lan/1
"""

SCRIPT = """\
#!/bin/sh
env >>%s
"""


class Router:
    """
    A caller with a network behind it, in which there is one host.

    @ivar site: that host.
    @ivar told: a file with what DHCPv6 clients told their scripts.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.site = Namespace(f"site-{host.name}")
        self.site.setIPv6(True)
        host.sysctl("net.ipv6.conf.all.forwarding=1")
        host.ip(f"link add lan type veth peer name eth0 netns {self.site.name}", "link set lan up")
        self.site.ip("link set eth0 up")
        self.folder = host.runFolder
        for name in ("dhcpv6", "dhcpcd"):
            (self.folder / name).mkdir(exist_ok=True)
        self.told = self.folder / "told"
        self.told.unlink(missing_ok=True)
        self._script = self.folder / "script"
        self._script.write_text(SCRIPT % self.told)
        self._script.chmod(0o755)
        self.dial()

    def remove(self) -> None:
        """
        End the router's programs, and remove the network behind it.
        """
        self.host.kill()
        self.host.ip("link del lan")
        self.host.sysctl("net.ipv6.conf.all.forwarding=0")
        run("ip", "netns", "del", self.site.name)

    def dial(self) -> None:
        """
        Call the gateway.
        """
        self.caller = self.host.call(*ALICE, "require-mppe-128", "+ipv6", "defaultroute6")

    def client(self, configuration: str, *command: str, option: str = "") -> Process:
        """
        Run a DHCPv6 client once IPv6 is up. Its argument is its configuration file, and its other
        files are this host's own.
        """
        self.caller.up().waitFor("remote LL address")
        device = self.caller.interface
        path = self.folder / f"{command[0]}.conf"
        path.write_text(
            configuration % {"device": device, "option": option, "script": self._script}
        )
        mounted = "".join(
            f"mount --bind {self.folder / name} /var/lib/{name} && "
            for name in ("dhcpv6", "dhcpcd")
        )
        whole = ["unshare", "--mount", "sh", "-c", f'{mounted}exec "$@"', "sh", *command]
        log = self.folder / f"{command[0]}-{len(Process.logs)}.log"
        return Process(self.host.command(*whole, str(path), device), log)

    def dhcp6c(self, configuration: str = DHCP6C, option: str = "") -> Process:
        pid = str(self.folder / "dhcp6c.pid")
        return self.client(configuration, "dhcp6c", "-f", "-D", "-p", pid, "-c", option=option)

    def dhcpcd(self) -> Process:
        return self.client(DHCPCD, "dhcpcd", "-B", "-d", "-f")

    def has(self, device: str, network: IPv6Network) -> IPv6Interface:
        """
        Wait until C{device} has an address in C{network}.
        """
        deadline = time.monotonic() + 20
        while True:
            for address in self.addresses(device):
                if address in network:
                    return address
            assert time.monotonic() < deadline, f"no address of {network} on {device}"
            time.sleep(0.1)

    def addresses(self, device: str) -> list[IPv6Interface]:
        """
        The global addresses of C{device}.
        """
        shown = run("ip", "-n", self.host.name, "-6", "-o", "addr", "show", "dev", device)
        words = (line.split() for line in shown.splitlines() if "scope global" in line)
        return [IPv6Interface(line[line.index("inet6") + 1]) for line in words]

    def settle(self, subnet: IPv6Interface) -> IPv6Address:
        """
        Give the host behind this router an address in the delegated network.

        @param subnet: the router's own address in it.
        """
        address = subnet.network[0x99]
        self.site.ip(
            "addr flush dev eth0 scope global",
            f"addr add {address}/64 dev eth0",
            f"route replace default via {subnet.ip}",
        )
        return address


CallRouters = Callable[[int], list[Router]]


@pytest.fixture
def callRouters(ipv6: Network, startGateway: StartGateway) -> Iterator[CallRouters]:
    """
    A function that makes routers, which call a gateway.
    """
    startGateway(
        network={"protocols": ["ipv4", "ipv6"]},
        ipv6={"dns": [NAME_SERVER], "search": ["lab.example"]},
    )
    routers: list[Router] = []

    def call(count: int) -> list[Router]:
        routers.extend(map(Router, ipv6.hosts(count)))
        return routers

    yield call
    for router in routers:
        router.remove()


@BOTH
def test_delegation(ipv6: Network, callRouters: CallRouters) -> None:
    """
    Three routers, dhcp6c with four messages and with two (rapid commit) and dhcpcd, each get an
    address and a prefix of their own. Hosts in the prefixes and the host behind the gateway reach
    each other, after a renewal too, until a prefix is released.
    """
    one, two, three = routers = callRouters(3)
    clients = [one.dhcp6c(), two.dhcp6c(option="send rapid-commit;"), three.dhcpcd()]
    links = [router.has(router.caller.interface, LINKS) for router in routers]
    subnets = [router.has("lan", DELEGATED) for router in routers]
    assert len({link.ip.packed[:8] for link in links}) == 3
    assert len({subnet.ip.packed[:7] for subnet in subnets}) == 3
    clients[0].waitFor("receive advertise")
    assert "receive advertise" not in clients[1].text
    hosts = [router.settle(subnet) for router, subnet in zip(routers, subnets, strict=True)]
    for router, link, host in zip(routers, links, hosts, strict=True):
        ipv6.inside.ping(str(link.ip), count=1)
        ipv6.inside.ping(str(host), count=2)
        router.site.ping(INSIDE_ADDRESS6, count=1)
    one.site.ping(str(hosts[2]), count=2)
    for router in (one, two):
        assert f"new_domain_name_servers={NAME_SERVER} " in router.told.read_text()
        assert "new_domain_name=lab.example. " in router.told.read_text()

    three.host.run("dhcpcd", "--renew", three.caller.interface)
    clients[2].waitFor("broadcasting RENEW6(.|\n)*REPLY6 received")
    three.site.ping(INSIDE_ADDRESS6, count=1)

    assert clients[0].stop() == 0
    assert clients[0].text.count("status code: success") == 4
    assert one.addresses("lan") == []
    one.host.ip(f"addr add {subnets[0]} dev lan")
    one.host.ping(str(hosts[0]))
    assert not ipv6.inside.reaches(str(hosts[0]))
    assert not one.site.reaches(INSIDE_ADDRESS6)
    ipv6.inside.ping(str(hosts[1]))
    two.site.ping(INSIDE_ADDRESS6)


def test_reconnect(ipv6: Network, callRouters: CallRouters) -> None:
    """
    A stateless client gets the name servers. A router that asks for the leases of its former call
    is given new ones at once.
    """
    (one,) = callRouters(1)
    stateless = one.dhcp6c(STATELESS)
    stateless.waitFor("got an expected reply")
    assert f"new_domain_name_servers={NAME_SERVER} " in one.told.read_text()
    assert one.addresses(one.caller.interface) == []
    stateless.stop()
    client = one.dhcpcd()
    before = one.has("lan", DELEGATED)
    one.caller.hangUp()
    client.wait()
    one.dial()
    client = one.dhcpcd()
    client.waitFor("broadcasting REBIND6")
    after = one.has("lan", DELEGATED)
    assert "REPLY: no binding" in client.text
    assert after.network != before.network
    ipv6.inside.ping(str(one.settle(after)))

"""
Two sites, each with a gateway of ours and a host behind it, and a wire between the gateways.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.integration.world import Served, World, devices
from tests.lab.peers import Namespace, run
from tests.lab.server import toml

NORTH = "203.0.113.1"
"""
The address of the northern gateway, which answers, on the wire.
"""

SOUTH = "203.0.113.2"
"""
The address of the southern gateway, which dials.
"""

INSIDE = {"north": "10.1.0.2", "south": "10.2.0.2"}
"""
The addresses of the hosts behind them.
"""


class Sites:
    """
    The four namespaces, and the gateways that were started.

    @ivar north: the namespace of the gateway that answers.
    @ivar south: that of the gateway that dials.
    @ivar hosts: those of the hosts behind them, by the names of the sites.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.north, self.south = world.namespace("n"), world.namespace("s")
        self.hosts: dict[str, Namespace] = {}
        self.started: list[Served] = []
        self.north.ip(
            f"link add wire type veth peer name wire netns {self.south.name}",
            f"addr add {NORTH}/24 dev wire",
            "link set wire up",
        )
        self.south.ip(f"addr add {SOUTH}/24 dev wire", "link set wire up")
        for number, (name, gateway) in enumerate(
            {"north": self.north, "south": self.south}.items()
        ):
            host = self.hosts[name] = world.namespace("h")
            own = f"10.{number + 1}.0.1"
            gateway.ip(
                f"link add lan type veth peer name eth0 netns {host.name}",
                f"addr add {own}/24 dev lan",
                "link set lan up",
            )
            host.ip(
                f"addr add {INSIDE[name]}/24 dev eth0",
                "link set eth0 up",
                f"route add default via {own}",
            )
            gateway.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    def write(self, name: str, text: str) -> Path:
        """
        Write a file that only its owner may read.
        """
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        return path

    def answer(self, **sections: Any) -> Served:
        """
        Start the northern gateway, which has an account for the southern one.
        """
        folder = self.folder / "answering"
        folder.mkdir(exist_ok=True)
        path = folder / "accounts.toml"
        accounts = {"store": f"sqlite:{folder / 'accounts'}", "key": str(folder / "key")}
        path.write_text(toml({"accounts": accounts}))
        if not (folder / "accounts").exists():
            words = ("user", "add", "south", "--stdin", "-c", str(path), "--routes", "10.2.0.0/24")
            run(sys.executable, "-m", "pptpgw.command", *words, stdin="south wind\n")
        given = {"accounts": accounts, **sections}
        return self._start(folder, self.north, given, "accounts")

    def dial(self, dial: Mapping[str, object], **sections: Any) -> Served:
        """
        Start the southern gateway.

        @param dial: the keys of its C{[[dial]]} that differ from those of a call by PPTP.
        """
        secret = self.write("password", "south wind\n")
        keys = {
            "name": "north",
            "tunnel": "pptp",
            "addresses": [NORTH],
            "user": "south",
            "password-file": str(secret),
            "retry-min": 1,
            "routes": ["10.1.0.0/24"],
            **dial,
        }
        given = {
            "listen": {"tunnels": []},
            "ipv4": {"local": "10.78.0.1", "pool": []},
            **sections,
            "[dial]": keys,
        }
        folder = self.folder / "dialling"
        folder.mkdir(exist_ok=True)
        return self._start(folder, self.south, given)

    def _start(
        self,
        folder: Path,
        namespace: Namespace,
        sections: Mapping[str, Any],
        auth: str | None = None,
    ) -> Served:
        host: Any = SimpleNamespace(gateway=namespace)
        self.started.append(Served(host, folder, dict(sections), auth))
        return self.started[-1]

    def remove(self) -> None:
        """
        Stop the gateways, which must end in order and leave nothing behind.
        """
        for one in self.started:
            if one.running:
                assert one.interrupt() == 0, one.text
            assert "Traceback" not in one.text, one.text
        for namespace in (self.north, self.south):
            assert not [one for one in devices(namespace) if str(one[1]).startswith("pptp")]
        self.north.ip("link del wire")
        for namespace in (self.north, self.south):
            namespace.ip("link del lan")

    def ping(self, source: str = "south", *options: str) -> str:
        """
        Have the host of one site ping the host of the other one.
        """
        (other,) = INSIDE.keys() - {source}
        return self.hosts[source].run(
            "ping", "-c", "3", "-i", "0.1", "-W", "2", *options, INSIDE[other]
        )

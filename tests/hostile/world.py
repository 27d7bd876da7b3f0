"""
A gateway that serves every network protocol at once, in memory.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Sequence
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.build import networkFactories
from pptpgw.interfaces import INetwork, INetworkFactory
from pptpgw.networks.ethernet.plugin import BridgeNetwork
from pptpgw.testing import CALLER, GREWorld, makeEnvironment
from pptpgw.tunnels.pptp.callid import CallIDs
from tests.chapsecrets import secretsIn
from tests.hostile.wire import Kernel
from tests.logged import loggedFailures
from tests.networks.tap import MemoryTAP

SERVER = CALLER.called
MRU = 1520
CONFIGURATION = """
[network]
protocols = ["ipv4", "ipv6", "bridge", "mpls", "ipx", "appletalk", "netbios", "osi", "decnet",
    "vines", "xns"]

[[network.generic]]
name = "controller"
control = 0x80c3
data = [0x00c3, 0x02c3]
options = { 1 = "accept", 2 = { fixed = "0a 00 00 01" } }

[ipv6]
dns = ["2001:db8::53"]
search = ["example.net"]
delegate = ["fc00:1::/52"]

[bridge]
spanning-tree = true
addresses = 96
addresses-per-session = 16

[mpls]
routes = ["100 as 200 via 10.77.1.2", "101 as 201 via 10.77.1.1"]
"""

USERS = {b"alice": b"open sesame", b"bob": b"builder", b"mallory": b"malice", b"eve": b"drops"}
SECRETS = """
alice * "open sesame" 10.77.1.1
bob * builder 10.77.1.2
mallory * malice *
eve * drops *
"""


@cache
def chosen() -> dict[str, tuple[INetworkFactory, Any]]:
    """
    The factories of all network protocols, and their sections of L{CONFIGURATION}.
    """
    environment = makeEnvironment(CONFIGURATION)
    return {
        name: (one, environment.settings(one))
        for name, one in networkFactories(environment).items()
    }


@cache
def checker() -> ChapSecretsChecker:
    """
    Return a checker that knows L{USERS}.
    """
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return ChapSecretsChecker(secretsIn(folder.name, SECRETS))


class World(GREWorld):
    """
    A gateway with all network protocols, its clock and its network.

    @ivar networks: its networks by name.
    @ivar kernel: its TUN device, and what is behind it.
    @ivar device: its TAP device.
    @ivar callers: how many addresses L{address} has given.
    """

    networks: dict[str, Any]

    def __init__(
        self,
        encryption: Any = "require",
        more: Sequence[INetwork] = (),
        observers: Iterable[Any] = (),
        **options: Any,
    ) -> None:
        self.encryption = encryption
        self.device = MemoryTAP(keep=1000)
        self.callers = 0
        self._more = {f"more{place}": one for place, one in enumerate(more)}
        self._logging = loggedFailures()
        self.failures = self._logging.__enter__()
        settings = {"methods": (MSCHAPV2,), "encryption": encryption, "echoFailures": 0}
        text = f"[link]\nmru = {MRU}"
        super().__init__(text, [checker()], observers, **(settings | options))
        self.networks = {name: self.networks[name] for name in chosen()}
        self.counters = self.environment.counters

    def makeNetworks(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, (factory, section) in chosen().items():
            if name == "bridge":
                made[name] = BridgeNetwork(section, self.environment, self.device)
            else:
                made[name] = factory.makeNetwork(section, self.environment)
        return made | self._more

    def makeTUN(self) -> Kernel:
        self.kernel = Kernel(self.clock)
        return self.kernel

    def makeCallIDs(self) -> CallIDs:
        return CallIDs(self.clock, rest=0)

    def address(self) -> str:
        """
        Return the address of another caller.
        """
        self.callers += 1
        return f"198.51.{self.callers >> 8}.{self.callers & 0xFF}"

    def assertNoFailure(self) -> None:
        """
        Check that nothing was logged as a failure.
        """
        tracebacks = [failure.getTraceback() for failure in self.failures]
        self.failures.clear()
        assert not tracebacks, "\n".join(tracebacks)

    def stop(self) -> None:
        """
        Stop the networks, and remove the log observer.
        """
        for network in self.networks.values():
            network.stop()
        self._logging.__exit__(None, None, None)

"""
A gateway that serves every network protocol at once, in memory.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Sequence
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.build import networkFactories
from pptpgw.config.configuration import parse
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.gateway import Gateway
from pptpgw.interfaces import INetwork, INetworkFactory
from pptpgw.networks.ethernet.plugin import BridgeNetwork
from pptpgw.ppp.settings import LinkSettings
from pptpgw.testing import DELAY, makeEnvironment
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channel import GREChannels
from tests.gre import MemoryGRE, Wire
from tests.hostile.wire import Device, Kernel

SERVER = "192.0.2.1"
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
    configuration = parse(CONFIGURATION, "x.toml")
    factories = networkFactories(configuration)
    return {name: (one, configuration.section(one)) for name, one in factories.items()}


@cache
def checker() -> ChapSecretsChecker:
    """
    Return a checker that knows L{USERS}.
    """
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    secrets = FilePath(folder.name).child("chap-secrets")
    secrets.setContent(SECRETS.encode())
    secrets.chmod(0o600)
    return ChapSecretsChecker(secrets)


@implementer(ILogObserver)
class Failures:
    """
    A log observer that keeps the failures that were logged.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.failures.append(event["log_failure"].getTraceback())


class World:
    """
    A gateway with all network protocols, its clock and its network.

    @ivar networks: its networks by name.
    @ivar callers: how many addresses L{address} has given.
    """

    def __init__(
        self,
        encryption: Any = "require",
        more: Sequence[INetwork] = (),
        observers: Iterable[Any] = (),
        **options: Any,
    ) -> None:
        self.clock = clock = Clock()
        self.wire = Wire(clock)
        self.kernel = Kernel(clock)
        self.device = Device()
        self.counters = Counters()
        self.callIDs = CallIDs(clock, rest=0)
        self.encryption = encryption
        self.observer = Failures()
        globalLogPublisher.addObserver(self.observer)
        environment = makeEnvironment(f"[link]\nmru = {MRU}", clock, self.counters)
        self.networks: dict[str, Any] = {}
        for name, (factory, section) in chosen().items():
            if name == "bridge":
                self.networks[name] = BridgeNetwork(section, environment, self.device)
            else:
                self.networks[name] = factory.makeNetwork(section, environment)
        gre = MemoryGRE(self.wire, SERVER)
        self.channels = GREChannels(lambda address: gre)
        self.dataPath = PythonDataPath(clock, self.kernel)
        self.gateway = Gateway(
            clock,
            LinkSettings(
                methods=(MSCHAPV2,),
                encryption=encryption,
                mru=MRU,
                **{"echoFailures": 0, **options},
            ),
            {**self.networks, **{f"more{place}": one for place, one in enumerate(more)}},
            self.dataPath,
            Authenticator(Portal(SubscriberRealm(), [checker()])),
            observers,
        )
        for network in self.networks.values():
            network.start()
        self.callers = 0

    def run(self, seconds: float, step: float = DELAY) -> None:
        """
        Advance the clock by C{seconds}, in small steps.
        """
        for _ in range(max(1, round(seconds / step))):
            self.clock.advance(step)

    def rest(self, seconds: float) -> None:
        """
        Advance the clock in larger steps, for times in which nothing is urgent.
        """
        self.run(seconds, 0.1)

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
        failures, self.observer.failures = self.observer.failures, []
        assert not failures, "\n".join(failures)

    def stop(self) -> None:
        """
        Stop the networks, and remove the log observer.
        """
        for network in self.networks.values():
            network.stop()
        globalLogPublisher.removeObserver(self.observer)

"""
Networks of a third party's that can't be started, or stopped.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config import parse
from pptpgw.counters import Counters
from pptpgw.interfaces import IDataPath, INetwork, ISubscriber
from pptpgw.service import GatewayService
from tests.hostile.world import checker


class Fault(Exception):
    """
    What the networks here raise.
    """


@implementer(INetwork)
class FaultyNetwork:
    """
    A network that raises where it is told to.

    @ivar stops: how often it was stopped.
    """

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.stops = 0

    def start(self) -> None:
        if self.at == "start":
            raise Fault

    def stop(self) -> None:
        self.stops += 1
        if self.at == "stop":
            raise Fault

    def makeProtocol(self, subscriber: ISubscriber) -> Deferred[Any]:
        return succeed(None)

    def release(self, protocol: object) -> None: ...


@implementer(IDataPath)
class NoDataPath:
    """
    A data path that opens nothing.
    """

    counters = Counters()
    interface = None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def openChannel(self, tunnel: object, owner: object) -> Any:
        raise Fault("nobody calls")


@pytest.mark.parametrize("at", ("start", "stop"))
def test_aNetworkThatDoesNotStartOrStop(at: str, loggedFailures: list[Failure]) -> None:
    """
    Those beside it are stopped all the same.
    """
    portal = Portal(SubscriberRealm(), [checker()])
    configuration = parse('[network]\nprotocols = ["ipx"]', "x.toml")
    service = GatewayService(MemoryReactorClock(), configuration, portal)
    first, faulty, last = FaultyNetwork(), FaultyNetwork(at), FaultyNetwork()
    service.networks = {"first": first, "faulty": faulty, "last": last}
    service.dataPath = NoDataPath()
    if at == "start":
        with pytest.raises(Fault):
            service.privilegedStartService()
        assert not loggedFailures
    else:
        service.privilegedStartService()
        service.stopService()
        (failure,) = loggedFailures
        assert failure.check(Fault)
        loggedFailures.clear()
    assert [one.stops for one in (first, faulty, last)] == [1, 1, 1]

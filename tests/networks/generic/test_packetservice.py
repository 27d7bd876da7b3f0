"""
Tests for L{pptpgw.networks.generic.packetservice}.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IPacketService, IPacketSession
from pptpgw.networks.generic import packetservice
from pptpgw.networks.generic.declaration import Destination
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.testing import makeEnvironment
from tests.networks.generic.ends import declare, opened


@implementer(IPacketService)
class Echo:
    """
    A service that returns every packet reversed, and raises where it is told to.
    """

    def __init__(self, reactor: object) -> None:
        self.reactor = reactor
        self.told: list[object] = []
        self.sessions: list[IPacketSession] = []

    def sessionOpened(self, session: IPacketSession) -> None:
        self.sessions.append(session)
        self.told.append(("opened", session.subscriber.name, session.mtu))

    def packetReceived(self, session: IPacketSession, number: int, packet: bytes) -> None:
        if packet == b"fail":
            raise ValueError("the service's own fault")
        session.send(number, packet[::-1])

    def sessionClosed(self, session: IPacketSession) -> None:
        self.told.append(("closed", session.subscriber.name, session.mtu))
        session.send(0x00C3, b"too late")


echo = Echo(None)
notAService = object()


class InName:
    """
    A class that claims to provide the interface and lacks all of its methods.
    """


inName = InName()
directlyProvides(inName, IPacketService)


def fails(reactor: object) -> object:
    raise RuntimeError("no database")


HERE = "tests.networks.generic.test_packetservice"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """
    Forget what the service object was told.
    """
    imported().told.clear()
    yield


def imported() -> Echo:
    """
    The object that its dotted name leads to, wherever the tests were imported from.
    """
    from twisted.python.reflect import namedAny

    found: Echo = namedAny(f"{HERE}.echo")
    return found


def made(name: str, *data: int) -> tuple[GenericNetwork, Counters]:
    """
    A started network that leads to the object C{name}, and its counters.
    """
    counters = Counters()
    environment = makeEnvironment(counters=counters)
    network = GenericNetwork(declare(*data, to=Destination("object", name)), environment)
    network.start()
    return network, counters


def test_sessions() -> None:
    """
    The object is told of each session, gets its packets and answers them.
    """
    network, _ = made(f"{HERE}.echo", 0x00C3, 0x02C3)
    alice, bob = opened(network, "alice"), opened(network, "bob")
    alice.deliver(b"abc", 0x02C3)
    bob.deliver(b"def")
    assert alice.packets == [(0x02C3, b"cba")]
    assert bob.packets == [(0x00C3, b"fed")]
    alice.terminate()
    assert imported().told == [
        ("opened", "alice", 1400),
        ("opened", "bob", 1400),
        ("closed", "alice", 0),
    ]
    assert alice.packets == [(0x02C3, b"cba")]


def test_session() -> None:
    """
    The session that the object is given provides the interface.
    """
    network, _ = made(f"{HERE}.echo")
    opened(network)
    assert verifyObject(IPacketSession, imported().sessions[-1])


def test_aFactory() -> None:
    """
    A callable is called with the reactor and makes the object.
    """
    outlets = packetservice.ServiceObject(
        declare(to=Destination("object", f"{HERE}.Echo")), "the reactor", Counters()
    )
    outlets.start()
    assert outlets.service.reactor == "the reactor"


def test_whatItRaisesGoesNoFurther(loggedFailures: list[Failure]) -> None:
    """
    An exception of the object is logged and counted, and the next packet is still delivered.
    """
    network, counters = made(f"{HERE}.echo")
    session = opened(network)
    session.deliver(b"fail")
    session.deliver(b"ok")
    assert session.packets == [(0x00C3, b"ko")]
    assert counters.discards == {packetservice.FAILED: 1}
    assert [failure.getErrorMessage() for failure in loggedFailures] == ["the service's own fault"]
    loggedFailures.clear()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_package.thing", "no_such_package"),
        (f"{HERE}.nothing", "nothing"),
        (f"{HERE}.notAService", "declaratively implement"),
        (f"{HERE}.inName", "packetReceived"),
        (f"{HERE}.fails", "RuntimeError: no database"),
    ],
)
def test_whatIsNoService(name: str, why: str) -> None:
    """
    An error at the start names the declaration, the object and the fault.
    """
    with pytest.raises(ConfigurationError) as caught:
        made(name)
    text = str(caught.value)
    assert text.startswith(f'[[network.generic]] "controller": to = "object:{name}": ')
    assert why in text
    assert text.endswith("IPacketService, or a callable that makes one of the reactor")

"""
Tests for L{pptpgw.networks.generic.plugin} and L{pptpgw.networks.generic.shipped}.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.config import discovery
from pptpgw.interfaces import INetwork, INetworkFactory, INetworkProtocol
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericProtocol
from pptpgw.networks.generic.declaration import Destination, Rule
from pptpgw.networks.generic.plugin import Generic, GenericFactory, GenericNetwork, Values
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, makeEnvironment
from tests.networks.generic.ends import declare, opened


def protocols(network: GenericNetwork, count: int) -> list[GenericProtocol | None]:
    """
    The protocols of C{count} sessions.
    """
    made: list[GenericProtocol | None] = []
    for number in range(count):
        network.makeProtocol(Profile(f"user{number}"), CALLER).addCallback(made.append)
    return made


class TestValues:
    def test_eachItsOwn(self) -> None:
        """
        Each value is given once, in turn, until none is left. A value that comes back is given
        after those that were never used.
        """
        values = Values(b"\x00\xfe", b"\x01\x02")
        given = [values.allocate() for _ in range(3)]
        assert given == [b"\x00\xfe", b"\x00\xff", b"\x01\x00"]
        values.release(b"\x00\xfe")
        assert [values.allocate() for _ in range(4)] == [
            b"\x01\x01",
            b"\x01\x02",
            b"\x00\xfe",
            None,
        ]

    @given(st.lists(st.booleans(), max_size=60))
    def test_neverTwice(self, steps: list[bool]) -> None:
        """
        No value is given twice at a time, in whatever order values are given and released.
        """
        values = Values(b"\x00", b"\x07")
        used: list[bytes] = []
        for step in steps:
            if step:
                value = values.allocate()
                assert (value is None) == (len(used) == 8)
                if value is not None:
                    assert value not in used
                    used.append(value)
            elif used:
                values.release(used.pop(0))


class TestNetwork:
    def test_interface(self) -> None:
        """
        The network provides L{INetwork}, and its protocols provide L{INetworkProtocol}.
        """
        network = GenericNetwork(declare(), makeEnvironment())
        assert verifyObject(INetwork, network)
        (protocol,) = protocols(network, 1)
        assert verifyObject(INetworkProtocol, protocol)

    def test_assigned(self) -> None:
        """
        Each session has its own AppleTalk node, which is free when the session ends. A session goes
        without the protocol when no node is left.
        """
        network = GenericNetwork(shipped()["appletalk"], makeEnvironment())
        made = protocols(network, 254)
        assert made[253] is None
        nodes = []
        for protocol in made[:253]:
            assert protocol is not None
            nodes.append(protocol.settings.assigned[1])
        assert nodes == [bytes((0, 0xFF, 0, node)) for node in range(1, 254)]
        assert made[7] is not None
        network.release(made[7])
        (again,) = protocols(network, 1)
        assert again is not None
        assert again.settings.assigned == {1: nodes[7]}

    def test_allOrNothing(self) -> None:
        """
        A session that can't have one of two assigned values doesn't keep the other.
        """
        rules = {1: Rule(assign=(b"\x01", b"\x09")), 2: Rule(assign=(b"\x01", b"\x01"))}
        network = GenericNetwork(replace(declare(), options=rules), makeEnvironment())
        first, second = protocols(network, 2)
        assert first is not None
        assert first.settings.assigned == {1: b"\x01", 2: b"\x01"}
        assert second is None
        network.release(first)
        assert [one is None for one in protocols(network, 2)] == [False, True]

    def test_mtu(self) -> None:
        """
        Packets are no larger than the configuration permits.
        """
        session = opened(GenericNetwork(declare(), makeEnvironment("[link]\nmru = 1200")))
        assert session.attachments[0x00C3].mtu == 1200


class TestFactory:
    def test_interface(self) -> None:
        """
        A factory has the name of its declaration, and makes its network.
        """
        factory = GenericFactory(declare(to=Destination("udp", "192.0.2.1", 9)))
        assert verifyObject(INetworkFactory, factory)
        assert factory.name == "controller"
        assert factory.description == "declared, to udp:192.0.2.1:9"
        network = factory.makeNetwork(Generic(), makeEnvironment())
        assert network.declaration.name == "controller"

    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_shipped(self, name: str) -> None:
        """
        The shipped protocols are found like any plugin.
        """
        factory = discovery.find(INetworkFactory, name)
        assert factory.description == shipped()[name].description
        network = factory.makeNetwork(factory.settings(), makeEnvironment())
        assert verifyObject(INetwork, network)
        network.start()
        network.stop()
        network.stop()

"""
Tests for L{pptpgw.datapath.route}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.datapath.route import RouteTable

# Networks that differ in few bits, so that they overlap.
V4 = st.builds(
    lambda number, length: IPv4Network((number << 24 | number << 4, length), strict=False),
    st.integers(0, 15),
    st.sampled_from([0, 4, 6, 8, 24, 29, 31, 32]),
)
V6 = st.builds(
    lambda number, length: IPv6Network((number << 120 | number << 4, length), strict=False),
    st.integers(0, 15),
    st.sampled_from([0, 8, 64, 126, 128]),
)
NETWORK = st.one_of(V4, V6)


class TestRouteTable:
    """
    Tests that compare the table with a list that is searched whole.
    """

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), NETWORK, st.integers(1, 3)), max_size=30))
    def test_againstNaiveModel(
        self, steps: list[tuple[bool, IPv4Network | IPv6Network, int]]
    ) -> None:
        table: RouteTable[str] = RouteTable()
        # The claims to each network. The last one carries its traffic.
        model: dict[IPv4Network | IPv6Network, list[str]] = {}
        for add, network, number in steps:
            claims = model.setdefault(network, [])
            if str(number) in claims:
                claims.remove(str(number))
            if add:
                table.add(network, str(number))
                claims.append(str(number))
            else:
                table.remove(network, str(number))
        for number in range(16):
            for address in (
                IPv4Address(number << 24 | number << 4),
                IPv4Address(number << 24 | number << 4 | 1),
                IPv6Address(number << 120 | number << 4),
                IPv6Address(number << 120 | 5),
            ):
                matching = [network for network in model if model[network] and address in network]
                best = max(matching, key=lambda network: network.prefixlen, default=None)
                expected = None if best is None else model[best][-1]
                assert table.lookup(address.packed) == expected
                allowed = [] if best is None else model[best]
                for target in ("1", "2", "3"):
                    assert table.leadsTo(address.packed, target) == (target in allowed)

    @pytest.mark.parametrize("network", ["192.0.2.0/24", "192.0.2.1/32"])
    def test_anEarlierClaimCarriesAgain(self, network: str) -> None:
        """
        The newest of three claims to one network carries its traffic. Nothing is left when all are
        withdrawn.
        """
        table: RouteTable[str] = RouteTable()
        address = IPv4Address("192.0.2.1").packed
        for target in ("first", "second", "third"):
            table.add(IPv4Network(network), target)
        carrying = [table.lookup(address)]
        for target in ("second", "third", "first"):
            table.remove(IPv4Network(network), target)
            carrying.append(table.lookup(address))
        assert carrying == ["third", "third", "first", None]
        assert not table.exact

    def test_noAddress(self) -> None:
        table: RouteTable[int] = RouteTable()
        table.add(IPv4Network("0.0.0.0/0"), 1)
        assert table.lookup(b"") is None
        assert table.lookup(bytes(4)) == 1

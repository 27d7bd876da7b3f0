"""
Tests for the compression of packets by PPTP, with Debian's pppd and Linux' own Deflate at the other
end. Those on lines are in C{test_hdlc}.
"""

from __future__ import annotations

import re
from os import urandom
from pathlib import Path

import pytest

from tests.lab.lines import echoed
from tests.lab.peers import LOCAL_ADDRESS, Network
from tests.lab.server import ALICE, BOB, StartGateway

OFF = {"encryption": "off", "compression": ["deflate"]}
DEFLATE = ("nomppe", "deflate", "15", "nobsdcomp")
TEXT = Path(__file__).read_bytes() * 20


@pytest.mark.parametrize("path", ["python", "auto", "native"], indirect=True)
def test_deflate(network: Network, startGateway: StartGateway) -> None:
    """
    Calls are compressed whatever the data path is. One that isn't is carried beside them.
    """
    gateway = startGateway(link=OFF)
    hosts = network.hosts(2)
    caller = hosts[0].call(*ALICE, *DEFLATE).up()
    other = hosts[1].call(*BOB, "nomppe", "nodeflate", "nobsdcomp").up()
    caller.waitFor(r"Deflate \(15\) compression enabled")
    octets = TEXT + urandom(20_000)
    assert echoed(hosts[0], network.gateway, LOCAL_ADDRESS, octets) == octets
    assert echoed(hosts[1], network.gateway, LOCAL_ADDRESS, octets) == octets
    *_, figures = hosts[0].run("pppstats", "-c", "1", "-z", caller.interface).splitlines()
    for way in figures.split("|"):
        size, packets, _, incompressible, _ = map(float, way.split())
        assert size < len(TEXT) / 2 and packets > 20 and incompressible > 10
    caller.ping(count=5)
    other.ping(count=5)
    assert not re.search("Traceback", gateway.text)


def test_deflateOverABadWire(network: Network, startGateway: StartGateway) -> None:
    """
    After packets that were lost both ends begin anew, by Reset-Requests of either.
    """
    startGateway(link=OFF)
    host = network.host()
    caller = host.call(*ALICE, *DEFLATE).up()
    caller.waitFor(r"Deflate \(15\) compression enabled")
    host.impair("loss", "3%")
    assert echoed(host, network.gateway, LOCAL_ADDRESS, TEXT) == TEXT
    host.restore()
    assert caller.received("CCP ResetReq") and caller.sent("CCP ResetReq")
    caller.ping(LOCAL_ADDRESS, "-s", "1300", "-p", "00", count=20)


@pytest.mark.parametrize("encryption", ["require", "prefer"])
def test_neverWithMPPE(encryption: str, network: Network, startGateway: StartGateway) -> None:
    """
    Where MPPE may be used there is no other compression, though pppd asks for it first.
    """
    startGateway(link={**OFF, "encryption": encryption})
    caller = network.host().call(*ALICE, "deflate", "15", "require-mppe-128").up()
    assert "MPPE 128-bit stateless compression enabled" in caller.text
    assert "Deflate" not in caller.text
    caller.ping()

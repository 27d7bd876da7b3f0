"""
Tests for links with pppd that begin, or are framed, in unusual ways.
"""

import time

import pytest

from tests.lab.capture import COMPRESSED, LCP, Capture, Packet, frames
from tests.lab.peers import GATEWAY_ADDRESS, INSIDE_ADDRESS, LOCAL_ADDRESS, Network
from tests.lab.server import ALICE, BOTH, ShareGateway, StartGateway

ECHO_REQUEST, ECHO_REPLY = 9, 10


@BOTH
def test_withoutFieldCompression(network: Network, shareGateway: ShareGateway) -> None:
    """
    Every frame to a caller without field compression has its address, control and protocol fields.
    """
    shareGateway()
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    caller = host.call(*ALICE, "noaccomp", "nopcomp", "require-mppe-128").up()
    caller.ping()
    sent = [frame for frame in frames(capture.stop()) if frame.source == GATEWAY_ADDRESS]
    assert any(frame.protocol == COMPRESSED for frame in sent)
    assert {frame.compressed for frame in sent} == {(False, False)}


@BOTH
def test_withFieldCompression(network: Network, shareGateway: ShareGateway, path: str) -> None:
    """
    Frames are compressed for a caller with field compression, and LCP's never (RFC 1661 sections
    6.5 and 6.6). The kernel never leaves out address and control.
    """
    shareGateway()
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    host.call(*ALICE, "require-mppe-128").up().ping()
    sent = [frame for frame in frames(capture.stop()) if frame.source == GATEWAY_ADDRESS]
    packets = {frame.compressed for frame in sent if frame.protocol == COMPRESSED}
    assert packets == {(path != "kernel", True)}
    assert {frame.compressed for frame in sent if frame.protocol == LCP} == {(False, False)}


@pytest.mark.parametrize("option", ["passive", "silent"])
def test_aCallerThatWaitsToBeAsked(
    option: str, network: Network, shareGateway: ShareGateway
) -> None:
    shareGateway()
    network.host().call(*ALICE, option, "require-mppe-128").up().ping()


@BOTH
def test_packetsOf3000Octets(network: Network, shareGateway: ShareGateway) -> None:
    """
    Packets of 3000 octets pass in fragments, in both directions, to the gateway and to a host
    behind it.
    """
    shareGateway()
    host = network.host()
    caller = host.call(*ALICE, "require-mppe-128").up()
    host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
    caller.ping(LOCAL_ADDRESS, "-s", "3000")
    caller.ping(INSIDE_ADDRESS, "-s", "3000")
    network.inside.ping(caller.address, "-s", "3000")


@BOTH
@pytest.mark.parametrize("mppe", ["require-mppe-128", "nomppe"])
def test_aSmallMRU(mppe: str, network: Network, shareGateway: ShareGateway) -> None:
    """
    No frame to the caller exceeds its MRU, and larger packets reach it in fragments.
    """
    shareGateway(link={"encryption": "prefer"})
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    caller = host.call(*ALICE, "mru", "400", "mtu", "400", mppe).up()
    host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
    caller.ping(LOCAL_ADDRESS, "-s", "3000")
    caller.ping(INSIDE_ADDRESS, "-s", "3000")
    network.inside.ping(caller.address, "-s", "3000", "-M", "dont")
    sent = [frame for frame in frames(capture.stop()) if frame.source == GATEWAY_ADDRESS]
    assert max(len(frame.information) for frame in sent) <= 400


def test_theMRUOfTheGateway(network: Network, startGateway: StartGateway) -> None:
    """
    The caller sends nothing larger than the gateway's MRU.
    """
    startGateway(link={"mru": 700})
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    assert any("<mru 700>" in line for line in caller.received("LCP ConfReq"))
    caller.ping(LOCAL_ADDRESS, "-s", "3000")


@BOTH
def test_theCallersEchoRequestsAreAnswered(network: Network, shareGateway: ShareGateway) -> None:
    """
    The caller's Echo-Requests are answered. pppd would hang up after two without an answer.
    """
    shareGateway()
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    caller = host.call(
        *ALICE, "require-mppe-128", "lcp-echo-interval", "1", "lcp-echo-failure", "2"
    )
    caller.up()
    time.sleep(3.5)
    assert caller.running
    seen = echoes(capture.stop())
    assert [code for source, code in seen if source == host.address].count(ECHO_REQUEST) >= 3
    assert [code for source, code in seen if source == GATEWAY_ADDRESS].count(ECHO_REPLY) >= 3


@BOTH
def test_aSilentLinkIsProbedAndTrafficCountsAsLife(
    network: Network, startGateway: StartGateway
) -> None:
    startGateway(link={"echo-interval": 1})
    host = network.host()
    caller = host.call(*ALICE, "require-mppe-128").up()
    capture = Capture(host, "eth0", network.folder)
    # An Echo-Reply is a sign of life too, so there is a probe every other second.
    time.sleep(4.5)
    assert echoes(capture.stop()).count((GATEWAY_ADDRESS, ECHO_REQUEST)) >= 2
    capture = Capture(host, "eth0", network.folder)
    caller.ping(LOCAL_ADDRESS, "-i", "0.2", count=15)
    assert echoes(capture.stop()).count((GATEWAY_ADDRESS, ECHO_REQUEST)) <= 1


def echoes(packets: list[Packet]) -> list[tuple[str, int]]:
    """
    The source and the code of each Echo-Request and Echo-Reply.
    """
    return [
        (frame.source, frame.information[0])
        for frame in frames(packets)
        if frame.protocol == LCP and frame.information[0] in (ECHO_REQUEST, ECHO_REPLY)
    ]


def test_theAddressThatACallerAsksForIsNotItsOwnToChoose(
    network: Network, shareGateway: ShareGateway
) -> None:
    """
    A caller that asks for an address gets a Configure-Nak with the one that it is given.
    """
    shareGateway()
    caller = network.host().call(*ALICE, "require-mppe-128", "10.99.0.9:", "ipcp-accept-local")
    caller.up()
    assert caller.received(r"IPCP ConfNak.*<addr 10\.77\.0\.")
    assert caller.address.startswith("10.77.0.")
    caller.ping()


def test_nameServers(network: Network, startGateway: StartGateway) -> None:
    startGateway(ipv4={"dns": ["10.77.0.53", "10.77.0.54"]})
    caller = network.host().call(*ALICE, "require-mppe-128", "usepeerdns").up()
    caller.waitFor(r"primary   DNS address 10\.77\.0\.53")
    caller.waitFor(r"secondary DNS address 10\.77\.0\.54")


def test_headerCompressionIsRejected(network: Network, shareGateway: ShareGateway) -> None:
    """
    Van Jacobson compression is rejected, and IPCP goes on.
    """
    shareGateway()
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    assert caller.received("IPCP ConfRej.*<compress VJ")
    assert "<compress" not in caller.sent("IPCP ConfReq")[-1]

"""
Tests for calls that begin, run side by side and end.
"""

import re
import statistics
import time

from pptpgw.ppp.automaton import RESTART_SECONDS
from tests.lab.capture import (
    IPCP,
    OUTGOING_CALL_REPLY,
    Capture,
    Packet,
    controlMessages,
    frames,
)
from tests.lab.peers import Network
from tests.lab.server import ALICE, BOB, BOTH, Gateway, ShareGateway, StartGateway

START_CONTROL_CONNECTION_REQUEST = 1
CONFIGURE_ACK = 2
ONE_ADDRESS = {"pool": ["10.77.0.50"]}


@BOTH
def test_twoTunnelsFromOneHost(network: Network, shareGateway: ShareGateway) -> None:
    """
    Two calls from one host share a control connection, as this client does it. Each has its own
    address, carries its own packets, and survives the other's end.
    """
    shareGateway()
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    first = host.call(*ALICE, "require-mppe-128").up()
    second = host.call(*BOB, "require-mppe-128").up()
    assert first.address != second.address
    for caller in (first, second, first):
        caller.ping()
    first.hangUp()
    second.ping()
    messages = [kind for _, _, kind in controlMessages(capture.stop())]
    assert messages.count(START_CONTROL_CONNECTION_REQUEST) == 1
    third = host.call(*ALICE, "require-mppe-128").up()
    third.ping()
    second.ping()


@BOTH
def test_fiveHostsAtOnce(network: Network, shareGateway: ShareGateway) -> None:
    """
    Five hosts that dial at the same time reach the gateway and each other.
    """
    shareGateway()
    callers = [host.call(*ALICE, "require-mppe-128") for host in network.hosts(5)]
    for caller in callers:
        caller.up(30)
    assert len({caller.address for caller in callers}) == 5
    for caller in callers:
        caller.host.ip(f"route add 10.77.0.0/24 dev {caller.interface}")
    for caller, other in zip(callers, callers[1:] + callers[:1], strict=True):
        caller.ping(count=1)
        caller.ping(other.address, count=1)


class TestEnds:
    def test_theCallerHangsUp(self, network: Network, startGateway: StartGateway) -> None:
        startGateway(ipv4=ONE_ADDRESS)
        first, second = network.hosts(2)
        caller = first.call(*ALICE, "require-mppe-128").up()
        caller.hangUp()
        assert caller.received("LCP TermAck")
        assert second.redial(10, *ALICE, "require-mppe-128").address == "10.77.0.50"

    def test_theCallersProgramsAreKilled(
        self, network: Network, startGateway: StartGateway
    ) -> None:
        """
        A call ends at once when the caller's programs are killed, as its TCP connection closes.
        """
        startGateway(ipv4=ONE_ADDRESS)
        first, second = network.hosts(2)
        first.call(*ALICE, "require-mppe-128").up()
        first.kill()
        assert second.redial(10, *ALICE, "require-mppe-128").address == "10.77.0.50"

    def test_theCallersWireIsCut(self, network: Network, startGateway: StartGateway) -> None:
        """
        A call whose wire is cut ends when its Echo-Requests stay unanswered.
        """
        startGateway(ipv4=ONE_ADDRESS, link={"echo-interval": 1, "echo-failures": 2})
        first, second = network.hosts(2)
        first.call(*ALICE, "require-mppe-128").up()
        first.unplug()
        assert second.redial(15, *ALICE, "require-mppe-128").address == "10.77.0.50"

    def test_thePoolIsEmpty(self, network: Network, startGateway: StartGateway) -> None:
        """
        A caller for whom no address is left is refused, and the other caller isn't disturbed.
        """
        startGateway(ipv4=ONE_ADDRESS)
        first, second = network.hosts(2)
        caller = first.call(*ALICE, "require-mppe-128").up()
        late = second.call(*ALICE, "require-mppe-128")
        assert late.wait() != 0
        assert "local  IP address" not in late.text
        caller.ping()

    def test_theGatewayStops(self, network: Network, startGateway: StartGateway) -> None:
        """
        Every caller is told of the gateway's end, and ends by itself.
        """
        gateway = startGateway()
        callers = [host.call(*ALICE, "require-mppe-128").up() for host in network.hosts(2)]
        gateway.shutDown()
        for caller in callers:
            caller.wait(5)
            assert caller.received("LCP TermReq")


@BOTH
def test_twentyRedialsLeaveNothingBehind(network: Network, startGateway: StartGateway) -> None:
    """
    Addresses, descriptors and memory come back after five hosts have made four calls each from a
    pool of five addresses.
    """
    gateway = startGateway(ipv4={"pool": ["10.77.0.50-10.77.0.54"]})
    first = network.host().call(*ALICE, "require-mppe-128").up()
    first.hangUp()
    time.sleep(1)
    idle = gateway.descriptors()
    resident = []
    for _ in range(4):
        callers = [host.call(*ALICE, "require-mppe-128") for host in network.hosts(5)]
        for caller in callers:
            caller.up(30)
        assert len({caller.address for caller in callers}) == 5
        for caller in callers:
            caller.ping(count=1)
        for caller in callers:
            caller.hangUp()
        _settle(gateway, idle)
        resident.append(gateway.residentKiB())
    # The first calls load everything that later ones use.
    assert resident[-1] - resident[0] < 1024, resident


def _settle(gateway: Gateway, idle: int) -> None:
    deadline = time.monotonic() + 10
    while gateway.descriptors() > idle:
        assert time.monotonic() < deadline, f"{gateway.descriptors()} descriptors, not {idle}"
        time.sleep(0.05)


def setUpTime(packets: list[Packet]) -> float:
    """
    Seconds from the Outgoing-Call-Reply to the second of the two Configure-Acks that open IPCP.
    """
    (reply,) = [when for when, _, kind in controlMessages(packets) if kind == OUTGOING_CALL_REPLY]
    opened = {
        frame.source: frame.time
        for frame in frames(packets)
        if frame.protocol == IPCP and frame.information[0] == CONFIGURE_ACK
    }
    assert len(opened) == 2
    return max(opened.values()) - reply


def test_noNegotiationWaitsForARestartTimer(network: Network, shareGateway: ShareGateway) -> None:
    """
    A call is up sooner than the Restart timer of either end expires. How soon is measured by
    C{make bench-peers}.
    """
    shareGateway()
    host = network.host()
    times = []
    for _ in range(3):
        capture = Capture(host, "eth0", network.folder, "tcp port 1723 or ip proto 47")
        caller = host.call(*ALICE, "require-mppe-128").up()
        caller.ping(count=1)
        times.append(setUpTime(capture.stop()))
        caller.hangUp()
    assert statistics.median(times) < RESTART_SECONDS, times


def test_theGatewayLogsACall(network: Network, startGateway: StartGateway) -> None:
    """
    The log has the user, the caller's address and the assigned address of a call, and not the
    password.
    """
    gateway = startGateway()
    host = network.host()
    caller = host.call(*ALICE, "require-mppe-128").up()
    address = caller.address
    caller.hangUp()
    gateway.shutDown()
    for fact in ("alice", host.address, address):
        assert re.search(rf"\b{re.escape(fact)}\b", gateway.text), fact
    assert "correct horse" not in gateway.text

"""
Tests for limits, with pppd as the caller.
"""

from pptpgw.ppp.wire.ppp import TERMINATE_REQUEST
from tests.lab.capture import LCP, Capture, frames
from tests.lab.peers import Network
from tests.lab.server import ALICE, BOB, BOTH, StartGateway


class TestOneSessionForAUser:
    def test_deny(self, network: Network, startGateway: StartGateway) -> None:
        """
        A user's second caller is refused as for a wrong password, and the first isn't disturbed.
        """
        startGateway(limits={"max-sessions-per-user": 1})
        first, second = network.hosts(2)
        caller = first.call(*BOB, "require-mppe-128").up()
        late = second.call(*BOB, "require-mppe-128")
        assert late.wait() != 0
        assert "authentication failed" in late.text
        caller.ping()

    @BOTH
    def test_whoHasVanished(self, network: Network, startGateway: StartGateway) -> None:
        """
        A user whose wire was cut is let in from another address within seconds, before the gateway
        has noticed, and gets its fixed address.
        """
        startGateway(limits={"max-sessions-per-user": 1})
        first, second = network.hosts(2)
        first.call(*BOB, "require-mppe-128").up()
        first.unplug()
        late = second.call(*BOB, "require-mppe-128").up(10)
        assert late.address == "10.77.0.200"
        late.ping()

    @BOTH
    def test_replace(self, network: Network, startGateway: StartGateway) -> None:
        """
        A user's second caller replaces the first, which is told and ends, and gets the user's fixed
        address.
        """
        startGateway(limits={"max-sessions-per-user": 1, "per-user": "replace"})
        first, second = network.hosts(2)
        capture = Capture(first, "eth0", network.folder)
        caller = first.call(*BOB, "require-mppe-128").up()
        late = second.call(*BOB, "require-mppe-128").up()
        assert caller.address == late.address == "10.77.0.200"
        caller.wait()
        # The client's pppd may have ended before it gets what arrived last.
        last = [frame.information for frame in frames(capture.stop()) if frame.protocol == LCP]
        assert any(one[0] == TERMINATE_REQUEST and b"takes its place" in one for one in last)
        late.ping()

    def test_replaceWhoIsGone(self, network: Network, startGateway: StartGateway) -> None:
        """
        A user's second caller is let in at once if it replaces the first, whose wire was cut
        unnoticed.
        """
        startGateway(limits={"max-sessions-per-user": 1, "per-user": "replace"})
        first, second = network.hosts(2)
        first.call(*BOB, "require-mppe-128").up()
        first.unplug()
        second.call(*BOB, "require-mppe-128").up(10).ping()


def test_aFixedAddressOfWhoHasVanished(network: Network, startGateway: StartGateway) -> None:
    """
    Without a limit of sessions too, a fixed address goes from a caller whose wire was cut to the
    user's next caller.
    """
    startGateway()
    first, second = network.hosts(2)
    first.call(*BOB, "require-mppe-128").up()
    first.unplug()
    late = second.call(*BOB, "require-mppe-128").up(10)
    assert late.address == "10.77.0.200"
    late.ping()


@BOTH
def test_silence(network: Network, startGateway: StartGateway) -> None:
    """
    Packets keep a session from being idle, and the Echo-Requests of both ends, each second, don't.
    """
    startGateway(limits={"idle-timeout": 2}, link={"echo-interval": 1})
    options = ("require-mppe-128", "lcp-echo-interval", "1", "lcp-echo-failure", "9")
    caller = network.host().call(*ALICE, *options).up()
    caller.ping("10.77.0.1", "-i", "0.5", count=10)
    caller.wait(10)
    assert any("the session was idle" in line for line in caller.received("LCP TermReq"))
    assert caller.received("LCP EchoRep")


def test_aLockout(network: Network, startGateway: StartGateway) -> None:
    """
    The right password is refused after two wrong ones until the lockout is over.
    """
    gateway = startGateway(limits={"max-failures": 2, "lockout": 20})
    host = network.host()
    for _ in range(2):
        assert host.call("alice", "a wrong one").wait() != 0
    gateway.waitFor("user 'alice' is locked out until")
    locked = host.call(*ALICE, "require-mppe-128")
    assert locked.wait() != 0
    assert "authentication failed" in locked.text
    host.redial(60, *ALICE, "require-mppe-128").ping()

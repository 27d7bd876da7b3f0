"""
Tests for MPPE with the Linux kernel's implementation at the other end.
"""

from pathlib import Path

import pytest

from tests.lab.capture import COMPRESSED, CONTROL, IPV4, Capture, frames
from tests.lab.peers import INSIDE_ADDRESS, Network
from tests.lab.server import ALICE, BOTH, ShareGateway, StartGateway

STATEFUL = Path(__file__).with_name("stateful.py")
COUNTS = 4096
"""
How many values the coherency count has before it wraps.
"""


@BOTH
@pytest.mark.parametrize("bits", [40, 128])
def test_bothKeyLengths(bits: int, network: Network, startGateway: StartGateway) -> None:
    startGateway(link={"encryption-bits": [bits]})
    caller = network.host().call(*ALICE, f"require-mppe-{bits}").up()
    assert f"MPPE {bits}-bit stateless compression enabled" in caller.text
    caller.ping()
    caller.flood(COUNTS + 100)


def test_theStrongestPermittedOnBothSidesIsTaken(
    network: Network, startGateway: StartGateway
) -> None:
    startGateway(link={"encryption-bits": [40, 56, 128]})
    hosts = network.hosts(2)
    either = hosts[0].call(*ALICE, "require-mppe").up()
    weak = hosts[1].call(*ALICE, "require-mppe-40").up()
    assert "MPPE 128-bit stateless" in either.text
    assert "MPPE 40-bit stateless" in weak.text
    either.ping()
    weak.ping()


def test_aCallerThatHasOnlyWeakerKeysThanPermitted(
    network: Network, shareGateway: ShareGateway
) -> None:
    shareGateway()
    caller = network.host().call(*ALICE, "require-mppe-40")
    assert caller.wait() != 0
    assert "IP address" not in caller.text


def test_aCallerThatWouldTakeStatefulGetsStateless(
    network: Network, startGateway: StartGateway
) -> None:
    """
    A caller that would accept stateful MPPE, such as pppd with mppe-stateful, which tries stateless
    first, gets stateless MPPE.
    """
    startGateway(link={"encryption-stateful": True})
    caller = network.host().call(*ALICE, "require-mppe-128", "mppe-stateful").up()
    assert "MPPE 128-bit stateless" in caller.text
    caller.ping()


@pytest.mark.parametrize("bits", [40, 128])
def test_statefulWithTheKernel(bits: int, network: Network, startGateway: StartGateway) -> None:
    """
    Both ends of stateful MPPE stay in step when the coherency count wraps, and either end recovers
    from lost packets by a Reset-Request. The kernel's data path has no stateful MPPE.
    """
    startGateway(STATEFUL, link={"encryption-bits": [bits], "encryption-stateful": True})
    host = network.host()
    caller = host.call(*ALICE, f"require-mppe-{bits}", "mppe-stateful").up()
    assert f"MPPE {bits}-bit stateful compression enabled" in caller.text
    caller.flood(COUNTS + 100)
    for losses in (1, 2, 3):
        host.impairSending("loss", "100%")
        assert caller.pings(losses) == (0, 0)
        host.restore()
        assert caller.reaches(5)
        assert len(caller.received("CCP ResetReq")) == losses
    for losses in (1, 2, 3):
        host.impairReceiving("loss", "100%")
        assert caller.pings(losses) == (0, 0)
        host.restore()
        assert caller.reaches(5)
        assert len(caller.sent("CCP ResetReq")) >= losses
    caller.ping(count=10)


@pytest.mark.parametrize("option", ["noccp", "nomppe"], ids=["no CCP at all", "CCP without MPPE"])
class TestACallerThatDoesNotEncrypt:
    @BOTH
    def test_isTurnedAwayWithTheReasonWhereEncryptionIsRequired(
        self, option: str, network: Network, shareGateway: ShareGateway
    ) -> None:
        shareGateway()
        caller = network.host().call(*ALICE, option)
        assert caller.wait() != 0
        assert "CHAP authentication succeeded" in caller.text
        assert "IP address" not in caller.text
        requests = caller.received("LCP TermReq")
        assert requests
        assert "encryption" in requests[0].lower() or "mppe" in requests[0].lower()

    @BOTH
    def test_isServedInClearWhereEncryptionIsPreferred(
        self, option: str, network: Network, shareGateway: ShareGateway
    ) -> None:
        shareGateway(link={"encryption": "prefer"})
        caller = network.host().call(*ALICE, option).up()
        assert "MPPE" not in caller.text
        caller.ping()


def test_preferredEncryptionIsOnWhereTheCallerCan(
    network: Network, shareGateway: ShareGateway
) -> None:
    shareGateway(link={"encryption": "prefer"})
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    caller.waitFor("MPPE 128-bit stateless compression enabled")
    caller.ping()


def test_aCallerThatRequiresEncryptionWhereItIsOff(
    network: Network, startGateway: StartGateway
) -> None:
    startGateway(link={"encryption": "off"})
    host = network.host()
    caller = host.call(*ALICE, "require-mppe-128")
    assert caller.wait() != 0
    assert "MPPE required but peer negotiation failed" in caller.text
    host.call(*ALICE, "nomppe").up().ping()


@BOTH
def test_nothingPassesInClearWhereEncryptionIsRequired(
    network: Network, shareGateway: ShareGateway
) -> None:
    """
    Only control frames and encrypted packets pass on the wire, from the first packet on, where
    encryption is required.
    """
    shareGateway()
    host = network.host()
    capture = Capture(host, "eth0", network.folder)
    caller = host.call(*ALICE, "require-mppe-128").up()
    host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
    caller.ping(INSIDE_ADDRESS, "-p", "deadbeef", "-s", "400")
    network.inside.ping(caller.address, "-p", "deadbeef", "-s", "400")
    packets = capture.stop()
    seen = {frame.protocol for frame in frames(packets)}
    assert COMPRESSED in seen
    assert IPV4 not in seen
    # IPV6CP, which this pppd tries, and its Protocol-Reject are control frames too.
    assert seen - CONTROL - {COMPRESSED} <= {0x8057}
    assert not any(b"\xde\xad\xbe\xef" * 4 in packet.payload for packet in packets)

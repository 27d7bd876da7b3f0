"""
Tests for the sizes, sources and rates of callers' packets.
"""

import re
import struct
import subprocess

import pytest

from tests.lab.capture import Capture, Packet
from tests.lab.peers import INSIDE_ADDRESS, Caller, Network, Process
from tests.lab.server import ALICE, BOTH, ShareGateway, StartGateway

SYN = 0x02


def dial(network: Network, *options: str) -> Caller:
    """
    A call from the first host, with a route to the host inside.
    """
    caller = network.host().call(*ALICE, *options).up()
    caller.reachInside()
    return caller


def maximumSegmentSizes(packets: list[Packet]) -> dict[str, int]:
    """
    The MSS option of each end's SYN, by source address.
    """
    found = {}
    for packet in packets:
        if packet.protocol != 6 or not packet.payload[13] & SYN:
            continue
        options = packet.payload[20 : (packet.payload[12] >> 4) * 4]
        # Linux puts MSS first.
        assert options[:2] == b"\x02\x04"
        found[packet.source] = struct.unpack_from("!H", options, 2)[0]
    return found


@BOTH
@pytest.mark.parametrize("mppe", ["require-mppe-128", "nomppe"])
def test_iperfBothWays(
    mppe: str, network: Network, shareGateway: ShareGateway, iperf: Process
) -> None:
    shareGateway(link={"encryption": "prefer"})
    caller = dial(network, mppe)
    caller.transfer(mppe)
    caller.ping()


class TestSizes:
    @BOTH
    def test_aPacketTooLargeThatMayNotBeFragmented(
        self, network: Network, shareGateway: ShareGateway
    ) -> None:
        """
        The sender of an unfragmentable packet that is too large is told the size that fits, and a
        packet of that size passes.
        """
        shareGateway()
        caller = dial(network, "mru", "1000", "require-mppe-128")
        command = network.inside.command(
            "ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1200", caller.address
        )
        done = subprocess.run(command, capture_output=True, text=True)
        match = re.search(r"(?i)frag needed and DF set \(mtu = (\d+)\)", done.stdout)
        assert match, done.stdout
        mtu = int(match[1])
        assert 900 <= mtu <= 1000
        network.inside.ping(caller.address, "-M", "do", "-s", str(mtu - 28))
        network.inside.ping(caller.address, "-M", "dont", "-s", "1200")

    def test_theMaximumSegmentSizeIsLoweredToWhatFits(
        self, network: Network, shareGateway: ShareGateway, iperf: Process
    ) -> None:
        """
        The MSS in both ends' SYN is lowered, as neither end could know that the caller takes only
        1000 octets.
        """
        shareGateway()
        caller = dial(network, "mru", "1000", "require-mppe-128")
        seen = self._connect(network, caller)
        assert all(880 <= size <= 960 for size in seen.values()), seen

    def test_theMaximumSegmentSizeIsLeftAloneWhereThatIsConfigured(
        self, network: Network, startGateway: StartGateway, iperf: Process
    ) -> None:
        startGateway(network={"mss-clamp": False})
        caller = dial(network, "mru", "1000", "require-mppe-128")
        assert self._connect(network, caller)[INSIDE_ADDRESS] == 1460

    def _connect(self, network: Network, caller: Caller) -> dict[str, int]:
        """
        The MSS values that the far end of each SYN sees on a connection from the caller to the host
        inside.
        """
        captures = [
            Capture(caller.host, caller.interface, network.folder, "tcp", "port", "5201"),
            Capture(network.inside, "eth0", network.folder, "tcp", "port", "5201"),
        ]
        caller.host.run("iperf3", "-c", INSIDE_ADDRESS, "-n", "20K")
        atCaller, atInside = (maximumSegmentSizes(capture.stop()) for capture in captures)
        return {
            INSIDE_ADDRESS: atCaller[INSIDE_ADDRESS],
            caller.address: atInside[caller.address],
        }


@BOTH
def test_aCallerSendsOnlyFromItsOwnAddress(network: Network, shareGateway: ShareGateway) -> None:
    shareGateway()
    caller = dial(network, "require-mppe-128")
    capture = Capture(network.inside, "eth0", network.folder, "icmp")
    foreign = "10.77.0.99"
    caller.host.ip(f"addr add {foreign}/32 dev {caller.interface}")
    assert not caller.host.reaches(INSIDE_ADDRESS, "-I", foreign)
    caller.host.ping(INSIDE_ADDRESS, "-I", caller.address)
    assert {packet.source for packet in capture.stop()} == {caller.address, INSIDE_ADDRESS}

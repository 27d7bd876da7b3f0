"""
Tests for calls over a wire that loses, doubles and reorders packets.
"""

import sys
from pathlib import Path

import pytest

from tests.lab.peers import INSIDE_ADDRESS, Network, Process
from tests.lab.server import ALICE, ShareGateway, StartGateway


@pytest.mark.parametrize("mppe", ["require-mppe-128", "nomppe"])
class TestPackets:
    def test_lost(self, mppe: str, network: Network, shareGateway: ShareGateway) -> None:
        """
        Packets that aren't lost arrive, and MPPE stays in step.
        """
        shareGateway(link={"encryption": "prefer"})
        caller = network.host().call(*ALICE, mppe).up()
        network.host().impair("loss", "5%")
        answered, twice = caller.pings(150)
        # 90% are expected. Fewer than 75% have a probability of one in a billion.
        assert answered >= 112
        assert twice == 0

    def test_doubled(self, mppe: str, network: Network, shareGateway: ShareGateway) -> None:
        shareGateway(link={"encryption": "prefer"})
        caller = network.host().call(*ALICE, mppe).up()
        network.host().impair("duplicate", "30%")
        assert caller.pings(100) == (100, 0)

    def test_mixedUp(self, mppe: str, network: Network, shareGateway: ShareGateway) -> None:
        """
        Packets that overtake others are put in order again, and none is dropped.
        """
        shareGateway(link={"encryption": "prefer"})
        caller = network.host().call(*ALICE, mppe).up()
        network.host().impair("delay", "30ms", "reorder", "30%", "50%")
        assert caller.pings(100) == (100, 0)

    def test_allAtOnce(self, mppe: str, network: Network, shareGateway: ShareGateway) -> None:
        """
        TCP delivers everything in both directions over losses, doubled and reordered packets.

        Packets to the caller aren't doubled and reordered at the same time, as this pptp then loses
        its place in its queue and gives packets to pppd again and again.

        To the caller nothing is doubled and mixed up at once: this pptp then loses its place in its
        own queue and gives packets to pppd again and again.
        """
        shareGateway(link={"encryption": "prefer"})
        host = network.host()
        caller = host.call(*ALICE, mppe).up()
        host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
        host.impair("delay", "5ms", "loss", "1%")
        host.impairSending("delay", "5ms", "reorder", "20%", "50%", "loss", "1%", "duplicate", "2%")
        program = str(Path(__file__).with_name("transfer.py"))
        server = network.inside.command(sys.executable, program, "serve", INSIDE_ADDRESS)
        Process(server, network.folder / "transfer.log").waitFor("serving")
        assert host.run(sys.executable, program, "echo", INSIDE_ADDRESS, timeout=60) == "equal\n"


def test_aCallIsSetUpOverALossyWire(network: Network, startGateway: StartGateway) -> None:
    """
    A call is set up over a wire that loses packets, by Restart timers and TCP, or by a second call,
    which the gateway serves as if there had been no first. pppd needs a second one when CHAP's only
    Success is lost, which pppd never asks for again, and it hangs up when it is asked again for the
    Configure-Ack of CCP that it has sent.
    """
    startGateway(ipv4={"pool": ["10.77.0.50"]})
    host = network.host()
    host.impair("loss", "10%")
    options = ("require-mppe-128", "lcp-restart", "1", "ipcp-restart", "1")
    caller = host.redial(90, *ALICE, *options)
    host.restore()
    # The gateway may still be waiting for the answer to its last Configure-Request.
    assert caller.reaches(15)
    assert caller.address == "10.77.0.50"
    caller.ping()

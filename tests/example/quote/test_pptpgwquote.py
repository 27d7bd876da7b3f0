"""
Tests for pptpgwquote. C{trial test_pptpgwquote.py} runs them where the package is installed.
"""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from pptpgwquote import COUNT, LONGEST, Quote, QuoteCP, QuoteFactory, StickyPool
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from pptpgw.error import Exhausted
from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.wire.ppp import CONFIGURE_NAK
from pptpgw.sessions.profile import Profile
from pptpgw.testing import ALICE, CALLER, DrivenLink, World, makeProtocol, resultOf

USERS = InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame", bob=b"sesame")
CONFIGURATION = """
[network]
protocols = ["ipv4", "quote"]
[ipv4]
allocator = "sticky:10.88.0.0/28"
[plugins]
observers = ["journal:{journal}"]
[quote]
text = "A rolling stone gathers no moss."
"""


def addressOf(call: ClientCall) -> str:
    ipv4 = call.protocols["ipv4"]
    assert isinstance(ipv4, IPCP)
    return ipv4.localAddress


class LinkTests(TestCase):
    """
    Tests for the network protocol at one end of a link.
    """

    def setUp(self) -> None:
        network = QuoteFactory().makeNetwork(Quote(), None)
        self.link: DrivenLink[QuoteCP] = DrivenLink(makeProtocol(network))
        self.link.protocol.lowerUp()

    def test_options(self) -> None:
        answer = self.link.request((LONGEST, "09"), (COUNT, "09"))
        self.assertEqual(answer, (CONFIGURE_NAK, [(LONGEST, "10"), (COUNT, "03")]))

    def test_packets(self) -> None:
        self.link.agree((LONGEST, "10"), (COUNT, "02"))
        self.link.deliver(b"no question")
        self.link.deliver(b"?")
        self.assertEqual(self.link.packets, [(0x00F1, b"Festina lente.")] * 2)


class GatewayTests(TestCase):
    """
    Tests for the network protocol, the observer and the address pool in a gateway.
    """

    def setUp(self) -> None:
        self.journal = Path(self.enterContext(TemporaryDirectory())) / "file"
        self.world = World(CONFIGURATION.format(journal=self.journal), [USERS])
        self.addCleanup(self.world.stop)

    def test_aCall(self) -> None:
        received: list[bytes] = []
        quote = QuoteCP(b"", {LONGEST: b"\x09", COUNT: b"\x09"}, received.append)
        call = self.world.setUpCall(b"alice", b"sesame", quote)
        self.assertEqual(quote.negotiator.granted, {LONGEST: b"\x10", COUNT: b"\x03"})
        quote.sendPacket(b"?")
        self.world.run(0.01)
        self.assertEqual(received, [b"A rolling stone "] * 3)
        call.hangUp()
        self.world.run(0.1)
        events = [line.split(maxsplit=2)[1:] for line in self.journal.read_text().splitlines()]
        self.assertEqual(events[:-1], [["start"], ["opened", "quote"], ["closed", "quote"]])
        self.assertEqual(events[-1][0], "end")

    def test_aUserHasTheSameAddressEachTime(self) -> None:
        calls = [self.world.setUpCall(name, b"sesame") for name in (b"alice", b"bob", b"alice")]
        addresses = [addressOf(call) for call in calls]
        self.assertEqual(len(set(addresses)), 3)
        self.assertIn(IPv4Address(addresses[0]), IPv4Network("10.88.0.0/28"))
        calls[0].hangUp()
        self.world.run(0.1)
        self.assertEqual(addressOf(self.world.setUpCall(b"alice")), addresses[0])

    def test_aPoolThatIsUsedUp(self) -> None:
        pool = StickyPool(IPv4Network("10.88.0.0/30"))
        given = {resultOf(pool.allocate(one, CALLER)) for one in (ALICE, Profile("bob"))}
        self.assertEqual(given, {"10.88.0.1", "10.88.0.2"})
        self.assertRaises(Exhausted, resultOf, pool.allocate(ALICE, CALLER))

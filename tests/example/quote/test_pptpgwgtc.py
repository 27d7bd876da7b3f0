"""
Tests for pptpgwgtc. C{trial test_pptpgwgtc.py} runs them where the package is installed.
"""

from unittest import TestCase

from pptpgwgtc import GTC, Settings
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MSCHAPV2
from pptpgw.ppp.wire.eap import EAPRequest, EAPResponse, EAPSuccess, decode
from pptpgw.testing import DrivenEAP, ExchangePair, World, resultOf

METHOD = GTC(Settings("Token?"))
PROTOCOL = EAPProtocol((METHOD,))


class ExchangeTests(TestCase):
    """
    Tests with both ends of the method, and with the authenticator's end alone.
    """

    def test_success(self) -> None:
        pair = ExchangePair(PROTOCOL, decode=decode).run()
        self.assertEqual(pair.ours.told, ["granted alice", "authenticated"])
        self.assertEqual(pair.theirs.told, ["proven"])
        asked, answer = pair.ours.packets[1], pair.theirs.packets[1]
        self.assertEqual(asked, EAPRequest(asked.identifier, METHOD.number, b"Token?"))
        self.assertEqual(answer, EAPResponse(asked.identifier, METHOD.number, b"sesame"))
        self.assertIsInstance(pair.ours.packets[2], EAPSuccess)

    def test_aWrongToken(self) -> None:
        pair = ExchangePair(PROTOCOL, password=b"wrong").run()
        self.assertEqual(pair.ours.told, ["refused: wrong password"])

    def test_aPeerWithoutIt(self) -> None:
        both, other = EAPProtocol((METHOD, MSCHAPV2)), EAPProtocol((MSCHAPV2,))
        pair = ExchangePair(both, peer=other).run()
        self.assertEqual(pair.theirs.told, ["proven"])

    def test_aTokenThatIsNone(self) -> None:
        for size in (0, 129, 1000):
            end = DrivenEAP(METHOD)
            end.identify()
            self.assertEqual(end.asked.method, METHOD.number)
            end.answer(bytes(size))
            reason = f"what the peer sent can't be read: a token of {size} octets"
            self.assertEqual(end.recorder.told, [f"refused: {reason}"])
            self.assertEqual(end.recorder.claims, [])


class GatewayTests(TestCase):
    """
    Tests for the method in a gateway whose configuration chooses it.
    """

    def test_aCall(self) -> None:
        users = InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
        text = '[link]\nauthentication = ["eap"]\nencryption = "off"\n[eap]\nmethods = ["gtc"]'
        world = World(text, [users])
        self.addCleanup(world.stop)
        placed = world.placeCall(world.connect(), methods=(PROTOCOL,), encryption="off")
        world.run(0.2)
        self.assertEqual(resultOf(placed).link.encryption, "not encrypted")
        (session,) = world.gateway.sessions
        self.assertEqual((session.user, session.authentication), ("alice", "eap"))

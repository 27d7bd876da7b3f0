"""
Tests for pptpgwjson. C{trial test_pptpgwjson.py} runs them where the package is installed.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from pptpgwjson import JSONChecker
from twisted.cred.error import UnauthorizedLogin

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.error import Unavailable
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.testing import World, makeClaim, resultOf

USERS = '{"alice": {"password": "sesame", "address": "10.99.0.7"}, "bob": {"password": "builder"}}'


class CheckerTests(TestCase):
    def setUp(self) -> None:
        self.users = Path(self.enterContext(TemporaryDirectory())) / "file"
        self.users.write_text(USERS)
        self.checker = JSONChecker(self.users)

    def ask(
        self,
        name: bytes = b"alice",
        password: bytes = b"sesame",
        method: IAuthenticationProtocol = MSCHAPV2,
    ) -> object:
        credentials = method.credentials(makeClaim(method, name, password), name)
        return resultOf(self.checker.requestAvatarId(credentials))

    def test_claims(self) -> None:
        for method in (PAP, CHAP, MSCHAP, MSCHAPV2):
            self.assertEqual(self.ask(method=method), b"alice")
            for name in (b"alice", b"carol", b"\xff"):
                self.assertRaises(UnauthorizedLogin, self.ask, name, b"wrong", method)

    def test_aFileThatChanges(self) -> None:
        self.users.write_text('{"alice": {"password": "barley"}}')
        self.assertEqual(self.ask(password=b"barley"), b"alice")

    def test_aFileThatCantBeRead(self) -> None:
        self.users.write_text("{")
        self.assertRaises(Unavailable, self.ask)
        self.users.unlink()
        self.assertRaises(Unavailable, self.ask)

    def test_calls(self) -> None:
        """
        Alice gets her address from the file, and bob gets one of the pool.
        """
        world = World("", [self.checker])
        self.addCleanup(world.stop)
        for name, password, start in (
            (b"alice", b"sesame", "10.99.0.7"),
            (b"bob", b"builder", "10.77."),
        ):
            ipv4 = world.setUpCall(name, password).protocols["ipv4"]
            assert isinstance(ipv4, IPCP)
            self.assertTrue(ipv4.localAddress.startswith(start))

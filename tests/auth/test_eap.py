"""
Tests for EAP as a configured authentication protocol: its methods, their judges, and whole calls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.eap import EAP, EAPProtocol
from pptpgw.auth.eapmethod import MD5, RELAYED, RelayedClaim, RelayedCredentials
from pptpgw.auth.eapmethod import MSCHAPV2 as EAP_MSCHAPV2
from pptpgw.auth.eaptls import (
    TLS,
    CertifiedClaim,
    CertifiedCredentials,
    TLSMethod,
    makeContext,
    nameIn,
)
from pptpgw.auth.judging import offersOf
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.environment import Environment
from pptpgw.error import ConfigurationError, Refused
from pptpgw.interfaces import (
    Grant,
    ICertifiedName,
    IConfiguredProtocol,
    IEAPCredentials,
    ISubscriber,
)
from pptpgw.ppp.eap import EAPAuthenticator
from pptpgw.ppp.eaptls import startKeys
from pptpgw.ppp.wire import eap, ppp
from pptpgw.testing import ExchangeRecorder, makeEnvironment, resultOf
from tests import test_gateway
from tests.certificates import SERVER, Authority
from tests.test_gateway import World, failureOf

secrets = test_gateway.secrets

PASSWORDS = (IUsernamePassword, IUsernameHashedPassword)
LOCAL = (*PASSWORDS, ICertifiedName)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, str]:
    """
    The keys of C{[eap]} that name files.
    """
    certificate, key = authority.issue("gateway", SERVER)
    ca = authority.certificate
    return {"certificate": str(certificate), "key": str(key), "ca": str(ca)}


def configuration(link: dict[str, object], **eap: object) -> Configuration:
    lines = ["[link]", *_keys({"authentication": ["eap", "mschapv2"], **link})]
    return parse("\n".join([*lines, "[eap]", *_keys(eap)]), "x.toml")


def _keys(keys: dict[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in keys.items()]


def methods(
    judged: Sequence[type[Interface]], encryption: str = "require", **section: object
) -> list[str]:
    environment = Environment(Clock(), configuration({"encryption": encryption}, **section))
    configured = EAP.configured(environment.settings(EAP), environment, judged)
    return [method.name for method in configured.methods]


class TestConfigured:
    def test_interfaces(self) -> None:
        assert verifyObject(IConfiguredProtocol, EAP)
        assert (EAP.number, EAP.algorithm) == (0xC227, b"")

    @pytest.mark.parametrize(
        ("text", "offered"),
        [
            ("", ["mschapv2"]),
            ("[eap]", ["mschapv2"]),
            ('[eap]\nmethods = ["mschapv2"]', ["eap", "mschapv2"]),
            ('[eap]\nmethods = ["mschapv2"]\n[link]\nmru = 1300', ["eap", "mschapv2"]),
            ('[eap]\nmethods = ["mschapv2"]\n[link]\nauthentication = ["mschapv2"]', ["mschapv2"]),
        ],
    )
    def test_itIsOfferedByDefaultWhereItIsSetUp(self, text: str, offered: list[str]) -> None:
        settings = offersOf(makeEnvironment(text), LOCAL).general
        assert [method.name for method in settings.methods] == offered

    def test_whatIsFitForUse(self, files: dict[str, str]) -> None:
        """
        The default methods are those that can be judged and have their files and, where encryption
        is required, those with keys.
        """
        assert methods(PASSWORDS) == methods(LOCAL) == ["mschapv2"]
        assert methods(LOCAL, "off") == methods(LOCAL, "prefer") == ["mschapv2", "md5"]
        assert methods(LOCAL, **files) == ["tls", "mschapv2"]
        assert methods(LOCAL, "off", **files) == ["tls", "mschapv2", "md5"]
        assert methods(PASSWORDS, **files) == ["mschapv2"]
        assert methods([ICertifiedName], **files) == ["tls"]

    def test_whoJudgesEAPJudgesAllOfIt(self, files: dict[str, str]) -> None:
        assert methods((*LOCAL, IEAPCredentials), **files) == ["radius"]

    def test_whatIsNamedKeepsItsOrder(self, files: dict[str, str]) -> None:
        every = (*LOCAL, IEAPCredentials)
        named = ["md5", "tls", "radius", "mschapv2"]
        assert methods(every, "off", methods=named, **files) == named

    @pytest.mark.parametrize(
        ("name", "judged", "encryption", "reason"),
        [
            ("radius", LOCAL, "off", "no checker judges it"),
            ("tls", PASSWORDS, "off", "no checker judges it"),
            ("tls", LOCAL, "off", "it needs certificate, key and ca"),
            ("mschapv2", [IUsernamePassword], "off", "no checker judges it"),
            ("md5", LOCAL, "require", "it earns no keys"),
        ],
    )
    def test_whatIsNamedAndNotFit(
        self, name: str, judged: Sequence[type[Interface]], encryption: str, reason: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            methods(judged, encryption, methods=[name])
        assert str(caught.value).startswith(f'[eap] methods has "{name}": {reason}')

    def test_nothingIsFitForUse(self) -> None:
        with pytest.raises(ConfigurationError, match="no method is fit for use"):
            methods([IUsernamePassword])

    def test_whatIsNotInstalled(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            methods(LOCAL, methods=["peap"])
        assert str(caught.value) == (
            '[eap] methods: no EAP method is called "peap": there are md5, mschapv2, radius, tls'
        )

    @pytest.mark.parametrize("names", ['["tls", "tls"]', '"tls"', "[1]", '["TLS"]'], ids=str)
    def test_whatIsNoMethod(self, names: str) -> None:
        with pytest.raises(ConfigurationError, match=r"\[eap\] methods"):
            parse(f"[eap]\nmethods = {names}", "x.toml")

    @pytest.mark.parametrize(
        ("section", "names"),
        [
            ({}, ["eap", "mschapv2"]),
            ({"methods": ["md5"]}, ["mschapv2", "eap"]),
            ({"methods": ["mschapv2"]}, ["eap", "mschapv2"]),
        ],
    )
    def test_itIsOfferedByItsStrongestMethod(
        self, section: dict[str, object], names: list[str]
    ) -> None:
        settings = offersOf(
            Environment(Clock(), configuration({"encryption": "off"}, **section)), LOCAL
        ).general
        assert [method.name for method in settings.methods] == names
        assert [method.name for method in settings.usableMethods] == names

    def test_thatOfMD5AloneIsNotOfferedWhereKeysAreNeeded(self) -> None:
        md5 = EAPProtocol((MD5,))
        assert not md5.earnsKeys and md5.strength < MSCHAPV2.strength
        environment = Environment(Clock(), configuration({"encryption": "off"}))
        settings = offersOf(environment, LOCAL).general
        required = replace(settings, methods=(md5, MSCHAPV2), encryption="require")
        assert required.usableMethods == (MSCHAPV2,)


class TestFiles:
    @pytest.mark.parametrize("key", ["certificate", "key", "ca"])
    @pytest.mark.parametrize("fault", ["missing", "empty", "not PEM"])
    def test_aFileThatIsOfNoUse(
        self, key: str, fault: str, files: dict[str, str], tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        if fault != "missing":
            path.touch(0o600)
            path.write_text("" if fault == "empty" else "what is it?\n")
        with pytest.raises(ConfigurationError) as caught:
            methods(LOCAL, **{**files, key: str(path)})
        assert str(caught.value).startswith(f"[eap] {key} = {path}: ")
        assert len(str(caught.value)) > len(f"[eap] {key} = {path}: ")

    def test_aKeyOfAnotherCertificate(self, authority: Authority, files: dict[str, str]) -> None:
        _, other = authority.issue("other", SERVER)
        with pytest.raises(ConfigurationError, match=f"key = {other}"):
            methods(LOCAL, **{**files, "key": str(other)})

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_aKeyThatOthersMayRead(
        self, mode: int, authority: Authority, files: dict[str, str]
    ) -> None:
        certificate, key = authority.issue("open", SERVER)
        key.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            methods(LOCAL, **{**files, "certificate": str(certificate), "key": str(key)})


class TestNames:
    """
    Tests for the account's name in a certificate.
    """

    def _certificate(
        self, authority: Authority, name: str, *alternatives: x509.GeneralName
    ) -> x509.Certificate:
        path, _ = authority.issue(name, alternatives=alternatives)
        return x509.load_pem_x509_certificates(path.read_bytes())[0]

    def test_each(self, authority: Authority) -> None:
        upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x0aalice@corp")
        certificate = self._certificate(
            authority,
            "Alice Liddell",
            x509.RFC822Name("alice@example.net"),
            x509.DNSName("alice.example.net"),
            upn,
            x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01x"),
        )
        assert nameIn(certificate, "common-name") == b"Alice Liddell"
        assert nameIn(certificate, "email") == b"alice@example.net"
        assert nameIn(certificate, "dns") == b"alice.example.net"
        assert nameIn(certificate, "upn") == b"alice@corp"

    @pytest.mark.parametrize("kind", ["email", "dns", "upn", "common-name"])
    def test_noneAndTwo(self, authority: Authority, kind: str) -> None:
        """
        A certificate with no name of the configured kind, or with two, is refused.
        """
        with pytest.raises(Refused, match=f"0 names, by {kind}"):
            nameIn(self._certificate(authority, ""), kind)
        two = self._certificate(authority, "", x509.RFC822Name("a@b.c"), x509.RFC822Name("d@e.f"))
        if kind == "email":
            with pytest.raises(Refused, match="2 names"):
                nameIn(two, kind)

    @pytest.mark.parametrize(
        "value", [b"", b"\x0c", b"\x0c\x05abc", b"\x04\x01a", b"\x0c\x81\x01a", b"\x0c\x01ab"]
    )
    def test_aPrincipalNameThatIsNone(self, authority: Authority, value: bytes) -> None:
        other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), value or b"\5\0")
        with pytest.raises(ValueError):
            nameIn(self._certificate(authority, "", other), "upn")


def certified(name: bytes) -> CertifiedClaim:
    return CertifiedClaim(EAP, name, 1, b"", b"DER", TLS, startKeys(bytes(64), isServer=True))


class TestJudging:
    @pytest.fixture
    def authenticator(self, secrets: FilePath[str]) -> Authenticator:
        return Authenticator(Portal(SubscriberRealm(), [ChapSecretsChecker(secrets)]))

    def test_aCertifiedNameIsEnough(self, authenticator: Authenticator) -> None:
        """
        A certified name is enough for a user in the secrets file, who gets the file's addresses.
        """
        grants: list[Grant] = []
        claim = certified(b"bob")
        authenticator(claim).addCallback(grants.append)
        (grant,) = grants
        assert grant.name == "bob" and grant.keys is claim.keys
        addresses = ISubscriber(grant.subscriber).addresses
        assert str(addresses[0]) == "10.77.9.9/32"

    @pytest.mark.parametrize("name", [b"mallory", b"", b"\xff\0"])
    def test_aCertifiedNameThatNobodyKnows(self, authenticator: Authenticator, name: bytes) -> None:
        reasons: list[str] = []
        authenticator(certified(name)).addErrback(
            lambda failure: reasons.append(failure.getErrorMessage())
        )
        assert reasons == ["no such user or wrong password"]

    def test_interfaces(self) -> None:
        claim = certified(b"alice")
        credentials = EAP.credentials(claim, b"alice")
        assert isinstance(credentials, CertifiedCredentials)
        assert verifyObject(ICertifiedName, credentials)
        assert credentials.certificate == b"DER"
        assert not IUsernamePassword.providedBy(credentials)
        with pytest.raises(NotImplementedError):
            credentials.checkPassword(b"")

    def test_aConversationIsJudgedOnce(self) -> None:
        """
        A relayed conversation is judged once, also for a name with a domain, whereas a password
        would be tried again without the domain.
        """
        asked: list[bytes] = []

        @implementer(ICredentialsChecker)
        class No:
            credentialInterfaces = (IEAPCredentials,)

            def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
                assert verifyObject(IEAPCredentials, credentials)
                assert isinstance(credentials, RelayedCredentials)
                asked.append(credentials.username)
                return fail(UnauthorizedLogin())

        conversation = EAPAuthenticator(
            Clock(),
            lambda packet: None,
            EAP,
            (RELAYED,),
            b"",
            lambda claim: Deferred(),
            ExchangeRecorder(),
        )
        claim = RelayedClaim(EAP, b"NT\\alice", 1, b"", b"response", RELAYED, conversation)
        reasons: list[str] = []
        judged = Authenticator(Portal(SubscriberRealm(), [No()]))(claim)
        judged.addErrback(lambda failure: reasons.append(failure.getErrorMessage()))
        assert asked == [b"NT\\alice"]
        assert reasons == ["no such user or wrong password"]


class TestCalls:
    """
    Tests for whole calls, with a gateway in memory.
    """

    def _tls(self, authority: Authority, files: dict[str, str]) -> EAPProtocol:
        context = makeContext(files["certificate"], files["key"], files["ca"], isServer=True)
        return EAPProtocol((TLSMethod(context), EAP_MSCHAPV2, MD5))

    def test_TLS(self, secrets: FilePath[str], authority: Authority, files: dict[str, str]) -> None:
        world = World(secrets, methods=(self._tls(authority, files),))
        certificate, key = authority.issue("bob")
        context = makeContext(str(certificate), str(key), files["ca"], isServer=False)
        client = EAPProtocol((TLSMethod(context),))
        placed = world.call(world.connect(), b"whoever", b"", methods=(client,))
        world.run(0.3)
        call = resultOf(placed)
        (session,) = world.gateway.sessions
        assert (session.user, session.authentication) == ("bob", "eap")
        assert session.encryption == call.link.encryption == "MPPE 128 bit stateless"

    @pytest.mark.parametrize("name", ["PARTNER\\bob", "\\bob"])
    def test_aCertificatesNameIsWhole(
        self, secrets: FilePath[str], authority: Authority, files: dict[str, str], name: str
    ) -> None:
        """
        A backslash in a certificate's name doesn't separate a domain.
        """
        world = World(secrets, methods=(self._tls(authority, files),))
        certificate, key = authority.issue(name)
        context = makeContext(str(certificate), str(key), files["ca"], isServer=False)
        client = EAPProtocol((TLSMethod(context),))
        placed = world.call(world.connect(), b"whoever", b"", methods=(client,))
        world.run(10, 0.01)
        failureOf(placed)
        assert not world.gateway.lines and not world.observer.told

    def test_MSCHAPv2(
        self, secrets: FilePath[str], authority: Authority, files: dict[str, str]
    ) -> None:
        """
        A client without a certificate gets the next method, MS-CHAPv2.
        """
        world = World(secrets, methods=(self._tls(authority, files),))
        call = resultOf(world.call(world.connect(), methods=(EAP,)))
        assert call.link.encryption == "MPPE 128 bit stateless"
        assert next(iter(world.gateway.sessions)).user == "alice"

    def test_MD5EarnsNoKeys(self, secrets: FilePath[str]) -> None:
        """
        The link ends if encryption is required and the method, MD5, has no keys.
        """
        md5 = EAPProtocol((MD5,))
        world = World(secrets, methods=(EAP,))
        placed = world.call(world.connect(), methods=(md5,))
        world.run(10, 0.01)
        assert "encryption is required" in failureOf(placed)
        world = World(secrets, methods=(EAP,), encryption="off")
        call = resultOf(world.call(world.connect(), methods=(md5,), encryption="off"))
        assert call.link.encryption == "not encrypted"

    def test_aWrongPassword(self, secrets: FilePath[str]) -> None:
        world = World(secrets, methods=(EAP,))
        placed = world.call(world.connect(), b"alice", b"wrong", methods=(EAP,))
        world.run(10, 0.01)
        assert "wrong password" in failureOf(placed)
        assert not world.gateway.lines

    def test_aClientThatDoesNotSpeakIt(self, secrets: FilePath[str]) -> None:
        world = World(secrets, methods=(EAP, MSCHAPV2))
        call = resultOf(world.call(world.connect(), methods=(MSCHAPV2,)))
        assert call.link.method is MSCHAPV2

    @pytest.mark.parametrize("permitted", [True, False])
    @pytest.mark.parametrize(
        "packet",
        [
            eap.EAPResponse(1, eap.MD5_CHALLENGE, b"\x10" + bytes(16) + b"x" * 1200).encode(),
            eap.EAPRequest(1, eap.IDENTITY).encode(),
            eap.EAPSuccess(1).encode(),
            b"\1\1\0\xff\4" + b"x" * 300,
        ],
        ids=["a Response", "a Request", "a Success", "cut off"],
    )
    def test_itIsIgnoredUnlessItWasNegotiated(
        self, secrets: FilePath[str], permitted: bool, packet: bytes
    ) -> None:
        """
        EAP packets are ignored at either end and in every phase if EAP wasn't negotiated, even if
        it could have been (CVE-2020-8597).
        """
        methods = (EAP, MSCHAPV2) if permitted else (MSCHAPV2,)
        world = World(secrets, methods=methods)
        connection = world.connect()
        call = resultOf(world.call(connection, methods=(MSCHAPV2,)))
        (line,) = world.gateway.lines
        for link, channel in ((line.link, line.channel), (call.link, call.channel)):
            assert channel is not None
            before = channel.counters.framesSent
            link.frameReceived(ppp.EAP, packet)
            assert channel.counters.discards["authentication not negotiated"] == 1
            assert channel.counters.framesSent == before
        assert world.gateway.sessions


def test_aLazyYes() -> None:
    """
    A checker that judges by names alone needs nothing else of a certified claim.
    """

    @implementer(ICredentialsChecker)
    class Names:
        credentialInterfaces = (ICertifiedName,)

        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            return succeed(bytes(credentials.username))

    grants: list[Grant] = []
    Authenticator(Portal(SubscriberRealm(), [Names()]))(certified(b"alice")).addCallback(
        grants.append
    )
    assert [grant.name for grant in grants] == ["alice"]


def test_onlyEphemeralKeys(files: dict[str, str]) -> None:
    """
    Only ephemeral keys are used, so that a stolen key of the certificate can't decrypt recorded
    conversations.
    """
    context = makeContext(files["certificate"], files["key"], files["ca"], isServer=True)
    names = SSL.Connection(context, None).get_cipher_list()
    assert names and all(name.startswith(("TLS_", "ECDHE-", "DHE-")) for name in names)

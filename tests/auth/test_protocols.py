"""
Tests for authentication protocols as plugins: our own four and a third party's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.eap import EAP
from pptpgw.auth.judging import offersOf
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.config.section import LinkSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Claim,
    Grant,
    IAuthenticationProtocol,
    IAuthenticatorExchange,
    IExchange,
    IKeys,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.lcpoption import AUTHENTICATION_PROTOCOL, optionOf
from pptpgw.ppp.wire import ppp
from pptpgw.testing import Frame, makeEnvironment, resultOf
from tests import distribution, test_gateway
from tests.distribution import Site
from tests.test_gateway import World, failureOf
from tests.whisper import NUMBER, WHISPER, Whisper

BUILT_IN = (MSCHAPV2, MSCHAP, CHAP, PAP)
HUSHED = Whisper(earnsKeys=False)

site = pytest.fixture(distribution.site, name="site")
secrets = test_gateway.secrets


class Wire:
    """
    The network between callers and a gateway.

    @ivar offers: the methods that the gateway asked for, by the values of the LCP option.
    """

    def __init__(self, world: World) -> None:
        self.frames: list[Frame] = []
        world.network.lose = self.pass_

    def pass_(self, frame: Frame) -> bool:
        self.frames.append(frame)
        return False

    @property
    def offers(self) -> list[bytes]:
        found = []
        for protocol, packet in self.frames:
            if protocol == ppp.LCP and packet[0] == ppp.CONFIGURE_REQUEST:
                options = dict(ppp.decodeOptions(ppp.decodePacket(packet)[2]))
                if AUTHENTICATION_PROTOCOL in options:
                    found.append(options[AUTHENTICATION_PROTOCOL])
        return list(dict.fromkeys(found))


@implementer(IVerdicts, IPeerResults)
class Deaf:
    """
    An owner that must be told nothing.
    """

    def granted(self, grant: Grant) -> None:
        raise AssertionError("granted")

    def authenticated(self, grant: Grant) -> None:
        raise AssertionError("authenticated")

    def proven(self, keys: IKeys | None) -> None:
        raise AssertionError("proven")

    def refused(self, reason: str) -> None:
        raise AssertionError(reason)

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        raise AssertionError("claimed")


@pytest.mark.parametrize("method", [*BUILT_IN, EAP, WHISPER], ids=lambda method: method.name)
def test_interfaces(method: IAuthenticationProtocol) -> None:
    """
    Protocols, and the objects that they make, provide their interfaces.
    """
    clock, deaf = Clock(), Deaf()
    sent: list[bytes] = []
    assert verifyObject(IAuthenticationProtocol, method)
    authenticator = method.makeAuthenticator(
        clock, sent.append, b"gateway", deaf.authenticate, deaf, 0
    )
    assert verifyObject(IAuthenticatorExchange, authenticator)
    assert verifyObject(IExchange, method.makePeer(clock, sent.append, b"user", b"secret", deaf))
    assert not sent and not clock.getDelayedCalls()


@pytest.mark.parametrize("method", [*BUILT_IN, EAP, WHISPER], ids=lambda method: method.name)
def test_repeatBeforeTheEnd(method: IAuthenticationProtocol) -> None:
    """
    C{repeat} sends nothing before a verdict or after the end of the link.
    """
    clock, deaf = Clock(), Deaf()
    sent: list[bytes] = []
    authenticator = method.makeAuthenticator(
        clock, sent.append, b"gateway", deaf.authenticate, deaf, 0
    )
    authenticator.start()
    before = len(sent)
    authenticator.repeat()
    authenticator.stop()
    authenticator.repeat()
    assert len(sent) == before and not clock.getDelayedCalls()


def test_builtIn() -> None:
    """
    Our own protocols are plugins that are found by name, and the default is the strongest one that
    needs only a password.
    """
    found = discovery.installed(IAuthenticationProtocol)
    assert list(found) == ["chap", "eap", "mschap", "mschapv2", "pap"]
    assert tuple(found[method.name] for method in BUILT_IN) == BUILT_IN
    assert Configuration().link.methods() == (MSCHAPV2,)
    assert [optionOf(method).hex() for method in BUILT_IN] == ["c22381", "c22380", "c22305", "c023"]
    assert [method.earnsKeys for method in BUILT_IN] == [True, True, False, False]


class TestThirdParty:
    """
    Tests for a protocol that isn't built in, from LCP's first offer to the session and its
    encryption.
    """

    def test_admits(self, secrets: FilePath[str]) -> None:
        world = World(secrets, methods=(WHISPER, *BUILT_IN))
        wire = Wire(world)
        packets: list[bytes] = []
        call = resultOf(world.call(world.connect(), packets=packets, methods=(WHISPER,)))
        (session,) = world.gateway.sessions
        assert (session.user, session.authentication) == ("alice", "whisper")
        assert session.encryption == call.link.encryption == "MPPE 128 bit stateless"
        assert [call.link.method] == [WHISPER]
        assert wire.offers == [b"\xc2\x81\x01\x02"]
        codes = [packet[0] for protocol, packet in wire.frames if protocol == NUMBER]
        assert codes == [1, 2, 3, 4, 5]
        world.dataPath.channels[0].sendPacket(ppp.IPV4, b"whispered")
        world.run(0.01)
        assert packets == [b"whispered"]
        call.hangUp()
        world.run(5, 0.01)
        assert not world.gateway.lines and world.pool.used == 0

    def test_admitsWithoutKeys(self, secrets: FilePath[str]) -> None:
        """
        A protocol without keys may be used where encryption isn't required.
        """
        world = World(secrets, methods=(HUSHED,), encryption="prefer")
        call = world.call(world.connect(), methods=(HUSHED,), encryption="prefer")
        world.run(1, 0.01)
        assert resultOf(call).link.encryption == "not encrypted"
        assert next(iter(world.gateway.sessions)).authentication == "whisper"

    @pytest.mark.parametrize(
        ("name", "password"), [(b"alice", b"shouted"), (b"mallory", b"open sesame")]
    )
    def test_refuses(self, secrets: FilePath[str], name: bytes, password: bytes) -> None:
        world = World(secrets, methods=(WHISPER,))
        call = world.call(world.connect(), name, password, methods=(WHISPER,))
        world.run(5, 0.01)
        assert failureOf(call) == "hushed"
        assert not world.gateway.sessions and not world.gateway.lines and world.pool.used == 0

    def test_windowsDomain(self, secrets: FilePath[str]) -> None:
        """
        A domain before the name is left out in a third party's claims too.
        """
        world = World(secrets, methods=(WHISPER,))
        resultOf(world.call(world.connect(), b"BIGCO\\alice", methods=(WHISPER,)))
        assert next(iter(world.gateway.sessions)).user == "alice"

    def test_theOthersStillServe(self, secrets: FilePath[str]) -> None:
        """
        The strongest protocol is offered first, and a caller that doesn't know it gets another.
        """
        world = World(secrets, methods=(WHISPER, *BUILT_IN))
        wire = Wire(world)
        resultOf(world.call(world.connect()))
        assert next(iter(world.gateway.sessions)).authentication == "mschapv2"
        assert wire.offers == [optionOf(WHISPER), optionOf(MSCHAPV2)]

    def test_withoutKeysItIsNotOfferedWhereEncryptionIsRequired(
        self, secrets: FilePath[str]
    ) -> None:
        """
        A protocol without keys isn't offered where encryption is required, and a caller that has no
        other is told so.
        """
        world = World(secrets, methods=(HUSHED, *BUILT_IN))
        wire = Wire(world)
        call = world.call(world.connect(), methods=(HUSHED,))
        world.run(5, 0.01)
        assert "the peer proposes authentication protocol 0xc281" in failureOf(call)
        assert wire.offers == [optionOf(MSCHAPV2)]
        assert not [one for one in wire.frames if one[0] == NUMBER]

    @pytest.mark.parametrize("permitted", [True, False])
    def test_whereItIsNotNegotiated(self, secrets: FilePath[str], permitted: bool) -> None:
        """
        Packets of a protocol that was permitted and not negotiated are silently discarded. A
        protocol that isn't permitted is rejected like an unknown one.
        """
        world = World(secrets, methods=(WHISPER, *BUILT_IN) if permitted else BUILT_IN)
        resultOf(world.call(world.connect()))
        (line,) = world.gateway.lines
        wire = Wire(world)
        line.link.frameReceived(NUMBER, ppp.encodePacket(4, 1, bytes(16)))
        world.run(0.01)
        rejected = [packet for number, packet in wire.frames if packet[:1] == b"\x08"]
        assert len(rejected) == (0 if permitted else 1)
        discards = line.channel.counters.discards
        assert discards.get("authentication not negotiated", 0) == (1 if permitted else 0)
        assert world.gateway.sessions

    @pytest.mark.parametrize(
        "packet", [b"", b"\x02", b"\x02\x00\x00\x03", b"\x04\x01\x00\x04", b"\xff\x00\x00\x04"]
    )
    def test_hostile(self, secrets: FilePath[str], packet: bytes) -> None:
        """
        The link passes any octets with the protocol's number to it, and goes on.
        """
        world = World(secrets, methods=(WHISPER,))
        connection = world.connect()
        call = world.call(connection, methods=(WHISPER,))
        (line,) = world.gateway.lines
        line.link.frameReceived(NUMBER, packet)
        assert [resultOf(call).link.method] == [WHISPER] and world.gateway.sessions


class TestConfigured:
    """
    Tests for an installed protocol with an entry point.
    """

    def install(self, site: Site) -> None:
        site.install(
            "pptpgw-whisper",
            {},
            "whisper = tests.whisper:WHISPER",
            group="pptpgw.authentication",
        )

    def names(self, methods: Sequence[IAuthenticationProtocol]) -> list[str]:
        return [method.name for method in methods]

    def test_chosenByName(self, site: Site) -> None:
        """
        The configuration permits the protocol by its name, and it is offered according to its
        strength.
        """
        self.install(site)
        text = '[link]\nauthentication = ["pap", "chap", "whisper", "mschapv2"]'
        settings = offersOf(makeEnvironment(text)).general
        assert self.names(settings.methods) == ["whisper", "mschapv2", "chap", "pap"]
        assert self.names(settings.usableMethods) == ["whisper", "mschapv2"]
        assert settings.authenticating > {NUMBER, ppp.PAP, ppp.CHAP}

    @pytest.mark.parametrize(
        ("strength", "place"), [(50, 4), (150, 3), (300, 2), (350, 1), (400, 1), (401, 0)]
    )
    def test_orderIsByStrength(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, strength: int, place: int
    ) -> None:
        """
        The order of the offers depends on the strengths, not on the configuration. Equal strengths
        are ordered by name.
        """
        monkeypatch.setattr("tests.whisper.WHISPER", Whisper(strength=strength))
        self.install(site)
        methods = LinkSection(
            authentication=("whisper", "pap", "chap", "mschap", "mschapv2")
        ).methods()
        assert self.names(methods).index("whisper") == place

    def test_notByDefault(self, site: Site) -> None:
        """
        An installed protocol isn't permitted by default.
        """
        self.install(site)
        assert Configuration().link.methods() == (MSCHAPV2,)

    def test_unknownNames(self, site: Site) -> None:
        """
        The error about an unknown name lists what is installed.
        """
        self.install(site)
        with pytest.raises(
            ConfigurationError, match="there are chap, eap, mschap, mschapv2, pap, whi"
        ):
            LinkSection(authentication=("kerberos",)).methods()

    def test_twoOfOneOption(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Two protocols with the same LCP option are an error, as LCP couldn't tell them apart.
        """
        twin = replace(MSCHAPV2, name="whisper")
        monkeypatch.setattr("tests.whisper.WHISPER", twin)
        self.install(site)
        assert LinkSection(authentication=("whisper", "pap")).methods() == (twin, PAP)
        with pytest.raises(ConfigurationError) as caught:
            LinkSection(authentication=("mschapv2", "whisper")).methods()
        assert str(caught.value) == (
            '[link] authentication = ["mschapv2", "whisper"]: callers can\'t tell mschapv2 from '
            "whisper, so it is either"
        )

    def test_keysOfItsOwnSufficeForEncryption(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Required encryption permits the protocol only if it has keys.
        """
        self.install(site)
        assert LinkSection(authentication=("whisper",)).methods() == (WHISPER,)
        monkeypatch.setattr("tests.whisper.WHISPER", HUSHED)
        with pytest.raises(ConfigurationError, match=r"earns MPPE keys: eap, mschap, mschapv2$"):
            LinkSection(authentication=("whisper",)).methods()

"""
Tests for the checker with servers that answer what FreeRADIUS wouldn't.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
from pyrad import packet as pyrad
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.auth.eapmethod import RELAYED, RelayedClaim, RelayedCredentials
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP, CHAPProtocol, PAPProtocol
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.rejection import Rejection
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.config.section import ListenSection
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, Malformed, Refused, Unavailable, Unproven
from pptpgw.interfaces import Caller, Claim, Grant
from pptpgw.radius.checker import ROUNDS, RADIUSChecker
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.nas import NAS
from pptpgw.radius.plugin import RADIUSCheckerFactory
from pptpgw.radius.section import RADIUSSection
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import RADIUSService
from pptpgw.radius.udp import UDPTransport
from pptpgw.sessions.session import UNKNOWN
from pptpgw.testing import makeClaim
from pptpgw.tunnels.pptp.call import PPTP
from pptpgw.tunnels.sstp.call import SSTP
from tests.radius.wire import SECRET, Port, Wire, answer, asked

IDENTITY = b"\2\5\0\x09\1vera"
CALLER = Caller("198.51.100.7", "203.0.113.1", 5, "abc00000005", PPTP)
PROOF = b"\x09S=" + b"0123456789ABCDEF" * 2 + b"01234567"
KEY = bytes(range(16))
Answer = Callable[[bytes], bytes]


def server(port: int = 1812) -> Server:
    return Server("192.0.2.1", port, 0, secret=SECRET.decode())


class World:
    """
    A checker whose server answers as it is told.
    """

    def __init__(self, *answers: Answer) -> None:
        self.wire = Wire()
        self.counters = Counters()
        self.client = RADIUSClient(
            self.wire, [server(), server(1912)], self._transport, b"gate", random=Random(1)
        )
        self.checker = RADIUSChecker(self.client, NAS(b"gate", ()))
        self.answers = list(answers)
        self.requests: list[Any] = []
        self.ports: list[int] = []
        self.wire.servers = {1812: self._serve, 1912: self._serve}

    def _transport(self, one: Server, service: RADIUSService) -> UDPTransport:
        return UDPTransport(self.wire, one, service, 6.0, self.counters, Random(5))

    def _serve(self, port: Port, octets: bytes) -> None:
        assert port.peer is not None
        self.requests.append(asked(octets))
        self.ports.append(port.peer[1])
        if self.answers:
            port.deliver(self.answers.pop(0)(octets))

    def judge(self, credentials: ClaimCredentials) -> Any:
        """
        Have credentials judged.

        @return: the avatar, the exception, or C{None} while there is no result.
        """
        results: list[Any] = []
        asked = self.checker.requestAvatarId(credentials)
        asked.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return results[0] if results else None


def accept(**attributes: Any) -> Answer:
    return lambda octets: answer(octets, **attributes)


def reject(**attributes: Any) -> Answer:
    return lambda octets: answer(octets, pyrad.AccessReject, **attributes)


def challenge(**attributes: Any) -> Answer:
    return lambda octets: answer(octets, pyrad.AccessChallenge, **attributes)


def claimed(
    method: CHAPProtocol | PAPProtocol = PAP, name: bytes = b"vera", caller: Caller = CALLER
) -> ClaimCredentials:
    return method.credentials(makeClaim(method, name, caller=caller), name)


class Conversation:
    """
    A peer that answers every EAP Request with its identifier and one octet.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def relay(self, request: bytes) -> Deferred[bytes]:
        self.requests.append(request)
        if request[:1] != b"\1":
            return fail(Malformed("no Request"))
        return succeed(b"\2" + request[1:2] + b"\0\6\x15" + bytes((len(self.requests),)))


def relayed(peer: Any) -> RelayedCredentials:
    claim = RelayedClaim(PAP, b"vera", 5, b"", IDENTITY, RELAYED, peer, caller=CALLER)
    return RelayedCredentials(claim, b"vera")


def test_theTunnelsThatAnAcceptPermits() -> None:
    """
    Tunnel-Type restricts the user to tunnels of these types, as the wire has it.
    """
    for type_, tunnels in (("PPTP", {"pptp"}), ("L2TP", set())):
        avatar = World(accept(Tunnel_Type=type_)).judge(claimed())
        assert avatar.profile.tunnels == tunnels


class TestRequest:
    def test_whatItSaysOfTheCall(self) -> None:
        world = World(accept())
        world.judge(claimed())
        [request] = world.requests
        names = request.keys()
        assert {
            name: request[name][0]
            for name in names
            if name not in ("Message-Authenticator", "User-Password")
        } == {
            "User-Name": "vera",
            "NAS-Identifier": "gate",
            "NAS-IP-Address": "203.0.113.1",
            "NAS-Port": 5,
            "NAS-Port-Type": "Virtual",
            "Service-Type": "Framed-User",
            "Framed-Protocol": "PPP",
            "Tunnel-Type": "PPTP",
            "Tunnel-Medium-Type": "IPv4",
            "Tunnel-Client-Endpoint": "198.51.100.7",
            "Tunnel-Server-Endpoint": "203.0.113.1",
            "Calling-Station-Id": "198.51.100.7",
            "Called-Station-Id": "203.0.113.1",
            "Acct-Session-Id": "abc00000005",
            "Connect-Info": "PPTP",
        }
        assert request.verify_message_authenticator()

    def test_whatProtectsTheCall(self) -> None:
        """
        Connect-Info says what encrypts the call beneath PPP, so that the server can demand it.
        """
        world = World(accept())
        credentials = claimed()
        caller = replace(CALLER, protection="IPsec ESP in UDP AES_CBC-256, pptpgw-psk[3]")
        credentials.claim = replace(credentials.claim, caller=caller)
        world.judge(credentials)
        [request] = world.requests
        assert request["Connect-Info"] == ["PPTP: IPsec ESP in UDP AES_CBC-256"]

    def test_aCallBySSTP(self) -> None:
        """
        SSTP has Microsoft's Tunnel-Type ([MS-RNAP] section 2.2.2.1), and a call may come by IPv6.
        """
        caller = replace(CALLER, address="2001:db8::7", tunnel=SSTP)
        types = dict(NAS(b"gate", ()).call(caller))
        assert types["Tunnel-Type"] == bytes.fromhex("00013701")
        assert types["Tunnel-Medium-Type"] == bytes.fromhex("00000002")
        avatar = World(accept(Tunnel_Type=0x013701)).judge(claimed(caller=caller))
        assert avatar.profile.tunnels == {"sstp"}
        assert World(accept(Tunnel_Type=0x013701)).judge(claimed()).profile.tunnels == set()

    def test_whatIsntKnownOfTheCall(self) -> None:
        """
        Attributes without a value aren't sent.
        """
        caller = replace(CALLER, called="", tunnel=UNKNOWN)
        names = {name for name, _ in NAS(b"gate", ()).call(caller)}
        assert "Calling-Station-Id" in names
        assert not names & {"Called-Station-Id", "Tunnel-Type", "Tunnel-Server-Endpoint"}

    def test_aClaimWithoutItsCaller(self) -> None:
        world = World(accept())
        credentials = claimed()
        credentials.claim = replace(credentials.claim, caller=None)
        world.judge(credentials)
        assert "Calling-Station-Id" not in world.requests[0]
        assert "NAS-IP-Address" not in world.requests[0]

    def test_MSCHAPWithoutItsLANManagerHalf(self) -> None:
        """
        An MS-CHAPv1 response has the identifier, the flags and two responses, of which the LAN
        Manager one is zero (RFC 2548 section 2.1.3).
        """
        credentials = claimed(MSCHAP)
        response = credentials.claim.response
        credentials.claim = replace(credentials.claim, response=b"\xaa" * 24 + response[24:])
        world = World(reject())
        world.judge(credentials)
        [octets] = world.requests[0].get((311, 1))
        assert octets == bytes((credentials.claim.identifier, 1)) + bytes(24) + response[24:48]

    def test_MSCHAPv2(self) -> None:
        """
        An MS-CHAPv2 response has the identifier, the flags, the peer challenge, eight zeros and the
        response (RFC 2548 section 2.3.2).
        """
        credentials = claimed(MSCHAPV2)
        response = credentials.claim.response
        world = World(reject())
        world.judge(credentials)
        [octets] = world.requests[0].get((311, 25))
        assert (
            octets
            == bytes((credentials.claim.identifier, 0)) + response[:16] + bytes(8) + response[24:48]
        )

    def test_aLANManagerResponseAloneIsntAsked(self) -> None:
        credentials = claimed(MSCHAP)
        response = credentials.claim.response
        credentials.claim = replace(credentials.claim, response=response[:48] + b"\0")
        world = World()
        assert isinstance(world.judge(credentials), Refused)
        assert not world.requests


class TestAnswers:
    def test_withoutTheServersProof(self) -> None:
        world = World(accept(MS_MPPE_Send_Key=KEY, MS_MPPE_Recv_Key=KEY))
        assert "obeyed" in str(world.judge(claimed(MSCHAPV2)))

    @pytest.mark.parametrize("proof", [b"", b"S=", PROOF[:-1], PROOF.lower(), b"\x09E=691 R=0"])
    def test_withAProofThatIsNone(self, proof: bytes) -> None:
        assert "obeyed" in str(World(accept(MS_CHAP2_Success=proof)).judge(claimed(MSCHAPV2)))

    def test_theProofReachesThePeer(self) -> None:
        credentials = claimed(MSCHAPV2)
        avatar = World(accept(MS_CHAP2_Success=PROOF + b" M=Hello")).judge(credentials)
        assert avatar == b"vera"
        assert credentials.message == PROOF[1:] + b" M=Hello"
        assert credentials.keys is None

    def test_keysThatCantBeRead(self) -> None:
        attributes = {"MS_CHAP2_Success": PROOF, "MS_MPPE_Send_Key": KEY}
        assert "obeyed" in str(World(accept(**attributes)).judge(claimed(MSCHAPV2)))

    def test_aRestrictionThatCantBeRead(self, log: list[str]) -> None:
        """
        A caller whose restricting attribute can't be read is refused, since its session would be
        allowed too much.
        """
        refused = World(accept(Filter_Id=b"b\xfcro")).judge(claimed())
        assert isinstance(refused, Refused) and "obeyed" in str(refused)
        assert any("'vera'" in line and "Filter-Id: " in line for line in log)

    def test_theServersNameForTheUser(self) -> None:
        avatar = World(accept(User_Name="Vera")).judge(claimed())
        assert avatar.profile.name == "Vera"

    @pytest.mark.parametrize("make", [claimed, lambda: claimed(CHAP)], ids=["pap", "chap"])
    def test_aChallengeToWhatHasNone(self, make: Callable[[], ClaimCredentials]) -> None:
        world = World(challenge(Reply_Message="the next code?", State=b"x"))
        assert isinstance(world.judge(make()), Rejection)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (b"\x09E=691 R=1 C=00 V=3 M=no", (691, True, b"no")),
            (b"\x09E=648 R=0 V=3 M=expired", (648, False, b"expired")),
            (b"\x09E=647 R=0", (647, False, b"")),
            (b"\x09E=", (691, False, b"")),
            (b"", (691, False, b"")),
        ],
    )
    def test_whatMSCHAPErrorSays(self, error: bytes, expected: tuple[int, bool, bytes]) -> None:
        rejection = World(reject(MS_CHAP_Error=error)).judge(claimed(MSCHAPV2))
        assert isinstance(rejection, Rejection)
        assert (rejection.error, rejection.retry, rejection.text) == expected

    def test_forgedAndTruncatedOnesDontCount(self) -> None:
        """
        The client discards forged and truncated answers, and takes the right one that follows.
        """
        answers: list[Answer] = [
            lambda octets: answer(octets)[:25],
            lambda octets: answer(octets, message_authenticator=False),
            accept(),
        ]
        world = World(*answers)
        results: list[Any] = []
        world.checker.requestAvatarId(claimed()).addCallback(results.append)
        for _ in range(20):
            world.wire.wait(1)
        assert results == [b"vera"]
        assert world.counters.discards == {
            "RADIUS: malformed reply": 1,
            "RADIUS: reply, no Message-Authenticator": 1,
        }

    def test_onlyForgedOnes(self) -> None:
        """
        Who is told that no server answered is told why answers were discarded.
        """

        def unsigned(octets: bytes) -> bytes:
            return answer(octets, message_authenticator=False)

        world = World(*[unsigned] * 20)
        failures: list[Any] = []
        world.checker.requestAvatarId(claimed()).addErrback(failures.append)
        for _ in range(60):
            world.wire.wait(1)
        (failure,) = failures
        assert "answers are discarded: no Message-Authenticator" in failure.getErrorMessage()


class TestEAP:
    def test_roundByRound(self) -> None:
        """
        The State of each challenge goes back to the server that sent it.
        """
        world = World(
            challenge(EAP_Message=b"\1\6\0\5\x0d", State=b"one"),
            challenge(EAP_Message=[b"\1\7" + bytes(251), bytes(100)], State=b"two"),
            accept(EAP_Message=b"\3\7\0\4", MS_MPPE_Send_Key=KEY * 2, MS_MPPE_Recv_Key=KEY * 2),
        )
        peer = Conversation()
        credentials = relayed(peer)
        assert world.judge(credentials) == b"vera"
        assert [len(one) for one in peer.requests] == [5, 353]
        assert [request.get("EAP-Message") for request in world.requests] == [
            [IDENTITY],
            [b"\2\6\0\6\x15\1"],
            [b"\2\7\0\6\x15\2"],
        ]
        assert [request.get("State") for request in world.requests] == [None, [b"one"], [b"two"]]
        assert len(set(world.ports)) == 1
        assert credentials.keys is not None
        assert credentials.keys.send(128, False).startKey == KEY

    def test_noKeysWhereTheServerSendsNone(self) -> None:
        credentials = relayed(Conversation())
        assert World(accept(EAP_Message=b"\3\5\0\4")).judge(credentials) == b"vera"
        assert credentials.keys is None

    def test_aRejection(self) -> None:
        world = World(reject(EAP_Message=b"\4\5\0\4"))
        assert isinstance(world.judge(relayed(Conversation())), Rejection)

    def test_anAcceptThatSaysFailure(self) -> None:
        """
        An Access-Accept with an EAP Failure contradicts itself and lets nobody in (RFC 3579 section
        2.6.3).
        """
        world = World(accept(EAP_Message=b"\4\5\0\4"))
        assert "obeyed" in str(world.judge(relayed(Conversation())))

    @pytest.mark.parametrize("message", [b"", b"\3\5\0\4", b"\7"])
    def test_aChallengeWithoutRequest(self, message: bytes) -> None:
        world = World(challenge(EAP_Message=message, State=b"x"))
        assert isinstance(world.judge(relayed(Conversation())), Malformed)

    def test_itEnds(self) -> None:
        world = World(*[challenge(EAP_Message=b"\1\6\0\5\x0d", State=b"x")] * (ROUNDS + 5))
        refused = world.judge(relayed(Conversation()))
        assert isinstance(refused, Refused) and str(ROUNDS) in str(refused)

    def test_aPeerThatGoesAway(self) -> None:
        class Silent:
            def relay(self, request: bytes) -> Deferred[bytes]:
                return Deferred()

        world = World(challenge(EAP_Message=b"\1\6\0\5\x0d", State=b"x"))
        failed: list[Any] = []
        judged = world.checker.requestAvatarId(relayed(Silent()))
        judged.addErrback(failed.append)
        judged.cancel()
        assert failed[0].check(CancelledError)
        assert not world.wire.getDelayedCalls()


class TestLogin:
    """
    Tests for the checker behind a portal, with names that have a domain.
    """

    def grant(self, world: World, claim: Claim) -> Any:
        portal = Portal(SubscriberRealm(), [CheckerChain([world.checker])])
        results: list[Any] = []
        judged: Deferred[Grant] = Authenticator(portal)(claim)
        judged.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return results[0] if results else None

    def test_granted(self) -> None:
        world = World(accept(Framed_Pool="staff"))
        grant = self.grant(world, claimed().claim)
        assert (grant.name, grant.subscriber.profile.pool) == ("vera", "staff")

    def test_aDomainIsLeftOutWhereItIsntKnown(self) -> None:
        world = World(reject(), accept())
        assert self.grant(world, claimed(name=b"OFFICE\\vera").claim).name == "vera"
        assert [one["User-Name"] for one in world.requests] == [["OFFICE\\vera"], ["vera"]]

    def test_aWrongPassword(self) -> None:
        assert isinstance(self.grant(World(reject()), claimed().claim), Unproven)

    def test_anotherReasonIsPassedOn(self) -> None:
        world = World(reject(MS_CHAP_Error=b"\x09E=647 R=0 V=3 M=ask the desk"))
        refused = self.grant(world, claimed(MSCHAPV2).claim)
        assert (refused.error, refused.retry, refused.text) == (647, False, b"ask the desk")

    def test_anOutageIsNoWrongPassword(self) -> None:
        """
        An outage isn't a wrong password, and the next checker isn't asked.
        """
        world = World()
        results: list[Any] = []
        portal = Portal(SubscriberRealm(), [CheckerChain([world.checker, World(accept()).checker])])
        Authenticator(portal)(claimed().claim).addErrback(lambda one: results.append(one.value))
        world.wire.wait(26)
        assert isinstance(results[0], Unavailable)

    def test_aCallThatEndsMeanwhile(self) -> None:
        world = World()
        portal = Portal(SubscriberRealm(), [CheckerChain([world.checker])])
        judged = Authenticator(portal)(claimed().claim)
        judged.addErrback(lambda _: None)
        judged.cancel()
        assert not world.wire.getDelayedCalls()


class TestConfiguration:
    def test_itTakesItsNameAndAddress(self) -> None:
        checker = RADIUSCheckerFactory().generateChecker("")
        assert isinstance(checker, RADIUSChecker)
        radius = RADIUSSection((server(),), "gate", (IPv4Address("192.0.2.9"),), deadline=9.0)
        checker.configure(NoSettings(), Environment(Clock(), Configuration(radius=radius)))
        assert (checker.nas, checker.deadline) == (NAS(b"gate", (IPv4Address("192.0.2.9"),)), 9.0)

    def test_orThoseOfTheGateway(self) -> None:
        checker = RADIUSChecker()
        listen = ListenSection(addresses=(IPv4Address("192.0.2.1"),))
        checker.configure(
            NoSettings(),
            Environment(Clock(), Configuration(listen, radius=RADIUSSection((server(),)))),
        )
        assert checker.nas == NAS(b"pptpgw", (IPv4Address("192.0.2.1"),))

    @pytest.mark.parametrize("servers", [(), (Server("192.0.2.1", 0, 1813, secret="x"),)])
    def test_thereMustBeAServer(self, servers: tuple[Server, ...]) -> None:
        with pytest.raises(ConfigurationError, match=r"radius\.server"):
            RADIUSChecker().configure(
                NoSettings(), Environment(Clock(), Configuration(radius=RADIUSSection(servers)))
            )

    def test_withoutAClientNobodyGetsIn(self) -> None:
        failed: list[Any] = []
        RADIUSChecker().requestAvatarId(claimed()).addErrback(failed.append)
        assert failed[0].check(Unavailable)

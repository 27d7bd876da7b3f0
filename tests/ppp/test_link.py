"""
Tests for L{pptpgw.ppp.link}, L{pptpgw.ppp.networkphase} and L{pptpgw.ppp.encryption}, with the
links of a gateway and a client joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.error import NotCarried, Refused
from pptpgw.interfaces import (
    Attachment,
    Attachments,
    Claim,
    Grant,
    IAuthenticationProtocol,
    IChannel,
    IChannelOwner,
    IDetachable,
    IKeys,
    INetworkLink,
    INetworkProtocol,
    IPeerResults,
    IVerdicts,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.link import Link, Phase
from pptpgw.ppp.mppe import mschapV2Keys
from pptpgw.ppp.networkphase import KEPT_PACKETS
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, DELAY, Frame, MemoryChannel, MemoryNetwork
from pptpgw.tunnels.pptp.owner import Ends


class Owner:
    """
    The owner of a link. It knows the password of one account, as a gateway's does.
    """

    def __init__(self, password: bytes = b"secret") -> None:
        self.password = password
        self.opened: list[Attachment] = []
        self.closed = 0
        self.finished: list[tuple[str, str]] = []
        self.causes: list[str] = []
        self.keys: list[IKeys | None] = []
        self.claims: list[Claim] = []
        self.refusal: Refused | None = None
        self.profile: Profile | None = None
        self.ipcp: list[IPCP] = []
        self.ipv4 = IPv4Settings(
            localAddress="10.77.0.1", peerAddress="10.77.0.10", dns=("10.77.0.53",)
        )

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        self.claims.append(claim)
        credentials = claim.method.credentials(claim, claim.name)
        assert isinstance(credentials, ClaimCredentials)
        if credentials.checkPassword(self.password):
            return succeed(Grant("alice", credentials.message, credentials.keys, self.profile))
        return fail(Refused("no such user or wrong password"))

    def authenticated(self, keys: IKeys | None) -> None:
        self.keys.append(keys)

    def bundleOf(self, own: Bundle) -> Bundle:
        return own

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        if self.refusal is not None:
            raise self.refusal
        self.ipcp.append(IPCP(self.ipv4))
        return [self.ipcp[-1]]

    def attached(self, attachments: Attachments) -> Attachments:
        return attachments

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.opened += attachments.values()

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.closed += 1

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        self.finished.append((protocol.name, reason))

    def linkEnded(self, cause: str) -> None:
        self.causes.append(cause)


class Undecided(Owner):
    """
    An owner that never gives a verdict.
    """

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        self.claims.append(claim)
        return Deferred()


class Pair:
    """
    The links of a gateway and a caller, joined by channels.
    """

    def __init__(
        self,
        server: LinkSettings | None = None,
        client: LinkSettings | None = None,
        gateway: Owner | None = None,
    ) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.gateway = gateway or Owner()
        self.caller = Owner()
        self.caller.ipv4 = IPv4Settings(requestDNS=True)
        self.server = Link(self.clock, server or SERVER, self.gateway)
        self.client = Link(self.clock, client or CLIENT, self.caller)
        here, there = CALLER.called, CALLER.address
        self.serverChannel = MemoryChannel(self.network, Ends(here, there, 1, 2), self.server)
        self.clientChannel = MemoryChannel(self.network, Ends(there, here, 2, 1), self.client)

    def start(self) -> None:
        self.server.lowerUp(self.serverChannel)
        self.client.lowerUp(self.clientChannel)

    def cut(self) -> None:
        """
        Lose every frame from now on, those on their way included.
        """
        for channel in (self.serverChannel, self.clientChannel):
            self.network.leave(channel)

    def timers(self) -> Sequence[IDelayedCall]:
        """
        Return the delayed calls, without those of frames on their way.
        """
        self.cut()
        self.clock.advance(DELAY)
        return self.clock.getDelayedCalls()

    def run(self, seconds: float, step: float = DELAY) -> None:
        for _ in range(int(seconds / step)):
            self.clock.advance(step)


SERVER = LinkSettings(methods=(MSCHAPV2, MSCHAP, CHAP, PAP), name=b"gateway")
CLIENT = LinkSettings(identity=Identity(b"alice", b"secret", (MSCHAPV2, MSCHAP, CHAP)))


def test_tinyMRU() -> None:
    """
    A peer that asks for an MRU below the minimum gets a Configure-Nak with the minimum.
    """
    pair = Pair(client=replace(CLIENT, mru=64))
    pair.start()
    pair.run(1)
    assert (pair.client.phase, pair.server.phase) == (Phase.NETWORK, Phase.NETWORK)
    assert (pair.server.lcp.peerMRU, pair.client.lcp.mru) == (128, 128)
    assert pair.serverChannel.networks[0x21].mtu == 128


def test_interfaces() -> None:
    """
    The link and its network phase provide their interfaces.
    """
    pair = Pair()
    for interface in (IChannelOwner, IVerdicts, IPeerResults):
        verifyObject(interface, pair.server)
    verifyObject(IChannel, pair.serverChannel)
    pair.start()
    pair.run(0.1)
    verifyObject(INetworkLink, pair.server._network)


def test_opens() -> None:
    """
    Two links with default settings reach encrypted IPv4 without waiting for a Restart timer.
    """
    pair = Pair()
    pair.start()
    pair.run(0.05)
    assert pair.server.phase is Phase.NETWORK
    assert [one.method.name for one in (pair.server, pair.client) if one.method] == ["mschapv2"] * 2
    assert pair.server.encryption == pair.client.encryption == "MPPE 128 bit stateless"
    assert [str(one) for one in pair.serverChannel.networks[ppp.IPV4].addresses] == [
        "10.77.0.10/32"
    ]
    assert pair.caller.ipcp[0].localAddress == "10.77.0.10"
    assert pair.caller.ipcp[0].dns == ("10.77.0.53",)
    assert pair.serverChannel.sendMPPE == pair.clientChannel.receiveMPPE
    assert pair.serverChannel.receiveMPPE == pair.clientChannel.sendMPPE
    assert pair.serverChannel.sendMPPE != pair.serverChannel.receiveMPPE


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((128, 56, 40), (40,), "40"),
        ((128, 40), (128, 56, 40), "128"),
        ((56, 40), (128, 56), "56"),
        ((128,), (128, 40), "128"),
    ],
)
def test_severalKeyLengths(ours: tuple[int, ...], theirs: tuple[int, ...], expected: str) -> None:
    """
    Two links that allow several key lengths use the strongest common one.
    """
    pair = Pair(replace(SERVER, bits=ours), replace(CLIENT, bits=theirs))
    pair.start()
    pair.run(2)
    assert pair.server.encryption == f"MPPE {expected} bit stateless", pair.gateway.causes
    assert pair.gateway.opened


Encryption = Literal["require", "prefer", "off"]


@pytest.mark.parametrize(
    ("link", "relaxable", "account", "expected"),
    [
        ("require", False, None, "MPPE"),
        ("require", False, "prefer", "no key length"),
        ("require", False, "off", "no key length"),
        ("require", True, "prefer", "not encrypted"),
        ("require", True, "off", "not encrypted"),
        ("require", True, "require", "no key length"),
        ("prefer", False, "require", "no key length"),
        ("prefer", False, "prefer", "not encrypted"),
        ("off", False, "require", "no key length"),
        ("off", True, None, "not encrypted"),
    ],
)
def test_encryptionByAccount(
    link: Encryption, relaxable: bool, account: Encryption | None, expected: str
) -> None:
    """
    An account may require encryption where the gateway doesn't, and may relax the gateway's
    requirement only where the gateway permits that. The link to a peer without encryption ends if
    encryption is required in the end.
    """
    settings = replace(SERVER, encryption=link, relaxable=relaxable)
    plain = replace(CLIENT, encryption="off")
    pair = Pair(settings, plain if account is not None else CLIENT)
    if account is None and link == "off":
        pair = Pair(settings, plain)
    pair.gateway.profile = Profile("alice", encryption=account)
    pair.start()
    pair.run(20, 0.01)
    if expected == "no key length":
        assert pair.gateway.opened == []
        assert pair.gateway.causes and "encryption is required" in pair.gateway.causes[0]
    else:
        assert pair.gateway.opened, pair.gateway.causes
        assert pair.server.encryption.startswith(expected)
        assert pair.serverChannel.required == (expected == "MPPE")


def test_anAccountThatDemandsEncryptionGetsIt() -> None:
    """
    An account that requires encryption gets it on a gateway where encryption is off.
    """
    pair = Pair(replace(SERVER, encryption="off"))
    pair.gateway.profile = Profile("alice", encryption="require")
    pair.start()
    pair.run(1)
    assert pair.server.encryption == "MPPE 128 bit stateless"
    assert pair.serverChannel.required and pair.gateway.opened


def test_anAccountWithoutEncryptionIsntOfferedAny() -> None:
    """
    An account with C{off} gets no encryption where the gateway prefers it, even if the peer
    supports it.
    """
    pair = Pair(replace(SERVER, encryption="prefer"), replace(CLIENT, encryption="prefer"))
    pair.gateway.profile = Profile("alice", encryption="off")
    pair.start()
    pair.run(10, 0.01)
    assert pair.gateway.opened
    assert pair.server.encryption == "not encrypted"


@pytest.mark.parametrize(
    ("ours", "accounts", "expected"),
    [
        ((128, 56, 40), (40,), "MPPE 40 bit stateless"),
        ((128,), (128, 40), "MPPE 128 bit stateless"),
        ((128,), (56, 40), "the account allows no key length of ours"),
    ],
)
def test_keyLengthsByAccount(
    ours: tuple[int, ...], accounts: tuple[int, ...], expected: str
) -> None:
    """
    An account can only reduce the key lengths that the gateway allows.
    """
    pair = Pair(replace(SERVER, bits=ours), replace(CLIENT, bits=(128, 56, 40)))
    pair.gateway.profile = Profile("alice", bits=accounts)
    pair.start()
    pair.run(5)
    if expected.startswith("MPPE"):
        assert pair.server.encryption == expected
    else:
        assert pair.gateway.causes == [f"encryption is required: {expected}"]


def test_thePeerMaySpeakFirst() -> None:
    """
    A peer with only one of several key lengths, which would end the link over another, is asked for
    that one alone. A peer that waits for our request is asked for the strongest after a moment.
    """
    pair = Pair(replace(SERVER, bits=(128, 40)), replace(CLIENT, bits=(40,)))
    pair.start()
    pair.run(0.1)
    requests = [one for number, one in pair.serverChannel.sent if number == ppp.CCP and one[0] == 1]
    assert [request[4:].hex() for request in requests] == ["120601000020"]
    silent = Pair(replace(SERVER, bits=(128, 40)))
    silent.clientChannel.lose = lambda frame: frame[0] == ppp.CCP
    silent.start()
    silent.run(0.4)
    assert not [one for one in silent.serverChannel.sent if one[0] == ppp.CCP]
    silent.run(0.3)
    assert silent.serverChannel.sent[-1] == (ppp.CCP, bytes.fromhex("0101000a120601000040"))


def test_networkOpensAfterEncryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    MPPE is on in both directions before IPv4 opens.
    """
    pair = Pair()
    channel = pair.serverChannel
    keys: list[object] = []

    def openNetwork(protocol: int, attachment: Attachment) -> None:
        assert protocol == ppp.IPV4
        keys.extend((channel.sendMPPE, channel.receiveMPPE))

    monkeypatch.setattr(channel, "openNetwork", openNetwork)
    pair.start()
    pair.run(0.05)
    assert len(keys) == 2 and None not in keys
    assert channel.required


class Dual(Owner):
    """
    An owner with IPv6 besides.
    """

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        return [*super().networkProtocols(grant), IPV6CP(IPv6Settings())]


@pytest.mark.parametrize("refused", [{ppp.IPV6}, {ppp.IPV4, ppp.IPV6}])
def test_aNetworkThatIsNotCarried(refused: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A network protocol that the data path can't carry is closed, and the others go on; if there is
    none, the link ends.
    """
    owner = Dual()
    pair = Pair(gateway=owner)
    both = [IPCP(pair.caller.ipv4), IPV6CP(IPv6Settings())]
    monkeypatch.setattr(pair.caller, "networkProtocols", lambda grant: both)
    openNetwork = pair.serverChannel.openNetwork

    def refuse(protocol: int, attachment: Attachment) -> None:
        if protocol in refused:
            raise NotCarried("the filter is too large")
        openNetwork(protocol, attachment)

    monkeypatch.setattr(pair.serverChannel, "openNetwork", refuse)
    pair.start()
    pair.run(1)
    assert ("ipv6", "the filter is too large") in owner.finished
    assert len(owner.opened) == 2 - len(refused)
    if ppp.IPV4 in refused:
        (cause,) = owner.causes
        assert "the filter is too large" in cause
    else:
        assert owner.ipcp[0].opened and owner.causes == []


def test_earlyIPCPIsKept() -> None:
    """
    A Configure-Request of IPCP that arrives before CCP is open is kept, and is answered as soon as
    CCP opens.
    """
    pair = Pair()
    held: list[Frame] = []

    def hold(frame: Frame) -> bool:
        if frame[0] == ppp.CCP:
            held.append(frame)
            return True
        return False

    pair.clientChannel.lose = hold
    pair.start()
    pair.run(0.02)
    request = ppp.encodePacket(1, 77, ppp.encodeOptions([(3, bytes(4))]))
    pair.server.frameReceived(ppp.IPCP, request)
    pair.run(0.02)
    assert not [frame for frame in pair.serverChannel.sent if frame[0] == ppp.IPCP]
    pair.clientChannel.lose = lambda frame: False
    for protocol, information in held:
        pair.server.frameReceived(protocol, information)
    pair.run(0.003)
    replies = [frame[1] for frame in pair.serverChannel.sent if frame[0] == ppp.IPCP]
    assert any(reply[:2] == bytes((3, 77)) for reply in replies), replies


def test_lostFirstRequest() -> None:
    """
    The loss of the gateway's first Configure-Request costs no Restart timer.
    """
    pair = Pair()
    lost: list[Frame] = []

    def loseFirst(frame: Frame) -> bool:
        lost.append(frame)
        return len(lost) == 1

    pair.serverChannel.lose = loseFirst
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened


@pytest.mark.parametrize(
    ("methods", "encryption", "expected"),
    [
        ((MSCHAP,), "require", "MPPE 128 bit stateless"),
        ((CHAP,), "prefer", "not encrypted"),
        ((CHAP,), "off", "not encrypted"),
    ],
)
def test_methods(
    methods: tuple[IAuthenticationProtocol, ...],
    encryption: Literal["require", "prefer", "off"],
    expected: str,
) -> None:
    """
    Each authentication method opens the link with the strongest encryption that the method's keys
    allow.
    """
    pair = Pair(
        LinkSettings(methods=methods, encryption=encryption),
        replace(CLIENT, encryption=encryption),
    )
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened, pair.gateway.causes
    assert pair.server.encryption == expected


def test_pap() -> None:
    """
    PAP opens a link where encryption is off.
    """
    pair = Pair(
        LinkSettings(methods=(PAP,), encryption="off"),
        LinkSettings(identity=Identity(b"alice", b"secret", (PAP,)), encryption="off"),
    )
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened


def test_keylessMethodsAreNotOffered() -> None:
    """
    A gateway that requires encryption doesn't offer methods without keys, so a client that has only
    CHAP with MD5 ends and says why.
    """
    pair = Pair(client=LinkSettings(identity=Identity(b"alice", b"secret", (CHAP,))))
    pair.start()
    pair.run(10, 0.1)
    assert not pair.gateway.claims
    assert "CHAP with MD5, which isn't permitted" in pair.gateway.causes[0]


def test_encryptionRefused() -> None:
    """
    A peer that rejects CCP ends a link whose encryption is required before any network opens.
    """
    pair = Pair(client=replace(CLIENT, encryption="off"))
    pair.start()
    pair.run(10, 0.1)
    assert not pair.gateway.opened
    assert len(pair.gateway.causes) == 1
    assert "encryption is required" in pair.gateway.causes[0]


@pytest.mark.parametrize("encryption", ["require", "prefer", "off"])
def test_aTunnelThatEncrypts(encryption: Literal["require", "prefer", "off"]) -> None:
    """
    A call whose tunnel encrypts uses no MPPE, satisfies required encryption, and permits methods
    without keys.
    """
    settings = replace(SERVER, encryption=encryption, encrypted=True)
    client = LinkSettings(identity=Identity(b"alice", b"secret", (CHAP,)), encrypted=True)
    pair = Pair(settings, client)
    pair.gateway.profile = Profile("alice", encryption="require")
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened and not pair.gateway.causes
    assert not pair.serverChannel.required and pair.serverChannel.sendMPPE is None
    assert not any(protocol == ppp.CCP for protocol, _ in pair.serverChannel.sent)
    assert pair.server.encryption == "encrypted by the tunnel"


def test_controlCharactersReachTheChannel() -> None:
    """
    The channel learns which control characters each end wants escaped once LCP has opened.
    """
    pair = Pair(replace(SERVER, accm=0x000A0000), replace(CLIENT, accm=0))
    pair.start()
    pair.run(0.1)
    assert pair.serverChannel.framing[2:] == (0, 0x000A0000)
    assert pair.clientChannel.framing[2:] == (0x000A0000, 0)
    # Until LCP has been negotiated anew, every control character is escaped again.
    pair.server.lcp.lowerDown()
    assert pair.serverChannel.framing[2:] == (0xFFFFFFFF, 0xFFFFFFFF)


def test_encryptionPreferred() -> None:
    """
    A peer that rejects CCP is served in clear where encryption is only preferred.
    """
    pair = Pair(replace(SERVER, encryption="prefer"), replace(CLIENT, encryption="off"))
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened
    assert not pair.serverChannel.required


def test_preferenceIsNotWaitedForForever() -> None:
    """
    A peer that never answers CCP is served in clear after a few seconds, where encryption is only
    preferred.
    """
    pair = Pair(replace(SERVER, encryption="prefer"))
    pair.clientChannel.lose = lambda frame: frame[0] == ppp.CCP
    pair.client.settings = replace(CLIENT, encryption="off")
    pair.start()
    pair.serverChannel.lose = lambda frame: frame[0] == ppp.CCP
    pair.run(4, 0.1)
    assert not pair.gateway.opened
    pair.run(5, 0.1)
    assert pair.gateway.opened


def test_lateEncryptionIsTaken() -> None:
    """
    Encryption still turns on if CCP opens after the link has stopped waiting for it.
    """
    pair = Pair(replace(SERVER, encryption="prefer"), replace(CLIENT, encryption="prefer"))
    pair.serverChannel.lose = lambda frame: frame[0] == ppp.CCP
    pair.clientChannel.lose = lambda frame: frame[0] == ppp.CCP
    pair.start()
    pair.run(8, 0.1)
    assert pair.gateway.opened and not pair.serverChannel.required
    pair.serverChannel.lose = pair.clientChannel.lose = lambda frame: False
    pair.run(5, 0.1)
    assert pair.serverChannel.sendMPPE is not None
    assert pair.serverChannel.required


def test_encryptionThatEndsEndsTheLink() -> None:
    """
    A Terminate-Request for CCP ends the link, even where encryption was only preferred.
    """
    pair = Pair(replace(SERVER, encryption="prefer"))
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened
    pair.server.frameReceived(ppp.CCP, ppp.encodePacket(5, 9, b""))
    pair.run(5, 0.1)
    assert "encryption ended" in pair.gateway.causes[0]


@pytest.mark.parametrize("refuse", ["reject", "silence", "method"])
def test_encryptionThatWasOnIsRequiredAfterLCPIsNegotiatedAnew(refuse: str) -> None:
    """
    A link whose encryption was on ends if its peer negotiates LCP anew and then refuses encryption,
    even where encryption is only preferred, as the channel takes nothing in clear any more.
    """
    answers = (MSCHAPV2, CHAP)
    settings = replace(SERVER, methods=answers, encryption="prefer")
    pair = Pair(settings, replace(CLIENT, identity=Identity(b"alice", b"secret", answers)))
    pair.start()
    pair.run(0.1)
    assert pair.gateway.opened and pair.serverChannel.required
    pair.gateway.opened.clear()
    if refuse == "method":
        pair.server.lcp.settings = replace(pair.server.lcp.settings, authentication=(CHAP,))
    else:
        pair.clientChannel.lose = lambda frame: frame[0] == ppp.CCP
    pair.client.lcp.lowerDown()
    pair.client.lcp.lowerUp()
    pair.run(0.1)
    if refuse == "reject":
        rejection = ppp.encodePacket(ppp.PROTOCOL_REJECT, 9, ppp.CCP.to_bytes(2, "big"))
        pair.server.frameReceived(ppp.LCP, rejection)
    pair.run(60, 0.1)
    assert not pair.gateway.opened
    (cause,) = pair.gateway.causes
    assert cause.startswith("encryption ended: "), cause


def test_encryptionThatWasOnStaysOnWhateverTheAccountSaysNow() -> None:
    """
    A link whose encryption was on stays encrypted when LCP is negotiated anew, even if the account
    has encryption off by then.
    """
    pair = Pair(replace(SERVER, encryption="prefer"))
    pair.start()
    pair.run(0.1)
    pair.gateway.opened.clear()
    pair.gateway.profile = Profile("alice", encryption="off")
    pair.client.lcp.lowerDown()
    pair.client.lcp.lowerUp()
    pair.run(0.1)
    assert pair.gateway.opened and pair.server.encryption == "MPPE 128 bit stateless"


def test_terminateOfNCP() -> None:
    """
    A Terminate-Request for IPCP ends IPv4, and ends the link too where IPv4 is the last network
    protocol.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    pair.server.frameReceived(ppp.IPCP, ppp.encodePacket(5, 9, b"bye"))
    assert ppp.IPV4 not in pair.serverChannel.networks
    assert pair.gateway.closed == 1
    pair.run(10, 0.1)
    assert len(pair.gateway.causes) == 1


def test_wrongPassword() -> None:
    """
    A wrong password ends both links, and each end says why.
    """
    pair = Pair(client=LinkSettings(identity=Identity(b"alice", b"wrong", (MSCHAPV2,))))
    pair.start()
    pair.run(10, 0.1)
    assert len(pair.gateway.causes) == 1 and "password" in pair.gateway.causes[0]
    assert not pair.gateway.opened
    assert len(pair.caller.causes) == 1 and "Authentication failed" in pair.caller.causes[0]


def test_noAddress() -> None:
    """
    A caller that can't have a network is refused before it is sent a Success.
    """
    pair = Pair()
    pair.gateway.refusal = Refused("the address pool is used up", retry=False)
    pair.start()
    pair.run(10, 0.1)
    assert pair.gateway.causes == ["the address pool is used up"]
    success = [packet for protocol, packet in pair.serverChannel.sent if protocol == ppp.CHAP]
    assert not [packet for packet in success if packet[0] == 3]


def test_setupTimesOut() -> None:
    """
    A peer that never sends anything is given up when the set-up time is over.
    """
    pair = Pair()
    pair.server.lowerUp(pair.serverChannel)
    pair.cut()
    pair.run(200, 1)
    assert len(pair.gateway.causes) == 1
    assert not pair.timers()


def test_setupTimesOutThoughLCPBeginsAnew() -> None:
    """
    A peer that negotiates LCP again and again, and never authenticates, gets no more than the
    set-up time.
    """
    pair = Pair(gateway=Undecided())
    pair.start()
    while pair.clock.seconds() < 80:
        pair.run(20, 0.1)
        pair.client.lcp.lowerDown()
        pair.client.lcp.lowerUp()
    pair.run(5, 0.1)
    (cause,) = pair.gateway.causes
    assert cause.startswith("no network protocol opened within 60 s")
    assert len(pair.gateway.claims) == 3


@pytest.mark.parametrize("method", [MSCHAPV2, CHAP])
def test_lostSuccess(method: IAuthenticationProtocol) -> None:
    """
    A lost Success is sent again when the peer stays silent, since not every client repeats its
    Response.
    """
    encryption: Literal["require", "off"] = "require" if method.earnsKeys else "off"
    pair = Pair(
        LinkSettings(methods=(method,), encryption=encryption),
        replace(CLIENT, encryption=encryption),
    )
    lost: list[Frame] = []

    def loseSuccess(frame: Frame) -> bool:
        if frame[0] == ppp.CHAP and frame[1][0] == 3 and not lost:
            lost.append(frame)
            return True
        return False

    # The client sends its Response only once, as pppd does.
    pair.clientChannel.lose = lambda frame: bool(lost) and frame[0] == ppp.CHAP
    pair.serverChannel.lose = loseSuccess
    pair.start()
    pair.run(2.9, 0.01)
    assert lost and not pair.gateway.opened
    pair.run(3.5, 0.01)
    assert pair.gateway.opened and len(pair.gateway.claims) == 1


def test_stalledAuthenticationTimesOut() -> None:
    """
    A peer that opens LCP and never answers a challenge is given up when the set-up time is over.
    """
    pair = Pair()
    pair.clientChannel.lose = lambda frame: frame[0] == ppp.CHAP
    pair.start()
    pair.run(75, 0.5)
    assert len(pair.gateway.causes) == 1


def test_keepalive() -> None:
    """
    A silent peer is sent Echo-Requests, and is given up after the permitted number of unanswered
    ones.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    pair.cut()
    pair.run(29 + 30 * 2, 1)
    assert not pair.gateway.causes
    pair.run(30 * 3 + 5, 1)
    assert pair.gateway.causes == ["the peer is silent: 3 Echo-Requests unanswered"]


def test_trafficIsLife() -> None:
    """
    No Echo-Request is sent while frames arrive.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    pair.cut()
    before = len(pair.serverChannel.sent)
    for _ in range(40):
        pair.serverChannel.counters.framesReceived += 1
        pair.run(10, 1)
    assert not pair.gateway.causes
    assert len(pair.serverChannel.sent) == before


def test_close() -> None:
    """
    C{close} tells the peer, both owners are told once, and no timer is left.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    pair.server.close("the gateway is stopping")
    pair.run(10, 0.1)
    assert pair.gateway.causes == ["the gateway is stopping"]
    assert pair.caller.causes and "the gateway is stopping" in pair.caller.causes[0]
    assert not pair.timers()


def test_lowerDown() -> None:
    """
    A link ends at once when its call is gone.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    sent = len(pair.serverChannel.sent)
    pair.server.lowerDown("the peer cleared the call")
    assert pair.gateway.causes == ["the peer cleared the call"]
    assert pair.gateway.closed == 1
    assert len(pair.serverChannel.sent) == sent
    pair.client.lowerDown("")
    assert not pair.timers()


def test_unknownProtocol() -> None:
    """
    An unknown protocol gets a Protocol-Reject in the network phase and no answer before it.
    """
    pair = Pair()
    pair.server.lowerUp(pair.serverChannel)
    pair.server.frameReceived(0x8057, b"\x01\x01\x00\x04")
    assert not [one for one in pair.serverChannel.sent if one[1][0] == 8]
    pair.client.lowerUp(pair.clientChannel)
    pair.run(0.1)
    pair.server.frameReceived(0x8057, b"\x01\x01\x00\x04")
    assert [one for one in pair.serverChannel.sent if one[0] == ppp.LCP and one[1][0] == 8]


def test_callbackControl() -> None:
    """
    Packets of CBCP are discarded before the network phase of either end, and get a Protocol-Reject
    in it. The link goes on.
    """
    packet = bytes.fromhex("01010008 02040501")
    pair = Pair()
    pair.server.lowerUp(pair.serverChannel)
    pair.server.frameReceived(ppp.CBCP, packet)
    pair.client.lowerUp(pair.clientChannel)
    pair.run(0.1)
    for link, channel in (
        (pair.server, pair.serverChannel),
        (pair.client, pair.clientChannel),
    ):
        assert not [one for one in channel.sent if one[0] == ppp.LCP and one[1][0] == 8]
        link.frameReceived(ppp.CBCP, packet)
        rejects = [one[1][4:] for one in channel.sent if one[0] == ppp.LCP and one[1][0] == 8]
        assert rejects == [b"\xc0\x29" + packet]
        assert link.phase is Phase.NETWORK


def test_twoOfOneNumber(log: list[str]) -> None:
    """
    The first of two network protocols with the same number is served, and the log names the other.
    """

    class Another(IPCP):
        __slots__ = ()
        name = "another"

    class Twice(Owner):
        def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
            first = Owner.networkProtocols(self, grant)
            return [*first, Another(IPv4Settings("10.77.0.1", "10.77.0.66"))]

    owner = Twice()
    pair = Pair(gateway=owner)
    pair.start()
    pair.run(2)
    [attachment] = owner.opened
    assert attachment.addresses == (IPv4Network("10.77.0.10/32"),)
    assert owner.ipcp[0].opened
    said = "network protocol another is left out: ipv4 has its number, 0x8021"
    assert len([line for line in log if said in line]) == 1


def test_eapIsIgnored() -> None:
    """
    A link silently discards EAP packets when EAP wasn't negotiated (CVE-2020-8597).
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    before = len(pair.serverChannel.sent)
    pair.server.frameReceived(ppp.EAP, b"\x01\x01\x00\xff\x04" + b"x" * 300)
    assert len(pair.serverChannel.sent) == before
    assert pair.serverChannel.counters.discards == {"authentication not negotiated": 1}


@implementer(INetworkProtocol, IDetachable)
class Apart:
    """
    A network protocol that shares no code with ours. It sends nothing, and notes what it is told.
    """

    name, control, protocols = "apart", 0x80F1, (0x00F1,)

    def __init__(self) -> None:
        self.told: list[str] = []

    def attach(self, link: INetworkLink) -> None:
        self.told.append("attach")

    def lowerUp(self) -> None:
        self.told.append("lowerUp")

    def lowerDown(self) -> None:
        self.told.append("lowerDown")

    def open(self) -> None:
        self.told.append("open")

    def close(self, reason: str) -> None:
        self.told.append("close")

    def received(self, packet: bytes) -> None:
        self.told.append("received")

    def rejected(self) -> None:
        self.told.append("rejected")

    def detach(self) -> None:
        self.told.append("detach")


def test_aProtocolOfAnotherMake() -> None:
    """
    A network protocol is told everything by its interfaces alone, and last that it isn't used any
    more.
    """
    apart = Apart()

    class Both(Owner):
        def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
            return [*super().networkProtocols(grant), apart]

    pair = Pair(gateway=Both())
    pair.start()
    pair.run(0.1)
    pair.server.frameReceived(apart.control, b"hello")
    pair.server.lowerDown("gone")
    assert apart.told == ["attach", "open", "lowerUp", "received", "lowerDown", "detach"]


def test_agreements() -> None:
    """
    Both ends say the same of what they agreed on, each from its own side, as long as that holds. A
    protocol that doesn't tell what it agreed on is left out.
    """

    class Both(Owner):
        def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
            return [*super().networkProtocols(grant), Apart()]

    pair = Pair(gateway=Both())
    assert pair.server.agreements == []
    pair.start()
    pair.run(0.1)
    here, there = pair.server.agreements, pair.client.agreements
    assert [one.control for one in here] == [ppp.LCP, ppp.CCP, ppp.IPCP]
    assert [(one.control, one.peers, one.ours) for one in there] == here
    assert dict(ppp.decodeOptions(here[0].ours))[1] == (1400).to_bytes(2, "big")
    assert ppp.decodeOptions(here[2].ours) == [(3, bytes((10, 77, 0, 1)))]
    assert dict(ppp.decodeOptions(here[2].peers))[3] == bytes((10, 77, 0, 10))
    pair.client.lcp.lowerDown()
    pair.client.lcp.lowerUp()
    pair.run(0.002)
    assert pair.server.agreements == []
    pair.run(5, 0.1)
    again = pair.server.agreements
    assert [one.control for one in again] == [ppp.LCP, ppp.CCP, ppp.IPCP]
    assert again[0].peers != here[0].peers
    pair.server.lowerDown("gone")
    assert pair.server.agreements == []


def test_renegotiation() -> None:
    """
    A peer that negotiates LCP anew loses its network at once and must authenticate again.
    """
    pair = Pair()
    pair.start()
    pair.run(0.1)
    assert len(pair.gateway.claims) == 1
    pair.client.lcp.lowerDown()
    pair.client.lcp.lowerUp()
    pair.run(0.002)
    assert ppp.IPV4 not in pair.serverChannel.networks
    pair.run(5, 0.1)
    assert len(pair.gateway.claims) == 2
    assert ppp.IPV4 in pair.serverChannel.networks


def test_resets() -> None:
    """
    A channel that needs a resync makes its link send a Reset-Request, and the other end's channel
    is reset.
    """
    pair = Pair(replace(SERVER, stateful=True), replace(CLIENT, stateful=True))
    pair.start()
    pair.run(0.1)
    pair.client.resyncNeeded()
    pair.run(0.01)
    assert pair.serverChannel.resets == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 99), max_size=60),
    st.lists(st.integers(0, 99), max_size=60),
    st.integers(0, 25),
)
def test_convergesOrFails(ours: list[int], theirs: list[int], percent: int) -> None:
    """
    Both ends open, or end with a cause, whichever frames are lost. No timer is left.
    """
    pair = Pair()
    dice = {id(pair.serverChannel): list(ours), id(pair.clientChannel): list(theirs)}

    def loser(channel: MemoryChannel) -> Callable[[Frame], bool]:
        def lose(frame: Frame) -> bool:
            rolls = dice[id(channel)]
            return bool(rolls) and rolls.pop() < percent

        return lose

    pair.serverChannel.lose = loser(pair.serverChannel)
    pair.clientChannel.lose = loser(pair.clientChannel)
    pair.start()
    pair.run(70, 0.25)
    assert pair.gateway.causes or ppp.IPV4 in pair.serverChannel.networks
    pair.server.lowerDown("over")
    pair.client.lowerDown("over")
    assert not pair.timers()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                (ppp.LCP, ppp.PAP, ppp.CHAP, ppp.EAP, ppp.CCP, ppp.IPCP, ppp.IPV4, 0x8057, 0xFD)
            )
            | st.integers(0, 0xFFFF),
            st.binary(max_size=60)
            | st.builds(
                lambda code, identifier, octets: ppp.encodePacket(code, identifier, octets),
                st.integers(0, 15),
                st.integers(0, 3),
                st.binary(max_size=40),
            ),
        ),
        max_size=30,
    ),
    st.booleans(),
)
@example([(ppp.LCP, ppp.encodePacket(7, 0, b"\x01"))], False)
def test_hostileFrames(frames: list[Frame], opened: bool) -> None:
    """
    No frames make a link raise, in any phase, and the link still ends when it is told to.
    """
    pair = Pair()
    pair.start()
    if opened:
        pair.run(0.1)
    for protocol, information in frames:
        pair.server.frameReceived(protocol, information)
    pair.run(1, 0.1)
    pair.server.lowerDown("over")
    pair.client.lowerDown("over")
    assert len(pair.gateway.causes) == 1
    assert not pair.timers()


def test_keysDiffer() -> None:
    """
    The keys of L{mschapV2Keys}, which other tests here rely on, differ between the two directions.
    """
    keys = mschapV2Keys(bytes(16), bytes(24), isServer=True)
    assert keys.send(128, False).startKey != keys.receive(128, False).startKey


def test_headStart() -> None:
    """
    A link with a delay starts after the delay, or at the peer's first frame if that is earlier.
    """
    pair = Pair()
    pair.server.lowerUp(pair.serverChannel, 0.5)
    pair.run(0.4)
    assert not pair.serverChannel.sent
    pair.run(0.2)
    assert pair.serverChannel.sent
    eager = Pair()
    eager.server.lowerUp(eager.serverChannel, 0.5)
    eager.client.lowerUp(eager.clientChannel)
    eager.run(0.1)
    assert eager.gateway.opened
    # The peer has shown that it is ready, so the first request isn't repeated.
    requests = [one for one in eager.serverChannel.sent if one[0] == ppp.LCP and one[1][0] == 1]
    assert len(requests) == 1
    gone = Pair()
    gone.server.lowerUp(gone.serverChannel, 0.5)
    gone.server.lowerDown("gone")
    assert gone.gateway.causes == ["gone"] and not gone.timers()


def test_bothOwnersAreToldOfTheSameKeyForBinding() -> None:
    """
    Each owner is told the keys when the network phase begins, and they have the same key for
    binding. Without keys it is told None.
    """
    pair = Pair(client=CLIENT)
    pair.start()
    pair.run(1)
    ((ours,), (theirs,)) = pair.gateway.keys, pair.caller.keys
    assert ours is not None and theirs is not None
    assert ours.bindings == theirs.bindings and len(set(ours.bindings[0])) > 1
    plain = Pair(
        LinkSettings(methods=(PAP,), encryption="off"),
        LinkSettings(identity=Identity(b"alice", b"secret", (PAP,)), encryption="off"),
    )
    plain.start()
    plain.run(1)
    assert plain.gateway.keys == plain.caller.keys == [None]


def test_PAPOfBothEnds() -> None:
    """
    If both ends authenticate by PAP, the end that was called sends its password once it believes
    the other one, and not before.
    """
    identity = Identity(b"alice", b"secret", (PAP,))
    called = LinkSettings(methods=(PAP,), identity=identity, encryption="off")
    pair = Pair(called, replace(called, dials=True))
    pair.start()
    pair.run(1)
    assert len(pair.gateway.claims) == len(pair.caller.claims) == 1
    assert pair.server.phase is pair.client.phase is Phase.NETWORK
    false = replace(called, dials=True, identity=replace(identity, password=b"guessed"))
    pair = Pair(called, false)
    pair.start()
    pair.run(10)
    assert pair.gateway.claims and not pair.caller.claims
    assert pair.server.phase is Phase.DEAD


def test_nothingGrowsWithEarlyPackets() -> None:
    """
    A peer that sends packets of all sorts of protocols before it has authenticated has no more of
    them remembered than are kept.
    """
    pair = Pair(gateway=Undecided())
    pair.start()
    pair.run(0.05)
    phase = pair.server._network
    assert phase is not None and not phase.begun
    for number in range(1, 0x4000, 2):
        phase.received(number, b"\1\1\0\4")
    assert len(phase._spoken) == len(phase._kept) == KEPT_PACKETS
    pair.server.close("enough")

"""
The EAP methods that use passwords, MD5-Challenge (RFC 3748 section 5.4) and MS-CHAPv2
(draft-kamath-pppext-eap-mschapv2); the method that relays EAP to another judge; and the base class
of methods.

The methods are plugins as those of other packages are: each is an entry point in pyproject.toml.

An EAP-MSCHAPv2 packet contains a CHAP packet with its code, identifier and length. The one
exception is the peer's answer to a Success or a Failure, which is the code alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from pptpgw.auth.credentials import CHAPCredentials, ClaimCredentials, MSCHAPV2Credentials
from pptpgw.config.kind import NoSettings
from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import (
    EAPClaim,
    Grant,
    IEAPConversation,
    IEAPCredentials,
    IEAPMethod,
    IEAPPeer,
    IEnvironment,
    IKeys,
)
from pptpgw.ppp import algorithm
from pptpgw.ppp.algorithm import Answer
from pptpgw.ppp.chap import explain
from pptpgw.ppp.eappeer import MethodPeer
from pptpgw.ppp.exchange import TRIES
from pptpgw.ppp.wire import chap, eap
from pptpgw.sessions.remedy import Remedy


@implementer(IEAPMethod)
class EAPMethod:
    """
    A base class for EAP methods that have no settings.

    @cvar judgedAs: the interface of its credentials.
    @cvar makeCredentials: makes the credentials, of a claim and the name to check it for.
    @cvar makePeer: makes the peer's end, of a name and a password.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    number: ClassVar[eap.Method | None]
    strength: ClassVar[int]
    earnsKeys: ClassVar[bool] = False
    judgedAs: ClassVar[type[Interface]] = IUsernameHashedPassword
    settings: ClassVar[type] = NoSettings
    makeCredentials: ClassVar[type[ClaimCredentials]]
    makePeer: ClassVar[type[MethodPeer]]

    def lacking(self, settings: Any) -> str:
        """
        See L{IEAPMethod.lacking}; nothing.
        """
        return ""

    def configured(self, settings: Any, environment: IEnvironment) -> IEAPMethod:
        """
        See L{IEAPMethod.configured}. Return this method itself, as it has no settings.
        """
        return self

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        """
        See L{IEAPMethod.authenticate}.
        """
        raise NotImplementedError

    def begin(self, name: bytes, password: bytes) -> IEAPPeer:
        """
        See L{IEAPMethod.begin}.
        """
        return self.makePeer(name, password)

    def credentials(self, claim: Any, username: bytes) -> ClaimCredentials:
        """
        See L{IEAPMethod.credentials}.
        """
        return self.makeCredentials(claim, username)


class MD5Peer(MethodPeer):
    """
    The peer's end of MD5-Challenge (RFC 3748 section 5.4).
    """

    def answer(self, request: eap.EAPRequest) -> bytes:
        """
        See L{IEAPPeer.answer}.
        """
        asked = read(request)
        challenge = chap.Challenge(asked.identifier, asked.value, asked.name)
        answer = algorithm.MD5.answer(challenge, self._name, self._password)
        assert answer is not None
        self.done = True
        return body(chap.CHAPResponse(request.identifier, answer.value, self._name))


class MD5Method(EAPMethod):
    """
    MD5-Challenge: the challenge and response of CHAP-MD5 in EAP packets (RFC 3748 section 5.4).
    """

    name = "md5"
    description = "MD5-Challenge: a hash of the password, no encryption (RFC 3748)."
    number = eap.MD5_CHALLENGE
    strength = 210
    makeCredentials = CHAPCredentials
    makePeer = MD5Peer

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        """
        See L{IEAPMethod.authenticate}. Send one Challenge and have the response judged.
        """
        challenge = conversation.random(algorithm.MD5.challengeSize)
        asked = chap.Challenge(0, challenge, conversation.name)
        response = await conversation.ask(self.number, body(asked))
        answer = read(response)
        if len(answer.value) != algorithm.MD5.responseSize:
            raise Malformed(f"an MD5 response of {len(answer.value)} octets")
        name = conversation.username or answer.name
        return await conversation.judge(
            EAPClaim(
                conversation.protocol, name, response.identifier, challenge, answer.value, self
            )
        )


class MSCHAPV2Peer(MethodPeer):
    """
    The peer's end of EAP-MSCHAPv2.
    """

    _answer: Answer | None = None

    def answer(self, request: eap.EAPRequest) -> bytes:
        """
        See L{IEAPPeer.answer}.
        """
        packet = chap.decode(request.content)
        if isinstance(packet, chap.Challenge):
            self.done = False
            self._answer = algorithm.MSCHAPV2.answer(packet, self._name, self._password)
            if self._answer is None:
                raise Malformed(f"a challenge of {len(packet.value)} octets")
            return chap.CHAPResponse(packet.identifier, self._answer.value, self._name).encode()
        if isinstance(packet, chap.CHAPFailure):
            # There is only one password, so answering again wouldn't help.
            self.failure = explain(packet.message)
            return bytes((packet.CODE,))
        if not isinstance(packet, chap.CHAPSuccess) or self._answer is None:
            raise Malformed("no challenge came")
        if not self._answer.check(packet.message):
            raise Refused("the authenticator did not prove that it knows the password")
        self.done = True
        return bytes((packet.CODE,))

    def keys(self) -> IKeys | None:
        """
        See L{IEAPPeer.keys}.
        """
        return self._answer.keys() if self._answer is not None else None


class MSCHAPV2Method(EAPMethod):
    """
    MS-CHAPv2 in EAP packets. The claim is about the name in the Response, which the peer has
    hashed, not about the EAP identity.
    """

    name = "mschapv2"
    description = "MS-CHAPv2: both ends prove themselves by a password (draft-kamath-pppext-eap)."
    number = eap.MSCHAPV2
    earnsKeys = True
    strength = 410
    makeCredentials = MSCHAPV2Credentials
    makePeer = MSCHAPV2Peer

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        """
        See L{IEAPMethod.authenticate}. Send a Challenge, have the response judged, and send the
        result until the peer has acknowledged it.
        """
        challenge = conversation.random(algorithm.MSCHAPV2.challengeSize)
        number = conversation.random(1)[0]
        message = chap.Challenge(number, challenge, conversation.name).encode()
        silent = "the peer did not answer the challenge"
        refused = Refused(silent, retry=False, remedy=Remedy.NO_ANSWER)
        for left in reversed(range(TRIES)):
            answer = await self._ask(conversation, message)
            if not isinstance(answer, chap.CHAPResponse) or answer.identifier != number:
                # The peer has acknowledged the Failure, and doesn't try again.
                raise refused
            if len(answer.value) != algorithm.MSCHAPV2.responseSize:
                raise Malformed(f"an MS-CHAPv2 response of {len(answer.value)} octets")
            try:
                grant = await conversation.judge(
                    EAPClaim(
                        conversation.protocol, answer.name, number, challenge, answer.value, self
                    )
                )
            except Refused as refusal:
                refused = refusal
                retry = refusal.retry and conversation.mayRetry and left > 0
                challenge = conversation.random(algorithm.MSCHAPV2.challengeSize)
                text = algorithm.MSCHAPV2.failure(challenge, retry, refusal.error, refusal.text)
                message = chap.CHAPFailure(number, text).encode()
                if not retry:
                    await conversation.ask(self.number, message)
                    raise
                # The next Response has the next identifier (RFC 2759 section 6).
                number = (number + 1) & 0xFF
            else:
                success = chap.CHAPSuccess(number, grant.message).encode()
                heard = await conversation.ask(self.number, success)
                if heard.content[:1] != bytes((chap.CHAPSuccess.CODE,)):
                    raise Refused("the peer does not believe us", retry=False)
                return grant
        raise refused

    async def _ask(self, conversation: IEAPConversation, message: bytes) -> chap.Packet | None:
        """
        Send C{message} and return the packet that the peer answers with, or None if the peer
        acknowledges a Failure.
        """
        content = (await conversation.ask(self.number, message)).content
        return chap.decode(content) if len(content) > 1 else None


@dataclass(frozen=True, slots=True)
class RelayedClaim(EAPClaim):
    """
    A conversation that another judge has to continue. C{response} is the peer's identity, with
    which it begins.

    @ivar conversation: the means to send the peer more Requests.
    """

    relayed: ClassVar[bool] = True
    conversation: IEAPConversation = field(repr=False)

    def converse(self, request: bytes) -> Deferred[bytes]:
        """
        See L{pptpgw.interfaces.IEAPCredentials.converse}.
        """
        return self.conversation.relay(request)


@implementer(IEAPCredentials)
class RelayedCredentials(ClaimCredentials):
    """
    The credentials of a caller whose EAP another judge continues.

    @ivar response: the EAP Response to begin with.
    """

    def __init__(self, claim: RelayedClaim, username: bytes) -> None:
        ClaimCredentials.__init__(self, claim, username)
        self.response = claim.response
        self.converse = claim.converse


class RelayedMethod(EAPMethod):
    """
    Stands for all methods that a checker knows, such as that of a RADIUS server (RFC 3579).
    """

    name = "radius"
    description = "Every method that the RADIUS server knows, to which EAP is passed on (RFC 3579)."
    number = None
    earnsKeys = True
    strength = 500
    judgedAs = IEAPCredentials

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        """
        See L{IEAPMethod.authenticate}. Have the whole conversation judged, beginning with the
        peer's identity.
        """
        # The identifier is that of the last Request. Otherwise the first Request of the judge could
        # have the same one, and the peer would take it for a retransmission.
        identity = eap.EAPResponse(conversation.identifier, eap.IDENTITY, conversation.identity)
        return await conversation.judge(
            RelayedClaim(
                conversation.protocol,
                conversation.username,
                conversation.identifier,
                b"",
                identity.encode(),
                self,
                conversation,
            )
        )

    def begin(self, name: bytes, password: bytes) -> IEAPPeer:
        """
        See L{IEAPMethod.begin}.

        @raise Refused: always, since a peer has methods of its own.
        """
        raise Refused("a peer can't pass EAP on", retry=False)

    def credentials(self, claim: RelayedClaim, username: bytes) -> RelayedCredentials:
        """
        Return L{IEAPCredentials}.

        @raise UnauthorizedLogin: the credentials are asked for again, without a domain, after the
            conversation was judged.
        """
        if username != claim.name:
            # A judgement without the domain would need a second conversation with the peer.
            raise UnauthorizedLogin
        return RelayedCredentials(claim, username)


def body(packet: chap.Challenge | chap.CHAPResponse) -> bytes:
    """
    Return the content of an MD5-Challenge: a CHAP packet without its header.
    """
    return packet.encode()[4:]


def read(packet: eap.EAPRequest | eap.EAPResponse) -> chap.CHAPResponse:
    """
    Read value and name of an MD5-Challenge; Challenge and Response have the same form.

    @raise Malformed: the content is too short for its value.
    """
    content = packet.content
    size = content[0] if content else 0
    if not 1 <= size <= len(content) - 1:
        raise Malformed(f"a value of {size} octets in {len(content)} octets")
    return chap.CHAPResponse(packet.identifier, content[1 : 1 + size], content[1 + size :])


MD5, MSCHAPV2, RELAYED = MD5Method(), MSCHAPV2Method(), RelayedMethod()

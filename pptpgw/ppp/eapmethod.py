"""
EAP's methods of passwords, the authenticator's end: MD5-Challenge (RFC 3748 section 5.4) and
MS-CHAPv2 (draft-kamath-pppext-eap-mschapv2), and the passing on of all others.

Within an EAP-MSCHAPv2 packet stands what CHAP has too, code, identifier, length and all, but for
the peer's word that it heard of success or failure, which is the code alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from twisted.internet.defer import Deferred

from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import Claim, Grant
from pptpgw.ppp import algorithm
from pptpgw.ppp.eap import EAPAuthenticator
from pptpgw.ppp.exchange import TRIES
from pptpgw.wire import chap, eap


class MD5Claim(Claim):
    """
    A response to an MD5-Challenge.
    """

    __slots__ = ()


class MSCHAPV2Claim(Claim):
    """
    A response to a challenge of MS-CHAPv2.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RelayedClaim(Claim):
    """
    A conversation that somebody else has to judge, beginning with C{response}, the peer's identity.

    @ivar conversation: by which to ask the peer more.
    """

    relayed: ClassVar[bool] = True
    conversation: EAPAuthenticator = field(repr=False)

    def converse(self, request: bytes) -> Deferred[bytes]:
        """
        See L{pptpgw.interfaces.IEAPCredentials.converse}.
        """
        return self.conversation.relay(request)


class MD5Method:
    """
    CHAP's arithmetic in EAP's packets.
    """

    name = "md5"
    method = eap.MD5_CHALLENGE
    earnsKeys = False
    strength = 210

    async def authenticate(self, conversation: EAPAuthenticator) -> Grant:
        """
        Challenge once.
        """
        challenge = conversation.random(algorithm.MD5.challengeSize)
        asked = chap.Challenge(0, challenge, conversation.name)
        response = await conversation.ask(self.method, body(asked))
        answer = read(response)
        if len(answer.value) != algorithm.MD5.responseSize:
            raise Malformed(f"an MD5 response of {len(answer.value)} octets")
        name = nameOf(conversation.identity) or answer.name
        return await conversation.judge(
            MD5Claim(conversation.protocol, name, response.identifier, challenge, answer.value)
        )


class MSCHAPV2Method:
    """
    MS-CHAPv2 in EAP's packets. Whom the claim is about is the name that the peer hashed.
    """

    name = "mschapv2"
    method = eap.MSCHAPV2
    earnsKeys = True
    strength = 410

    async def authenticate(self, conversation: EAPAuthenticator) -> Grant:
        """
        Challenge, and have the peer say that it heard how it went.
        """
        challenge = conversation.random(algorithm.MSCHAPV2.challengeSize)
        number = conversation.random(1)[0]
        message = chap.Challenge(number, challenge, conversation.name).encode()
        refused = Refused("the peer did not answer the challenge", retry=False)
        for left in reversed(range(TRIES)):
            answer = await self._ask(conversation, message)
            if not isinstance(answer, chap.Response) or answer.identifier != number:
                # It has heard of its failure, and doesn't try again.
                raise refused
            if len(answer.value) != algorithm.MSCHAPV2.responseSize:
                raise Malformed(f"an MS-CHAPv2 response of {len(answer.value)} octets")
            try:
                grant = await conversation.judge(
                    MSCHAPV2Claim(
                        conversation.protocol, answer.name, number, challenge, answer.value
                    )
                )
            except Refused as refusal:
                refused = refusal
                retry = refusal.retry and conversation.mayRetry and left > 0
                challenge = conversation.random(algorithm.MSCHAPV2.challengeSize)
                text = algorithm.MSCHAPV2.failure(challenge, retry, refusal.error, refusal.text)
                message = chap.Failure(number, text).encode()
                if not retry:
                    await conversation.ask(self.method, message)
                    raise
                # The next Response has the next identifier (RFC 2759 section 6).
                number = (number + 1) & 0xFF
            else:
                success = chap.Success(number, grant.message).encode()
                heard = await conversation.ask(self.method, success)
                if heard.content[:1] != bytes((chap.Success.CODE,)):
                    raise Refused("the peer does not believe us", retry=False)
                return grant
        raise refused

    async def _ask(self, conversation: EAPAuthenticator, message: bytes) -> chap.Packet | None:
        """
        The packet that the peer answers with; None for its word that it heard of a failure.
        """
        content = (await conversation.ask(self.method, message)).content
        return chap.decode(content) if len(content) > 1 else None


class RelayedMethod:
    """
    All methods that the checker knows, such as a RADIUS server (RFC 3579).
    """

    name = "radius"
    method = None
    earnsKeys = True
    strength = 500

    async def authenticate(self, conversation: EAPAuthenticator) -> Grant:
        """
        Have the whole conversation judged.
        """
        # Its identifier is that of the last Request, lest the judge's first one has that, and
        # passes for a repetition.
        identity = eap.Response(conversation.identifier, eap.IDENTITY, conversation.identity)
        return await conversation.judge(
            RelayedClaim(
                conversation.protocol,
                nameOf(conversation.identity),
                conversation.identifier,
                b"",
                identity.encode(),
                conversation,
            )
        )


def nameOf(identity: bytes) -> bytes:
    """
    The name in an identity, without the options that may stand behind a zero octet.
    """
    return identity.partition(b"\0")[0]


def body(packet: chap.Challenge | chap.Response) -> bytes:
    """
    The content of an MD5-Challenge: CHAP's packet without its header.
    """
    return packet.encode()[4:]


def read(packet: eap.Request | eap.Response) -> chap.Response:
    """
    Value and name of an MD5-Challenge, either way.

    @raise Malformed: there is none.
    """
    content = packet.content
    size = content[0] if content else 0
    if not 1 <= size <= len(content) - 1:
        raise Malformed(f"a value of {size} octets in {len(content)} octets")
    return chap.Response(packet.identifier, content[1 : 1 + size], content[1 + size :])

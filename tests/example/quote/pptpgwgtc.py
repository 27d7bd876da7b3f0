"""
A plugin for pptpgw: EAP-GTC (RFC 3748 section 5.6), a question and an answer in clear.
"""

from dataclasses import dataclass

from twisted.cred.credentials import IUsernamePassword

from pptpgw.auth.credentials import PAPCredentials
from pptpgw.auth.eapmethod import EAPMethod
from pptpgw.config.kind import NAME, key
from pptpgw.error import Malformed
from pptpgw.interfaces import EAPClaim, Grant, IEAPConversation, IEnvironment
from pptpgw.ppp.eappeer import MethodPeer
from pptpgw.ppp.wire.eap import EAPRequest, Method


@dataclass(frozen=True)
class Settings:
    prompt: str = key(NAME, "Password:")


class GTCPeer(MethodPeer):
    def answer(self, request: EAPRequest) -> bytes:
        self.done = True
        return self._password


class GTC(EAPMethod):
    name = "gtc"
    description = "GTC: a password or token in clear, no encryption (RFC 3748 section 5.6)."
    number = Method(6)
    strength = 110
    judgedAs, makeCredentials, makePeer = IUsernamePassword, PAPCredentials, GTCPeer
    settings = Settings

    def __init__(self, settings: Settings) -> None:
        self.prompt = settings.prompt.encode()

    def configured(self, settings: Settings, environment: IEnvironment) -> "GTC":
        return GTC(settings)

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        token = (await conversation.ask(self.number, self.prompt)).content
        if not 0 < len(token) <= 128:  # The lengths that RADIUS can carry.
            raise Malformed(f"a token of {len(token)} octets")
        name, number = conversation.username, conversation.identifier
        return await conversation.judge(
            EAPClaim(conversation.protocol, name, number, b"", token, self)
        )


method = GTC(Settings())

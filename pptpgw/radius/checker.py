"""
A checker that lets RADIUS servers judge claims: C{--auth radius}.

The rules:

 - The peer's response goes to the server, which verifies it. EAP is passed on round by round, to
   the server that began the conversation (RFC 3579).
 - An Access-Reject refuses the claim. The peer is sent the text of MS-CHAP-Error, except for a
   wrong password, which is answered like any other, so that it can't be told from a lockout.
 - When a server says that the password has expired (MS-CHAP-Error with 648) the caller may change
   it, and the change is sent to the server (RFC 2548 section 2.3.4), as the gateway doesn't know
   the password.
 - When no server answers, the claim fails with L{Unavailable}, and no checker after this one is
   asked: an outage must not look like a wrong password.
 - An Access-Accept is refused if it lacks the server's proof (MS-CHAPv2), if its keys can't be
   read, if its EAP-Message isn't Success, if it is for another service than a framed one (RFC 2865
   section 5.6), or if it restricts the session in a way that can't be obeyed
   (L{pptpgw.radius.attributes}). So is an Access-Challenge to anything but EAP, since PPP can't
   pass it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.auth.credentials import ClaimCredentials, MSCHAPCredentials, MSCHAPV2Credentials
from pptpgw.auth.eapmethod import RelayedCredentials
from pptpgw.auth.realm import AvatarID
from pptpgw.auth.rejection import Rejection
from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings
from pptpgw.error import ConfigurationError, Malformed, Refused, Unavailable
from pptpgw.interfaces import (
    IChangedPassword,
    IConfigurable,
    IEAPCredentials,
    IEnvironment,
    IReloadable,
)
from pptpgw.log import Logger
from pptpgw.ppp.wire.chap import FailureMessage
from pptpgw.radius import access, keys
from pptpgw.radius.attributes import applied, nameIn
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_CHALLENGE,
    ACCESS_REJECT,
    ACCESS_REQUEST,
    FRAMED,
    RADIUSRequest,
    Reply,
)
from pptpgw.radius.permission import permitting
from pptpgw.radius.servers import Server
from pptpgw.radius.tunnels import forwards
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf

# The limit of EAP rounds in one conversation. The EAP exchange has a limit of its own too.
ROUNDS = 200
# The octets that an EAP packet to the peer may have (RFC 3748 section 3.1), so that the server
# fragments its own.
_FRAMED_MTU = 1020
_EAP_SUCCESS = 3
_PROOF = re.compile(rb".(S=[0-9A-F]{40}.*)", re.DOTALL)


@implementer(ICredentialsChecker, IConfigurable, IReloadable)
class RADIUSChecker:
    """
    A credentials checker that asks RADIUS servers.

    @ivar client: the client that asks the servers.
    @ivar nas: the gateway's name and addresses.
    @ivar deadline: seconds that a request may take.
    """

    name = "radius"
    settings = NoSettings
    credentialInterfaces = (
        IUsernamePassword,
        IUsernameHashedPassword,
        IEAPCredentials,
        IChangedPassword,
    )

    _log = Logger()

    def __init__(
        self,
        client: RADIUSClient | None = None,
        nas: NAS | None = None,
        deadline: float = 25.0,
    ) -> None:
        self.client = client
        self.nas = nas or NAS.of(Configuration())
        self.deadline = deadline
        self._environment: IEnvironment

    def configure(self, settings: NoSettings, environment: IEnvironment) -> None:
        """
        See L{IConfigurable.configure}: take the settings of C{[radius]} and the client.

        @raise ConfigurationError: no server is configured that judges callers.
        """
        self._environment = environment
        self.judge(settings)
        self.reload(settings)

    def judge(self, settings: NoSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}.

        @raise ConfigurationError: no server is configured that judges callers.
        """
        servers = self._environment.configuration.radius.server
        if not any(server.serves(accounting=False) for server in servers):
            raise ConfigurationError(
                'the checker "radius" can\'t be used: the configuration names no server; it needs '
                "a [[radius.server]] with an auth-port"
            )
        return {}

    def reload(self, settings: NoSettings) -> None:
        """
        See L{IReloadable.reload}: take the settings of C{[radius]} and the client.
        """
        self.client = self._environment.radius
        self.nas = NAS.of(self._environment.configuration)
        self.deadline = self._environment.configuration.radius.deadline

    def requestAvatarId(self, credentials: ClaimCredentials) -> Deferred[bytes | tuple[()]]:
        """
        Have a server judge C{credentials}.

        @return: the L{AvatarID} of the account, with the profile that the server gives; fails with
            L{Rejection} if the server refuses, and with L{Unavailable} if there is no answer.
        """
        if isinstance(credentials, RelayedCredentials):
            return Deferred.fromCoroutine(self._converse(credentials))
        return Deferred.fromCoroutine(self._ask(credentials))

    async def _ask(self, credentials: ClaimCredentials) -> AvatarID:
        def fill(request: RADIUSRequest) -> None:
            access.prove(request, credentials)
            self._describe(request, credentials)

        return self._judge(await self._request(fill), credentials)

    async def _converse(self, credentials: RelayedCredentials) -> AvatarID:
        """
        Pass EAP between the peer and a server until the server has decided (RFC 3579 section 2).

        @raise Refused: there was no decision after L{ROUNDS} rounds.
        """
        message, state, server = credentials.response, list[bytes](), None
        for _ in range(ROUNDS):
            reply = await self._request(self._filled(credentials, message, state), server)
            if reply.code != ACCESS_CHALLENGE:
                return self._judge(reply, credentials)
            state, server = reply.octets("State"), reply.server
            message = await credentials.converse(b"".join(reply.octets("EAP-Message")))
        raise Refused(f"no verdict after {ROUNDS} rounds", retry=False)

    def _filled(
        self, credentials: RelayedCredentials, message: bytes, state: list[bytes]
    ) -> Callable[[RADIUSRequest], None]:
        def fill(request: RADIUSRequest) -> None:
            access.name(request, credentials.username)
            self._describe(request, credentials)
            request.add("Framed-MTU", _FRAMED_MTU)
            request.addLong("EAP-Message", message)
            for one in state:
                request.add("State", one)

        return fill

    def _describe(self, request: RADIUSRequest, credentials: ClaimCredentials) -> None:
        access.describe(request, self.nas, credentials.claim.caller)

    async def _request(
        self, fill: Callable[[RADIUSRequest], None], server: Server | None = None
    ) -> Reply:
        if self.client is None:
            raise Unavailable("no RADIUS server is configured: add a [[radius.server]]")
        return await self.client.request(ACCESS_REQUEST, fill, self.deadline, server)

    def _judge(self, reply: Reply, credentials: ClaimCredentials) -> AvatarID:
        if reply.code == ACCESS_REJECT:
            raise self._rejection(reply)
        if reply.code != ACCESS_ACCEPT:
            raise Rejection
        try:
            self._earn(reply, credentials)
            profile = applied(reply, Profile(nameIn(reply, nameOf(credentials.username))))
            profile = permitting(reply, profile, credentials.claim.caller)
            profile = replace(profile, forwards=forwards(reply))
        except Malformed as problem:
            self._log.error(
                "{server} accepts {name!a}, which can't be obeyed: {why}",
                server=f"RADIUS server {reply.server.host}",
                name=nameOf(credentials.username),
                why=str(problem),
            )
            raise Refused("the RADIUS server's answer can't be obeyed", retry=False) from problem
        return AvatarID(profile)

    def _earn(self, reply: Reply, credentials: ClaimCredentials) -> None:
        """
        Set the message and the keys of C{credentials} to those of an Access-Accept.

        @raise Malformed: the Access-Accept must be refused, by the rules above.
        """
        for service in reply.values("Service-Type"):
            if service != FRAMED:
                raise Malformed(f"it is for Service-Type {service}, not for a framed one")
        if isinstance(credentials, RelayedCredentials):
            message = b"".join(reply.octets("EAP-Message"))
            if message[:1] not in (b"", bytes((_EAP_SUCCESS,))):
                raise Malformed(f"its EAP-Message has code {message[0]}, which is no Success")
            credentials.keys = keys.startKeys(reply)
        elif isinstance(credentials, MSCHAPV2Credentials):
            credentials.message = _proof(reply)
            credentials.keys = keys.startKeys(reply)
        else:
            credentials.message = _said(reply) or credentials.message
            if isinstance(credentials, MSCHAPCredentials):
                credentials.keys = keys.mschapKeys(reply, credentials.claim.challenge)

    def _rejection(self, reply: Reply) -> Rejection:
        for octets in reply.octets("MS-CHAP-Error")[:1]:
            try:
                # The first octet is the identifier of the Response (RFC 2548 section 2.1.5).
                failure = FailureMessage.decode(octets[1:])
            except Malformed as problem:
                self._log.warn("MS-CHAP-Error is passed over: {why}", why=str(problem))
            else:
                return Rejection(failure.error, failure.retry, failure.text)
        return Rejection()


def _proof(reply: Reply) -> bytes:
    """
    Return the content of MS-CHAP2-Success without its identifier (RFC 2548 section 2.3.3).

    @raise Malformed: the reply has none.
    """
    for octets in reply.octets("MS-CHAP2-Success")[:1]:
        match = _PROOF.fullmatch(octets)
        if match is not None:
            return match[1]
    raise Malformed("it has no MS-CHAP2-Success, by which the caller would know us")


def _said(reply: Reply) -> bytes:
    """
    Return the text of Reply-Message (RFC 2865 section 5.18), at most 253 octets.
    """
    return b" ".join(reply.octets("Reply-Message"))[:253]

"""
A trial of RADIUS servers: one question to one server, and what there is to tell about the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.counting.counters import Counters
from pptpgw.radius.build import makeTransports
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import STATUS_SERVER, RADIUSRequest, Reply
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Fill, Gone, ITransport, RADIUSService, Unanswered

_FIREWALL = "a firewall between here and there"


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """
    What came of a Status-Server packet (RFC 5997).

    @ivar place: the server's address and port.
    @ivar service: the service that was asked.
    @ivar seconds: the time to the answer; None if there was none.
    @ivar signed: whether the answer has a Message-Authenticator.
    @ivar why: why there was no answer; empty if there was one.
    @ivar advice: what to do about it; empty if nothing must be done.
    """

    server: Server
    service: RADIUSService
    seconds: float | None
    signed: bool = False
    why: str = ""
    advice: str = ""

    @property
    def place(self) -> str:
        """
        The server's address and port.
        """
        return placeOf(self.server, self.service)

    @property
    def text(self) -> str:
        """
        What happened, in words.
        """
        if self.seconds is None:
            return f"no answer: {self.why}"
        without = "with" if self.signed else "without"
        return f"answers in {self.seconds * 1000:.1f} ms, {without} Message-Authenticator"


def placeOf(server: Server, service: RADIUSService) -> str:
    """
    Return the address and port of a server's service.
    """
    if server.transport == "tls":
        return f"{server.host} port {server.tlsPort} (TLS)"
    isAccounting = service is RADIUSService.ACCOUNTING
    return f"{server.host} port {server.acctPort if isAccounting else server.authPort}"


@implementer(ITransport)
class WatchedTransport:
    """
    A transport that remembers the last reply, and passes everything on.

    @ivar reply: the last reply; None before the first one.
    @ivar seconds: the time from the question to that reply.
    """

    def __init__(self, clock: Any, transport: ITransport) -> None:
        self.server: Server = transport.server
        self.reply: Reply | None = None
        self.seconds: float | None = None
        self._clock = clock
        self._transport = transport

    @property
    def free(self) -> int:
        """
        See L{ITransport}.
        """
        free: int = self._transport.free
        return free

    @property
    def heard(self) -> float | None:
        """
        See L{ITransport}.
        """
        heard: float | None = self._transport.heard
        return heard

    @property
    def signed(self) -> bool:
        """
        Whether the last reply has a Message-Authenticator.
        """
        return self.reply is not None and bool(self.reply.octets("Message-Authenticator"))

    def ask(self, code: int, fill: Fill) -> Deferred[Reply]:
        """
        See L{ITransport.ask}.
        """
        asked = self._clock.seconds()

        def answered(reply: Reply) -> Reply:
            self.reply, self.seconds = reply, self._clock.seconds() - asked
            return reply

        return self._transport.ask(code, fill).addCallback(answered)

    def stop(self) -> None:
        """
        See L{ITransport.stop}.
        """
        self._transport.stop()


def services(server: Server) -> Iterator[RADIUSService]:
    """
    Iterate over the services that a server has ports for: one if it is reached by TLS, which has
    one port for both.
    """
    if server.transport == "tls":
        yield RADIUSService.AUTHENTICATION
        return
    for service in RADIUSService:
        if server.serves(service is RADIUSService.ACCOUNTING):
            yield service


def transportTo(
    reactor: Any,
    configuration: Configuration,
    server: Server,
    service: RADIUSService,
    counters: Counters,
) -> WatchedTransport:
    """
    Make a transport to one server, which also takes answers without a Message-Authenticator: who
    tries the server is told of them.

    @raise pptpgw.error.ConfigurationError: the settings of the server can't be used.
    """
    server = replace(server, requireMessageAuthenticator=False)
    radius = replace(configuration.radius, server=(server,))
    make = makeTransports(reactor, replace(configuration, radius=radius), counters)
    return WatchedTransport(reactor, make(server, service))


async def probe(
    reactor: Any, configuration: Configuration, server: Server, service: RADIUSService
) -> ServerProbe:
    """
    Send a Status-Server packet, and wait for the answer for the seconds of C{[radius] timeout}.

    @raise pptpgw.error.ConfigurationError: the settings of the server can't be used.
    """
    counters = Counters()
    transport = transportTo(reactor, configuration, server, service, counters)

    def fill(request: RADIUSRequest) -> None:
        request.add("NAS-Identifier", NAS.of(configuration).identifier)

    try:
        await transport.ask(STATUS_SERVER, fill)
    except Unanswered as error:
        advice = advise(server, error, counters)
        if not server.statusServer and not isinstance(error, Gone):
            advice += (
                "; or the server doesn't know Status-Server: 'pptpgw test radius USER' asks it"
            )
        return ServerProbe(server, service, None, False, str(error), advice)
    finally:
        transport.stop()
    signed = transport.signed
    advice = "" if signed else unsigned(server, service)
    return ServerProbe(server, service, transport.seconds, signed, "", advice)


def unsigned(server: Server, service: RADIUSService) -> str:
    """
    Say what an answer without a Message-Authenticator means; empty if it means nothing.
    """
    if service is RADIUSService.ACCOUNTING or server.transport == "tls":
        return ""
    if server.requireMessageAuthenticator:
        return (
            "if its answers to logins have none either, the gateway discards them: update the "
            "server, or set require-message-authenticator = false"
        )
    return "answers can be forged (CVE-2024-3596): update the server"


def advise(server: Server, error: Unanswered, counters: Counters) -> str:
    """
    Say what to do about a server that doesn't answer.

    @param counters: what the transport has counted.
    """
    # The client, which asks again, has the reason of the last time in its text.
    if isinstance(error, Gone) or "nobody listens" in str(error):
        return "nobody listens on that port: is the server running, and is the port right?"
    if any("authenticator is wrong" in one for one in counters.discards):
        return "an answer came that is signed with another secret: compare secret at both ends"
    if server.transport == "tls":
        return f"look at the server's log and the certificates, and for {_FIREWALL}"
    return (
        "a server is silent to whom it doesn't know: is this machine's address a client there, is "
        f"the secret the same at both ends, and is there {_FIREWALL} (UDP)?"
    )

"""
The command C{pptpgw test call}, which calls a gateway with our own client and times each stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError

from pptpgw.clientstring import accountOf, clientOf, linkOf
from pptpgw.clock import steady
from pptpgw.command.options import CONFIG, said
from pptpgw.command.output import Output, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.password import present
from pptpgw.command.status import DONE, FAILED
from pptpgw.command.trial import passwordMethods
from pptpgw.config.configuration import load
from pptpgw.config.discovery import NotInstalled, find
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import (
    Attachments,
    ClientStage,
    INetworkProtocol,
    ITunnelClient,
    ITunnelClientFactory,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ports.listening import EndpointWords, wordsOf
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire import ppp

PLAIN = "pptp"
"""
The tunnel of an address that names none.
"""

LCP = ClientStage("LCP", "the gateway's log says what the two ends couldn't agree on")
AUTHENTICATION = ClientStage(
    "authentication", "is the name right, and the password? 'pptpgw why NAME' there says why"
)
CCP = ClientStage("CCP", "the two ends have no encryption in common: see [link] encryption there")
NETWORK = ClientStage(
    "IPCP", "perhaps no address is left: 'pptpgw pools' and 'pptpgw why NAME' there say more"
)

# The codes of LCP's packets that answer a Configure-Request (RFC 1661 section 5).
_ANSWERS = (b"\x02", b"\x03", b"\x04")


class Progress:
    """
    How far a call has come. It is an L{pptpgw.ppp.settings.LinkWatcher} and a
    L{pptpgw.ppp.client.NetworkListener}.

    @ivar stages: those that the call has to pass, in their order.
    @ivar carrier: the name of the stage that is what carries frames.
    @ivar times: the seconds from the beginning to the end of each stage that was passed, by name.
    @ivar faults: why stages failed.
    """

    def __init__(
        self, clock: Any, before: Iterable[ClientStage], later: Iterable[ClientStage]
    ) -> None:
        """
        @param before: the tunnel's stages before LCP; the last one is the carrier.
        @param later: those between authentication and encryption.
        """
        self._clock = clock
        self._began = clock.seconds()
        self._before = [one.name for one in before]
        self.stages = [*before, LCP, AUTHENTICATION, *later, CCP, NETWORK]
        self.carrier = self._before.pop()
        self.times: dict[str, float] = {}
        self.faults: dict[str, str] = {}

    @property
    def stage(self) -> ClientStage | None:
        """
        The first stage that wasn't passed; None if all were.
        """
        return next((one for one in self.stages if one.name not in self.times), None)

    def reach(self, stage: str) -> None:
        """
        Note that C{stage} was passed, the first time that this is said of it.
        """
        self.times.setdefault(stage, self._clock.seconds() - self._began)

    # LinkWatcher

    def frame(self, isSent: bool, protocol: int, information: bytes) -> None:
        """
        Note that the call is there when a frame is sent, and that the carrier works in both
        directions when one arrives that answers ours.
        """
        for stage in self._before:
            self.reach(stage)
        if isSent:
            return
        if protocol != ppp.LCP or information[:1] in _ANSWERS:
            self.faults.pop(self.carrier, None)
            self.reach(self.carrier)
        elif self.carrier not in self.times:
            self.faults[self.carrier] = "frames arrive from there, but ours aren't answered"

    def begins(self, stage: str) -> None:
        """
        Note that authentication is done when something begins that follows it. If that isn't CCP,
        there is none, or it is over.
        """
        self.reach(AUTHENTICATION.name)
        if stage != CCP.name and CCP.name not in self.times:
            self.stages.remove(CCP)

    def passed(self, stage: str, following: str = "") -> None:
        """
        Note that LCP or CCP was passed.
        """
        self.reach(stage)

    def failed(self, stage: str, reason: str) -> None:
        """
        Note that a stage failed.
        """
        self.faults[stage] = reason

    # NetworkListener

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Note that IPCP was passed.
        """
        self.reach(NETWORK.name)

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Do nothing: the call is over soon.
        """


@command(
    "call",
    "Call a gateway, and time each stage.",
    "Our own client connects, places a call, and negotiates LCP, authentication by MS-CHAPv2, CCP "
    "(MPPE, unless the tunnel encrypts) and IPCP; then it hangs up. Each stage is printed with the "
    "time from the beginning to its end, and the one that fails with what to do. ADDRESS is the "
    "host of a gateway that answers PPTP, or the endpoint string of a client: sstp:HOST:PORT, "
    "l2tp:HOST:PORT or hdlc:ENDPOINT, where the port may be left out. The string may also say who "
    "we are and how to encrypt, as in pptp:HOST:methods=eap:encryption-bits=40,128. Without a user "
    "the call is hung up once frames pass. With --config the login is by the protocols that [link] "
    "authentication permits there, except EAP, and MPPE as [link] has it, unless the string says "
    "otherwise. By PPTP it needs CAP_NET_RAW. It touches no interface.",
)
@one("ADDRESS")
@CONFIG
@click.option("--user", "-u", metavar="NAME", help="The name to log in with.")
@click.option("--stdin", is_flag=True, help="Read the password, a line, from standard input.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port, if it isn't the usual one.")
@click.option(
    "--ca", metavar="FILE", help="SSTP: a PEM file with the authorities to trust for TLS."
)
@click.option(
    "--fingerprint",
    metavar="DIGITS",
    help="SSTP: the SHA-256 of the gateway's certificate, if no authority has signed it.",
)
@click.option("--secret-file", metavar="FILE", help="L2TP: a file with the secret of the tunnel.")
@click.option(
    "--timeout",
    type=click.FloatRange(1, 300),
    default=15.0,
    metavar="SECONDS",
    help="The time for the connection, and for the call.",
)
@said
async def call(
    reactor: Any,
    output: Output,
    address: str,
    config: str | None,
    user: str | None,
    stdin: bool,
    port: int | None,
    timeout: float,
    **given: str | None,
) -> int:
    """
    C{pptpgw test call}: call a gateway, and hang up.

    @param timeout: seconds for the connection, and again for the call.
    @param given: what the tunnel must know of the gateway.
    @return: the exit status, 1 if a stage isn't passed.
    @raise pptpgw.error.ConfigurationError: the configuration, or a part of the address, can't be
        used.
    """
    reactor = steady(reactor)
    words = wordsOf(address) if ":" in address else EndpointWords(PLAIN, (address,), {})
    try:
        factory = find(ITunnelClientFactory, words.kind)
    except NotInstalled as error:
        raise ConfigurationError(f"{address}: {error.why}") from error
    place = (*words.plain, *([] if port is None else [str(port)]))
    named = {one.replace("_", "-"): value for one, value in given.items() if value is not None}
    told = {**words.named, **named}
    user = told.pop("user", None) if user is None else user
    settings = LinkSettings(encryption="prefer")
    if config is not None:
        link = load(config).link
        settings = LinkSettings(
            encryption=link.encryption, bits=link.encryptionBits, stateful=link.encryptionStateful
        )
        methods = passwordMethods(link.methods())
        told.setdefault("methods", ",".join(one.name for one in methods))
    settings = linkOf(told, settings)
    if user is not None:
        asks = "password-file" not in told and "eap-certificate" not in told
        identity = accountOf(user, told, present(user, stdin) if asks else b"")
        settings = replace(settings, identity=identity)
    client = clientOf(reactor, factory, place, told, timeout)
    progress = Progress(reactor, factory.stages, factory.laterStages)
    why, result = "", dict[str, str]()
    try:
        result = await _dial(client, settings, timeout, progress)
    except (ConnectError, DNSLookupError, CallError, TimeoutError, OSError) as failure:
        why = str(failure) or type(failure).__name__
        if isinstance(failure, ConnectionRefusedError):
            why = "nobody listens there"
        elif isinstance(failure, DNSLookupError):
            why = f"no address of {shown(':'.join(words.plain))} is known that could be called"
        elif isinstance(failure, TimeoutError):
            why = f"no answer within {timeout:g} s"
    good = progress.stage is None or (user is None and progress.carrier in progress.times)
    failed = None if good else progress.stage
    stage = "" if failed is None else failed.name
    advice = "" if failed is None else failed.advice
    lines = [f"{one:20}{progress.times[one] * 1000:9.1f} ms" for one in progress.times]
    lines += [f"{one:20}failed: {text}" for one, text in progress.faults.items() if good]
    if good:
        lines += [f"{one:20}{shown(text)}" for one, text in result.items()]
        if user is None:
            lines.append(
                f"{progress.carrier} passes in both directions; --user NAME tries a login too."
            )
    else:
        lines += [f"{stage:20}failed: {progress.faults.get(stage) or why}", f"  {advice}"]
    output.say(
        "\n".join(lines),
        succeeded=good,
        tunnel=factory.name,
        stages=[{"stage": one, "seconds": seconds} for one, seconds in progress.times.items()],
        failed=stage or None,
        reason="" if good else progress.faults.get(stage) or why,
        advice=advice,
        **result,
    )
    return DONE if good else FAILED


async def _dial(
    client: ITunnelClient, settings: LinkSettings, timeout: float, progress: Progress
) -> dict[str, str]:
    """
    Place the call, wait until it is open, and hang up.

    @return: what was agreed on.
    """
    connection = await client.connect(progress.reach)
    try:
        ipcp = IPCP(IPv4Settings.client(_ignore, settings.mru))
        placed = connection.call(settings, [ipcp], progress)
        placed.link.watcher = progress
        await placed.opened.addTimeout(timeout, client.clock)
        return {
            "encryption": placed.link.encryption,
            "address": ipcp.localAddress or "",
            "gateway": ipcp.peerAddress or "",
        }
    finally:
        closing: Deferred[None] = connection.close()
        await closing.addTimeout(timeout, client.clock).addErrback(_late)


def _ignore(packet: bytes) -> None:
    """
    Drop a packet: the call is for its set-up alone.
    """


def _late(failure: Any) -> None:
    failure.trap(TimeoutError, CancelledError)

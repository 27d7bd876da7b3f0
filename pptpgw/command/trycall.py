"""
The command C{pptpgw test call}, which calls a gateway with our own client and times each stage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.clock import steady
from pptpgw.command.options import CONFIG, said
from pptpgw.command.output import Output, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.password import present
from pptpgw.command.status import DONE, FAILED
from pptpgw.command.trial import passwordMethods
from pptpgw.config.configuration import load
from pptpgw.error import CallError
from pptpgw.interfaces import Attachments, IAuthenticationProtocol, INetworkProtocol
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.client import ControlClient
from pptpgw.tunnels.pptp.settings import ConnectionSettings

TCP, CONTROL, CALL, GRE = "TCP", "control connection", "call", "GRE"
LCP, AUTHENTICATION, CCP, IPCP_ = "LCP", "authentication", "CCP", "IPCP"
STAGES = (TCP, CONTROL, CALL, GRE, LCP, AUTHENTICATION, CCP, IPCP_)

ADVICE = {
    TCP: (
        "is the address right, does the gateway run, and does every firewall on the way let TCP "
        "port 1723 pass?"
    ),
    CONTROL: "something listens there that doesn't speak PPTP, or refuses this address",
    CALL: "the gateway refuses calls at present: its log says why",
    GRE: (
        "IP protocol 47 (GRE) is blocked: each firewall and NAT on the way, and on both machines, "
        "must let it pass (for NAT: 'PPTP pass-through')"
    ),
    LCP: "the gateway's log says what the two ends couldn't agree on",
    AUTHENTICATION: "is the name right, and the password? 'pptpgw why NAME' there says why",
    CCP: "the two ends have no encryption in common: see [link] encryption there",
    IPCP_: "perhaps no address is left: 'pptpgw pools' and 'pptpgw why NAME' there say more",
}
"""
What to do if a call got no further than to a stage.
"""

# The codes of LCP's packets that answer a Configure-Request (RFC 1661 section 5).
_ANSWERS = (b"\x02", b"\x03", b"\x04")


class Progress:
    """
    How far a call has come. It is an L{pptpgw.ppp.settings.LinkWatcher} and a
    L{pptpgw.ppp.client.NetworkListener}.

    @ivar times: the seconds from the beginning to the end of each stage that was passed.
    @ivar faults: why stages failed.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._began = clock.seconds()
        self.times: dict[str, float] = {}
        self.faults: dict[str, str] = {}

    @property
    def stage(self) -> str:
        """
        The first stage that wasn't passed; empty if all were.
        """
        return next(one for one in (*STAGES, "") if one not in self.times)

    def reach(self, stage: str) -> None:
        """
        Note that C{stage} was passed, the first time that this is said of it.
        """
        self.times.setdefault(stage, self._clock.seconds() - self._began)

    # LinkWatcher

    def frame(self, isSent: bool, protocol: int, information: bytes) -> None:
        """
        Note that the call is there when a frame is sent, and that GRE passes in both directions
        when one arrives that answers ours.
        """
        self.reach(CALL)
        if isSent:
            return
        if protocol != ppp.LCP or information[:1] in _ANSWERS:
            self.faults.pop(GRE, None)
            self.reach(GRE)
        elif GRE not in self.times:
            self.faults[GRE] = "frames arrive from there, but ours aren't answered"

    def begins(self, stage: str) -> None:
        """
        Note that authentication is done when something begins that follows it.
        """
        self.reach(AUTHENTICATION)

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
        self.reach(IPCP_)

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Do nothing: the call is over soon.
        """


@command(
    "call",
    "Call a gateway, and time each stage.",
    "Our own client opens a control connection over TCP, places a call, and negotiates LCP, "
    "authentication by MS-CHAPv2, CCP (MPPE) and IPCP; then it hangs up. Each stage is printed "
    "with the time from the beginning to its end, and the one that fails with what to do. "
    "Without --user the call is hung up once GRE passes. With --config the login is by the "
    "protocols that [link] authentication permits there, except EAP, and MPPE as [link] has it. "
    "It needs CAP_NET_RAW, and touches no interface.",
)
@one("ADDRESS")
@CONFIG
@click.option("--user", "-u", metavar="NAME", help="The name to log in with.")
@click.option("--stdin", is_flag=True, help="Read the password, a line, from standard input.")
@click.option("--port", type=click.IntRange(1, 65535), default=1723, help="The TCP port.")
@click.option(
    "--timeout",
    type=click.FloatRange(1, 300),
    default=15.0,
    metavar="SECONDS",
    help="The time for the control connection, and for the call.",
)
@said
async def call(
    reactor: Any,
    output: Output,
    address: str,
    config: str | None,
    user: str | None,
    stdin: bool,
    port: int,
    timeout: float,
) -> int:
    """
    C{pptpgw test call}: call a gateway, and hang up.

    @param timeout: seconds for the control connection, and again for the call.
    @return: the exit status, 1 if a stage isn't passed.
    @raise pptpgw.error.ConfigurationError: the configuration can't be used.
    """
    reactor = steady(reactor)
    settings = LinkSettings(encryption="prefer")
    methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,)
    if config is not None:
        link = load(config).link
        methods = passwordMethods(link.methods())
        settings = LinkSettings(
            encryption=link.encryption, bits=link.encryptionBits, stateful=link.encryptionStateful
        )
    if user is not None:
        name = user.encode("utf-8", "surrogateescape")
        settings = replace(settings, identity=Identity(name, present(user, stdin), methods))
    progress = Progress(reactor)
    error, result = "", dict[str, str]()
    try:
        result = await _dial(reactor, address, port, settings, timeout, progress)
    except (ConnectError, DNSLookupError, CallError, TimeoutError) as failure:
        error = str(failure) or type(failure).__name__
        if isinstance(failure, ConnectionRefusedError):
            error = "nobody listens there"
        elif isinstance(failure, DNSLookupError):
            error = f"no machine with IPv4 is called {shown(address)}"
        elif isinstance(failure, TimeoutError):
            error = f"no answer within {timeout:g} s"
    last = GRE if user is None else IPCP_
    good = last in progress.times
    stage = "" if good else progress.stage
    advice = ADVICE.get(stage, "")
    lines = [f"{one:20}{progress.times[one] * 1000:9.1f} ms" for one in progress.times]
    lines += [f"{one:20}failed: {why}" for one, why in progress.faults.items() if good]
    if good:
        lines += [f"{one:20}{shown(text)}" for one, text in result.items()]
        if user is None:
            lines.append("GRE passes in both directions; --user NAME tries a login too.")
    else:
        lines += [f"{stage:20}failed: {progress.faults.get(stage) or error}", f"  {advice}"]
    output.say(
        "\n".join(lines),
        succeeded=good,
        stages=[{"stage": one, "seconds": seconds} for one, seconds in progress.times.items()],
        failed=stage or None,
        reason="" if good else progress.faults.get(stage) or error,
        advice=advice,
        **result,
    )
    return DONE if good else FAILED


async def _dial(
    reactor: Any,
    address: str,
    port: int,
    settings: LinkSettings,
    timeout: float,
    progress: Progress,
) -> dict[str, str]:
    """
    Place the call, wait until it is open, and hang up.

    @return: what was agreed on.
    """
    client = ControlClient(
        reactor,
        address,
        port,
        settings=ConnectionSettings(maximumCalls=1),
        timeout=timeout,
        connected=lambda: progress.reach(TCP),
    )
    connection = await client.connect()
    progress.reach(CONTROL)
    try:
        ipcp = IPCP(IPv4Settings.client(_ignore, settings.mru))
        placed = connection.call(settings, [ipcp], progress)
        placed.link.watcher = progress
        await placed.opened.addTimeout(timeout, reactor)
        return {
            "encryption": placed.link.encryption,
            "address": ipcp.localAddress or "",
            "gateway": ipcp.peerAddress or "",
        }
    finally:
        closing: Deferred[None] = connection.close()
        await closing.addTimeout(timeout, reactor).addErrback(_late)


def _ignore(packet: bytes) -> None:
    """
    Drop a packet: the call is for its set-up alone.
    """


def _late(failure: Any) -> None:
    failure.trap(TimeoutError, CancelledError)

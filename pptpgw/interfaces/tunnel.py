"""
Tunnels, the calls that they offer, and the gateway as tunnels see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import Grant
from pptpgw.interfaces.caller import Stations, TunnelEnds
from pptpgw.interfaces.channel import (
    IBundleChannel,
    IChannel,
    IChannelOwner,
    MultilinkParameters,
)
from pptpgw.interfaces.keys import IKeys
from pptpgw.interfaces.network import Attachment


class Refusal(Enum):
    """
    The reason for which the gateway refuses a call, in terms that every tunnel has codes of its own
    for.
    """

    BUSY = "busy"
    """
    There is no room now, or something is out of order. The caller may dial again.
    """

    FORBIDDEN = "not permitted"
    """
    This caller may not call, now or later.
    """

    STOPPING = "the gateway is stopping"
    """
    The gateway takes no calls, because it stops or is drained. The caller may dial another gateway
    at once, or this one again later.
    """


class ICallOwner(Interface):
    """
    The owner of a call, which is told that the call begins and ends.
    """

    def callEstablished(call: ICall) -> None:
        """
        The call can carry frames. The tunnel may call this within L{ICall.accept}.
        """

    def callEnded(call: ICall, cause: str) -> None:
        """
        The call is over. This is called exactly once for each call that was accepted or placed.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code. The code is
            C{PORT_PREEMPTED} only if the tunnel itself ended the call to make room for a newer
            caller.
        """


class IAlertedOwner(ICallOwner):
    """
    The owner of a call that is told of attacks, too.
    """

    def callAttacked(call: ICall, reason: str) -> None:
        """
        There are signs that somebody attacks the call. L{ICallOwner.callEnded} follows.

        @param reason: the signs, in words.
        """


class ICall(Interface):
    """
    A call that a tunnel offers to the gateway, or that it has placed.
    """

    tunnel = Attribute("The kind of tunnel, a L{pptpgw.interfaces.TunnelKind}.")
    caller = Attribute("The address of the end that calls, in text: dotted, for IPv4.")
    called = Attribute("The address of the end that is called, in text.")
    headStart = Attribute(
        "Seconds that LCP waits for the peer's first frame before it sends its own; 0 for none."
    )
    encrypted = Attribute(
        "Whether the tunnel encrypts: then [link] encryption is satisfied without MPPE."
    )
    accm = Attribute(
        "For a tunnel that escapes control characters in frames: the Async-Control-Character-Map "
        "(RFC 1662 section 7.1) that LCP asks the peer to use; otherwise None."
    )
    silence = Attribute(
        "What may be wrong if the peer sends no frame after the call was established, in words for "
        "the log; empty if the tunnel has no guess."
    )

    def accept(owner: ICallOwner) -> None:
        """
        Accept a call that was offered. If it has ended meanwhile, C{owner} is told so at once.
        """

    def refuse(reason: Refusal) -> None:
        """
        Refuse a call that was offered. This does nothing if the call has ended.
        """

    def hangUp(cause: str) -> None:
        """
        End the call. This does nothing if the call has ended or is ending.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code, from which the tunnel
            chooses codes of its own.
        """

    def authenticated(grant: Grant) -> None:
        """
        Note that the caller has been authenticated. This is called when its session begins.
        """

    def openChannel(owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        Make the channel that carries the call's frames through this process, for a data path in
        Python.

        @raise pptpgw.error.PPTPGWError: the tunnel has no port for this call; the text says why.
        @raise ValueError: another call has the same addresses and identifiers.
        """


class KernelFigures(NamedTuple):
    """
    What the kernel has carried by a transport: frames of every protocol, and the octets of their
    information fields.
    """

    framesReceived: int
    octetsReceived: int
    framesSent: int
    octetsSent: int


class IKernelTransport(Interface):
    """
    What carries the frames of one call within the kernel: a channel of Linux' own PPP.
    """

    channel = Attribute("The kernel's number of the channel.")
    compresses = Attribute(
        "Whether the channel can leave out the first octet of protocol fields where LCP has agreed "
        "on that."
    )

    figures: KernelFigures | None = Attribute(
        "What the kernel has carried; None if it doesn't count that, or the transport is closed."
    )

    def requireEncryption() -> None:
        """
        From now on, keep from the kernel's PPP network packets that the peer sends in clear, where
        the transport can. They are dropped.

        @raise OSError: the kernel refuses.
        @raise pptpgw.error.NotPermitted: nothing that is encrypted may pass by this transport.
        """

    def setACCM(send: int, receive: int) -> None:
        """
        Note the Async-Control-Character-Maps that LCP has negotiated, which
        L{pptpgw.interfaces.IChannel.setFraming} describes. The kernel escapes nothing, but the peer
        may have a line where they matter.
        """

    def close() -> None:
        """
        Close the channel, after its last frame. This may be called in any thread.
        """


class IKernelCall(ICall):
    """
    A call whose frames the kernel can carry.
    """

    def openTransport(receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        Have the kernel carry the frames of this call, which isn't accepted yet.

        @param receive: called with the protocol number and the information field of control frames
            that the kernel's PPP must not see: Configure-Request, Terminate-Request and
            Terminate-Ack of CCP, at which it would stop to encrypt.
        @raise pptpgw.error.NotPermitted: the kernel has nothing for this tunnel, or the process
            lacks a capability.
        @raise OSError: the kernel refuses.
        """


class IStagedCall(ICall):
    """
    A call that tells how it came about, for the record of its L{pptpgw.interfaces.IAttempt}.
    """

    steps: Sequence[tuple[str, float]] = Attribute(
        "The stages that the caller passed before the call was offered, each with its name and the "
        "time by the tunnel's clock; for PPTP, that of its TCP connection."
    )
    carrier: str = Attribute(
        "The name of what carries frames, which is a stage until the first one has come: C{GRE}."
    )


class IStationCall(ICall):
    """
    A call that says which names or numbers call and were called.
    """

    stations: Stations = Attribute("See L{pptpgw.interfaces.Caller.stations}.")


class IDiallingCall(ICall):
    """
    A call that asks for a telephone number to be dialled.
    """

    number: str = Attribute("The number, as the caller gives it; usually empty.")


class LineErrors(NamedTuple):
    """
    The errors of a line since its call was set up.

    @ivar crc: frames with a wrong FCS.
    @ivar framing: frames that were too short or too long, or that the other end has aborted.
    @ivar overruns: packets that were dropped since the line took no more.
    """

    crc: int = 0
    framing: int = 0
    overruns: int = 0


class ILineCall(ICall):
    """
    A call by a line, which can damage frames, and may be slower than what brings packets for it.
    """

    errors: LineErrors = Attribute("The errors of the line up to now.")


class ICarriedCall(ICall):
    """
    A call that tells more of its tunnel than two addresses.
    """

    tunnelEnds: TunnelEnds = Attribute("The ends of the tunnel, once the call is established.")


class IConcentratedCall(IStationCall):
    """
    A call that may have come by an access concentrator, whose address many callers share.
    """

    concentrator: str = Attribute("See L{pptpgw.interfaces.Caller.concentrator}.")


class IBoundCall(ICall):
    """
    A call whose tunnel is bound to the authentication within it: keys that only the two ends of the
    authentication have prove to the tunnel that nobody stands between them.
    """

    def bind(keys: IKeys | None) -> None:
        """
        Bind a call that this end placed, since both ends have proved what they had to. A call that
        came in is told by L{ICall.authenticated}.

        @param keys: the keys that were earned; None if there are none.
        """

    def whenBound() -> Deferred[None]:
        """
        Return a Deferred that fires once the tunnel of a call that came in has that proof. It
        doesn't fire if the call ends before. This is called once at most, after
        L{ICall.authenticated}.
        """


class IProtectedCall(ICall):
    """
    A call that can tell what encrypts its packets, if the tunnel does.
    """

    protection: str = Attribute(
        "What encrypts the call's packets now, in words; empty if that isn't known. Words that are "
        "the same for many calls come first, such as the algorithms, and a comma behind them."
    )


class ICallTaker(Interface):
    """
    The gateway, as a tunnel that offers calls sees it.
    """

    def callRequested(call: ICall) -> None:
        """
        Decide on a call that was offered: accept or refuse it, at once or later.
        """


class ITunnelEnvironment(Interface):
    """
    The environment that a tunnel plugin is given.
    """

    reactor = Attribute("The reactor.")
    listen = Attribute(
        "The section [listen] in force, which all tunnels share: a "
        "L{pptpgw.config.section.ListenSection}. A reload replaces it."
    )
    calls = Attribute("The L{ICallTaker} that calls are offered to.")
    counters = Attribute(
        "The L{pptpgw.counting.counters.Counters} of everything that belongs to no call."
    )
    quota = Attribute("The L{pptpgw.log.Quota} for lines of the log that peers can cause.")
    attempts = Attribute(
        "Where callers are noted that have no call, a L{pptpgw.sessions.attempts.Attempts}."
    )
    tally = Attribute(
        "Where connections are counted that aren't let in, a L{pptpgw.sessions.tally.Tally}."
    )
    known = Attribute(
        "The addresses from which somebody has logged in lately, a "
        "L{pptpgw.sessions.places.Known}. A tunnel that limits connections keeps places for them."
    )
    environment = Attribute("The L{IEnvironment} that plugins of every kind are given.")
    listens: bool = Attribute(
        "Whether the tunnel is to listen; if not, it only places calls (L{IDialler})."
    )


class ITunnel(Interface):
    """
    One tunnel protocol of the gateway, which listens and offers calls. It may also provide
    L{pptpgw.interfaces.IPreparable} and L{pptpgw.interfaces.IHealth}.
    """

    places = Attribute("The places where the tunnel listens, a tuple of texts for the log.")

    def start() -> None:
        """
        Open the ports, while the process still has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stopListening() -> Deferred[Any]:
        """
        Accept no more connections; the existing ones remain. Calling this again does nothing.

        @return: fires when the ports are closed.
        """

    def stop() -> Deferred[Any]:
        """
        Close everything. This is called after every call has ended, or if a start failed halfway.
        Calling it again does nothing.

        @return: fires when everything is closed.
        """


class ITunnelFactory(IPlugin):
    """
    A plugin that makes a tunnel, chosen by C{[listen] tunnels}.
    """

    name = Attribute("The name by which the configuration chooses the tunnel, and its section.")
    kind = Attribute("The L{pptpgw.interfaces.TunnelKind} of its calls, with the same name.")
    description = Attribute("One line that says what the tunnel is, with its RFC.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of the "
        "tunnel's section. It derives from L{pptpgw.config.section.TunnelSection}, which has the "
        "keys that say what callers are offered."
    )

    def makeTunnel(settings: Any, environment: ITunnelEnvironment) -> ITunnel:
        """
        Make the tunnel, without opening anything yet.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the settings can't be used; the text says why.
        """


class IKernelTunnelFactory(ITunnelFactory):
    """
    A plugin that makes a tunnel whose calls provide L{IKernelCall}.
    """

    pppox: int = Attribute(
        "The protocol of the family PPPoX by which the kernel carries the calls, such as "
        "L{pptpgw.ports.pppox.PPTP}."
    )


class IChannelHost(Interface):
    """
    A data path in Python, as the channels on it see it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")

    def networkOpened(channel: Any, protocol: int, attachment: Attachment) -> Any:
        """
        Make the L{pptpgw.datapath.checks.OpenProtocol} of a protocol that opens on C{channel}, and
        add its routes.
        """

    def networkClosed(network: Any) -> None:
        """
        Remove the routes of C{network}, which L{networkOpened} made.
        """

    def openBundle(owner: IChannelOwner, parameters: MultilinkParameters) -> IBundleChannel:
        """
        See L{pptpgw.interfaces.IBundledChannel.makeBundle}.
        """

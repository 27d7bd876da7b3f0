"""
Tunnels, the calls that they offer, and the gateway as they see it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import Grant
from pptpgw.interfaces.channel import IChannel, IChannelOwner
from pptpgw.interfaces.network import Attachment


class Refusal(Enum):
    """
    Why the gateway refuses a call, in terms that every tunnel has codes of its own for.
    """

    BUSY = "busy"
    """
    There is no room now, or something is out of order: the caller may dial again.
    """

    FORBIDDEN = "not permitted"
    """
    This caller may not call.
    """

    STOPPING = "the gateway is stopping"
    """
    The gateway takes no calls any more.
    """


class ICallOwner(Interface):
    """
    The owner of a call, which is told what becomes of it.
    """

    def callEstablished(call: ICall) -> None:
        """
        The call can carry frames. It may have been told so by L{ICall.accept} itself.
        """

    def callEnded(call: ICall, cause: str) -> None:
        """
        The call is over. This is called exactly once for each call that was accepted or placed.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code, which is
            C{PORT_PREEMPTED} only where the tunnel itself ended the call to make room for a newer
            caller.
        """


class ICall(Interface):
    """
    A call that a tunnel offers to the gateway, or that it has placed.
    """

    tunnel = Attribute("What the tunnel is called, a L{pptpgw.interfaces.TunnelKind}.")
    caller = Attribute("The address of the end that calls, in text: dotted, for IPv4.")
    called = Attribute("The address of the end that is called, in text.")
    headStart = Attribute(
        "Seconds that LCP waits for the peer's first frame before it sends its own; 0 for none."
    )
    encrypted = Attribute(
        "Whether the tunnel encrypts already: then [link] encryption is satisfied without MPPE."
    )
    accm = Attribute(
        "For a tunnel that escapes control characters in frames: those that LCP asks the peer to "
        "escape, an Async-Control-Character-Map (RFC 1662 section 7.1); otherwise None."
    )
    silence = Attribute(
        "What may be wrong if no frame has come from the peer since the call was established, in "
        "words for the log; empty if nothing can be said."
    )

    def accept(owner: ICallOwner) -> None:
        """
        Take a call that was offered. If it has ended meanwhile, C{owner} is told so at once.
        """

    def refuse(reason: Refusal) -> None:
        """
        Turn down a call that was offered. This does nothing if the call has ended.
        """

    def hangUp(cause: str) -> None:
        """
        End the call. This does nothing if the call is over or ending.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code, from which the tunnel
            chooses codes of its own.
        """

    def authenticated(grant: Grant) -> None:
        """
        Take note that the caller has proved who it is, at the beginning of its session.
        """

    def openChannel(owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        Begin to carry frames through this process, for a data path in Python.

        @raise pptpgw.error.PPTPGWError: the tunnel has no port for this call; the text says why.
        @raise ValueError: another call has the same addresses and identifiers.
        """


class ICallTaker(Interface):
    """
    The gateway as a tunnel sees it.
    """

    def callRequested(call: ICall) -> None:
        """
        Decide on a call that was offered: accept or refuse it, now or later.
        """


class ITunnelEnvironment(Interface):
    """
    The gateway as a tunnel plugin sees it.
    """

    reactor = Attribute("The reactor.")
    listen = Attribute(
        "What all tunnels share, the section [listen]: L{pptpgw.config.section.ListenSection}."
    )
    calls = Attribute("The L{ICallTaker} that calls are offered to.")
    counters = Attribute("The L{pptpgw.counting.counters.Counters} of what belongs to no call.")
    quota = Attribute("The L{pptpgw.log.Quota} of lines of the log that peers can cause.")
    known = Attribute(
        "The addresses from which somebody has logged in lately, a "
        "L{pptpgw.sessions.places.Known}: a tunnel that limits connections keeps theirs."
    )
    environment = Attribute("The L{IEnvironment} that plugins of every kind are given.")


class ITunnel(Interface):
    """
    One tunnel protocol of the gateway: it listens, and offers calls. It may also provide
    L{pptpgw.interfaces.IPreparable} and L{pptpgw.interfaces.IHealth}.
    """

    places = Attribute("Where it listens, a tuple of texts for the log.")

    def start() -> None:
        """
        Open the ports, while the process has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stopListening() -> Deferred[Any]:
        """
        Take no more connections; those that there are stay. Calling this again does nothing.

        @return: fires when the ports are closed.
        """

    def stop() -> Deferred[Any]:
        """
        Close everything, after every call has ended, or a start has failed halfway. Calling this
        again does nothing.

        @return: fires when everything is closed.
        """


class ITunnelFactory(IPlugin):
    """
    A plugin that makes a tunnel, chosen by C{[listen] tunnels}.
    """

    name = Attribute("What it is chosen by, and its section of the configuration: C{pptp}.")
    description = Attribute("One line on what it is, with its RFC.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of its "
        "section."
    )

    def makeTunnel(settings: Any, environment: ITunnelEnvironment) -> ITunnel:
        """
        Make the tunnel; nothing is opened yet.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the settings can't be used; the text says why.
        """


class IChannelHost(Interface):
    """
    A data path in Python as the channels on it see it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")

    def channelClass(plain: type[Any]) -> type[Any]:
        """
        The class to make a channel of: C{plain}, a L{pptpgw.datapath.channel.Channel}, or one
        derived from it that records frames.
        """

    def networkOpened(channel: Any, protocol: int, attachment: Attachment) -> Any:
        """
        Make the L{pptpgw.datapath.checks.OpenProtocol} of a protocol that opens, with its routes.
        """

    def networkClosed(network: Any) -> None:
        """
        Take back the routes of a network.
        """

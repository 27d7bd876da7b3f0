"""
The link: the phases of one PPP connection, and the protocols on it (RFC 1661 section 3).

The rules:

 - The link is in phase Dead until L{Link.lowerUp}, in Establish until LCP opens, in Authenticate
   until each end has authenticated as the other demands, in Network until LCP leaves Opened, and in
   Terminate until LCP has finished.
 - The network control protocols exist, and can receive, before a Success is sent. So the
   Configure-Request that a quick peer sends at once after it isn't lost.
 - Packets of an authentication protocol that wasn't negotiated are silently discarded, and so are
   all packets but LCP's before LCP is open.
 - What another end, which has passed the call on, has negotiated with the peer is taken over if
   this end would agree on it: LCP, and then the peer's claim, which is judged like any other.
   Nothing is taken over once LCP is negotiated anew.
 - A link whose ends can both receive fragments (RFC 1990) is one of a bundle
   (L{pptpgw.ppp.bundle}), which has the network phase in its place.
 - A peer that is to be left to another end once it knows that it has authenticated has no network
   phase here. What it sends meanwhile is kept for the other end. If LCP leaves Opened before, the
   link ends.
 - A link whose network protocols open more than C{OPENINGS} times a minute is ended.

The link is the same for both roles. L{LinkSettings} says what it demands of the peer, and how it
authenticates itself.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.error import Refused
from pptpgw.interfaces import (
    Agreement,
    Grant,
    IAuthenticationProtocol,
    IBundledChannel,
    IChannel,
    IChannelOwner,
    IKeys,
    IPeerResults,
    IVerdicts,
    LinkQuality,
    Negotiated,
)
from pptpgw.ppp.authentication import Authentication
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.keepalive import Keepalive
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.lcpoption import LCPSettings
from pptpgw.ppp.networkphase import NetworkPhase
from pptpgw.ppp.probe import Probe
from pptpgw.ppp.quality import Quality
from pptpgw.ppp.settings import LinkOwner, LinkSettings, LinkWatcher
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.cause import Cause, Termination, asCause
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

# The number of times a minute that all network protocols together may open, since all observers are
# told each time.
OPENINGS = 120


class Phase(Enum):
    """
    The phases of a link (RFC 1661 section 3.2).
    """

    DEAD = "Dead"
    ESTABLISH = "Establish"
    AUTHENTICATE = "Authenticate"
    NETWORK = "Network"
    TERMINATE = "Terminate"


@implementer(IChannelOwner, IVerdicts, IPeerResults)
class Link:
    """
    One PPP link, in either role.

    @ivar method: the protocol by which the peer authenticated, or else this end; None if neither
        has.
    @ivar lcp: the L{LCP} of the link, with what was negotiated.
    @ivar watcher: the L{LinkWatcher}, which is set before L{lowerUp}; None if nobody watches.
    """

    __slots__ = (
        "_authentication",
        "_bundle",
        "_cause",
        "_channel",
        "_encrypted",
        "_ended",
        "_keepalive",
        "_keys",
        "_leaving",
        "_network",
        "_openings",
        "_owner",
        "_probe",
        "_proxied",
        "_quality",
        "_setup",
        "clock",
        "lcp",
        "method",
        "phase",
        "settings",
        "watcher",
    )

    def __init__(self, clock: IReactorTime, settings: LinkSettings, owner: LinkOwner) -> None:
        self.clock = clock
        self.settings = settings
        self.phase = Phase.DEAD
        self.method: IAuthenticationProtocol | None = None
        self.watcher: LinkWatcher | None = None
        self._owner = owner
        self._channel: IChannel | None = None
        # Its own network phase, or that of its bundle.
        self._network: NetworkPhase | None = None
        self._bundle: Bundle | None = None
        # While LCP is open.
        self._authentication: Authentication | None = None
        self._probe: Probe | None = None
        self._keys: IKeys | None = None
        # What leaves the peer to another end.
        self._leaving: Deferred[Any] | None = None
        self._setup: IDelayedCall | None = None
        # What another end has negotiated, until LCP begins.
        self._proxied: Negotiated | None = None
        self._keepalive: Keepalive | None = None
        self._quality: Quality | None = None
        # The start of the minute in which openings are counted, and their number.
        self._openings = (0.0, 0)
        self._cause = ""
        # Whether encryption was on in an earlier network phase.
        self._encrypted = False
        self._ended = False
        self.lcp = LCP(
            clock,
            self._send,
            self,
            LCPSettings(
                mru=settings.mru,
                authentication=settings.usableMethods,
                answers=settings.identity.methods if settings.identity is not None else (),
                accm=settings.accm,
                qualityReports=settings.qualityReports,
                mrru=settings.mrru,
                shortNumbers=settings.shortNumbers,
                endpoint=settings.endpoint,
            ),
        )
        self.lcp.protocolRejected = self._protocolRejected

    @property
    def encryption(self) -> str:
        """
        How the link is encrypted, in words.
        """
        return self._network.encryption if self._network is not None else "not encrypted"

    @property
    def agreements(self) -> list[Agreement]:
        """
        What each control protocol that is open has agreed on, LCP first.
        """
        own = self.lcp.agreement
        if own is None or self._network is None:
            return []
        return [own, *self._network.agreements()]

    @property
    def quality(self) -> LinkQuality | None:
        """
        What Link-Quality-Reports have shown; None if there are none, or not enough yet.
        """
        return None if self._quality is None else self._quality.measured

    @property
    def authenticating(self) -> bool:
        """
        Whether LCP is open and requires the peer to authenticate.
        """
        return self._authentication is not None and self._authentication.isDemanded

    # The API

    def lowerUp(
        self, channel: IChannel, delay: float = 0, proxied: Negotiated | None = None
    ) -> None:
        """
        Begin, since the call is set up.

        @param delay: seconds to wait for the peer's first frame before LCP sends its own.
        @param proxied: what another end has negotiated with the peer; None for nothing.
        """
        self._channel = channel
        if not IBundledChannel.providedBy(channel):
            self.lcp.settings = replace(self.lcp.settings, mrru=0)
        self._proxied = proxied
        if delay:
            self._setup = self.clock.callLater(delay, self._begin)
        else:
            self._begin()

    def lowerDown(self, cause: str) -> None:
        """
        End the link at once, without telling the peer, since the call is gone.
        """
        if self.phase is not Phase.DEAD:
            # What the peer said when it terminated LCP tells more than the end of its call.
            self._cause = self._cause or self.lcp.reason or cause
            self.phase = Phase.TERMINATE
            self.lcp.lowerDown()
        self._finish(cause)

    def close(self, cause: str) -> None:
        """
        End the link in order: send a Terminate-Request, and call L{LinkOwner.linkEnded} when it is
        answered or has been sent often enough.
        """
        self._cause = self._cause or cause
        if self.phase is Phase.DEAD:
            self._finish(cause)
        elif self.phase is not Phase.TERMINATE:
            self.phase = Phase.TERMINATE
            self.lcp.close(cause)

    def drop(self, cause: str) -> None:
        """
        End the link at once: the peer is told, and not waited for.
        """
        self.close(cause)
        self.lowerDown(cause)

    def handOver(self, method: IAuthenticationProtocol | None) -> list[tuple[int, bytes]]:
        """
        Leave the peer to another end, to which the frames of the call pass from now on. The peer
        isn't told. The link does nothing more, and L{close} ends it at once.

        @param method: the protocol by which the peer has authenticated; None if it hasn't.
        @return: the protocol numbers and information fields of the frames that were kept for the
            network phase, which the other end is to get first.
        """
        kept = [] if self._network is None else self._network.takeKept()
        self._leaving = None
        self.method = method
        self.phase = Phase.TERMINATE
        self.layerDown(self.lcp)
        self._setup = cancelled(self._setup)
        self.phase = Phase.DEAD
        self._channel = None
        return kept

    def probe(self) -> Deferred[bool]:
        """
        Find out whether the peer is still there.

        @return: fires with whether it is, within two seconds.
        """
        channel = self._channel
        if channel is None:
            return succeed(False)
        if self._probe is None or self._probe.over:
            self._probe = Probe(self.clock, self.lcp.sendEcho, channel.counters)
        return self._probe.wait()

    # IChannelOwner

    def frameReceived(self, protocol: int, information: bytes) -> None:
        """
        Pass a frame to the protocol that it belongs to. A link that has ended ignores frames.
        """
        if self._ended:
            return
        if self.watcher is not None:
            self.watcher.frame(False, protocol, information)
        if self.phase is Phase.DEAD and self._channel is not None:
            self._begin()
            # The peer is ready, so the Configure-Request needn't be repeated.
            self.lcp.heard = True
        if protocol == ppp.LCP:
            self.lcp.received(information)
        elif protocol in self.settings.authenticating:
            authentication = self._authentication
            if authentication is None or not authentication.received(protocol, information):
                self._discard("authentication not negotiated")
        elif protocol == ppp.LQR and self.lcp.monitors:
            if self._quality is not None:
                self._quality.received(information)
            else:
                self._discard("Link-Quality-Report before the network phase")
        elif self._network is not None:
            self._network.received(protocol, information)
        else:
            self._discard("before LCP opened")

    def resyncNeeded(self) -> None:
        """
        See L{IChannelOwner.resyncNeeded}.
        """
        if self._network is not None:
            self._network.resyncNeeded()

    def confirmationNeeded(self) -> None:
        """
        See L{IChannelOwner.confirmationNeeded}: send an Echo-Request that only the peer can answer.
        """
        self.lcp.challenge()

    def confirms(self, protocol: int, information: bytes) -> bool:
        """
        See L{IChannelOwner.confirms}: return whether a frame is the answer to that Echo-Request.
        """
        return protocol == ppp.LCP and self.lcp.answersChallenge(information)

    def channelFailed(self, reason: str) -> None:
        """
        See L{IChannelOwner.channelFailed}.
        """
        self.close(Cause(reason, Termination.NAS_ERROR))

    # pptpgw.ppp.layer.Layer, for LCP

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Begin authentication, since LCP opened.
        """
        channel, settings = self._channel, self.settings
        assert channel is not None
        lcp = self.lcp
        channel.setFraming(lcp.sendACFC, lcp.sendPFC, lcp.sendACCM, lcp.receiveACCM)
        self.phase = Phase.AUTHENTICATE
        if self.watcher is not None:
            self.watcher.passed("LCP", "authentication")
        owner, watcher = self._owner, self.watcher
        if lcp.bundles:
            bundled = IBundledChannel(channel)
            self._bundle = Bundle(self.clock, settings, lcp, bundled, owner, watcher)
            self._network = self._bundle.network
        else:
            self._network = NetworkPhase(
                self.clock,
                settings,
                lcp,
                channel,
                owner,
                watcher,
                self.networkOpened,
                self.repeatSuccess,
                self.close,
                self._encrypted,
            )
        proxied, self._proxied = self._proxied, None
        self._authentication = authentication = Authentication(
            self.clock, settings, lcp, self._send, self._owner.authenticate, self, self
        )
        authentication.start(None if proxied is None else proxied.claim)
        self._proved()

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        End authentication and the network phase, since LCP left Opened.
        """
        authentication, self._authentication = self._authentication, None
        # After the reference to it is gone, since checkers may ask L{authenticating}.
        if authentication is not None:
            authentication.stop()
        self._keys = None
        self._stopWatches()
        network, self._network = self._network, None
        bundle, self._bundle = self._bundle, None
        if network is not None and bundle is None:
            self._encrypted = network.encrypted
            network.end()
        hadJoined = bundle is not None and bundle.leave(self)
        if self._channel is not None and self.settings.accm is not None:
            # The agreement is void (RFC 1662 section 7.1).
            self._channel.setFraming(False, False, ppp.DEFAULT_ACCM, ppp.DEFAULT_ACCM)
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
            text = "LCP was negotiated anew while the call was to be passed on"
            self.close(self.lcp.reason or Cause(text, Termination.USER_ERROR))
        elif hadJoined:
            text = "LCP was negotiated anew on a link of a bundle"
            self.close(self.lcp.reason or Cause(text, Termination.USER_ERROR))
        if self.phase is not Phase.TERMINATE:
            # The peer negotiates LCP anew, or has asked to terminate.
            self._establish()

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        End the link, since LCP gave up or has terminated.
        """
        self._finish(reason)

    # IVerdicts and IPeerResults

    def granted(self, grant: Grant) -> None:
        """
        See L{IVerdicts.granted}: prepare the peer's network protocols.
        """
        if self.phase is Phase.AUTHENTICATE and self._network is not None:
            if not self._earnsByOurs:
                self.method = self.lcp.demanded
                self._keys = grant.keys
            if self._ownsNetwork():
                self._network.prepare(self._owner.networkProtocols(grant), grant)

    def authenticated(self, grant: Grant) -> None:
        """
        See L{IVerdicts.authenticated}: one exchange is done.
        """
        if self._authentication is not None:
            self._authentication.believed()
        self._proved()

    def proven(self, keys: IKeys | None) -> None:
        """
        See L{IPeerResults.proven}: one exchange is done.
        """
        if not self.authenticating or self._earnsByOurs:
            self.method = self.lcp.demandedOfUs
            self._keys = keys
        self._proved()

    def refused(self, reason: str) -> None:
        """
        See L{IVerdicts.refused} and L{IPeerResults.refused}: end the link.
        """
        self.close(asCause(reason, Termination.USER_ERROR))

    # Internal methods

    @property
    def _earnsByOurs(self) -> bool:
        """
        Whether the keys are those of the exchange by which this end authenticates.
        """
        return self.settings.dials and self.lcp.demandedOfUs is not None

    def _begin(self) -> None:
        self._setup = cancelled(self._setup)
        self._establish()
        self.lcp.open()
        if self._proxied is None:
            self.lcp.lowerUp()
        else:
            self.lcp.resume(self._proxied)
            self._proxied = None

    def _establish(self) -> None:
        self.phase = Phase.ESTABLISH
        # A peer that negotiates LCP anew gets no more time, or it could stay for ever.
        if self._setup is None:
            self._setup = self.clock.callLater(self.settings.setupTimeout, self._setupTimedOut)

    def _setupTimedOut(self) -> None:
        self._setup = None
        text = (
            f"no network protocol opened within {self.settings.setupTimeout:g} s, "
            f"the link was in its {self.phase.value} phase"
        )
        self.close(Cause(text, Termination.USER_ERROR, Remedy.SLOW))

    def _send(self, protocol: int, packet: bytes) -> None:
        if self._channel is not None:
            if self.watcher is not None:
                self.watcher.frame(True, protocol, packet)
            self._channel.sendFrame(protocol, packet)

    def _discard(self, reason: str) -> None:
        if self._channel is not None:
            self._channel.counters.discard(reason)

    def _protocolRejected(self, protocol: int) -> None:
        if protocol == ppp.LQR and self._quality is not None:
            self._quality.rejected()
        elif self._network is not None:
            self._network.rejected(protocol)

    def _proved(self) -> None:
        """
        Count that one exchange, or the start of all, is done. After the last one the network phase
        begins.
        """
        authentication, network, settings = self._authentication, self._network, self.settings
        if authentication is None or not authentication.proved() or network is None:
            return
        if self.phase is not Phase.AUTHENTICATE:
            return
        if not authentication.isDemanded and self._ownsNetwork():
            try:
                network.prepare(self._owner.networkProtocols(None))
            except Refused as refusal:
                self.close(str(refusal))
                return
        self.phase = Phase.NETWORK
        channel = self._channel
        assert channel is not None
        if settings.echoFailures:
            counters = channel.counters
            self._keepalive = Keepalive(self.clock, self.lcp, counters, settings, self.lowerDown)
        if self.lcp.monitors:
            limit = settings.qualityLoss
            self._quality = Quality(self.clock, self.lcp, channel, self._send, limit, self.close)
        self._leaving = self._owner.authenticated(self._keys)
        if self._leaving is not None:
            return
        if self._bundle is not None:
            self._bundle.join(self, IBundledChannel(channel), self._keys)
        else:
            network.begin(self._keys)

    def _ownsNetwork(self) -> bool:
        """
        Have the owner choose the bundle that the link joins, if it is one of a bundle.

        @return: whether the link begins a network phase, and doesn't join one.
        """
        own = self._bundle
        if own is None:
            return True
        chosen: Bundle = self._owner.bundleOf(own)
        if chosen is not own:
            own.end()
            self._bundle, self._network = chosen, chosen.network
        return chosen is own

    # pptpgw.ppp.bundle.BundledLink, and the same of a link that is alone

    def networkOpened(self) -> None:
        """
        Note that a network protocol has opened.
        """
        self._setup = cancelled(self._setup)
        now = self.clock.seconds()
        since, count = self._openings
        self._openings = (since, count + 1) if now - since < 60 else (now, 1)
        if self._openings[1] > OPENINGS:
            text = f"network protocols opened more than {OPENINGS} times within a minute"
            self.close(Cause(text, Termination.USER_ERROR))

    def repeatSuccess(self) -> None:
        """
        Tell the peer once more that it is let in.
        """
        if self._authentication is not None:
            self._authentication.repeat()

    def _stopWatches(self) -> None:
        keepalive, self._keepalive = self._keepalive, None
        if keepalive is not None:
            keepalive.stop()
        quality, self._quality = self._quality, None
        if quality is not None:
            quality.stop()

    def _finish(self, cause: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._setup = cancelled(self._setup)
        self._stopWatches()
        self.phase = Phase.DEAD
        self._channel = None
        self.watcher = None
        self.lcp.protocolRejected = None
        self.lcp.detach()
        owner = self._owner
        # The owner is told nothing more, and the reference cycle is broken.
        del self._owner
        owner.linkEnded(self._cause or cause)
        if self._probe is not None:
            self._probe.end(False)

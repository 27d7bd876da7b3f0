"""
A bundle of links (RFC 1990): the links, and the network phase that they have in common.

The rules:

 - A link whose two ends have agreed on an MRRU belongs to a bundle once authentication is done: to
   one of its own, or to the one that its owner names.
 - A bundle has one network phase, whose frames its links carry in fragments. It begins with the
   first link and ends with the last one. Every link has its own LCP, and ends by itself.
 - The network phase begins L{HEAD_START} seconds after the first link has joined, or with the
   peer's first frame: pppd rejects fragments until it has set up its own end.
 - All links of a bundle have agreed on the same MRRU and the same form of sequence numbers, and are
   encrypted by their tunnels, or not, alike.
 - A link that negotiates LCP anew leaves its bundle, and ends.
"""

from __future__ import annotations

from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import (
    Agreement,
    IBundledChannel,
    IChannelOwner,
    IKeys,
    LinkQuality,
    MultilinkParameters,
)
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.networkphase import NetworkPhase
from pptpgw.ppp.settings import LinkOwner, LinkSettings, LinkWatcher
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled

HEAD_START = 0.1
"""
Seconds that the network phase waits for the peer's first frame.
"""


class BundledLink(TypingProtocol):
    """
    A link, as its bundle sees it. L{pptpgw.ppp.link.Link} is one.
    """

    lcp: LCP
    settings: LinkSettings

    @property
    def quality(self) -> LinkQuality | None: ...
    def close(self, cause: str) -> None: ...
    def drop(self, cause: str) -> None: ...
    def probe(self) -> Deferred[bool]: ...
    def networkOpened(self) -> None: ...
    def repeatSuccess(self) -> None: ...


@implementer(IChannelOwner)
class Bundle:
    """
    A bundle.

    @ivar links: its links, in the order in which they joined.
    @ivar channel: its channel, an L{pptpgw.interfaces.IBundleChannel}, until it ends.
    @ivar counters: the figures of the channel.
    @ivar demandedOfUs: the protocol by which we authenticated on the first link, or None.
    @ivar network: its L{NetworkPhase}, until it ends.
    @ivar isOver: whether it has ended.
    @ivar peerMRU: the largest information field in fragments that the peer can receive, in octets.
    """

    __slots__ = (
        "_agreed",
        "_begun",
        "_channels",
        "_clock",
        "_keys",
        "_opened",
        "_start",
        "_watcher",
        "channel",
        "counters",
        "demandedOfUs",
        "isOver",
        "links",
        "network",
        "peerMRU",
    )

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        lcp: LCP,
        channel: IBundledChannel,
        owner: LinkOwner,
        watcher: LinkWatcher | None,
    ) -> None:
        """
        @param lcp: the LCP of the link that the bundle is made for.
        @param channel: that link's channel.
        """
        self.links: list[BundledLink] = []
        self._channels: dict[BundledLink, IBundledChannel] = {}
        self._clock = clock
        self._keys: IKeys | None = None
        self._start: IDelayedCall | None = None
        self._begun = self._opened = self.isOver = False
        self._watcher = watcher
        self._agreed = _agreement(settings, lcp)
        self.peerMRU = lcp.peerMRRU
        self.demandedOfUs = lcp.demandedOfUs
        parameters = MultilinkParameters(lcp.mrru, lcp.sendShort, lcp.receiveShort)
        self.channel = channel.makeBundle(self, parameters)
        self.counters: Counters = self.channel.counters
        self.network = NetworkPhase(
            clock,
            settings,
            self,
            self.channel,
            owner,
            watcher,
            self._networkOpened,
            self._repeatSuccess,
            self.close,
            False,
        )

    @property
    def encryption(self) -> str:
        """
        How the bundle is encrypted, in words.
        """
        return self.network.encryption

    @property
    def agreements(self) -> list[Agreement]:
        """
        What each control protocol that is open has agreed on, LCP of the first link first.
        """
        own = self.links[0].lcp.agreement if self.links else None
        return [] if own is None else [own, *self.network.agreements()]

    @property
    def quality(self) -> LinkQuality | None:
        """
        What Link-Quality-Reports have shown on the link that loses most; None if there are none.
        """
        found = [one.quality for one in self.links]
        return max(filter(None, found), key=lambda one: max(one[:2]), default=None)

    def objection(self, link: BundledLink) -> str:
        """
        Return why C{link} can't join; empty if it can.
        """
        if _agreement(link.settings, link.lcp) != self._agreed:
            return "the links of a bundle must have the same MRRU, sequence numbers and encryption"
        return ""

    def join(self, link: BundledLink, channel: IBundledChannel, keys: IKeys | None) -> None:
        """
        Carry the bundle's frames by C{link} too, whose authentication is done.

        @param keys: the MPPE keys that it earned. Those of the first link are used.
        """
        if self.isOver:
            link.close(Cause("the bundle ended meanwhile"))
            return
        self.links.append(link)
        self._channels[link] = channel
        self.channel.addLink(channel, link.lcp.peerMRU)
        if not self._begun and self._start is None:
            self._keys = keys
            self._start = self._clock.callLater(HEAD_START, self._begin)
        if self._opened:
            link.networkOpened()

    def _begin(self) -> None:
        """
        Begin the network phase.
        """
        self._start = cancelled(self._start)
        self._begun = True
        self.network.begin(self._keys)

    def leave(self, link: BundledLink) -> bool:
        """
        Carry no more frames by C{link}, whose LCP left Opened. The bundle ends with its last link.

        @return: whether the link had joined.
        """
        channel = self._channels.pop(link, None)
        if channel is not None:
            self.links.remove(link)
            self.channel.removeLink(channel)
        if not self.links:
            self.end()
        return channel is not None

    def end(self) -> None:
        """
        End the network phase, since the bundle has no link, or will never have one.
        """
        if self.isOver:
            return
        self.isOver = True
        self._start = cancelled(self._start)
        self.network.end()
        self.channel.close()
        # Both refer to the bundle: this breaks the cycles.
        del self.network, self.channel
        self._watcher = None

    def close(self, cause: str) -> None:
        """
        End all links in order.
        """
        for link in tuple(self.links):
            link.close(cause)

    def drop(self, cause: str) -> None:
        """
        End all links at once: the peer is told, and not waited for.
        """
        for link in tuple(self.links):
            link.drop(cause)

    def probe(self) -> Deferred[bool]:
        """
        Find out whether the peer is still there, on any link.
        """
        return gatherResults([one.probe() for one in self.links]).addCallback(any)

    async def dropSilent(self, cause: str) -> None:
        """
        End the links on which the peer doesn't answer, within two seconds.
        """
        links = tuple(self.links)
        answers = await gatherResults([one.probe() for one in links])
        for link, lives in zip(links, answers, strict=True):
            if not lives:
                link.drop(cause)

    def sendProtocolReject(self, protocol: int, information: bytes) -> None:
        """
        Tell the peer by a link that C{protocol} isn't known here.
        """
        if self.links:
            self.links[0].lcp.sendProtocolReject(protocol, information)

    # IChannelOwner

    def frameReceived(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannelOwner.frameReceived}.
        """
        if self._watcher is not None:
            self._watcher.frame(False, protocol, information)
        if self._start is not None:
            self._begin()
        self.network.received(protocol, information)

    def resyncNeeded(self) -> None:
        """
        See L{IChannelOwner.resyncNeeded}.
        """
        self.network.resyncNeeded()

    def confirmationNeeded(self) -> None:
        """
        See L{IChannelOwner.confirmationNeeded}. Only links have numbers that may be doubted.
        """

    def confirms(self, protocol: int, information: bytes) -> bool:
        """
        See L{IChannelOwner.confirms}.
        """
        return False

    def channelFailed(self, reason: str) -> None:
        """
        See L{IChannelOwner.channelFailed}.
        """
        self.close(Cause(reason, Termination.NAS_ERROR))

    # Of the network phase

    def _networkOpened(self) -> None:
        self._opened = True
        for link in tuple(self.links):
            link.networkOpened()

    def _repeatSuccess(self) -> None:
        for link in self.links:
            link.repeatSuccess()


def _agreement(settings: LinkSettings, lcp: LCP) -> tuple[object, ...]:
    """
    Return what all links of a bundle must have in common.
    """
    agreed = lcp.mrru, lcp.peerMRRU, lcp.receiveShort, lcp.sendShort
    packets = settings.encryption, settings.bits, settings.stateful, settings.compression
    return *agreed, settings.encrypted, *packets

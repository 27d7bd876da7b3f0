"""
Rate limits on what an account may send and receive, by the queues of the kernel.

The rules:

 - Packets to a caller wait in a class of HTB on the TUN device, which filters choose by the
   packet's destination. Packets from a caller are sent through a second device, an IFB, and wait
   there in the same way, chosen by their source. There is an IFB only if a session was limited in
   that direction.
 - A session with a device of its own has its class there for packets to the caller, and needs no
   filter. Packets from the caller are sent from that device through the same IFB.
 - A session has one class in each direction that is limited, for all its networks of both families
   together. A session without a limit has no class, and its packets don't wait.
 - Each class has a queue of its own: fq_codel if the kernel has it, otherwise a plain one that
   holds a tenth of a second.
 - Nothing is done before the first session with a limit. If the kernel lacks something for it an
   error is logged once, and no session is limited in that direction.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.error import NotPermitted
from pptpgw.interfaces import (
    IHealth,
    IKernelInterface,
    INetworkProtocol,
    ISession,
    ISessionObserver,
)
from pptpgw.log import Logger
from pptpgw.ports import rtnetlink, trafficcontrol
from pptpgw.ports.rates import NotShaped, OwnLimits, RateLimits, judge
from pptpgw.ports.rtnetlink import Kernel, NetlinkMessageType, RequestSocket, readLink
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ports.watch import LINK_GROUPS, Watch
from pptpgw.sessions.observer import SessionObserver
from pptpgw.timing.slices import inSlices

SUFFIX = "-in"
"""
The end of the second device's name, which begins like the TUN device's.
"""

_QUEUE = 1000
_NEEDED = (
    "rates are limited by the kernel's sch_htb, cls_u32, sch_ingress, act_mirred and ifb (modprobe "
    "finds them where they are modules), and by CAP_NET_ADMIN"
)


class Devices(Protocol):
    """
    The devices of the machine, as the L{Shaper} uses them.
    """

    def index(self, name: str) -> int:
        """
        Return the index of the device called C{name}.

        @raise OSError: there is no such device.
        """

    def addIFB(self, name: str) -> None:
        """
        Make an IFB device, in place of one of this name that a killed gateway left behind.

        @raise OSError: the kernel refuses.
        """

    def remove(self, name: str) -> None:
        """
        Remove the device called C{name}, if it is an IFB.

        @raise OSError: the kernel refuses.
        """


class RealDevices:
    """
    The L{Devices} of this network namespace.
    """

    index = staticmethod(socket.if_nametoindex)

    def addIFB(self, name: str) -> None:
        """
        See L{Devices.addIFB}.
        """
        self.remove(name)
        with closing(RequestSocket()) as netlink:
            _ask(netlink, rtnetlink.addLink(name, "ifb", _QUEUE))

    def remove(self, name: str) -> None:
        """
        See L{Devices.remove}.
        """
        with closing(RequestSocket()) as netlink:
            link = netlink.link(name)
            if link is not None and link.kind == "ifb":
                _ask(netlink, rtnetlink.removeLink(link.index))


def _ask(netlink: Kernel, request: bytes) -> None:
    (code,) = netlink.ask([request])
    if code:
        raise OSError(code, os.strerror(code))


@implementer(ISessionObserver, IHealth)
class Shaper(SessionObserver):
    """
    The observer that applies the rate limits of all sessions.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        interface: IKernelInterface | None,
        connect: Callable[[], Kernel] = RequestSocket,
        devices: Devices | None = None,
    ) -> None:
        """
        @param interface: the device that sessions' packets go through; None if there is none.
        @param connect: opens a socket for requests to the kernel.
        @param devices: the devices of the machine; None for the real ones.
        """
        self._interface = interface
        self._connect = connect
        self._devices: Devices = devices or RealDevices()
        self._kernel: Kernel | None = None
        self._send = _Direction(self._makeSend)
        self._receive = _Direction(self._makeReceive)
        self._own = _Direction(self._makeOwn)
        # The device from which each session's packets are sent through the IFB, and by how many.
        self._redirected: dict[int, int] = {}
        self._redirects: Counter[int] = Counter()
        self._index = 0
        self._second = ""
        # The sessions that have a limit, by their numbers.
        self._sessions: dict[int, ISession] = {}
        self._reactor = reactor
        self._upkeep = Upkeep(reactor, lambda: "rate limits", self._restore)
        self._watch = Watch(reactor, self._isTaken, self._upkeep.lost, LINK_GROUPS)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        Apply the session's limits to the networks that it has now.
        """
        self._set(session)

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        Apply the session's limits to the networks that it has now.
        """
        self._set(session)

    def networksChanged(self, session: ISession) -> None:
        """
        Apply the session's limits to the networks that it has now.
        """
        self._set(session)

    def sessionChanged(self, session: ISession) -> None:
        """
        Apply the session's limits, which may have changed.
        """
        self._set(session)

    def sessionEnded(self, session: ISession, cause: str) -> None:
        """
        Remove the limits of a session that has ended.
        """
        self._sessions.pop(session.number, None)
        for direction in (self._send, self._own, self._receive):
            self._remove(direction, session)

    def stop(self) -> None:
        """
        Remove everything that was made in the kernel, after every session has ended. Calling this
        again does nothing.
        """
        self._upkeep.stop()
        self._watch.stop()
        self._sessions.clear()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        if self._second:
            try:
                self._devices.remove(self._second)
            except OSError as error:
                self._log.warn("{name} stays: {error}", name=self._second, error=str(error))
        self._forget()
        self._own = _Direction(self._makeOwn)

    def _forget(self) -> None:
        """
        Forget everything that was made in the kernel on devices that sessions share, without
        removing it.
        """
        self._second = ""
        self._redirected.clear()
        self._redirects.clear()
        self._send = _Direction(self._makeSend)
        self._receive = _Direction(self._makeReceive)

    def _isTaken(self, kind: int, sender: int, body: bytes) -> str:
        """
        Return what another program has taken away: see L{pptpgw.ports.watch.Announced}.
        """
        if (
            kind not in (NetlinkMessageType.NEW_LINK, NetlinkMessageType.DELETE_LINK)
            or body[0] != 0
        ):
            return ""
        link = readLink(body)
        if link.name == self._second and (kind == NetlinkMessageType.DELETE_LINK or not link.up):
            return f"device {link.name} was taken away"
        if link.index == self._index and kind == NetlinkMessageType.DELETE_LINK:
            return f"device {link.name} was taken away, and its rate limits with it"
        return ""

    def _restore(self) -> Deferred[None]:
        """
        Make everything again, for each session that has a limit.

        @return: fires when that is done.
        """
        # Changes that this class makes itself needn't be announced.
        self._watch.stop()
        if self._kernel is not None:
            self._kernel.ask(trafficcontrol.clear(self._index))
        self._forget()
        done = inSlices(self._reactor, self._limitAgain())
        return done.addCallback(lambda ignored: self._watch.start())

    def _limitAgain(self) -> Iterator[None]:
        for number, session in tuple(self._sessions.items()):
            if number in self._sessions:
                try:
                    for direction, rate in self._rates(session):
                        self._keep(direction, session, rate)
                except NotShaped as error:
                    raise NotPermitted(str(error)) from error
            yield

    def _rates(self, session: ISession) -> tuple[tuple[_Direction[Any], int | None], ...]:
        """
        Return the rate of each direction of a session, in bits a second; None for no limit.
        """
        profile = session.profile
        send = self._own if session.interface else self._send
        return (send, profile.sendRate), (self._receive, profile.receiveRate)

    def _set(self, session: ISession) -> None:
        for direction, rate in self._rates(session):
            self._limit(direction, session, rate)

    def _keep(self, direction: _Direction[Any], session: ISession, rate: int | None) -> None:
        """
        Set or remove the limit of one direction of a session.

        @raise NotShaped: the kernel refuses.
        @raise OSError: a device is missing.
        """
        networks = [network for some in session.networks.values() for network in some]
        if not rate or not networks:
            self._remove(direction, session)
            return
        self._sessions[session.number] = session
        # Before the limits are made: a device that is gone is no reason to limit nobody.
        index = self._devices.index(session.interface) if session.interface else self._index
        limits = direction.limits(session)
        if limits is None:
            return
        if direction is self._own:
            limits.set(session.number, rate, index)
            return
        if direction is self._receive and session.number not in self._redirected:
            self._redirect(limits.kernel, session, index or self._index)
        limits.set(session.number, rate, networks)

    def _redirect(self, kernel: Kernel, session: ISession, index: int) -> None:
        """
        Send what a device receives through the IFB, for C{session}.

        @param index: the index of the device.
        @raise NotShaped: the kernel refuses.
        @raise OSError: a device is missing.
        """
        if not self._redirects[index]:
            second = self._devices.index(self._second)
            # A filter for an IFB that another program has removed is still there.
            kernel.ask([trafficcontrol.setIngress(index), trafficcontrol.direct(index)])
            judge(kernel.ask([trafficcontrol.redirect(index, second)]))
        self._redirects[index] += 1
        self._redirected[session.number] = index

    def _limit(self, direction: _Direction[Any], session: ISession, rate: int | None) -> None:
        try:
            self._keep(direction, session, rate)
        except (NotShaped, OSError) as error:
            self._log.error(
                "{user} from {caller} is not limited to {rate} bits a second{rest}: {error}; "
                "{needed}",
                user=session.user,
                caller=session.caller,
                rate=rate,
                rest=", nor is anybody else in that direction" if direction.broken else "",
                error=str(error),
                needed=_NEEDED,
            )

    def _remove(self, direction: _Direction[Any], session: ISession) -> None:
        limits = direction.made
        if limits is None:
            return
        limits.remove(session.number)
        if direction is self._receive and session.number in self._redirected:
            index = self._redirected.pop(session.number)
            self._redirects[index] -= 1
            if not self._redirects[index]:
                del self._redirects[index]
                limits.kernel.ask([trafficcontrol.direct(index)])

    def _makeSend(self, session: ISession) -> RateLimits:
        return RateLimits(self._begin(), self._index, source=False)

    def _makeOwn(self, session: ISession) -> OwnLimits:
        return OwnLimits(self._begin(), self._devices.index(session.interface))

    def _makeReceive(self, session: ISession) -> RateLimits:
        kernel = self._begin()
        assert self._interface is not None
        name = self._interface.name[: 15 - len(SUFFIX)] + SUFFIX
        self._devices.addIFB(name)
        self._second = name
        return RateLimits(kernel, self._devices.index(name), source=True)

    def _begin(self) -> Kernel:
        if self._interface is None:
            raise NotShaped("sessions' packets go through no device of the kernel's")
        if self._kernel is None:
            self._kernel = self._connect()
            self._watch.start()
        self._index = self._devices.index(self._interface.name)
        return self._kernel


Made = TypeVar("Made", RateLimits, OwnLimits)


class _Direction(Generic[Made]):
    """
    One direction of all sessions. Its limits are made when they are needed first; if that fails it
    isn't tried again.

    @ivar made: the limits; None before they are made.
    @ivar broken: whether making them has failed.
    """

    def __init__(self, make: Callable[[ISession], Made]) -> None:
        """
        @param make: makes the limits, which the session that it is called with needs first.
        """
        self.made: Made | None = None
        self.broken = False
        self._make: Callable[[ISession], Made] = make

    def limits(self, session: ISession) -> Made | None:
        """
        Return the limits for C{session}, which are made if necessary; None if making them has
        failed before.

        @raise NotShaped: the limits can't be made.
        """
        if self.made is None and not self.broken:
            self.broken = True
            self.made = self._make(session)
            self.broken = False
        return self.made

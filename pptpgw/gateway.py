"""
The gateway: joins a call to a link and both to a session. The only module that knows both halves,
the tunnel's (L{pptpgw.pptp}) and the link's (L{pptpgw.ppp}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pptpgw.config import IPv4
from pptpgw.counters import Counters, Totals
from pptpgw.error import Refused
from pptpgw.interfaces import (
    Attachment,
    IAddressPool,
    IChannel,
    IDataPath,
    INetworkProtocol,
    ISessionObserver,
    ISubscriber,
)
from pptpgw.ncp.ipv4 import IPCP, IPv4Settings
from pptpgw.ppp.authentication import Claim, Grant
from pptpgw.ppp.link import Link
from pptpgw.ppp.network import cancelled
from pptpgw.ppp.settings import LinkSettings
from pptpgw.pptp.call import Call
from pptpgw.pptp.connection import ControlConnection
from pptpgw.session.session import Session
from pptpgw.wire.pptpcode import OutgoingCallResult

# How long after a call is set up its first GRE packet is missed aloud.
GRE_SECONDS = 5.0
# How long LCP waits for the Outgoing-Call-Reply, which the reactor writes in its next turn only, to
# get ahead of it: most clients lose what GRE brings before that.
HEAD_START = 0.002

Authenticate = Callable[[Claim], Deferred[Grant]]


class Line:
    """
    One caller: its call, its link and, once it is authenticated, its session.
    """

    __slots__ = ("_address", "_gateway", "_missed", "_since", "call", "channel", "link", "session")

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._address: str | None = None
        self._missed: IDelayedCall | None = None
        self._since = gateway.clock.seconds()
        self.call = call
        self.session: Session | None = None
        self.link = Link(gateway.clock, gateway.settings, self)
        # The peer may send before it has read our reply.
        self.channel: IChannel = gateway.dataPath.openChannel(call.tunnel, self.link)

    def hangUp(self, cause: str) -> None:
        """
        End the link, then the call, both in order.
        """
        self.link.close(cause)

    # pptp.call.CallOwner

    def callEstablished(self, call: Call) -> None:
        """
        The reply is on its way: begin with LCP.
        """
        self._missed = self._gateway.clock.callLater(GRE_SECONDS, self._missGRE)
        self.link.lowerUp(self.channel, HEAD_START)

    def callEnded(self, call: Call, cause: str) -> None:
        """
        The call is over, and with it the link.
        """
        self.link.lowerDown(cause)

    def linkInfoSet(self, call: Call, sendACCM: int, receiveACCM: int) -> None:
        """
        Of no account: nothing is escaped on a tunnel without asynchronous framing.
        """

    # ppp.link.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge the claim, and find an address for whom it is true of.
        """
        judged: Deferred[Grant] = self._gateway.authenticate(claim)
        judged = judged.addCallback(self._allocate)
        judged.addErrback(self._refused, claim)
        return judged

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Begin the session and give it its network protocols.
        """
        if grant is None or self._address is None:
            raise Refused("the peer was not asked who it is", retry=False)
        gateway, ipv4 = self._gateway, self._gateway.ipv4
        if self.session is None:
            self.session = gateway.sessionStarted(self, grant)
        method = self.link.method
        self.session.authentication = method.value if method is not None else "none"
        return [
            IPCP(
                IPv4Settings(
                    localAddress=str(ipv4.local),
                    peerAddress=self._address,
                    addresses=(),
                    dns=tuple(map(str, ipv4.dns)),
                    wins=tuple(map(str, ipv4.wins)),
                    mtu=gateway.settings.mru,
                )
            )
        ]

    def networkOpened(self, protocol: INetworkProtocol, attachment: Attachment) -> None:
        """
        Tell of it.
        """
        self._missed = cancelled(self._missed)
        if self.session is not None:
            self.session.encryption = self.link.encryption
            self.session.networks[protocol.name] = attachment.addresses
            self._gateway.protocolOpened(
                self.session, protocol, self._gateway.clock.seconds() - self._since
            )

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Tell of it.
        """
        if self.session is not None and self.session.networks.pop(protocol.name, None) is not None:
            self._gateway.protocolClosed(self.session, protocol)

    def linkEnded(self, cause: str) -> None:
        """
        Give everything back.
        """
        self._missed = cancelled(self._missed)
        if self._silent and self._gateway.clock.seconds() - self._since >= GRE_SECONDS:
            cause = f"{cause}; {self._noGRE()}"
        self.channel.close()
        self._gateway.lineEnded(self, cause)
        if self._address is not None:
            self._gateway.pool.release(self._address)
        self.call.hangUp(cause)

    def _allocate(self, grant: Grant) -> Grant | Deferred[Grant]:
        if self._address is None:
            allocated: Deferred[str] = self._gateway.pool.allocate(ISubscriber(grant.subscriber))
            return allocated.addCallbacks(self._allocated, _refuse, callbackArgs=(grant,))
        if self.session is not None and grant.name != self.session.user:
            raise Refused(f"the session's user would become {grant.name}", retry=False)
        return grant

    def _allocated(self, address: str, grant: Grant) -> Grant:
        if self not in self._gateway.lines:
            self._gateway.pool.release(address)
            raise Refused("the call ended meanwhile", retry=False)
        self._address = address
        return grant

    def _refused(self, failure: Failure, claim: Claim) -> Failure:
        self._gateway.refused(self, claim, failure)
        return failure

    @property
    def _silent(self) -> bool:
        return not self.channel.counters.framesReceived

    def _noGRE(self) -> str:
        return (
            f"no GRE from {self.call.peerAddress} since the call was set up: "
            "is protocol 47 blocked between us?"
        )

    def _missGRE(self) -> None:
        if self._silent:
            self._gateway.warn(self._noGRE())


def _refuse(failure: Failure) -> NoReturn:
    """
    An address that can't be had is no fault of the caller's: another try wouldn't help.
    """
    raise Refused(failure.getErrorMessage(), retry=False)


class Gateway:
    """
    Everything that callers have in common.

    @ivar lines: the callers of now, authenticated or not.
    @ivar counters: the L{Totals} of packets, octets and discards.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        ipv4: IPv4,
        dataPath: IDataPath,
        authenticate: Authenticate,
        pool: IAddressPool,
        observers: Iterable[ISessionObserver] = (),
        counters: Counters | None = None,
    ) -> None:
        """
        @param settings: of each link.
        @param authenticate: judges claims.
        @param counters: where the ports count what belongs to no call.
        """
        self.clock = clock
        self.settings = settings
        self.ipv4 = ipv4
        self.dataPath = dataPath
        self.authenticate = authenticate
        self.pool = pool
        self.observers = list(observers)
        self.lines: set[Line] = set()
        self.counters = Totals(self._living, Counters() if counters is None else counters)
        self._started = 0
        self._stopped: Deferred[None] | None = None

    @property
    def sessions(self) -> list[Session]:
        """
        The sessions of now.
        """
        return [line.session for line in self.lines if line.session is not None]

    def start(self) -> None:
        """
        Take calls, as from the beginning: needed after a L{stop} only.
        """
        self._stopped = None

    def stop(self, timeout: float) -> Deferred[None]:
        """
        Take no more calls and end those there are; fires when none is left, or after C{timeout}
        seconds all the same.
        """
        if not self.lines:
            self._stopped = succeed(None)
            return self._stopped
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        late = self.clock.callLater(timeout, self._abandon)
        stopped.addCallback(self._allEnded, late)
        for line in tuple(self.lines):
            line.hangUp("the gateway is stopping")
        return stopped

    # pptp.connection.ConnectionOwner

    def connectionOpened(self, connection: ControlConnection) -> None:
        """
        A control connection is past its handshake.
        """
        self._log.info(
            "{peer}: control connection from {host!r}, {vendor!r}",
            peer=connection.peerAddress,
            host=connection.peerHostName,
            vendor=connection.peerVendorName,
        )

    def callRequested(self, call: Call) -> None:
        """
        Take the call.
        """
        if self._stopped is not None:
            call.refuse(OutgoingCallResult.DO_NOT_ACCEPT)
            return
        line = Line(self, call)
        self.lines.add(line)
        call.accept(line)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        """
        A control connection is over, its calls before it.
        """
        self._log.info(
            "{peer}: control connection closed: {reason}",
            peer=connection.peerAddress,
            reason=reason,
        )

    # What lines tell

    def sessionStarted(self, line: Line, grant: Grant) -> Session:
        """
        Make the session of C{line}.
        """
        self._started += 1
        session = Session(
            self._started,
            ISubscriber(grant.subscriber),
            line.call.peerAddress,
            self.clock.seconds(),
            line.channel.counters,
            line.hangUp,
        )
        self._tell("sessionStarted", session)
        return session

    def refused(self, line: Line, claim: Claim, failure: Failure) -> None:
        """
        The claim of C{line}'s caller was found false, or nothing can be done for it.
        """
        self._log.warn(
            "{caller}: {name!a} is refused, by {method}: {why}",
            caller=line.call.peerAddress,
            name=claim.name[:64].decode("utf-8", "replace"),
            method=claim.method.value,
            why=failure.getErrorMessage(),
        )

    def protocolOpened(self, session: Session, protocol: INetworkProtocol, took: float) -> None:
        """
        A network protocol of C{session} opened, C{took} seconds after its call was requested.
        """
        self._log.info(
            "{user} from {caller}: {protocol} {networks} open {took:.3f} s after the call, "
            "{authentication}, {encryption}",
            user=session.user,
            caller=session.caller,
            protocol=protocol.name,
            networks=", ".join(map(str, session.networks[protocol.name])),
            took=took,
            authentication=session.authentication,
            encryption=session.encryption,
        )
        self._tell("protocolOpened", session, protocol)

    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        A network protocol of C{session} closed.
        """
        self._tell("protocolClosed", session, protocol)

    def lineEnded(self, line: Line, cause: str) -> None:
        """
        A caller is gone.
        """
        self.lines.discard(line)
        counters = line.channel.counters
        self.counters.retire(counters)
        session = line.session
        if session is None:
            self._log.info(
                "{caller}: call ended without a session: {cause}",
                caller=line.call.peerAddress,
                cause=cause,
            )
        else:
            self._log.info(
                "{user} from {caller}: ended after {seconds:.0f} s, {received} octets received, "
                "{sent} sent: {cause}",
                user=session.user,
                caller=session.caller,
                seconds=self.clock.seconds() - session.since,
                received=counters.octetsReceived,
                sent=counters.octetsSent,
                cause=cause,
            )
            self._tell("sessionEnded", session, cause)
        if self._stopped is not None and not self._stopped.called and not self.lines:
            self._stopped.callback(None)

    def warn(self, text: str) -> None:
        """
        Log what an operator should look into.
        """
        self._log.warn("{text}", text=text)

    def _allEnded(self, _: None, late: IDelayedCall) -> None:
        cancelled(late)

    def _abandon(self) -> None:
        for line in tuple(self.lines):
            line.link.lowerDown("the gateway is stopping")

    def _living(self) -> Iterable[Counters]:
        yield self.dataPath.counters
        for line in self.lines:
            yield line.channel.counters

    def _tell(self, event: str, *arguments: object) -> None:
        for observer in self.observers:
            try:
                getattr(observer, event)(*arguments)
            except Exception:
                self._log.failure(
                    "session observer {observer!r} failed in {event}",
                    observer=observer,
                    event=event,
                )

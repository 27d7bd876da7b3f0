"""
The lines of calls that this gateway dials: here this end authenticates, and asks for what a network
gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, fail

from pptpgw.dialling.plan import DialPlan
from pptpgw.error import PPTPGWError, Refused
from pptpgw.interfaces import (
    Attachment,
    Attachments,
    Claim,
    Direction,
    Grant,
    IBoundCall,
    ICall,
    IKeys,
    INamingProtocol,
    INetworkProtocol,
)
from pptpgw.ppp.wire.ppp import IPV4
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.line import Line


class DialListener(TypingProtocol):
    """
    Who has dialled, which is told what becomes of the line.
    """

    def lineOpened(self, line: DialledLine) -> None:
        """
        Note that the first network protocol of C{line} is open.
        """

    def namesTold(self, servers: Sequence[str], domains: Sequence[str]) -> None:
        """
        Note the name servers that the other end names, and the domains to search.
        """

    def addressGiven(
        self, address: IPv4Address, interface: str, networks: Sequence[IPv4Network]
    ) -> None:
        """
        Note that the other end has given us C{address}, from which this machine sends to
        C{networks} by C{interface}.
        """

    def addressGone(self) -> None:
        """
        Note that the address isn't ours any more.
        """

    def lineEnded(self, line: DialledLine, cause: str) -> None:
        """
        Note that C{line} is over, and everything that it had is given back.
        """


class DialledLine(Line):
    """
    A call that this gateway has dialled.
    """

    __slots__ = ("_hasAddress", "_listener", "_naming", "_plan", "_told")

    direction = Direction.OUT

    def __init__(
        self, context: LineContext, call: ICall, plan: DialPlan, listener: DialListener
    ) -> None:
        """
        @param call: the call, which is established.
        @raise pptpgw.error.PPTPGWError: the data path can't carry the call.
        """
        self._plan = plan
        self._listener: DialListener | None = listener
        # Whether the listener knows of an address.
        self._hasAddress = False
        # The protocols that are open and know name servers, and what was told of these.
        self._naming: dict[str, INamingProtocol] = {}
        self._told: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        settings = replace(plan.settings, encrypted=call.encrypted, accm=call.accm)
        super().__init__(context, call, settings)
        self.identity = plan.dial.name
        self.attempt.named(plan.dial.name, plan.dial.name)

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        See L{Line.callEstablished}: begin with LCP.
        """
        self._establish(call)
        self.link.lowerUp(self.channel, call.headStart)

    # pptpgw.ppp.settings.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Have the claim of the other end judged.
        """
        judge = self._plan.judge
        if judge is None:
            return fail(Refused("the other end isn't asked who it is", retry=False))
        return judge(replace(claim, caller=self.caller))

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Make the network protocols, or keep those that there are if LCP is negotiated anew.

        @raise Refused: one end wasn't asked to authenticate that should have been, or a network has
            nothing for the call.
        """
        plan = self._plan
        if plan.judge is not None and grant is None:
            raise Refused("the other end didn't authenticate itself", retry=False)
        identity = plan.settings.identity
        if identity is not None and identity.methods and self.link.lcp.demandedOfUs is None:
            raise Refused("the other end didn't ask who we are", retry=False)
        if not self._made:
            self._gate = self._context.filters.gate(plan.profile)
            made = []
            try:
                for one in plan.networks:
                    made.append((one, one.ask(plan.dial, plan.profile, self.caller)))
            except PPTPGWError as error:
                raise Refused(str(error), retry=False) from error
            finally:
                self._made = made
        return [protocol for _, protocol in self._made]

    def authenticated(self, keys: IKeys | None) -> None:
        """
        Bind the call to the authentication where its tunnel is, and begin the session, since both
        ends are sure of each other.
        """
        if IBoundCall.providedBy(self.call):
            IBoundCall(self.call).bind(keys)
        if self.session is not None:
            self.session.authentication = self.authentication
            return
        self.attempt.passed("authentication", "network")
        # An observer may end it at once.
        self.session = session = self._makeSession(
            self._plan.profile, self._context.sessions.sessionChanged
        )
        self._context.sessions.sessionStarted(session)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{Line.networkOpened}. The listener is told of name servers.
        """
        super().networkOpened(protocol, attachments)
        attachment = attachments.get(IPV4)
        if attachment is not None and isinstance(attachment.localAddress, IPv4Address):
            self._given(attachment.localAddress, attachment)
        if INamingProtocol.providedBy(protocol):
            self._naming[protocol.name] = INamingProtocol(protocol)
            self._tellNames()

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{Line.networkChanged}. The listener is told of name servers.
        """
        super().networkChanged(protocol, attachments)
        self._tellNames()

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        See L{Line.networkClosed}. The listener is told that its name servers are gone.
        """
        super().networkClosed(protocol)
        if IPV4 in protocol.protocols:
            self._addressGone()
        if self._naming.pop(protocol.name, None) is not None:
            self._tellNames()

    def linkEnded(self, cause: str) -> None:
        """
        See L{Line.linkEnded}. The listener is told last.
        """
        super().linkEnded(cause)
        self._addressGone()
        self._naming.clear()
        self._tellNames()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lineEnded(self, cause)

    # Line

    def _firstOpened(self, seconds: float) -> None:
        if self._listener is not None:
            self._listener.lineOpened(self)

    def _neverOpened(self) -> None:
        pass

    def _given(self, address: IPv4Address, attachment: Attachment) -> None:
        kernel = self._context.dataPath.interface
        interface = self.channel.interface or ("" if kernel is None else kernel.name)
        if interface and self._listener is not None:
            networks = [one for one in attachment.addresses if isinstance(one, IPv4Network)]
            self._hasAddress = True
            self._listener.addressGiven(address, interface, networks)

    def _addressGone(self) -> None:
        if self._hasAddress and self._listener is not None:
            self._hasAddress = False
            self._listener.addressGone()

    def _tellNames(self) -> None:
        """
        Tell the listener the name servers of all networks, if they are others than before.
        """
        # In the order of the configuration, whichever opened first.
        names = [protocol.name for _, protocol in self._made]
        naming = [self._naming[name] for name in names if name in self._naming]
        servers = dict.fromkeys(one for protocol in naming for one in protocol.dns)
        domains = dict.fromkeys(one for protocol in naming for one in protocol.search)
        told = tuple(servers), tuple(domains)
        if told != self._told and self._listener is not None:
            self._told = told
            self._listener.namesTold(*told)

    def _over(self, cause: str) -> None:
        pass

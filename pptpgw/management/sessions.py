"""
The operations of sessions: who is connected, and what operators change or end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from pptpgw.interfaces import IGatewayService, ISession
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, assertChooses, chosen, page
from pptpgw.management.problem import Problem, notFound
from pptpgw.management.rates import Rates
from pptpgw.sessions.cause import Cause, Termination

Whole = Annotated[int, Meta(ge=0)]


class SessionBounds(Struct, frozen=True):
    """
    The limits of a session, of its account or of the configuration; null for none.

    @ivar session_timeout_seconds: seconds that the session may last.
    @ivar idle_timeout_seconds: seconds that it may last without a packet from its user.
    @ivar volume_octets: octets that it may carry, both directions together.
    @ivar receive_rate: bits a second from the user, at most.
    @ivar send_rate: bits a second to the user, at most.
    @ivar filter: the name of the filter that its packets pass; empty for none.
    """

    session_timeout_seconds: float | None
    idle_timeout_seconds: float | None
    volume_octets: int | None
    receive_rate: int | None
    send_rate: int | None
    filter: str


class SessionView(Struct, frozen=True):
    """
    A session.

    @ivar session_id: the identifier, with which its lines in the log begin.
    @ivar number: the number of the session in this run of the gateway, RADIUS's NAS-Port.
    @ivar user: the name of the user, or of the [[dial]] if the gateway has dialled.
    @ivar direction: in if the other end called, out if the gateway has dialled.
    @ivar caller: the address that the call came from.
    @ivar called: the address that was called.
    @ivar tunnel: the kind of tunnel.
    @ivar concentrator: the name of the access concentrator (LAC) by which the call came, if it is
        believed what it tells of callers; empty for none. The following fields are what it tells.
    @ivar calling_station: the number that calls; empty if it isn't known.
    @ivar called_station: the number or host name that was called; empty if it isn't known.
    @ivar subaddress: the subaddress that was called; empty if it isn't known.
    @ivar private_group: the private group of the caller; empty for none.
    @ivar physical_channel: the physical channel of the call; empty if it isn't known.
    @ivar addresses: the addresses and networks that the user has, of all network protocols.
    @ivar networks: the same, by network protocol.
    @ivar started: when the session began, in seconds since 1970.
    @ivar uptime_seconds: how long it has lasted.
    @ivar authentication: the protocol by which the user authenticated.
    @ivar encryption: how the link is encrypted, in words.
    @ivar interface: the network interface that the session has for itself; empty for none: then its
        packets pass by the one of [network] interface.
    @ivar path: what carries its packets: kernel, or python; after a colon the reason why not the
        kernel.
    @ivar octets_received: octets from the user.
    @ivar octets_sent: octets to the user.
    @ivar packets_received: packets from the user.
    @ivar packets_sent: packets to the user.
    @ivar rate_received: bits a second from the user, over the last seconds; null if not known yet.
    @ivar rate_sent: bits a second to the user.
    @ivar discards: discarded packets, by reason.
    @ivar limits: the limits.
    """

    session_id: str
    number: int
    user: str
    direction: str
    caller: str
    called: str
    tunnel: str
    concentrator: str
    calling_station: str
    called_station: str
    subaddress: str
    private_group: str
    physical_channel: str
    addresses: list[str]
    networks: dict[str, list[str]]
    started: float
    uptime_seconds: float
    authentication: str
    encryption: str
    interface: str
    path: str
    octets_received: int
    octets_sent: int
    packets_received: int
    packets_sent: int
    rate_received: float | None
    rate_sent: float | None
    discards: dict[str, int]
    limits: SessionBounds


class OptionView(Struct, frozen=True):
    """
    An option that a control protocol has agreed on. Values are in pppd's words; a value is empty if
    the option has none.

    @ivar type: the number of the option.
    @ivar name: the name of the option in pppd's words.
    @ivar ours: the values in the gateway's request, which apply to what the user sends; none if the
        gateway didn't ask for the option, and rarely several.
    @ivar peers: the values in the request of the user's computer, which apply to what the gateway
        sends.
    """

    type: int
    name: str
    ours: list[str]
    peers: list[str]


class ProtocolView(Struct, frozen=True):
    """
    What a control protocol has agreed on.

    @ivar name: LCP, CCP, IPCP, or the name of another control protocol of a network.
    @ivar number: its PPP protocol number.
    @ivar options: the options of the two requests that were acknowledged.
    """

    name: str
    number: int
    options: list[OptionView]


class QualityView(Struct, frozen=True):
    """
    What Link-Quality-Reports of the user's computer have shown.

    @ivar loss_received: the part of the packets from the user, from 0 to 1, that was lost between
        the last two reports.
    @ivar loss_sent: the same of the packets to the user.
    @ivar packets_received_lost: the packets from the user that were lost since the first report.
    @ivar packets_sent_lost: the same of the packets to the user.
    """

    loss_received: float
    loss_sent: float
    packets_received_lost: int
    packets_sent_lost: int


class SessionDetails(SessionView, frozen=True):
    """
    A session with what its control protocols have agreed on.

    @ivar protocols: the control protocols that are open, LCP first.
    @ivar quality: what Link-Quality-Reports have shown; null if there are none.
    """

    protocols: list[ProtocolView]
    quality: QualityView | None


class SessionFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which sessions are chosen.

    @ivar session_id: the identifier.
    @ivar user: the name of the user.
    @ivar direction: in if the other end called, out if the gateway has dialled.
    @ivar caller: the address that the call came from.
    @ivar called: the address that was called.
    @ivar tunnel: the kind of tunnel.
    @ivar concentrator: the name of the access concentrator by which the call came.
    @ivar calling_station: the number that calls.
    @ivar called_station: the number or host name that was called.
    @ivar address: an address or network of the user.
    @ivar network: a network protocol that is open.
    @ivar authentication: the protocol by which the user authenticated.
    @ivar interface: the network interface that the session has for itself.
    @ivar filter: the name of the filter that the packets pass.
    """

    session_id: str | None = None
    user: str | None = None
    direction: str | None = None
    caller: str | None = None
    called: str | None = None
    tunnel: str | None = None
    concentrator: str | None = None
    calling_station: str | None = None
    called_station: str | None = None
    address: str | None = None
    network: str | None = None
    authentication: str | None = None
    interface: str | None = None
    filter: str | None = None


class SessionChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A change of a session. What is left out remains; null leaves the decision to the configuration.

    @ivar session_timeout_seconds: seconds that the session may last, from its beginning; 0 for any
        time.
    @ivar idle_timeout_seconds: seconds that it may last without a packet from its user; 0 for any
        time.
    @ivar volume_octets: octets that it may carry, both directions together; 0 for any number.
    @ivar receive_rate: bits a second from the user, at most; 0 for any number.
    @ivar send_rate: bits a second to the user, at most; 0 for any number.
    @ivar filter: the name of a filter; empty for none.
    """

    session_timeout_seconds: Annotated[float, Meta(ge=0)] | UnsetType | None = UNSET
    idle_timeout_seconds: Annotated[float, Meta(ge=0)] | UnsetType | None = UNSET
    volume_octets: Whole | UnsetType | None = UNSET
    receive_rate: Whole | UnsetType | None = UNSET
    send_rate: Whole | UnsetType | None = UNSET
    filter: str | UnsetType | None = UNSET


class Disconnected(Struct, frozen=True):
    """
    The sessions that an operator has ended.

    @ivar session_ids: their identifiers.
    """

    session_ids: list[str]


_ATTRIBUTES = {
    "session_timeout_seconds": "sessionTimeout",
    "idle_timeout_seconds": "idleTimeout",
    "volume_octets": "volume",
    "receive_rate": "receiveRate",
    "send_rate": "sendRate",
    "filter": "filter",
}
"""
The attributes of a profile, by the fields of a L{SessionChange}.
"""


class Sessions:
    """
    Answers the requests for sessions.
    """

    def __init__(self, gateway: IGatewayService, rates: Rates) -> None:
        self._gateway = gateway
        self._rates = rates
        self._columns: Columns[ISession] = {
            "session_id": lambda one: one.identifier,
            "number": lambda one: one.number,
            "user": lambda one: one.user,
            "direction": lambda one: one.direction.value,
            "caller": lambda one: one.caller,
            "called": lambda one: one.called,
            "tunnel": lambda one: one.tunnel.name,
            "concentrator": lambda one: one.concentrator,
            "calling_station": lambda one: one.stations.calling,
            "called_station": lambda one: one.stations.called,
            "address": lambda one: [
                text for texts in textsOf(one.networks).values() for text in texts
            ],
            "network": lambda one: list(one.networks),
            "authentication": lambda one: one.authentication,
            "interface": lambda one: one.interface,
            "filter": lambda one: one.profile.filter,
            "uptime_seconds": lambda one: one.duration,
            "octets_received": lambda one: one.counters.octetsReceived,
            "octets_sent": lambda one: one.counters.octetsSent,
            "packets_received": lambda one: one.counters.packetsReceived,
            "packets_sent": lambda one: one.counters.packetsSent,
            "rate_received": lambda one: getattr(rates.of(one), "received", None),
            "rate_sent": lambda one: getattr(rates.of(one), "sent", None),
        }

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        path = "/sessions/{session_id}"
        yield Operation(
            "GET",
            "/sessions",
            "List sessions.",
            self._list,
            Page[SessionView],
            query=SessionFilter,
            paged=True,
        )
        yield Operation(
            "DELETE",
            "/sessions",
            "End all sessions that the query chooses; it must choose by something.",
            self._endMany,
            Disconnected,
            query=SessionFilter,
            role=OperatorRole.OPERATOR,
        )
        yield Operation(
            "GET",
            path,
            "Show a session, with the options that were agreed on.",
            self._show,
            SessionDetails,
        )
        yield Operation(
            "PATCH",
            path,
            "SessionChange the limits, rates or filter of a session.",
            self._change,
            SessionView,
            body=SessionChange,
            role=OperatorRole.OPERATOR,
        )
        yield Operation(
            "DELETE", path, "End a session.", self._end, Disconnected, role=OperatorRole.OPERATOR
        )

    async def _list(self, request: OperationRequest) -> Page[SessionView]:
        return await page(self._gateway.sessions, request, self._columns, self.view)

    def _show(self, request: OperationRequest) -> SessionDetails:
        session = self._find(request)
        protocols = [
            ProtocolView(
                one.name,
                one.control,
                [
                    OptionView(option.type, option.name, list(option.ours), list(option.peers))
                    for option in one.options
                ],
            )
            for one in session.agreed()
        ]
        quality = session.quality()
        return SessionDetails(
            **structs.asdict(self.view(session)),
            protocols=protocols,
            quality=None if quality is None else QualityView(*quality[:4]),
        )

    def _change(self, request: OperationRequest) -> SessionView:
        session = self._find(request)
        given = {
            _ATTRIBUTES[name]: value
            for name, value in structs.asdict(request.body).items()
            if value is not UNSET
        }
        if "filter" in given:
            given["filter"] = given["filter"] or ""
            filters = [one.name for one in self._gateway.configuration.network.filter]
            if given["filter"] and given["filter"] not in filters:
                raise Problem(
                    HTTPStatus.BAD_REQUEST,
                    f"there is no filter {given['filter']}: [[network.filter]] has "
                    f"{', '.join(filters) or 'none'}",
                )
        if given:
            session.change(replace(session.profile, **given))
        return self.view(session)

    def _end(self, request: OperationRequest) -> Disconnected:
        return _ended([self._find(request)], request)

    async def _endMany(self, request: OperationRequest) -> Disconnected:
        assertChooses(request, "user=* chooses the sessions of all users")
        return _ended(await chosen(self._gateway.sessions, request, self._columns), request)

    def _find(self, request: OperationRequest) -> ISession:
        identifier = request.names["session_id"]
        session = self._gateway.sessions.withIdentifier(identifier)
        if session is None:
            raise notFound(f"session {identifier}")
        return session

    def view(self, session: ISession) -> SessionView:
        """
        Return C{session} as it is shown.
        """
        counters, networks = session.counters, textsOf(session.networks)
        rate = self._rates.of(session)
        return SessionView(
            session_id=session.identifier,
            number=session.number,
            user=session.user,
            direction=session.direction.value,
            caller=session.caller,
            called=session.called,
            tunnel=session.tunnel.name,
            concentrator=session.concentrator,
            calling_station=session.stations.calling,
            called_station=session.stations.called,
            subaddress=session.stations.subaddress,
            private_group=session.stations.group,
            physical_channel=session.stations.channel,
            addresses=[text for texts in networks.values() for text in texts],
            networks=networks,
            started=session.since,
            uptime_seconds=session.duration,
            authentication=session.authentication,
            encryption=session.encryption,
            interface=session.interface,
            path=session.path,
            octets_received=counters.octetsReceived,
            octets_sent=counters.octetsSent,
            packets_received=counters.packetsReceived,
            packets_sent=counters.packetsSent,
            rate_received=None if rate is None else rate.received,
            rate_sent=None if rate is None else rate.sent,
            discards=dict(counters.discards),
            limits=self._limits(session),
        )

    def _limits(self, session: ISession) -> SessionBounds:
        profile, limits = session.profile, self._gateway.configuration.limits
        volume = _limit(profile.volume, limits.volume)
        return SessionBounds(
            _limit(profile.sessionTimeout, limits.sessionTimeout),
            _limit(profile.idleTimeout, limits.idleTimeout),
            int(volume) if volume else None,
            profile.receiveRate or None,
            profile.sendRate or None,
            profile.filter,
        )


def _limit(own: float | None, otherwise: float) -> float | None:
    """
    Return the limit of the account, or that of the configuration if the account has none; None for
    no limit.
    """
    return (otherwise if own is None else own) or None


def textsOf(
    networks: Mapping[str, Sequence[IPv4Network | IPv6Network]],
) -> dict[str, list[str]]:
    """
    Return the networks of a session as texts, single addresses without a length.
    """
    return {name: [textOf(one) for one in some] for name, some in networks.items()}


def textOf(network: IPv4Network | IPv6Network) -> str:
    """
    Return C{network} as text, a single address without a length.
    """
    isOne = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if isOne else str(network)


def disconnectedBy(request: OperationRequest) -> Cause:
    """
    Return the cause of calls that end because the operator of C{request} asked for it.
    """
    return Cause(f"disconnected by {request.operator.name}", Termination.ADMIN_RESET)


def _ended(sessions: list[ISession], request: OperationRequest) -> Disconnected:
    cause = disconnectedBy(request)
    for session in sessions:
        session.hangUp(cause)
    return Disconnected([one.identifier for one in sessions])

"""
The DHCPv6 server of one session (RFC 8415), as pure state: a message in, its answer out.

The rules: the link has two ends and one server, so the first Advertise is the best one. Addresses
(IA_NA) come from the session's own /64, one an association; prefixes (IA_PD) from the gateway's
pool, all of one length, whatever length a client would rather have. Temporary addresses (IA_TA)
aren't given: a client makes its own within the /64. Leases live as long as the session at most: a
client that comes with those of a former session is told so at once, and asks anew. Messages come to
the multicast address; by unicast they are answered with UseMulticast. What section 16 would have
discarded is counted and silently discarded, as is what comes too often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from itertools import islice
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.networks.ipv6.binding import Client
from pptpgw.networks.ipv6.lease import Leases, makeStatus, named, without
from pptpgw.networks.ipv6.prefix import Prefixes
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    Address,
    Association,
    DHCPv6Message,
    DHCPv6MessageType,
    Prefix,
    decode,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    ClientID,
    DHCPv6Option,
    DomainList,
    InformationRefreshTime,
    NameServers,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerID,
    SolicitMaximum,
    StatusCode,
)

MAX_ANSWER_OCTETS = 1232
"""
The longest answer: what fits into a packet of 1280 octets, which every link carries.
"""

MAX_MESSAGES = 20
"""
The most messages that are answered within one second.
"""

MAX_ASSOCIATIONS = 8
"""
The most associations of one message that are answered.
"""

SOLICIT_MAXIMUM_SECONDS = 120
"""
How seldom a client asks that got nothing: it may have what another session gave back.
"""

SHORTEST_REFRESH_SECONDS = 600

MOST_PREFERRED = 255


@dataclass(frozen=True, slots=True)
class DHCPv6Settings:
    """
    What clients are given besides addresses and prefixes.

    @ivar dns: name servers.
    @ivar search: domain names to search.
    @ivar preferredLifetime: of leases, in seconds; C{INFINITY} has no end.
    @ivar validLifetime: of leases, in seconds; at least as long.
    @ivar rapidCommit: whether a Solicit that asks for it gets a Reply at once.
    """

    dns: tuple[IPv6Address, ...] = ()
    search: tuple[str, ...] = ()
    preferredLifetime: int = 3600
    validLifetime: int = 7200
    rapidCommit: bool = True


class _Validity(NamedTuple):
    """
    What makes a message valid (section 16).

    @ivar client: whether it must have a Client Identifier.
    @ivar server: whether it must have a Server Identifier; None: it may. One that it has is ours.
    """

    client: bool
    server: bool | None


_RULES = {
    DHCPv6MessageType.SOLICIT: _Validity(client=True, server=False),
    DHCPv6MessageType.REQUEST: _Validity(client=True, server=True),
    DHCPv6MessageType.CONFIRM: _Validity(client=True, server=False),
    DHCPv6MessageType.RENEW: _Validity(client=True, server=True),
    DHCPv6MessageType.REBIND: _Validity(client=True, server=False),
    DHCPv6MessageType.RELEASE: _Validity(client=True, server=True),
    DHCPv6MessageType.DECLINE: _Validity(client=True, server=True),
    DHCPv6MessageType.INFORMATION_REQUEST: _Validity(client=False, server=None),
}


class DHCPv6Server:
    """
    Answers the clients on one link.
    """

    __slots__ = (
        "_closed",
        "_counters",
        "_duid",
        "_leases",
        "_limit",
        "_settings",
    )

    def __init__(
        self,
        clock: IReactorTime,
        duid: bytes,
        settings: DHCPv6Settings,
        network: IPv6Network,
        pool: Prefixes,
        changed: Callable[[], None],
        counters: Counters,
    ) -> None:
        """
        @param duid: ours, the same for every session and after every start.
        @param network: the session's own /64.
        @param pool: where delegated prefixes come from.
        @param changed: called when L{prefixes} has changed, before an answer tells of it, and
            before a prefix that left goes back to C{pool}; not by L{close}.
        @param counters: where discarded messages are counted.
        """
        self._duid = duid
        self._settings = settings
        self._counters = counters
        self._leases = Leases(
            clock, network, pool, changed, settings.preferredLifetime, settings.validLifetime
        )
        self._limit = Bucket(clock.seconds, (MAX_MESSAGES, MAX_MESSAGES))
        self._closed = False

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """
        The delegated prefixes, which lead to this session.
        """
        return self._leases.prefixes

    def received(self, octets: bytes, source: IPv6Address, unicast: bool = False) -> bytes | None:
        """
        A client's message, the information of a UDP datagram, came to port 547.

        @param source: the address that it came from.
        @param unicast: whether it came to an address of ours, instead of to the multicast address.
        @return: what to send to C{source}, port 546.
        """
        answer = self._judge(octets, source, unicast)
        if isinstance(answer, DHCPv6Message):
            return answer.encode()
        self._counters.discard(answer)
        return None

    def close(self) -> None:
        """
        The session is over: give everything back, and answer no more. Calling this again does
        nothing.
        """
        self._closed = True
        self._leases.close()

    def _judge(self, octets: bytes, source: IPv6Address, unicast: bool) -> DHCPv6Message | str:
        """
        The answer, or why there is none.
        """
        if self._closed or not self._limit.take():
            return "DHCPv6 message too many"
        try:
            message = decode(octets)
        except Malformed:
            return "malformed DHCPv6 message"
        if not self._valid(message):
            return "invalid DHCPv6 message"
        if unicast:
            solicit = message.messageType is DHCPv6MessageType.SOLICIT
            answerType = DHCPv6MessageType.ADVERTISE if solicit else DHCPv6MessageType.REPLY
            return self._answer(message, [makeStatus(StatusCode.USE_MULTICAST)], answerType)
        if not source.is_link_local:
            return "DHCPv6 message from beyond the link"
        answer: DHCPv6Message | None = getattr(self, f"dhcpv6_{message.messageType.name}")(message)
        return answer or "DHCPv6 message without an answer"

    def _valid(self, message: DHCPv6Message) -> bool:
        rule = _RULES.get(message.messageType)
        if rule is None or (rule.client and message.first(ClientID) is None):
            return False
        server = message.first(ServerID)
        if server is None:
            return not rule.server
        return rule.server is not False and server.duid == self._duid

    def dhcpv6_SOLICIT(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.1.
        """
        offers = [self._leases.lend(*asked, bind=False) for asked in _asked(message)]
        rapid = self._settings.rapidCommit and message.first(RapidCommit) is not None
        # What can't be given is better said by an Advertise, after which a client asks on.
        if rapid and any(association.leases for association in offers):
            leases = [self._leases.lend(*asked, bind=True) for asked in _asked(message)]
            return self._answer(message, [RapidCommit(), *leases, *self._configuration(message)])
        options = [Preference(MOST_PREFERRED), *offers, *self._configuration(message)]
        return self._answer(message, options, DHCPv6MessageType.ADVERTISE)

    def dhcpv6_REQUEST(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.2.
        """
        leases = [
            self._leases.lend(client, association, bind=True)
            if association.kind is Prefix or all(map(self._leases.belongs, named(association)))
            else without(association, StatusCode.NOT_ON_LINK)
            for client, association in _asked(message)
        ]
        return self._answer(message, [*leases, *self._configuration(message)])

    def dhcpv6_CONFIRM(self, message: DHCPv6Message) -> DHCPv6Message | None:
        """
        Section 18.3.3: whether the client is still on the link that its addresses belong to.
        """
        associations = [one for _, one in _asked(message) if one.kind is Address]
        addresses = [address for one in associations for address in named(one)]
        if not addresses:
            return None
        good = all(map(self._leases.belongs, addresses))
        status = StatusCode.SUCCESS if good else StatusCode.NOT_ON_LINK
        return self._answer(message, [makeStatus(status)])

    def dhcpv6_RENEW(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.4.
        """
        leases = [self._leases.extend(*asked) for asked in _asked(message)]
        return self._answer(message, [*leases, *self._configuration(message)])

    def dhcpv6_REBIND(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.5.
        """
        leases = [self._leases.extend(*asked, withdraw=True) for asked in _asked(message)]
        return self._answer(message, [*leases, *self._configuration(message)])

    def dhcpv6_RELEASE(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.7.
        """
        told = [self._leases.takeBack(*asked) for asked in _asked(message)]
        return self._answer(message, [makeStatus(StatusCode.SUCCESS), *filter(None, told)])

    def dhcpv6_DECLINE(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Section 18.3.8; prefixes can't be declined.
        """
        asked = [(client, one) for client, one in _asked(message) if one.kind is Address]
        told = [self._leases.decline(client, one) for client, one in asked]
        return self._answer(message, [makeStatus(StatusCode.SUCCESS), *filter(None, told)])

    def dhcpv6_INFORMATION_REQUEST(self, message: DHCPv6Message) -> DHCPv6Message | None:
        """
        Section 18.3.6; section 16.12 on associations.
        """
        if message.first(Association) is not None:
            return None
        options = self._configuration(message)
        if InformationRefreshTime.code in _requested(message):
            seconds = max(self._settings.validLifetime, SHORTEST_REFRESH_SECONDS)
            options.append(InformationRefreshTime(seconds))
        return self._answer(message, options)

    def _configuration(self, message: DHCPv6Message) -> list[DHCPv6Option]:
        """
        What the client asked for besides leases.
        """
        settings = self._settings
        options: list[DHCPv6Option] = []
        if settings.dns:
            options.append(NameServers(settings.dns))
        if settings.search:
            options.append(DomainList(settings.search))
        options.append(SolicitMaximum(SOLICIT_MAXIMUM_SECONDS))
        requested = _requested(message)
        return [option for option in options if option.code in requested]

    def _answer(
        self,
        message: DHCPv6Message,
        options: Sequence[DHCPv6Option],
        messageType: DHCPv6MessageType = DHCPv6MessageType.REPLY,
    ) -> DHCPv6Message:
        """
        The answer to C{message}, with as many of C{options} as fit.
        """
        identifiers: list[DHCPv6Option] = [ServerID(self._duid), *message.every(ClientID)[:1]]
        answer = DHCPv6Message(messageType, message.transactionID, (*identifiers, *options))
        while len(answer.encode()) > MAX_ANSWER_OCTETS:
            answer = replace(answer, options=answer.options[:-1])
        return answer


def _asked(message: DHCPv6Message) -> list[tuple[Client, Association]]:
    """
    The associations of C{message}, each once, and whose they are.
    """
    client = message.first(ClientID)
    assert client is not None, "section 16 was looked after"
    found: dict[tuple[int, int], tuple[Client, Association]] = {}
    for association in message.every(Association):
        one = (client.duid, association.iaid), association
        found.setdefault((association.code, association.iaid), one)
    return list(islice(found.values(), MAX_ASSOCIATIONS))


def _requested(message: DHCPv6Message) -> tuple[int, ...]:
    request = message.first(OptionRequest)
    return request.codes if request else ()

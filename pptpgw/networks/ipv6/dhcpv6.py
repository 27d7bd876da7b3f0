"""
The DHCPv6 server of one session (RFC 8415), as state without I/O: a message in, its answer out.

Addresses (IA_NA) come from the session's own /64, one for each association. Prefixes (IA_PD) come
from the gateway's pool; all have the same length, even if a client asks for another. Temporary
addresses (IA_TA) aren't given, since a client makes its own within the /64. An answer to a Solicit
has the highest preference, because the link has only this server. Leases end with the session at
the latest: a client that names leases of a former session is told at once that they have ended, and
asks anew. Messages to the multicast address are answered; messages by unicast are answered with
UseMulticast. Messages that section 16 requires to be discarded, and messages beyond the limit, are
counted and silently discarded.
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
The most octets of an answer: it fits into a packet of 1280 octets, which every link carries.
"""

MAX_MESSAGES = 20
"""
The most messages that are answered in a second.
"""

MAX_ASSOCIATIONS = 8
"""
The most associations of one message that are answered.
"""

SOLICIT_MAXIMUM_SECONDS = 120
"""
SOL_MAX_RT for clients that got nothing, in seconds: how often such a client asks again at least, in
case another session has given something back.
"""

SHORTEST_REFRESH_SECONDS = 600

MOST_PREFERRED = 255


@dataclass(frozen=True, slots=True)
class DHCPv6Settings:
    """
    What clients are given besides addresses and prefixes, and for how long leases last.

    @ivar dns: name servers.
    @ivar search: domain names to search.
    @ivar preferredLifetime: the preferred lifetime of leases in seconds; C{INFINITY} for no end.
    @ivar validLifetime: the valid lifetime of leases in seconds; not less than the preferred one.
    @ivar rapidCommit: whether a Solicit that asks for it gets a Reply at once.
    """

    dns: tuple[IPv6Address, ...] = ()
    search: tuple[str, ...] = ()
    preferredLifetime: int = 3600
    validLifetime: int = 7200
    rapidCommit: bool = True


class _Validity(NamedTuple):
    """
    The identifiers that a valid message must have (section 16).

    @ivar client: whether it must have a Client Identifier.
    @ivar server: whether it must have a Server Identifier; None if it may. One that is there must
        be ours.
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
    The server for the DHCPv6 clients on one link.
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
        @param duid: our DUID, the same for every session and after every start.
        @param network: the session's own /64.
        @param pool: the source of delegated prefixes.
        @param changed: called when L{prefixes} has changed, before an answer tells of it, and
            before a prefix that was taken away goes back to C{pool}; not called by L{close}.
        @param counters: counts discarded messages.
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
        The prefixes that are delegated to the session's clients.
        """
        return self._leases.prefixes

    def received(self, octets: bytes, source: IPv6Address, unicast: bool = False) -> bytes | None:
        """
        Answer a message from a client, which is the data of a UDP datagram to port 547.

        @param source: the address that the message came from.
        @param unicast: whether it was sent to an address of ours, and not to the multicast address.
        @return: the message to send to C{source}, port 546; None for no answer.
        """
        answer = self._judge(octets, source, unicast)
        if isinstance(answer, DHCPv6Message):
            return answer.encode()
        self._counters.discard(answer)
        return None

    def close(self) -> None:
        """
        Release all leases and answer no more messages, because the session is over. Calling this
        again does nothing.
        """
        self._closed = True
        self._leases.close()

    def _judge(self, octets: bytes, source: IPv6Address, unicast: bool) -> DHCPv6Message | str:
        """
        Return the answer to a message; a text if the message is discarded, which says why.
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
        Answer a Solicit (section 18.3.1).
        """
        offers = [self._leases.lend(*asked, bind=False) for asked in _asked(message)]
        rapid = self._settings.rapidCommit and message.first(RapidCommit) is not None
        # If nothing can be given an Advertise is better than a Reply: the client goes on asking.
        if rapid and any(association.leases for association in offers):
            leases = [self._leases.lend(*asked, bind=True) for asked in _asked(message)]
            return self._answer(message, [RapidCommit(), *leases, *self._configuration(message)])
        options = [Preference(MOST_PREFERRED), *offers, *self._configuration(message)]
        return self._answer(message, options, DHCPv6MessageType.ADVERTISE)

    def dhcpv6_REQUEST(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Answer a Request (section 18.3.2).
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
        Answer a Confirm (section 18.3.3): say whether the client is on the link that its addresses
        belong to.
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
        Answer a Renew (section 18.3.4).
        """
        leases = [self._leases.extend(*asked) for asked in _asked(message)]
        return self._answer(message, [*leases, *self._configuration(message)])

    def dhcpv6_REBIND(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Answer a Rebind (section 18.3.5).
        """
        leases = [self._leases.extend(*asked, withdraw=True) for asked in _asked(message)]
        return self._answer(message, [*leases, *self._configuration(message)])

    def dhcpv6_RELEASE(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Answer a Release (section 18.3.7).
        """
        told = [self._leases.takeBack(*asked) for asked in _asked(message)]
        return self._answer(message, [makeStatus(StatusCode.SUCCESS), *filter(None, told)])

    def dhcpv6_DECLINE(self, message: DHCPv6Message) -> DHCPv6Message:
        """
        Answer a Decline (section 18.3.8); prefixes can't be declined.
        """
        asked = [(client, one) for client, one in _asked(message) if one.kind is Address]
        told = [self._leases.decline(client, one) for client, one in asked]
        return self._answer(message, [makeStatus(StatusCode.SUCCESS), *filter(None, told)])

    def dhcpv6_INFORMATION_REQUEST(self, message: DHCPv6Message) -> DHCPv6Message | None:
        """
        Answer an Information-request (section 18.3.6), unless it has associations (section 16.12).
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
        Return the options that the client asked for besides leases.
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
        Return an answer to C{message}, with as many of C{options} as fit.
        """
        identifiers: list[DHCPv6Option] = [ServerID(self._duid), *message.every(ClientID)[:1]]
        answer = DHCPv6Message(messageType, message.transactionID, (*identifiers, *options))
        while len(answer.encode()) > MAX_ANSWER_OCTETS:
            answer = replace(answer, options=answer.options[:-1])
        return answer


def _asked(message: DHCPv6Message) -> list[tuple[Client, Association]]:
    """
    Return the associations of C{message}, each once, with the client that each belongs to.
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

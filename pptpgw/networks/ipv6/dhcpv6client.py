"""
The DHCPv6 client of one link (RFC 8415), as state without I/O: messages and time in, messages out.
It asks for prefixes (IA_PD) to use behind this end, for an address of its own (IA_NA), or for both.

The rules:

 - Of the servers that advertise, the one with the highest preference is taken, and of these the one
   that offers most; at once if its preference is 255 (section 18.2.9). A server that offers nothing
   that was asked for is ignored.
 - The first Solicit isn't delayed (section 18.2.1): the other end of the link is the only one that
   hears it. Messages are repeated by the times of section 7.6 and the rules of section 15.
 - A lease is extended by the server from T1 on, by any server from T2 on, and ends with its valid
   lifetime.
 - A server that doesn't know a lease any more (NoBinding) is asked for it anew.
 - A Reply that gives nothing is ignored: the message is repeated, and after the last repetition of
   a Request the client begins again with a Solicit.
 - Leases are taken only within C{2000::/3} and C{fc00::/7}, and for ten seconds at least. Prefixes
   have 16 to 64 bits (L{pptpgw.networks.ipv6.grant}).
 - Messages that aren't for this client, and messages beyond the limit, are counted and silently
   discarded. A Reconfigure is discarded too, since none is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from random import Random, SystemRandom
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.networks.ipv6.grant import (
    IAID,
    NEVER,
    Value,
    associationsOf,
    endedIn,
    isRefused,
    leasesOf,
    seconds,
    statusOf,
    timesOf,
)
from pptpgw.networks.ipv6.retransmission import Repetition, Retransmission
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    Address,
    AddressAssociation,
    DHCPv6Message,
    DHCPv6MessageType,
    Prefix,
    PrefixAssociation,
    RenewableAssociation,
    decode,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    ClientID,
    DHCPv6Option,
    DomainList,
    ElapsedTime,
    NameServers,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerID,
    SolicitMaximum,
    StatusCode,
)
from pptpgw.timing.timer import cancelled

MAX_MESSAGES = 20
"""
The most messages that are looked at in a second.
"""

MAX_LEASES = 4
"""
The most prefixes, and the most addresses, that are kept.
"""

MAX_NAMES = 8
"""
The most name servers, and the most domains, that are kept.
"""

_SOLICIT, _REQUEST = DHCPv6MessageType.SOLICIT, DHCPv6MessageType.REQUEST
_RENEW, _REBIND = DHCPv6MessageType.RENEW, DHCPv6MessageType.REBIND
_RELEASE = DHCPv6MessageType.RELEASE

REPETITIONS = {
    _SOLICIT: Repetition(1, 3600, isLate=True),
    _REQUEST: Repetition(1, 30, 10),
    _RENEW: Repetition(10, 600),
    _REBIND: Repetition(10, 600),
}
"""
How each message is repeated. A Release is sent once, because the link goes down after it.
"""

_UNASKED = "DHCPv6 message that nobody asked for"
_NOTHING = "DHCPv6 server that gives nothing"

# The range of SOL_MAX_RT (section 21.24), in seconds.
_SOLICIT_MAXIMUM = range(60, 86401)
_HIGHEST = 255
# What is asked for besides leases (section 18.2.1).
_REQUESTED = (NameServers.code, DomainList.code, SolicitMaximum.code)
# The messages that name their server.
_TO_ONE = (_REQUEST, _RENEW, _RELEASE)


@dataclass(frozen=True, slots=True)
class Wishes:
    """
    What a client asks for: a prefix, an address, or both.

    @ivar prefix: whether it asks for a prefix.
    @ivar address: whether it asks for an address.
    @ivar length: the length of the prefix that it would like, in bits; 0 to leave it to the server.
    @ivar rapidCommit: whether two messages will do instead of four (section 21.14).
    """

    prefix: bool = True
    address: bool = False
    length: int = 0
    rapidCommit: bool = True


class Held(NamedTuple):
    """
    When a lease ends, or an address that was made.

    @ivar preferred: when it is no longer preferred, by the clock of whoever has it.
    @ivar valid: when it ends, by the same clock.
    """

    preferred: float
    valid: float


class DHCPv6Client:
    """
    The client on one link.

    @ivar leases: the prefixes and addresses that the client has, with their ends.
    @ivar dns: the name servers that the server named last.
    @ivar search: the domains that the server named last.
    """

    def __init__(
        self,
        clock: IReactorTime,
        duid: bytes,
        wishes: Wishes,
        send: Callable[[bytes], None],
        changed: Callable[[], None],
        counters: Counters,
        random: Random | None = None,
    ) -> None:
        """
        @param duid: our DUID, the same after every start.
        @param send: called with each message, the data of a UDP datagram from port 546 to port 547
            of all servers.
        @param changed: called when L{leases}, L{dns} or L{search} have changed, but for times
            alone. L{stop} doesn't call it.
        @param counters: counts discarded messages.
        @param random: the source of transaction ids and of the variation of times.
        """
        self.leases: dict[Value, Held] = {}
        self.dns: tuple[IPv6Address, ...] = ()
        self.search: tuple[str, ...] = ()
        self._clock = clock
        self._duid = duid
        self._wishes = wishes
        self._send = send
        self._changed = changed
        self._counters = counters
        self._random = random or SystemRandom()
        self._limit = Bucket(clock.seconds, (MAX_MESSAGES, MAX_MESSAGES))
        # The message that awaits an answer, and its number; None if none does.
        self._asking: DHCPv6MessageType | None = None
        self._repetition: Retransmission | None = None
        self._transaction = 0
        self._solicitMaximum = REPETITIONS[_SOLICIT].longest
        # The server that is asked, and what it is asked for.
        self._server = b""
        self._offer: tuple[RenewableAssociation, ...] = ()
        # The best Advertise until the first repetition, and how good it is.
        self._best: DHCPv6Message | None = None
        self._rank = (0, 0)
        # When the leases are to be extended by any server.
        self._rebindAt = NEVER
        # T1, and the end of the next lease.
        self._renewal: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """
        The prefixes that the client has.
        """
        return tuple(one for one in self.leases if isinstance(one, IPv6Network))

    @property
    def addresses(self) -> tuple[IPv6Address, ...]:
        """
        The addresses that the client has.
        """
        return tuple(one for one in self.leases if isinstance(one, IPv6Address))

    def start(self) -> None:
        """
        Ask all servers.
        """
        self._best, self._rank = None, (0, 0)
        self._ask(_SOLICIT)

    def stop(self) -> None:
        """
        Give everything back, if the client has something, and do nothing any more. The link goes
        down, so no answer is awaited. Calling this again does nothing.
        """
        self._idle()
        self._expiry = cancelled(self._expiry)
        if self.leases:
            self._transmit(_RELEASE)
        self.leases = {}

    def received(self, octets: bytes) -> None:
        """
        Handle a message, which is the data of a UDP datagram to port 546.
        """
        fault = self._received(octets)
        if fault:
            self._counters.discard(fault)

    # Messages from servers

    def _received(self, octets: bytes) -> str:
        """
        Handle a message; return why it is discarded, or an empty text.
        """
        if not self._limit.take():
            return "DHCPv6 message too many"
        try:
            message = decode(octets)
        except Malformed:
            return "malformed DHCPv6 message"
        client, server = message.first(ClientID), message.first(ServerID)
        if client is None or client.duid != self._duid or server is None:
            return _UNASKED
        if self._asking is None or message.transactionID != self._transaction:
            return _UNASKED
        maximum = message.first(SolicitMaximum)
        if maximum is not None and maximum.number in _SOLICIT_MAXIMUM:
            self._solicitMaximum = maximum.number
            if self._asking is _SOLICIT and self._repetition is not None:
                self._repetition.limit(maximum.number)
        if message.messageType is DHCPv6MessageType.ADVERTISE and self._asking is _SOLICIT:
            return self._advertised(message)
        if message.messageType is not DHCPv6MessageType.REPLY:
            return _UNASKED
        if self._asking is _SOLICIT and message.first(RapidCommit) is None:
            return _UNASKED
        if self._asking in _TO_ONE and server.duid != self._server:
            return _UNASKED
        return self._replied(message, server.duid)

    def _advertised(self, message: DHCPv6Message) -> str:
        offered = sum(len(leasesOf(one)) for one in associationsOf(message))
        if not offered or isRefused(message):
            return _NOTHING
        preference = message.first(Preference)
        rank = (preference.number if preference is not None else 0, offered)
        if self._best is None or rank > self._rank:
            self._best, self._rank = message, rank
        repetition = self._repetition
        if rank[0] == _HIGHEST or (repetition is not None and repetition.sent > 1):
            self._request(self._best)
        return ""

    def _request(self, advertised: DHCPv6Message) -> None:
        """
        Ask the server for what it has advertised.
        """
        server = advertised.first(ServerID)
        assert server is not None
        self._server = server.duid
        self._offer = tuple(
            type(one)(one.iaid, tuple(leasesOf(one)))
            for one in associationsOf(advertised)
            if leasesOf(one)
        )
        self._best = None
        self._ask(_REQUEST)

    def _replied(self, message: DHCPv6Message, server: bytes) -> str:
        asking, associations = self._asking, associationsOf(message)
        if isRefused(message):
            return _NOTHING
        lost = [one for one in associations if statusOf(one.status) == StatusCode.NO_BINDING]
        if lost and asking in (_RENEW, _REBIND):
            self._server, self._offer = server, tuple(self._having())
            self._ask(_REQUEST)
            return ""
        if not any(leasesOf(one) or endedIn(one) for one in associations):
            return _NOTHING
        self._server = server
        self._take(message, associations, anew=asking in (_SOLICIT, _REQUEST))
        return ""

    def _take(
        self, message: DHCPv6Message, associations: list[RenewableAssociation], anew: bool
    ) -> None:
        """
        Take what a server has given.

        @param anew: whether leases that it doesn't name aren't ours any more.
        """
        now = self._clock.seconds()
        before = set(self.leases), self.dns, self.search
        leases = {} if anew else dict(self.leases)
        for association in associations:
            for value in endedIn(association):
                leases.pop(value, None)
            for lease in leasesOf(association):
                leases.pop(lease.value, None)
                kind = type(lease.value)
                if sum(type(one) is kind for one in leases) < MAX_LEASES:
                    end = Held(now + seconds(lease.preferred), now + seconds(lease.valid))
                    leases[lease.value] = end
        servers, domains = message.first(NameServers), message.first(DomainList)
        self.dns = servers.addresses[:MAX_NAMES] if servers is not None else ()
        self.search = domains.names[:MAX_NAMES] if domains is not None else ()
        self.leases = leases
        self._idle()
        renewIn, rebindIn = timesOf(associations)
        self._rebindAt = now + rebindIn
        if renewIn < NEVER:
            self._renewal = self._clock.callLater(renewIn, self._renew)
        self._expire()
        if (set(self.leases), self.dns, self.search) != before:
            self._changed()

    # Times

    def _renew(self) -> None:
        """
        Have the server extend the leases, as T1 has come.
        """
        self._ask(_RENEW, self._rebindAt)

    def _rebind(self) -> None:
        """
        Have any server extend the leases, as T2 has come. That is tried until all have ended.
        """
        self._ask(_REBIND)

    def _expire(self) -> bool:
        """
        Forget the leases that have ended, and wait for the next end. If none is left, ask for new
        ones.

        @return: whether one has ended.
        """
        now = self._clock.seconds()
        self._expiry = cancelled(self._expiry)
        ended = [value for value, end in self.leases.items() if end.valid <= now]
        for value in ended:
            del self.leases[value]
        following = min((end.valid for end in self.leases.values()), default=NEVER)
        if following < NEVER:
            self._expiry = self._clock.callLater(following - now, self._expired)
        if not self.leases:
            self.start()
        return bool(ended)

    def _expired(self) -> None:
        if self._expire():
            self._changed()

    # Messages to servers

    def _idle(self) -> None:
        """
        Wait for no answer, and for no T1.
        """
        self._asking = None
        self._renewal = cancelled(self._renewal)
        repetition, self._repetition = self._repetition, None
        if repetition is not None:
            repetition.stop()

    def _ask(self, messageType: DHCPv6MessageType, until: float = NEVER) -> None:
        """
        Send a message until it is answered.

        @param until: when to give up.
        """
        self._idle()
        times = REPETITIONS[messageType]
        over = self.start
        if messageType is _SOLICIT:
            times = times._replace(longest=self._solicitMaximum)
        elif messageType is _RENEW:
            over = self._rebind
        self._asking = messageType
        self._transaction = self._random.randrange(1 << 24)
        self._repetition = repetition = Retransmission(
            self._clock, self._random, times, until, lambda: self._transmit(messageType), over
        )
        repetition.start()

    def _transmit(self, messageType: DHCPv6MessageType) -> None:
        if messageType is _SOLICIT and self._best is not None:
            self._request(self._best)
            return
        if messageType is _RELEASE:
            self._transaction = self._random.randrange(1 << 24)
        elapsed = self._repetition.elapsed if self._repetition is not None else 0.0
        options: list[DHCPv6Option] = [
            ClientID(self._duid),
            ElapsedTime(min(int(elapsed * 100), 0xFFFF)),
        ]
        if messageType in _TO_ONE:
            options.append(ServerID(self._server))
        if messageType is not _RELEASE:
            options.append(OptionRequest(_REQUESTED))
        if messageType is _SOLICIT:
            if self._wishes.rapidCommit:
                options.append(RapidCommit())
            options += self._wanting()
        elif messageType is _REQUEST:
            options += self._offer
        else:
            options += self._having()
        self._send(DHCPv6Message(messageType, self._transaction, tuple(options)).encode())

    def _wanting(self) -> Iterable[RenewableAssociation]:
        """
        Return the associations for which leases are wanted.
        """
        wishes = self._wishes
        if wishes.prefix:
            hint = (Prefix(IPv6Network(f"::/{wishes.length}")),) if wishes.length else ()
            yield PrefixAssociation(IAID, hint)
        if wishes.address:
            yield AddressAssociation(IAID)

    def _having(self) -> Iterable[RenewableAssociation]:
        """
        Return the associations with the leases that the client has.
        """
        if prefixes := self.prefixes:
            yield PrefixAssociation(IAID, tuple(map(Prefix, prefixes)))
        if addresses := self.addresses:
            yield AddressAssociation(IAID, tuple(map(Address, addresses)))

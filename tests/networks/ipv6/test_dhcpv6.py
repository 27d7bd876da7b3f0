"""
Tests for the DHCPv6 server of a session.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ipv6.dhcpv6 import (
    MAX_ANSWER_OCTETS,
    MAX_ASSOCIATIONS,
    MAX_MESSAGES,
    SOLICIT_MAXIMUM_SECONDS,
    DHCPv6Server,
    DHCPv6Settings,
)
from pptpgw.networks.ipv6.lease import MAX_ADDRESSES, MAX_PREFIXES, MAX_WITHDRAWN
from pptpgw.networks.ipv6.prefix import PrefixPool
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    INFINITY,
    Address,
    AddressAssociation,
    Association,
    DHCPv6Message,
    DHCPv6MessageType,
    Prefix,
    PrefixAssociation,
    TemporaryAssociation,
    decode,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    ClientID,
    DHCPv6Option,
    DomainList,
    ElapsedTime,
    InformationRefreshTime,
    NameServers,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerID,
    SolicitMaximum,
    Status,
    StatusCode,
)

OURS = bytes.fromhex("0004") + bytes(16)
CLIENT = bytes.fromhex("00030001021122334455")
OTHER = bytes.fromhex("000300010266778899aa")
PEER = IPv6Address("fe80::7")
LINK = IPv6Network("fc00:0:1:5::/64")
DELEGATE = IPv6Network("fc00:1::/48")
FOREIGN = IPv6Address("fc00:0:1:6::7")
FORMER = IPv6Network("fc00:1:ff:100::/56")
EVERYTHING = OptionRequest((23, 24, 32, 82))

CONFIRM, DECLINE, REBIND = (
    DHCPv6MessageType.CONFIRM,
    DHCPv6MessageType.DECLINE,
    DHCPv6MessageType.REBIND,
)
RELEASE, RENEW, REQUEST = (
    DHCPv6MessageType.RELEASE,
    DHCPv6MessageType.RENEW,
    DHCPv6MessageType.REQUEST,
)
SOLICIT, INFORMATION_REQUEST = DHCPv6MessageType.SOLICIT, DHCPv6MessageType.INFORMATION_REQUEST
ADVERTISE, REPLY = DHCPv6MessageType.ADVERTISE, DHCPv6MessageType.REPLY

AFTER_AN_ADVERTISE = {REQUEST, RENEW, RELEASE, DECLINE}
"""
The messages that name their server.
"""


class Link:
    """
    The server of one session, and a client that the test plays.

    @ivar told: the prefixes of the session after each change.
    @ivar usedThen: how many prefixes the pool had given out at each change.
    """

    def __init__(
        self,
        settings: DHCPv6Settings | None = None,
        pool: PrefixPool | None = None,
        network: IPv6Network = LINK,
    ) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.pool = pool or PrefixPool([DELEGATE], 56)
        self.told: list[tuple[IPv6Network, ...]] = []
        self.usedThen: list[int] = []
        self.server = DHCPv6Server(
            self.clock,
            OURS,
            settings or DHCPv6Settings(),
            network,
            self.pool,
            self.changed,
            self.counters,
        )

    def changed(self) -> None:
        self.told.append(self.server.prefixes)
        self.usedThen.append(self.pool.used)

    def send(
        self, messageType: DHCPv6MessageType, *options: DHCPv6Option, client: bytes = CLIENT
    ) -> DHCPv6Message | None:
        """
        Send a message with the identifiers that its type requires.

        @return: the answer.
        """
        identifiers: list[DHCPv6Option] = [ClientID(client), ElapsedTime(0)]
        if messageType in AFTER_AN_ADVERTISE:
            identifiers.append(ServerID(OURS))
        return self.sendAsIs(DHCPv6Message(messageType, 0x123456, (*identifiers, *options)))

    def sendAsIs(self, message: DHCPv6Message, unicast: bool = False) -> DHCPv6Message | None:
        octets = self.server.received(message.encode(), PEER, unicast)
        if octets is None:
            return None
        answer = decode(octets)
        assert answer.transactionID == message.transactionID
        assert answer.first(ServerID) == ServerID(OURS)
        assert answer.first(ClientID) == message.first(ClientID)
        return answer

    def ask(
        self, messageType: DHCPv6MessageType, *options: DHCPv6Option, client: bytes = CLIENT
    ) -> tuple[Association, ...]:
        """
        Send a message.

        @return: the associations of its answer.
        """
        answer = self.send(messageType, *options, client=client)
        assert answer is not None
        return tuple(answer.every(Association))

    def one(
        self, messageType: DHCPv6MessageType, *options: DHCPv6Option, client: bytes = CLIENT
    ) -> Association:
        """
        Send a message.

        @return: the only association of its answer.
        """
        (association,) = self.ask(messageType, *options, client=client)
        return association

    def address(self, client: bytes = CLIENT, iaid: int = 1) -> IPv6Address:
        """
        Request an address, and return it.
        """
        (lease,) = self.one(REQUEST, AddressAssociation(iaid), client=client).leases
        assert isinstance(lease.value, IPv6Address)
        return lease.value

    def prefix(self, client: bytes = CLIENT, iaid: int = 1) -> IPv6Network:
        """
        Request a prefix, and return it.
        """
        (lease,) = self.one(REQUEST, PrefixAssociation(iaid), client=client).leases
        assert isinstance(lease.value, IPv6Network)
        return lease.value


def codes(associations: tuple[Association, ...]) -> list[int]:
    """
    The status codes of the associations. Zero, for success, isn't in the message.
    """
    return [one.status.status if one.status else 0 for one in associations]


def test_fourMessages() -> None:
    """
    Solicit, Advertise, Request and Reply: the Reply has what the Advertise offered, and the prefix
    leads to the session from then on.
    """
    link = Link(DHCPv6Settings(preferredLifetime=1000, validLifetime=2000))
    advertise = link.send(SOLICIT, AddressAssociation(7), PrefixAssociation(8))
    assert advertise is not None
    assert advertise.messageType is ADVERTISE
    assert advertise.first(Preference) == Preference(255)
    offered = advertise.every(Association)
    assert link.told == []
    reply = link.send(REQUEST, *offered)
    assert reply is not None
    assert reply.messageType is REPLY
    assert reply.every(Association) == offered
    host, site = offered
    (address,), (prefix,) = host.leases, site.leases
    assert isinstance(address, Address)
    assert address.value in LINK
    assert host == AddressAssociation(7, (Address(address.value, 1000, 2000),), None, 500, 800)
    assert prefix == Prefix(IPv6Network("fc00:1::/56"), 1000, 2000)
    assert site == PrefixAssociation(8, (prefix,), None, 500, 800)
    assert link.told == [(prefix.value,)]
    assert link.server.prefixes == (prefix.value,)


def test_rapidCommit() -> None:
    """
    A Solicit with Rapid Commit gets a Reply with Rapid Commit, whose leases are bound.
    """
    link = Link()
    reply = link.send(SOLICIT, RapidCommit(), AddressAssociation(7), PrefixAssociation(8))
    assert reply is not None
    assert reply.messageType is REPLY
    assert reply.first(RapidCommit) is not None
    assert link.server.prefixes == (IPv6Network("fc00:1::/56"),)
    assert codes(link.ask(RENEW, *reply.every(Association))) == [0, 0]


def test_rapidCommitTurnedOff() -> None:
    """
    A Solicit with Rapid Commit gets an Advertise where Rapid Commit is switched off, and where
    nothing can be committed.
    """
    for link, association in (
        (Link(DHCPv6Settings(rapidCommit=False)), PrefixAssociation(1)),
        (Link(), TemporaryAssociation(1)),
        (Link(pool=PrefixPool([], 56)), PrefixAssociation(1)),
    ):
        advertise = link.send(SOLICIT, RapidCommit(), association)
        assert advertise is not None
        assert advertise.messageType is ADVERTISE
        assert advertise.first(RapidCommit) is None
        assert link.server.prefixes == ()


def test_configuration() -> None:
    """
    A client gets the other options that it asks for, in an Advertise as in a Reply.
    """
    dns = (IPv6Address("fc00::53"), IPv6Address("fc00::54"))
    link = Link(DHCPv6Settings(dns, ("example.org",)))
    wanted = [
        NameServers(dns),
        DomainList(("example.org",)),
        SolicitMaximum(SOLICIT_MAXIMUM_SECONDS),
    ]
    for messageType in (SOLICIT, REQUEST, RENEW, REBIND):
        for request, options in ((EVERYTHING, wanted), (OptionRequest((24,)), wanted[1:2])):
            answer = link.send(messageType, request)
            assert answer is not None
            assert [one for one in answer.options if one in wanted] == options
            assert answer.first(InformationRefreshTime) is None
    answer = link.send(REQUEST)
    assert answer is not None
    assert not any(one in wanted for one in answer.options)


def test_nothingConfigured() -> None:
    """
    A server without name servers and domains gives no options for them.
    """
    answer = Link().send(INFORMATION_REQUEST, OptionRequest((23, 24)))
    assert answer is not None
    assert answer.options == (ServerID(OURS), ClientID(CLIENT))


def test_stateless() -> None:
    """
    An Information-request, with or without a Client Identifier, gets options alone, and the time
    after which to ask again (at least 600 seconds).
    """
    dns = (IPv6Address("fc00::53"),)
    link = Link(DHCPv6Settings(dns, validLifetime=100))
    wanted = (NameServers(dns), SolicitMaximum(SOLICIT_MAXIMUM_SECONDS))
    for identifiers in ((), (ClientID(CLIENT),), (ServerID(OURS),)):
        message = DHCPv6Message(INFORMATION_REQUEST, 5, (*identifiers, EVERYTHING))
        answer = link.sendAsIs(message)
        assert answer is not None
        assert answer.messageType is REPLY
        own = tuple(one for one in identifiers if isinstance(one, ClientID))
        assert answer.options == (ServerID(OURS), *own, *wanted, InformationRefreshTime(600))


def test_infiniteLifetime() -> None:
    """
    A lease with an infinite lifetime has infinite T1 and T2, and never ends.
    """
    link = Link(DHCPv6Settings(preferredLifetime=INFINITY, validLifetime=INFINITY))
    site = link.one(REQUEST, PrefixAssociation(1))
    assert isinstance(site, PrefixAssociation)
    assert (site.t1, site.t2, site.leases[0].valid) == (INFINITY, INFINITY, INFINITY)
    assert link.clock.getDelayedCalls() == []


def test_sameAgain() -> None:
    """
    A client's association gets the same leases again, however often and by whichever message it
    asks. Other clients and associations get others.
    """
    link = Link()
    address, prefix = link.address(), link.prefix()
    assert (link.address(), link.prefix()) == (address, prefix)
    assert [
        one.leases[0].value
        for one in link.ask(SOLICIT, AddressAssociation(1), PrefixAssociation(1))
    ] == [address, prefix]
    assert link.told == [(prefix,)]
    others = {link.address(iaid=2), link.address(OTHER), link.address(OTHER, 2)}
    assert len(others | {address}) == 4
    assert all(one in LINK for one in others)
    assert len({prefix, link.prefix(iaid=2), link.prefix(OTHER)}) == 3


def test_sameInAnotherSession() -> None:
    """
    A client's address is the same in the next session with the same prefix, and another with
    another prefix.
    """
    assert Link().address() == Link().address()
    other = IPv6Network("fc00:0:1:6::/64")
    assert Link(network=other).address() in other


def test_anAssociationTwice() -> None:
    """
    An association that occurs twice in a message is answered once.
    """
    link = Link()
    assert len(link.ask(REQUEST, PrefixAssociation(1), PrefixAssociation(1))) == 1
    # Associations of different kinds may have the same IAID (section 12).
    assert len(link.ask(REQUEST, PrefixAssociation(1), AddressAssociation(1))) == 2


@pytest.mark.parametrize("hint", ["::/48", "::/64", "fc00:1:0:4200::/56", "2001:db8::/32"])
def test_hintsAboutPrefixes(hint: str) -> None:
    """
    A client that asks for another prefix or another prefix length gets a prefix of the pool (RFC
    8168 section 3).
    """
    link = Link()
    wish = PrefixAssociation(1, (Prefix(IPv6Network(hint)),))
    offer = link.one(SOLICIT, wish)
    assert [one.value for one in offer.leases] == [IPv6Network("fc00:1::/56")]
    granted = link.one(REQUEST, wish)
    assert granted == offer


def test_hintsAboutAddresses() -> None:
    """
    The address that a Solicit hints at isn't given and isn't an error. The address :: is no hint.
    """
    link = Link()
    offer = link.one(SOLICIT, AddressAssociation(1, (Address(FOREIGN),)))
    assert offer.leases[0].value in LINK
    anyAddress = AddressAssociation(1, (Address(IPv6Address("::")),))
    assert link.one(REQUEST, anyAddress) == offer
    within = AddressAssociation(1, (Address(LINK[1]),))
    assert link.one(REQUEST, within) == offer


def test_requestOfAnotherLink() -> None:
    """
    A Request for an address of another link gets NotOnLink (section 18.3.2), and its other
    associations get their leases.
    """
    link = Link()
    foreign = AddressAssociation(1, (Address(FOREIGN),))
    former = PrefixAssociation(3, (Prefix(FORMER),))
    answers = link.ask(REQUEST, foreign, AddressAssociation(2), former)
    assert codes(answers) == [StatusCode.NOT_ON_LINK, 0, 0]
    assert [len(one.leases) for one in answers] == [0, 1, 1]
    temporary = TemporaryAssociation(1, (Address(FOREIGN),))
    assert codes(link.ask(REQUEST, temporary)) == [StatusCode.NOT_ON_LINK]


def test_temporaryAddresses() -> None:
    """
    Temporary addresses are never given.
    """
    link = Link()
    for messageType in (SOLICIT, REQUEST):
        assert codes(link.ask(messageType, TemporaryAssociation(1))) == [StatusCode.NO_ADDRS_AVAIL]
    for messageType in (RENEW, REBIND, RELEASE, DECLINE):
        assert codes(link.ask(messageType, TemporaryAssociation(1))) == [StatusCode.NO_BINDING]


def test_noPrefixLeft() -> None:
    """
    An association gets NoPrefixAvail when the pool is used up, until a prefix comes back.
    """
    pool = PrefixPool([IPv6Network("fc00:1::/56")], 56)
    link, other = Link(pool=pool), Link(pool=pool)
    prefix = link.prefix()
    for messageType in (SOLICIT, REQUEST):
        (none,) = other.ask(messageType, PrefixAssociation(1))
        assert (none.leases, codes((none,))) == ((), [StatusCode.NO_PREFIX_AVAIL])
    assert other.address() in LINK
    link.one(RENEW, PrefixAssociation(1))
    assert link.send(RELEASE, PrefixAssociation(1, (Prefix(prefix),))) is not None
    assert link.told == [(prefix,), ()]
    assert other.prefix() == prefix


def test_routeGoesBeforeThePrefix() -> None:
    """
    A prefix no longer leads to the session when the pool gets it back.
    """
    link = Link()
    prefix = link.prefix()
    link.send(RELEASE, PrefixAssociation(1, (Prefix(prefix),)))
    assert link.told == [(prefix,), ()]
    assert link.usedThen == [1, 1]
    assert link.pool.used == 0


def test_limits() -> None:
    """
    A session has a limited number of addresses and prefixes, for all of its clients together.
    """
    link = Link()
    for iaid in range(MAX_ADDRESSES):
        link.address(OTHER if iaid % 2 else CLIENT, iaid)
    for iaid in range(MAX_PREFIXES):
        link.prefix(OTHER if iaid % 2 else CLIENT, iaid)
    link.clock.advance(1)
    for client in (CLIENT, OTHER):
        more = link.ask(REQUEST, AddressAssociation(99), PrefixAssociation(99), client=client)
        assert codes(more) == [StatusCode.NO_ADDRS_AVAIL, StatusCode.NO_PREFIX_AVAIL]
    assert len(link.server.prefixes) == link.pool.used == MAX_PREFIXES
    held = Prefix(link.server.prefixes[0])
    link.send(RELEASE, PrefixAssociation(0, (held,)))
    assert link.prefix(iaid=99) != held.value


def test_oldestOfferGivesWay() -> None:
    """
    The oldest offer that nobody took makes room for a new one. Bindings don't.
    """
    link = Link()
    bound = link.prefix(iaid=0)
    offers = [link.one(SOLICIT, PrefixAssociation(iaid)) for iaid in range(1, MAX_PREFIXES)]
    assert link.one(SOLICIT, PrefixAssociation(98)).leases
    assert link.pool.used == MAX_PREFIXES
    # The second offer is still valid, the first one isn't, and the prefix that somebody else has
    # isn't given.
    assert link.one(REQUEST, PrefixAssociation(2)) == offers[1]
    again = link.one(SOLICIT, PrefixAssociation(1))
    assert again.leases
    assert again not in offers
    assert link.server.prefixes == (bound, offers[1].leases[0].value)


def test_solicitsWithoutEnd() -> None:
    """
    A client that sends Solicits without end holds no more than any other.
    """
    link = Link()
    for iaid in range(200):
        link.clock.advance(1)
        link.ask(SOLICIT, AddressAssociation(iaid), PrefixAssociation(iaid))
    assert link.pool.used == MAX_PREFIXES
    assert link.clock.getDelayedCalls() == []
    assert link.told == []


@pytest.mark.parametrize(
    ("associations", "status"),
    [
        ([AddressAssociation(1, (Address(LINK[9]),))], StatusCode.SUCCESS),
        ([AddressAssociation(1, (Address(FOREIGN),))], StatusCode.NOT_ON_LINK),
        ([AddressAssociation(1, (Address(LINK[9]), Address(FOREIGN)))], StatusCode.NOT_ON_LINK),
        ([TemporaryAssociation(1, (Address(FOREIGN),))], StatusCode.NOT_ON_LINK),
        (
            [AddressAssociation(1, (Address(LINK[9]),)), PrefixAssociation(1, (Prefix(FORMER),))],
            StatusCode.SUCCESS,
        ),
        ([AddressAssociation(1)], None),
        ([PrefixAssociation(1, (Prefix(FORMER),))], None),
        ([], None),
    ],
)
def test_confirm(associations: list[Association], status: StatusCode | None) -> None:
    """
    A Confirm is answered with whether its addresses are of this link, and isn't answered if it
    names no address (section 18.3.3). Prefixes in it are ignored.
    """
    link = Link()
    answer = link.send(CONFIRM, *associations)
    if status is None:
        assert answer is None
        assert link.counters.discards == {"DHCPv6 message without an answer": 1}
        return
    assert answer is not None
    assert answer.messageType is REPLY
    (only,) = (one for one in answer.options if not isinstance(one, (ClientID, ServerID)))
    assert isinstance(only, Status)
    assert only.status == status


def test_extended() -> None:
    """
    Renew and Rebind extend a lease. The lease ends its lifetime after the latest of them, and leads
    to the session until then.
    """
    for messageType in (RENEW, REBIND):
        link = Link(DHCPv6Settings(preferredLifetime=60, validLifetime=100))
        prefix = link.prefix()
        link.clock.advance(99)
        (lease,) = link.one(messageType, PrefixAssociation(1, (Prefix(prefix),))).leases
        assert (lease.value, lease.preferred, lease.valid) == (prefix, 60, 100)
        link.clock.advance(99)
        assert link.told == [(prefix,)]
        link.clock.advance(1)
        assert link.told == [(prefix,), ()]
        assert link.server.prefixes == ()
        assert codes((link.one(messageType, PrefixAssociation(1)),)) == [StatusCode.NO_BINDING]


def test_expiredClientComesAgain() -> None:
    """
    A client whose lease has ended gets the same again.
    """
    link = Link(DHCPv6Settings(preferredLifetime=60, validLifetime=100))
    address, prefix = link.address(), link.prefix()
    link.clock.advance(1000)
    assert link.server.prefixes == ()
    assert (link.address(), link.prefix()) == (address, prefix)
    assert link.told == [(prefix,), (), (prefix,)]


def test_extendedBesidesOthers() -> None:
    """
    Leases that an association doesn't have are answered with lifetimes of zero, and those that it
    has are extended. Hints of a prefix length are ignored.
    """
    for messageType in (RENEW, REBIND):
        link = Link()
        prefix, address = link.prefix(), link.address()
        hint = Prefix(IPv6Network("::/60"))
        site = link.one(
            messageType, PrefixAssociation(1, (Prefix(FORMER), hint, Prefix(prefix, 1, 2)))
        )
        assert site.leases == (Prefix(prefix, 3600, 7200), Prefix(FORMER, 0, 0))
        host = link.one(messageType, AddressAssociation(1, (Address(FOREIGN),)))
        assert host.leases == (Address(address, 3600, 7200), Address(FOREIGN, 0, 0))


def test_renewOfFormerSession() -> None:
    """
    A Renew of leases that another session gave gets NoBinding without leases, and a Request then
    gives new ones.
    """
    link = Link()
    former = (
        AddressAssociation(1, (Address(FOREIGN, 10, 20),)),
        PrefixAssociation(2, (Prefix(FORMER, 10, 20),)),
    )
    answers = link.ask(RENEW, *former)
    assert codes(answers) == [StatusCode.NO_BINDING, StatusCode.NO_BINDING]
    assert [(type(one), one.iaid, one.leases) for one in answers] == [
        (AddressAssociation, 1, ()),
        (PrefixAssociation, 2, ()),
    ]
    assert link.told == []
    assert codes(link.ask(REQUEST, AddressAssociation(1), former[1])) == [0, 0]


def test_rebindOfFormerSession() -> None:
    """
    A Rebind of leases that another session gave gets lifetimes of zero too. An address that may be
    one of this link isn't answered for.
    """
    link = Link()
    within = Address(LINK[9], 10, 20)
    answers = link.ask(
        REBIND,
        AddressAssociation(1, (Address(FOREIGN, 10, 20), within)),
        PrefixAssociation(2, (Prefix(FORMER, 10, 20),)),
    )
    assert codes(answers) == [StatusCode.NO_BINDING, StatusCode.NO_BINDING]
    assert [one.leases for one in answers] == [(Address(FOREIGN),), (Prefix(FORMER),)]


def test_offerIsNoBinding() -> None:
    """
    A lease that was only offered can't be extended or released.
    """
    link = Link()
    for association in link.ask(SOLICIT, AddressAssociation(1), PrefixAssociation(1)):
        for messageType in (RENEW, REBIND, RELEASE):
            assert codes((link.one(messageType, association),)) == [StatusCode.NO_BINDING]
    assert link.told == []


def test_anotherClientsBinding() -> None:
    """
    A client with another DUID has no binding.
    """
    link = Link()
    prefix = link.prefix()
    mine = PrefixAssociation(1, (Prefix(prefix),))
    for messageType in (RENEW, REBIND, RELEASE):
        (answer,) = link.ask(messageType, mine, client=OTHER)
        assert codes((answer,)) == [StatusCode.NO_BINDING]
        # The prefix still leads to this session.
        assert answer.leases == ()
    assert link.server.prefixes == (prefix,)


def test_release() -> None:
    """
    Released leases are gone. The answer's status is success, and it names only associations without
    a binding (section 18.3.7).
    """
    link = Link()
    address, prefix = link.address(), link.prefix()
    answer = link.send(
        RELEASE,
        AddressAssociation(1, (Address(address),)),
        PrefixAssociation(1, (Prefix(prefix),)),
        PrefixAssociation(9, (Prefix(FORMER),)),
    )
    assert answer is not None
    assert answer.messageType is REPLY
    status = answer.first(Status)
    assert status is not None
    assert status.status == StatusCode.SUCCESS
    (unknown,) = answer.every(Association)
    assert (unknown.iaid, codes((unknown,))) == (9, [StatusCode.NO_BINDING])
    assert link.told == [(prefix,), ()]
    assert link.clock.getDelayedCalls() == []
    assert codes(link.ask(RENEW, AddressAssociation(1))) == [StatusCode.NO_BINDING]
    # The next client gets the same address as before, and a prefix that wasn't just released.
    assert link.address() == address
    assert link.prefix() != prefix


def test_releaseOfWhatIsNotHeld() -> None:
    """
    A Release doesn't release leases of another association, nor leases that it doesn't name.
    """
    link = Link()
    prefix = link.prefix()
    for leases in ((), (Prefix(FORMER),)):
        assert link.ask(RELEASE, PrefixAssociation(1, leases)) == ()
    assert link.server.prefixes == (prefix,)


def test_decline() -> None:
    """
    A declined address isn't given again. Prefixes can't be declined.
    """
    link = Link()
    address, prefix = link.address(), link.prefix()
    answer = link.send(
        DECLINE,
        AddressAssociation(1, (Address(address),)),
        AddressAssociation(9),
        PrefixAssociation(1, (Prefix(prefix),)),
    )
    assert answer is not None
    status = answer.first(Status)
    assert status is not None
    assert status.status == StatusCode.SUCCESS
    (unknown,) = answer.every(Association)
    assert (unknown.iaid, codes((unknown,))) == (9, [StatusCode.NO_BINDING])
    assert link.server.prefixes == (prefix,)
    other = link.address()
    assert other in LINK
    assert other != address
    assert link.address() == other


@pytest.mark.parametrize(
    ("messageType", "client", "server", "valid"),
    [
        (SOLICIT, True, None, True),
        (SOLICIT, False, None, False),
        (SOLICIT, True, OURS, False),
        (REQUEST, True, OURS, True),
        (REQUEST, True, None, False),
        (REQUEST, False, OURS, False),
        (REQUEST, True, OTHER, False),
        (CONFIRM, True, None, True),
        (CONFIRM, False, None, False),
        (CONFIRM, True, OURS, False),
        (RENEW, True, OURS, True),
        (RENEW, True, None, False),
        (RENEW, False, OURS, False),
        (RENEW, True, OTHER, False),
        (REBIND, True, None, True),
        (REBIND, False, None, False),
        (REBIND, True, OURS, False),
        (DECLINE, True, OURS, True),
        (DECLINE, True, None, False),
        (DECLINE, False, OURS, False),
        (DECLINE, True, OTHER, False),
        (RELEASE, True, OURS, True),
        (RELEASE, True, None, False),
        (RELEASE, False, OURS, False),
        (RELEASE, True, OTHER, False),
        (INFORMATION_REQUEST, True, None, True),
        (INFORMATION_REQUEST, False, OURS, True),
        (INFORMATION_REQUEST, False, OTHER, False),
        (ADVERTISE, True, OURS, False),
        (REPLY, True, OURS, False),
        (DHCPv6MessageType.RECONFIGURE, True, OURS, False),
    ],
)
def test_valid(
    messageType: DHCPv6MessageType, client: bool, server: bytes | None, valid: bool
) -> None:
    """
    Each type of message must have some identifiers and must not have others (sections 16.2 to
    16.12). Servers' messages are ignored. The rules are the same by unicast (section 18.4).
    """
    options: list[DHCPv6Option] = [ClientID(CLIENT)] if client else []
    options += [ServerID(server)] if server else []
    if messageType is not INFORMATION_REQUEST:
        options.append(AddressAssociation(1, (Address(LINK[9]),)))
    message = DHCPv6Message(messageType, 1, tuple(options))
    link = Link()
    for unicast in (False, True):
        answer = link.sendAsIs(message, unicast)
        assert (answer is not None) == valid
    assert link.counters.discards == ({} if valid else {"invalid DHCPv6 message": 2})
    assert link.pool.used == 0


@pytest.mark.parametrize("messageType", [SOLICIT, REQUEST, REBIND, CONFIRM, INFORMATION_REQUEST])
def test_useMulticast(messageType: DHCPv6MessageType) -> None:
    """
    A message by unicast is answered with UseMulticast and the identifiers alone, and gives nothing.
    """
    link = Link()
    server = (ServerID(OURS),) if messageType is REQUEST else ()
    message = DHCPv6Message(
        messageType, 1, (ClientID(CLIENT), *server, PrefixAssociation(1), EVERYTHING)
    )
    answer = link.sendAsIs(message, unicast=True)
    assert answer is not None
    assert answer.messageType is (ADVERTISE if messageType is SOLICIT else REPLY)
    *_, status = answer.options
    assert isinstance(status, Status)
    assert status.status == StatusCode.USE_MULTICAST
    assert len(answer.options) == 3
    assert link.pool.used == 0


def test_informationRequestWithAssociation() -> None:
    """
    An Information-request with an association is discarded (section 16.12).
    """
    link = Link()
    for association in (AddressAssociation(1), PrefixAssociation(1), TemporaryAssociation(1)):
        assert link.send(INFORMATION_REQUEST, association) is None
    assert link.counters.discards == {"DHCPv6 message without an answer": 3}


def test_beyondTheLink() -> None:
    """
    A message from an address that isn't link-local is discarded.
    """
    link = Link()
    octets = DHCPv6Message(SOLICIT, 1, (ClientID(CLIENT),)).encode()
    for source in ("2001:db8::1", "::", "ff02::1"):
        assert link.server.received(octets, IPv6Address(source)) is None
    assert link.counters.discards == {"DHCPv6 message from beyond the link": 3}


@pytest.mark.parametrize(
    "octets", ["", "01", "0c00" + 32 * "00", "01000001000100020003", "63000001"]
)
def test_malformed(octets: str) -> None:
    """
    Messages of relay agents, unknown types and malformed messages get no answer (sections 16,
    16.13).
    """
    link = Link()
    assert link.server.received(bytes.fromhex(octets), PEER) is None
    assert link.counters.discards == {"malformed DHCPv6 message": 1}


def test_flood() -> None:
    """
    A limited number of messages is answered within a second, and as many in the next.
    """
    link = Link()
    for _ in range(2):
        answers = [link.send(SOLICIT, PrefixAssociation(1)) for _ in range(MAX_MESSAGES + 7)]
        assert [answer is None for answer in answers].index(True) == MAX_MESSAGES
        assert answers[MAX_MESSAGES:] == 7 * [None]
        link.clock.advance(1)
    assert link.counters.discards == {"DHCPv6 message too many": 14}


def test_answersAreBounded() -> None:
    """
    An answer fits a packet of 1280 octets, however much the message asks for, and has a result for
    each association that it answers.
    """
    dns = tuple(IPv6Address(n) for n in range(1, 30))
    link = Link(DHCPv6Settings(dns, tuple(f"{n}.example.org" for n in range(40))))
    client = bytes(130)
    stale = tuple(Prefix(FORMER) for _ in range(9))
    for messageType in (SOLICIT, REQUEST, RENEW, REBIND, RELEASE, DECLINE):
        associations = [PrefixAssociation(iaid, stale) for iaid in range(2 * MAX_ASSOCIATIONS)]
        answer = link.send(messageType, EVERYTHING, *associations, client=client)
        assert answer is not None
        assert len(answer.encode()) <= MAX_ANSWER_OCTETS
        if messageType in (SOLICIT, REQUEST, RENEW, REBIND):
            assert len(answer.every(Association)) == MAX_ASSOCIATIONS
            assert all(len(one.leases) <= 1 + MAX_WITHDRAWN for one in answer.every(Association))


def test_close() -> None:
    """
    C{close} gives back all leases and offers without reporting it. No timer is left and no message
    is answered any more.
    """
    link = Link()
    link.prefix()
    link.address()
    link.one(SOLICIT, PrefixAssociation(2))
    assert link.pool.used == 2
    told = list(link.told)
    for _ in range(2):
        link.server.close()
    assert (link.pool.used, link.server.prefixes, link.told) == (0, (), told)
    assert link.clock.getDelayedCalls() == []
    assert link.send(SOLICIT, PrefixAssociation(1)) is None


associations = st.one_of(
    st.builds(
        AddressAssociation,
        st.integers(0, 12),
        st.lists(st.sampled_from([Address(LINK[9]), Address(FOREIGN)]), max_size=3).map(tuple),
    ),
    st.builds(
        PrefixAssociation,
        st.integers(0, 6),
        st.lists(
            st.sampled_from([Prefix(FORMER), *map(Prefix, islice(DELEGATE.subnets(8), 6))]),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(TemporaryAssociation, st.integers(0, 2)),
)
messages = st.tuples(
    st.sampled_from([SOLICIT, REQUEST, CONFIRM, RENEW, REBIND, RELEASE, DECLINE]),
    st.sampled_from([CLIENT, OTHER]),
    st.lists(associations | st.just(RapidCommit()), max_size=4),
    st.floats(0, 60),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=25))
def test_anyConversation(
    conversation: list[tuple[DHCPv6MessageType, bytes, list[DHCPv6Option], float]],
) -> None:
    """
    Any sequence of clients' messages keeps these rules: the prefixes that lead to the session are
    those that were last reported, the pool counts at least as many, the limits hold, an answer
    grants only the client's own leases, and in the end the pool has everything back.
    """
    link = Link(DHCPv6Settings(preferredLifetime=50, validLifetime=100))
    for messageType, client, options, seconds in conversation:
        answer = link.send(messageType, *options, client=client)
        if answer is not None and answer.messageType is REPLY:
            for association in answer.every(PrefixAssociation):
                granted = [lease.value for lease in association.leases if lease.valid]
                assert all(value in link.server.prefixes for value in granted)
        assert link.server.prefixes == (link.told[-1] if link.told else ())
        assert len(set(link.server.prefixes)) <= link.pool.used <= MAX_PREFIXES
        link.clock.advance(seconds)
    link.server.close()
    assert link.pool.used == 0
    assert link.clock.getDelayedCalls() == []


@given(st.binary(max_size=80), st.sampled_from(DHCPv6MessageType), st.booleans())
def test_arbitraryOctets(octets: bytes, messageType: DHCPv6MessageType, unicast: bool) -> None:
    """
    No octets raise an exception: they are answered or discarded.
    """
    link = Link()
    identifiers = DHCPv6Message(messageType, 1, (ClientID(CLIENT), ServerID(OURS))).encode()
    for message in (octets, identifiers + octets, identifiers[:-20] + octets):
        answer = link.server.received(message, PEER, unicast)
        assert answer is None or len(answer) <= MAX_ANSWER_OCTETS

"""
Tests for L{pptpgw.networks.ipv6.dhcpv6client}: with our server over a line that loses messages, and
with servers that the test plays by hand, as scapy encodes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DUID_LLT,
    DHCP6_Advertise,
    DHCP6_Reply,
    DHCP6_Request,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptDNSDomains,
    DHCP6OptDNSServers,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIAAddress,
    DHCP6OptIAPrefix,
    DHCP6OptOptReq,
    DHCP6OptPref,
    DHCP6OptRapidCommit,
    DHCP6OptServerId,
    DHCP6OptStatusCode,
)
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server, DHCPv6Settings
from pptpgw.networks.ipv6.dhcpv6client import MAX_LEASES, MAX_NAMES, DHCPv6Client, Wishes
from pptpgw.networks.ipv6.prefix import PrefixPool
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    INFINITY,
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
    ElapsedTime,
    NameServers,
    Preference,
    RapidCommit,
    ServerID,
    SolicitMaximum,
    Status,
    StatusCode,
)

OURS = bytes.fromhex("0004") + bytes(16)
SERVER = bytes.fromhex("00030001021122334455")
OTHER = bytes.fromhex("000300010266778899aa")
PEER = IPv6Address("fe80::7")
LINK = IPv6Network("fc00:0:1:5::/64")
DELEGATE = IPv6Network("fc00:1::/48")
ONE, TWO = IPv6Network("2001:db8:1::/56"), IPv6Network("2001:db8:2::/56")
ADDRESS = IPv6Address("2001:db8::7")
BOTH = Wishes(prefix=True, address=True, rapidCommit=False)
PLAIN = Wishes(rapidCommit=False)

SOLICIT, ADVERTISE = DHCPv6MessageType.SOLICIT, DHCPv6MessageType.ADVERTISE
REQUEST, REPLY = DHCPv6MessageType.REQUEST, DHCPv6MessageType.REPLY
RENEW, REBIND = DHCPv6MessageType.RENEW, DHCPv6MessageType.REBIND
RELEASE = DHCPv6MessageType.RELEASE


class Scene:
    """
    A client, and servers that the test plays by hand.

    @ivar sent: what the client has sent, with the times.
    @ivar changes: how often the client said that something has changed.
    """

    def __init__(self, wishes: Wishes = PLAIN, seed: int = 0) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.sent: list[tuple[float, DHCPv6Message]] = []
        self.changes = 0
        self.client = DHCPv6Client(
            self.clock, OURS, wishes, self._sent, self._changed, self.counters, Random(seed)
        )

    def _sent(self, octets: bytes) -> None:
        self.sent.append((self.clock.seconds(), decode(octets)))

    def _changed(self) -> None:
        self.changes += 1

    @property
    def last(self) -> DHCPv6Message:
        return self.sent[-1][1]

    @property
    def types(self) -> list[str]:
        """
        The types of what the client has sent.
        """
        return [message.messageType.name for _, message in self.sent]

    def wait(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            self.clock.advance(max(0.0, min(due, end) - self.clock.seconds()))

    def answer(
        self,
        messageType: DHCPv6MessageType,
        *options: DHCPv6Option,
        server: bytes = SERVER,
        client: bytes = OURS,
        number: int | None = None,
    ) -> None:
        """
        Answer the client's last message.
        """
        number = self.last.transactionID if number is None else number
        both = (ServerID(server), ClientID(client))
        self.client.received(DHCPv6Message(messageType, number, (*both, *options)).encode())

    def bind(self, *options: DHCPv6Option) -> Scene:
        """
        Take the client through a Solicit and a Request.
        """
        self.client.start()
        self.answer(ADVERTISE, Preference(255), *options)
        self.answer(REPLY, *options)
        return self


def delegated(
    *networks: IPv6Network, preferred: int = 1000, valid: int = 2000, t1: int = 0, t2: int = 0
) -> PrefixAssociation:
    leases = tuple(Prefix(one, preferred, valid) for one in networks)
    return PrefixAssociation(1, leases, None, t1, t2)


class Line:
    """
    A client and our server, over a line that loses, doubles and delays messages.
    """

    def __init__(self, wishes: Wishes, fates: Sequence[int] = (), lifetime: int = 1000) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.fates = deque(fates)
        self.routed: list[tuple[IPv6Network, ...]] = []
        self.server = DHCPv6Server(
            self.clock,
            SERVER,
            DHCPv6Settings((IPv6Address("fc00::53"),), ("example.net",), lifetime, 2 * lifetime),
            LINK,
            PrefixPool((DELEGATE,), 56),
            lambda: self.routed.append(self.server.prefixes),
            self.counters,
        )
        self.types: list[str] = []
        self.client = DHCPv6Client(
            self.clock, OURS, wishes, self._toServer, lambda: None, self.counters, Random(1)
        )

    def _toServer(self, octets: bytes) -> None:
        self.types.append(decode(octets).messageType.name)
        self._fly(lambda: self._served(octets))

    def _served(self, octets: bytes) -> None:
        answer = self.server.received(octets, PEER)
        if answer is not None:
            self._fly(lambda: self.client.received(answer))

    def _fly(self, arrive: Any) -> None:
        for _ in range(self.fates.popleft() if self.fates else 1):
            self.clock.callLater(0.02, arrive)

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            self.clock.advance(max(0.0, min(due, end) - self.clock.seconds()))


class TestWithOurServer:
    @pytest.mark.parametrize("rapid", [True, False])
    def test_itGetsAll(self, rapid: bool) -> None:
        """
        A client gets a prefix and an address with two messages or four, keeps them for long, and
        gives them back.
        """
        line = Line(Wishes(True, True, 56, rapid))
        line.client.start()
        line.run(1)
        assert line.types == (["SOLICIT"] if rapid else ["SOLICIT", "REQUEST"])
        (prefix,) = line.client.prefixes
        assert prefix.prefixlen == 56 and prefix.subnet_of(DELEGATE)
        (address,) = line.client.addresses
        assert address in LINK
        assert line.client.dns == (IPv6Address("fc00::53"),)
        assert line.client.search == ("example.net",)
        line.run(100_000)
        assert line.client.prefixes == (prefix,) and line.client.addresses == (address,)
        assert set(line.types) <= {"SOLICIT", "REQUEST", "RENEW"}
        assert line.routed == [(prefix,)]
        line.client.stop()
        line.run(1)
        assert line.types[-1] == "RELEASE" and line.routed[-1] == ()
        line.client.stop()
        assert line.types.count("RELEASE") == 1

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.sampled_from([0, 1, 2]), max_size=16), st.booleans(), st.booleans())
    def test_lossesAndCopies(self, fates: list[int], rapid: bool, address: bool) -> None:
        """
        Whatever messages are lost or come twice, the client has what the server has bound, and
        nothing runs once it has stopped.
        """
        line = Line(Wishes(True, address, 0, rapid), fates)
        line.client.start()
        line.run(600)
        assert line.client.prefixes and line.client.prefixes == line.server.prefixes
        assert len(line.client.addresses) == address
        line.fates.clear()
        line.client.stop()
        line.run(1)
        assert line.server.prefixes == ()
        line.server.close()
        assert not line.clock.getDelayedCalls()

    def test_aServerThatHasForgotten(self) -> None:
        """
        A client gets a prefix anew of a server that doesn't know its own any more.
        """
        line = Line(PLAIN)
        line.client.start()
        line.run(1)
        (first,) = line.client.prefixes
        line.server.close()
        line.server.__init__(  # type: ignore[misc]
            line.clock,
            SERVER,
            DHCPv6Settings((), (), 1000, 2000),
            LINK,
            PrefixPool((IPv6Network("fc00:2::/48"),), 56),
            lambda: None,
            line.counters,
        )
        line.run(1000)
        (second,) = line.client.prefixes
        assert second != first and second.subnet_of(IPv6Network("fc00:2::/48"))
        assert line.client.dns == ()


class TestTimes:
    def test_solicits(self) -> None:
        """
        Solicits are repeated by section 15: each interval is twice the last one, more or less a
        tenth, up to SOL_MAX_RT; the first is never shorter than a second.
        """
        for seed in range(20):
            scene = Scene(seed=seed)
            scene.client.start()
            scene.wait(40_000)
            times = [time for time, _ in scene.sent]
            steps = [after - before for before, after in pairwise(times)]
            assert 1.0 <= steps[0] <= 1.1
            for before, after in pairwise(steps):
                assert 1.9 * before <= after <= 2.1 * before or 3240 <= after <= 3960
            assert steps[-1] > 3000
            (elapsed,) = scene.last.every(ElapsedTime)
            assert elapsed.number == 0xFFFF
            (first,) = scene.sent[1][1].every(ElapsedTime)
            assert abs(first.number - steps[0] * 100) <= 1
            assert len({message.transactionID for _, message in scene.sent}) == 1

    def test_theLongestTimeOfAServer(self) -> None:
        """
        A server's SOL_MAX_RT counts, even if it has nothing else to give, within its limits.
        """
        scene = Scene()
        scene.client.start()
        none = PrefixAssociation(1, (), Status(StatusCode.NO_PREFIX_AVAIL))
        for number in (0, 59, 86401):
            scene.answer(ADVERTISE, none, SolicitMaximum(number))
        scene.answer(ADVERTISE, none, SolicitMaximum(60))
        scene.wait(1000)
        times = [time for time, _ in scene.sent]
        assert 54 <= times[-1] - times[-2] <= 66
        assert set(scene.types) == {"SOLICIT"}

    def test_requests(self) -> None:
        """
        A Request is sent ten times, up to 30 seconds apart, and then the client begins again.
        """
        scene = Scene()
        scene.client.start()
        scene.answer(ADVERTISE, Preference(255), delegated(ONE))
        scene.wait(300)
        assert scene.types[:12] == ["SOLICIT", *["REQUEST"] * 10, "SOLICIT"]
        assert scene.last.first(ServerID) is None

    def test_renewing(self) -> None:
        """
        A lease is renewed from T1 on, rebound from T2 on, and ends with its valid lifetime. Then
        the client asks anew.
        """
        scene = Scene().bind(delegated(ONE, t1=500, t2=800))
        assert (scene.types, scene.changes) == (["SOLICIT", "REQUEST"], 1)
        scene.wait(499)
        assert len(scene.sent) == 2
        scene.wait(2)
        assert scene.last.messageType is RENEW
        assert scene.last.first(ServerID) == ServerID(SERVER)
        (asked,) = scene.last.every(PrefixAssociation)
        assert [one.value for one in asked.leases] == [ONE]
        scene.wait(298)
        assert scene.last.messageType is RENEW
        scene.wait(2)
        assert scene.last.messageType is REBIND and scene.last.first(ServerID) is None
        scene.wait(1190)
        assert scene.client.prefixes == (ONE,) and scene.last.messageType is REBIND
        scene.wait(10)
        assert not scene.client.leases and scene.changes == 2
        assert scene.last.messageType is SOLICIT

    def test_itIsExtended(self) -> None:
        """
        A Reply to a Renew extends the lease. One of another server counts for a Rebind alone, and
        then that server is asked.
        """
        scene = Scene().bind(delegated(ONE, t1=500, t2=800))
        scene.wait(501)
        scene.answer(REPLY, delegated(ONE, t1=500, t2=800), server=OTHER)
        assert scene.client.leases[ONE].valid == 2000
        scene.answer(REPLY, delegated(ONE, t1=500, t2=800))
        assert scene.client.leases[ONE].valid == 2501
        scene.wait(802)
        scene.answer(REPLY, delegated(ONE, t1=500, t2=800), server=OTHER)
        assert scene.client.leases[ONE].valid == pytest.approx(3303)
        scene.wait(501)
        assert scene.last.first(ServerID) == ServerID(OTHER)
        assert scene.changes == 1

    def test_timesThatAreLeftToUs(self) -> None:
        for t1, t2, renewed, rebound in ((0, 0, 500, 800), (0, 300, 300, 300), (900, 0, 800, 800)):
            scene = Scene().bind(delegated(ONE, t1=t1, t2=t2))
            scene.wait(max(renewed, rebound) + 1)
            times = {message.messageType: time for time, message in reversed(scene.sent)}
            assert times.get(RENEW, renewed) == renewed and times[REBIND] == rebound

    def test_noEnd(self) -> None:
        """
        A lease without an end is never extended.
        """
        association = delegated(ONE, preferred=INFINITY, valid=INFINITY)
        scene = Scene().bind(association)
        assert scene.client.prefixes == (ONE,) and not scene.clock.getDelayedCalls()

    def test_quickTimes(self) -> None:
        """
        A server can't have leases extended more often than every few seconds.
        """
        scene = Scene().bind(delegated(ONE, preferred=10, valid=10, t1=1, t2=1))
        for _ in range(100):
            scene.wait(1)
            if scene.last.messageType in (RENEW, REBIND):
                scene.answer(REPLY, delegated(ONE, preferred=10, valid=10, t1=1, t2=1))
        assert len(scene.sent) <= 2 + 100 / 5 + 1
        assert scene.changes == 1


class TestServers:
    def test_theBest(self) -> None:
        """
        Until the first repetition Advertises are collected; the highest preference counts, and then
        how much a server offers. After that the first one is taken.
        """
        scene = Scene(BOTH)
        scene.client.start()
        address = AddressAssociation(1, (Address(ADDRESS, 1000, 2000),))
        scene.answer(ADVERTISE, Preference(3), delegated(TWO), server=b"first")
        scene.answer(ADVERTISE, Preference(9), delegated(ONE), server=b"second")
        scene.answer(ADVERTISE, Preference(9), delegated(ONE), address, server=b"third")
        scene.answer(ADVERTISE, delegated(ONE, TWO), address, server=b"fourth")
        assert len(scene.sent) == 1
        scene.wait(1.2)
        assert scene.last.messageType is REQUEST
        assert scene.last.first(ServerID) == ServerID(b"third")
        assert len(scene.last.every(RenewableAssociation)) == 2
        late = Scene()
        late.client.start()
        late.wait(1.2)
        late.answer(ADVERTISE, delegated(ONE), server=b"late")
        assert late.last.first(ServerID) == ServerID(b"late")

    @pytest.mark.parametrize(
        "association",
        [
            PrefixAssociation(1),
            PrefixAssociation(2, (Prefix(ONE, 100, 100),)),
            PrefixAssociation(1, (Prefix(ONE, 100, 100),), Status(StatusCode.NO_PREFIX_AVAIL)),
            PrefixAssociation(1, (Prefix(ONE, 100, 100, Status(1)),)),
            delegated(ONE, preferred=101, valid=100),
            delegated(ONE, preferred=0, valid=9),
            delegated(ONE, t1=9, t2=8),
            delegated(IPv6Network("2001:db8::/65")),
            delegated(IPv6Network("2000::/3")),
            delegated(IPv6Network("::/16")),
            delegated(IPv6Network("fe80::/64")),
            delegated(IPv6Network("ff02::/64")),
            AddressAssociation(1, (Address(IPv6Address("::1"), 100, 100),)),
            AddressAssociation(1, (Address(IPv6Address("ff02::1"), 100, 100),)),
        ],
    )
    def test_offersOfNoUse(self, association: DHCPv6Option) -> None:
        """
        An offer that can't be used isn't taken, neither in an Advertise nor in a Reply.
        """
        scene = Scene(BOTH)
        scene.client.start()
        scene.answer(ADVERTISE, Preference(255), association)
        scene.wait(5)
        assert set(scene.types) == {"SOLICIT"}
        scene.answer(ADVERTISE, delegated(ONE))
        scene.answer(REPLY, association)
        assert not scene.client.leases and scene.last.messageType is REQUEST
        quick = Scene(Wishes())
        quick.client.start()
        quick.answer(REPLY, RapidCommit(), association)
        assert not quick.client.leases and not quick.changes

    def test_aRefusal(self) -> None:
        scene = Scene()
        scene.client.start()
        scene.answer(ADVERTISE, delegated(ONE), Status(StatusCode.UNSPEC_FAIL))
        scene.wait(1.2)
        assert scene.types == ["SOLICIT", "SOLICIT"]
        scene.answer(ADVERTISE, delegated(ONE))
        scene.answer(REPLY, delegated(ONE), Status(StatusCode.UNSPEC_FAIL))
        assert not scene.client.leases
        scene.answer(REPLY, delegated(ONE), Status(StatusCode.SUCCESS, "fine"))
        assert scene.client.prefixes == (ONE,)

    def test_messagesThatNobodyAskedFor(self) -> None:
        """
        Messages for others, of another kind or with another number are discarded.
        """
        scene = Scene()
        scene.client.start()
        fine = delegated(ONE)
        scene.answer(ADVERTISE, Preference(255), fine, client=OTHER)
        scene.answer(ADVERTISE, Preference(255), fine, number=scene.last.transactionID ^ 1)
        scene.answer(REPLY, fine)
        scene.answer(DHCPv6MessageType.RECONFIGURE, fine)
        scene.answer(SOLICIT, fine)
        scene.client.received(
            DHCPv6Message(ADVERTISE, scene.last.transactionID, (ServerID(SERVER), fine)).encode()
        )
        assert scene.types == ["SOLICIT"]
        scene.answer(ADVERTISE, Preference(255), fine)
        scene.answer(REPLY, fine, server=OTHER)
        scene.answer(ADVERTISE, fine)
        assert not scene.client.leases
        scene.answer(REPLY, fine)
        scene.answer(REPLY, delegated(TWO))
        assert scene.client.prefixes == (ONE,)
        scene.client.stop()
        scene.answer(REPLY, delegated(TWO))
        assert not scene.client.leases
        assert sum(scene.counters.discards.values()) == 10

    def test_aLeaseThatIsTakenBack(self) -> None:
        """
        A lifetime of 0 ends a lease at once; others stay. Without any, the client asks anew.
        """
        scene = Scene().bind(delegated(ONE, TWO, t1=500, t2=800))
        scene.wait(501)
        scene.answer(REPLY, delegated(ONE, preferred=0, valid=0))
        assert list(scene.client.leases) == [TWO]
        scene.wait(2000)
        assert not scene.client.leases
        gone = Scene().bind(delegated(ONE, t1=500, t2=800))
        gone.wait(501)
        gone.answer(REPLY, delegated(ONE, preferred=0, valid=0))
        assert not gone.client.leases and gone.last.messageType is SOLICIT
        assert gone.changes == 2

    def test_noBinding(self) -> None:
        """
        A server that doesn't know a lease is asked for it, and what it then gives is all that we
        have.
        """
        scene = Scene().bind(delegated(ONE, t1=500, t2=800))
        scene.wait(501)
        scene.answer(REPLY, PrefixAssociation(1, (), Status(StatusCode.NO_BINDING)))
        assert scene.last.messageType is REQUEST and scene.client.prefixes == (ONE,)
        scene.answer(REPLY, delegated(TWO))
        assert scene.client.prefixes == (TWO,)
        assert scene.changes == 2

    def test_limits(self) -> None:
        """
        A server can't have us keep many leases or names, and not look at many messages.
        """
        networks = [IPv6Network((f"2001:db8:{number:x}::", 56)) for number in range(20)]
        servers = NameServers(tuple(IPv6Address(number) for number in range(1, 30)))
        scene = Scene().bind(delegated(*networks), servers)
        assert len(scene.client.prefixes) == MAX_LEASES
        assert len(scene.client.dns) == MAX_NAMES
        flooded = Scene()
        flooded.client.start()
        for number in range(1000):
            flooded.answer(ADVERTISE, delegated(ONE), number=number)
        assert flooded.counters.discards["DHCPv6 message too many"] == 980

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=120), max_size=8), st.integers(0, 3))
    def test_hostileOctets(self, messages: list[bytes], state: int) -> None:
        """
        Octets of a stranger, with our numbers, change nothing but counters, and never raise.
        """
        scene = Scene(BOTH)
        scene.client.start()
        if state:
            scene.answer(ADVERTISE, Preference(255), delegated(ONE))
        if state > 1:
            scene.answer(REPLY, delegated(ONE, t1=500, t2=800))
            scene.wait(501)
        for octets in messages:
            for kind in (0, 2, 7):
                head = kind << 24 | scene.last.transactionID
                both = ServerID(SERVER), ClientID(OURS)
                begin = DHCPv6Message(REPLY, 0, both).encode()[4:]
                scene.client.received(head.to_bytes(4, "big") + begin + octets)
            scene.client.received(octets)
        scene.client.stop()
        assert not scene.clock.getDelayedCalls()


class TestScapy:
    """
    Messages as scapy encodes and decodes them.
    """

    def test_ourMessages(self) -> None:
        sent: list[bytes] = []
        clock = Clock()
        client = DHCPv6Client(
            clock, OURS, Wishes(True, True, 56), sent.append, lambda: None, Counters(), Random(3)
        )
        client.start()
        solicit = DHCP6_Solicit(sent[0])
        assert bytes(solicit[DHCP6OptClientId].duid) == OURS
        assert solicit[DHCP6OptOptReq].reqopts == [23, 24, 82]
        assert DHCP6OptRapidCommit in solicit
        assert solicit[DHCP6OptIA_NA].iaid == solicit[DHCP6OptIA_PD].iaid == 1
        (hint,) = solicit[DHCP6OptIA_PD].iapdopt
        assert (hint.prefix, hint.plen) == ("::", 56)
        server = DUID_LLT(timeval=7, lladdr="02:11:22:33:44:55")
        identifiers = DHCP6OptServerId(duid=server) / DHCP6OptClientId(duid=OURS)
        lease = DHCP6OptIAPrefix(preflft=300, validlft=600, plen=56, prefix="2001:db8:1::")
        leases = DHCP6OptIA_PD(iaid=1, T1=100, T2=200, iapdopt=[lease])
        address = DHCP6OptIAAddress(addr="2001:db8::7", preflft=300, validlft=600)
        addresses = DHCP6OptIA_NA(iaid=1, T1=150, T2=250, ianaopts=[address])
        head: Any = DHCP6_Advertise(trid=solicit.trid) / identifiers / DHCP6OptPref(prefval=255)
        client.received(bytes(head / leases / addresses))
        request = DHCP6_Request(sent[1])
        assert bytes(request[DHCP6OptServerId].duid) == bytes(server)
        (asked,) = request[DHCP6OptIA_PD].iapdopt
        assert (asked.prefix, asked.plen) == ("2001:db8:1::", 56)
        told = DHCP6OptDNSServers(dnsservers=["2001:db8::53"])
        names = DHCP6OptDNSDomains(dnsdomains=["example.net"])
        status = DHCP6OptStatusCode(statuscode=0, statusmsg="fine")
        head = DHCP6_Reply(trid=request.trid) / identifiers
        client.received(bytes(head / leases / addresses / told / names / status))
        assert client.prefixes == (ONE,) and client.addresses == (ADDRESS,)
        assert client.dns == (IPv6Address("2001:db8::53"),) and client.search == ("example.net",)
        assert client.leases[ONE] == (300, 600)
        clock.advance(100)
        assert sent[-1][0] == RENEW
        client.stop()
        assert sent[-1][0] == RELEASE

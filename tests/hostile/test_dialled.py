"""
Hostile servers that the gateway dials.

A server has an honest gateway behind it, so that every phase is reached, and changes, repeats,
delays and invents frames as it likes. Nothing fails or stays, nothing is taken that the gateway
can't have, calls aren't placed faster than they may, and the next honest server is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pptpgw.config.kind import isUnicast
from pptpgw.dialling.service import DialResult
from pptpgw.networks.ethernet.plugin import BridgeNetwork, BridgeSection
from pptpgw.networks.ipv6.dialled import DialledIPV6CP
from pptpgw.networks.ipv6.site import LINES
from pptpgw.networks.ipv6.wire import dhcpv6, dhcpv6option, ipv6
from pptpgw.networks.ipv6.wire.neighbor import PrefixInformation, RouterAdvertisement
from pptpgw.networks.wire.ip import DHCPV6_CLIENT, DHCPV6_SERVER
from pptpgw.ppp.wire import ppp
from pptpgw.testing import MemoryDataPath, MemoryNetwork
from pptpgw.testing.memory import Frame
from tests.dialling import test_service
from tests.dialling.test_bridge import Device
from tests.dialling.test_ipv6 import Devices
from tests.dialling.test_service import NORTH, SOUTH, Sites
from tests.hostile.test_negotiation import bodies, codes, lengths
from tests.logged import loggedFailures, loggedLines

PROTOCOLS = [
    ppp.LCP,
    ppp.PAP,
    ppp.CHAP,
    ppp.EAP,
    ppp.CCP,
    ppp.IPCP,
    ppp.IPV6CP,
    ppp.BCP,
    ppp.IPV4,
    ppp.IPV6,
    ppp.BRIDGE,
    0xC123,
]
LINK = IPv6Address("fe80::1")
DIAL = """
networks = ["ipv4", "ipv6", "bridge"]
prefix-to = ["lan", "dmz"]
lease-address = true
retry-min = 4
retry-max = 20
"""
SAID = 20
"""
How many frames of the server may be repeated.
"""

Tamper = Callable[[Frame], "list[Frame]"]


class TamperingPath(MemoryDataPath):
    """
    A data path whose calls pass what they send to C{tamper}, which returns the frames to send.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(network)
        self.tamper: Tamper = lambda frame: [frame]

    def openChannel(self, call: Any, owner: Any, number: int = 0) -> Any:
        channel = super().openChannel(call, owner, number)

        def lose(frame: Frame) -> bool:
            for one in self.tamper(frame):
                self._network.carry(channel.ends, *one)
            return True

        channel.lose = lose
        return channel


def makeNetworks(world: Any) -> Any:
    """
    Make the networks of one gateway, with a LAN that no kernel knows.
    """
    made = super(type(world), world).makeNetworks()
    device: Any = Device()
    made["bridge"] = BridgeNetwork(BridgeSection(), world.environment, device)
    return made


class North(test_service.North):
    makeNetworks = makeNetworks

    def makeDataPath(self) -> MemoryDataPath:
        return TamperingPath(self.network)


class South(test_service.South):
    makeNetworks = makeNetworks

    def makeDataPath(self) -> MemoryDataPath:
        return TamperingPath(self._north.network)


class Dialled(Sites):
    """
    A gateway that dials a server.

    @ivar devices: its interfaces.
    """

    def __init__(self, folder: Path, more: str = DIAL, **options: Any) -> None:
        self.devices = Devices()
        both = '[network]\nprotocols = ["ipv4", "ipv6"]\n'
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(test_service, "North", North)
            patch.setattr(test_service, "South", South)
            super().__init__(folder, more, both=both, **options)

    def make(self, text: str) -> None:
        super().make(text)
        network: Any = self.south.networks["ipv6"]
        network._devices = self.devices

    @property
    def protocol(self) -> DialledIPV6CP | None:
        """
        Our end of IPv6, if it is open.
        """
        line = self.dial.line
        phase = None if line is None else line.link._network
        found = None if phase is None else phase._networks.get(ppp.IPV6CP)
        assert found is None or isinstance(found, DialledIPV6CP)
        return found if found is not None and found.host is not None else None

    def received(self, protocol: int, information: bytes) -> None:
        """
        Have a frame of the server come.
        """
        line = self.dial.line
        if line is not None:
            line.channel.received(protocol, information)  # type: ignore[attr-defined]

    def advertise(
        self, *prefixes: IPv6Network, dns: int = 0, valid: int = 3600, lifetime: int = 1800
    ) -> None:
        """
        Have a Router Advertisement come.

        @param dns: the number of name servers.
        """
        servers = tuple(LINK + number for number in range(dns))
        told = tuple(PrefixInformation(one, valid, valid) for one in prefixes)
        message = RouterAdvertisement(lifetime, told, dns=servers, dnsLifetime=60).message()
        self.received(ppp.IPV6, ipv6.encodeMessage(LINK, ipv6.ALL_NODES, message))

    def reply(
        self, kind: dhcpv6.DHCPv6MessageType, *values: IPv6Network | IPv6Address, valid: int = 3600
    ) -> None:
        """
        Have a DHCPv6 message come that fits what our client has asked.
        """
        protocol = self.protocol
        host = None if protocol is None else protocol.host
        if host is None or host.dhcp is None:
            return
        client = host.dhcp
        prefixes = [
            dhcpv6.Prefix(one, valid, valid) for one in values if isinstance(one, IPv6Network)
        ]
        addresses = [
            dhcpv6.Address(one, valid, valid) for one in values if isinstance(one, IPv6Address)
        ]
        message = dhcpv6.DHCPv6Message(
            kind,
            client._transaction,
            (
                dhcpv6option.ClientID(client._duid),
                dhcpv6option.ServerID(client._server or b"\0\3\0\1server"),
                dhcpv6option.RapidCommit(),
                dhcpv6option.NameServers(tuple(LINK + number for number in range(30))),
                dhcpv6.PrefixAssociation(1, tuple(prefixes)),
                dhcpv6.AddressAssociation(1, tuple(addresses)),
            ),
        )
        datagram = ipv6.Datagram(DHCPV6_SERVER, DHCPV6_CLIENT, message.encode())
        self.received(ppp.IPV6, ipv6.encodeDatagram(LINK, host.address, datagram))

    def assertSound(self) -> None:
        """
        Check what must hold whatever the server says.
        """
        gateway = self.south.gateway
        assert len(gateway.sessions) <= len(gateway.lines) <= 1
        assert len(self.devices.addresses) <= 2 * 4 and len(self.devices.unreachable) <= 4
        if self.protocol is None:
            assert not self.devices.addresses and not self.devices.unreachable
        line = self.dial.line
        if line is None or line.session is None:
            return
        channel: Any = line.channel
        if self.encryption == "require" and channel.networks:
            # While CCP is negotiated anew there are no keys, and then nothing passes.
            assert channel.required
        ipv4: Any = self.south.networks["ipv4"]
        ipv6Network: Any = self.south.networks["ipv6"]
        own = {str(one) for one in ipv4._gateway} | {SOUTH, NORTH}
        attachment = channel.networks.get(ppp.IPV4)
        if attachment is not None:
            address = attachment.localAddress
            assert isUnicast(IPv4Network(str(address))) and str(address) not in own
        networks = {str(one) for one in line.session.networks.get("ipv4", ())}
        assert not networks & {f"{one}/32" for one in own}
        attachment = channel.networks.get(ppp.IPV6)
        if attachment is not None:
            assert len(attachment.own) <= 2 * 4
            assert ipv6Network.local not in attachment.own


prefixes = st.sampled_from(
    [
        IPv6Network(one)
        for one in (
            "2001:db8:7::/48",
            "2001:db8:7:1::/64",
            "2000::/16",
            "fc00:0:1::/64",
            "fe80::/64",
            "ff02::/64",
            "::/64",
            "2001:db8:8::/128",
        )
    ]
)
addresses = st.sampled_from(
    [IPv6Address(one) for one in ("2001:db8::7", "fc00:0:1::1", "::1", "ff02::1", "fe80::7")]
)


class HostileServer(RuleBasedStateMachine):
    """
    A server that is dialled.
    """

    sites: Dialled

    @initialize(encryption=st.sampled_from(["require", "prefer", "off"]))
    def begin(self, encryption: str) -> None:
        # Hypothesis makes machines, too, that it doesn't run and doesn't tear down.
        self._folder = TemporaryDirectory()
        self._logging, self._lines = loggedFailures(), loggedLines()
        self.failures, self.lines = self._logging.__enter__(), self._lines.__enter__()
        self.sites = Dialled(Path(self._folder.name), encryption=encryption)
        offers = self.sites.north.gateway.offers
        offers.general = replace(offers.general, encryption="prefer")
        self.said: list[Frame] = []
        self.how: list[tuple[str, int, int]] = []
        self.path: Any = self.sites.north.dataPath
        self.path.tamper = self.tamper
        self.sites.start(0.005)

    def tamper(self, frame: Frame) -> list[Frame]:
        """
        Do with a frame of the honest gateway what was chosen for it.
        """
        self.said = [*self.said[1 - SAID :], frame]
        if not self.how:
            return [frame]
        what, place, octet = self.how.pop(0)
        if what == "lose":
            return []
        if what != "change":
            return [frame] * (1 + (what == "twice"))
        changed = bytearray(frame[1])
        if changed:
            changed[place % len(changed)] = octet
        return [(frame[0], bytes(changed))]

    @rule(
        how=st.lists(
            st.tuples(
                st.sampled_from(["keep", "lose", "twice", "change", "change"]),
                st.integers(0, 60),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def meddle(self, how: list[tuple[str, int, int]]) -> None:
        """
        Change, lose or repeat the next frames of the honest gateway.
        """
        self.how = how
        self.sites.run(0.02)

    @rule(
        protocol=st.sampled_from(PROTOCOLS),
        code=codes,
        identifier=st.integers(0, 255),
        body=bodies,
        length=lengths,
    )
    def packet(
        self, protocol: int, code: int, identifier: int, body: bytes, length: int | None
    ) -> None:
        """
        Say any packet of any protocol.
        """
        packet = ppp.encodePacket(code, identifier, body)
        if length is not None:
            packet = packet[:2] + length.to_bytes(2, "big") + packet[4:]
        self.sites.received(protocol, packet)
        self.sites.run(0.005)

    @rule(protocol=st.sampled_from(PROTOCOLS), octets=st.binary(max_size=16))
    def octets(self, protocol: int, octets: bytes) -> None:
        self.sites.received(protocol, octets)

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, SAID), times=st.integers(1, 5))
    def again(self, number: int, times: int) -> None:
        """
        Say an earlier frame once more, perhaps one of an earlier call.
        """
        for _ in range(times):
            self.sites.received(*self.said[number % len(self.said)])
            self.sites.run(0.003)

    @rule(
        told=st.lists(prefixes, max_size=6),
        dns=st.integers(0, 20),
        valid=st.sampled_from([0, 1, 3600, 0xFFFFFFFF]),
        lifetime=st.sampled_from([0, 1, 1800]),
    )
    def advertise(self, told: list[IPv6Network], dns: int, valid: int, lifetime: int) -> None:
        self.sites.advertise(*told, dns=dns, valid=valid, lifetime=lifetime)

    @rule(
        kind=st.sampled_from(list(dhcpv6.DHCPv6MessageType)),
        values=st.lists(st.one_of(prefixes, addresses), max_size=6),
        valid=st.sampled_from([0, 1, 20, 3600, 0xFFFFFFFF]),
    )
    def reply(self, kind: dhcpv6.DHCPv6MessageType, values: list[Any], valid: int) -> None:
        self.sites.reply(kind, *values, valid=valid)
        self.sites.run(0.003)

    @rule(how=st.sampled_from(["hang up", "cut"]))
    def end(self, how: str) -> None:
        """
        End the call.
        """
        if how == "cut" and self.sites.opened:
            self.sites.opened[-1].end("cut")
        for session in list(self.sites.north.gateway.sessions):
            session.hangUp("enough")
        self.sites.run(0.02)

    @rule()
    def downAndUp(self) -> None:
        """
        Have an operator end the call and ask for it.
        """
        self.sites.dial.redial.down("an operator")
        self.sites.run(0.01)
        self.sites.dial.redial.up()
        self.sites.run(0.01)

    @rule(seconds=st.sampled_from([0.005, 0.05, 3, 35]))
    def wait(self, seconds: float) -> None:
        self.sites.run(seconds, max(0.001, seconds / 100))

    @invariant()
    def isSound(self) -> None:
        if hasattr(self, "sites"):
            self.sites.assertSound()
            assert not self.failures, self.failures[0].getTraceback()

    def teardown(self) -> None:
        if not hasattr(self, "sites"):
            return
        try:
            self._recover()
        finally:
            self._lines.__exit__(None, None, None)
            self._logging.__exit__(None, None, None)
            self._folder.cleanup()

    def _recover(self) -> None:
        """
        Check that the server is used again once it is honest, and that nothing is left in the end.
        """
        sites = self.sites
        self.how.clear()
        sites.dial.redial.down("over")
        sites.run(60, 0.05)
        assert sites.state == "OFF"
        sites.dial.redial.up()
        sites.run(1, 0.002)
        if sites.state != "UP":
            # The honest gateway waits before it judges somebody who was wrong so often.
            sites.run(700, 0.05)
        assert sites.state == "UP", sites.dial.redial.cause
        sites.stop()
        assert not sites.devices.addresses and not sites.devices.unreachable
        assert not sites.south.networks["ipv6"]._used  # type: ignore[attr-defined]
        assert not self.failures, self.failures[0].getTraceback()
        assert all(len(line) < 1000 for line in self.lines)


TestHostileServer = HostileServer.TestCase
TestHostileServer.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


class Addresses:
    """
    A server that gives other addresses than those of the honest gateway behind it.
    """

    ours, peers = IPv4Address("10.77.0.10").packed, IPv4Address("10.77.0.1").packed

    def __init__(self, sites: Dialled, ours: str, peers: str) -> None:
        self.told = IPv4Address(ours).packed, IPv4Address(peers).packed
        north: Any = sites.north.dataPath
        south: Any = sites.south.dataPath
        north.tamper, south.tamper = self.fromServer, self.toServer

    def fromServer(self, frame: Frame) -> list[Frame]:
        if frame[0] != ppp.IPCP:
            return [frame]
        ours, peers = self.told
        if frame[1][0] == ppp.CONFIGURE_REQUEST:
            return [(frame[0], frame[1].replace(self.peers, peers))]
        return [(frame[0], frame[1].replace(self.ours, ours))]

    def toServer(self, frame: Frame) -> list[Frame]:
        if frame[0] != ppp.IPCP:
            return [frame]
        ours, peers = self.told
        if frame[1][0] == ppp.CONFIGURE_REQUEST:
            return [(frame[0], frame[1].replace(ours, self.ours))]
        return [(frame[0], frame[1].replace(peers, self.peers))]


IPV4_ALONE = "retry-min = 4\nretry-max = 20\n"
GIVEN = "10.99.0.7"


@pytest.mark.parametrize(
    ("ours", "peers", "why"),
    [
        ("0.1.2.3", "10.99.0.1", "which no host can have"),
        ("127.0.0.1", "10.99.0.1", "which no host can have"),
        ("224.0.0.5", "10.99.0.1", "which no host can have"),
        ("255.255.255.255", "10.99.0.1", "which no host can have"),
        (GIVEN, "127.0.0.1", "which no host can have"),
        (GIVEN, "224.0.0.5", "which no host can have"),
        ("10.78.0.1", "10.99.0.1", "is this gateway's own"),
        (SOUTH, "10.99.0.1", "is that of an end of the tunnel"),
        (NORTH, "10.99.0.1", "is that of an end of the tunnel"),
    ],
)
def test_addressesThatNobodyMayGive(tmp_path: Path, ours: str, peers: str, why: str) -> None:
    """
    There is no IPv4 with an address that can't be used, for either end.
    """
    sites = Dialled(tmp_path, IPV4_ALONE)
    Addresses(sites, ours, peers)
    sites.start(2)
    assert why in str(sites.dial.redial.cause)
    assert not sites.south.gateway.sessions
    sites.stop()


@pytest.mark.parametrize(
    ("peers", "isReached"),
    [
        ("10.99.0.1", True),
        # Many servers tell the address of their tunnels.
        (NORTH, False),
        (SOUTH, False),
        ("10.78.0.1", False),
        (GIVEN, False),
    ],
)
def test_theServersOwnAddress(tmp_path: Path, peers: str, isReached: bool) -> None:
    """
    The server's own address isn't routed into the tunnel if somebody else has it, or it is that to
    which the tunnel itself leads.
    """
    sites = Dialled(tmp_path, IPV4_ALONE)
    Addresses(sites, GIVEN, peers)
    sites.start(2)
    assert sites.state == "UP", sites.dial.redial.cause
    (session,) = sites.south.gateway.sessions
    networks = [str(one) for one in session.networks["ipv4"]]
    assert networks == [f"{peers}/32"] * isReached + ["10.1.0.0/16"]
    line: Any = sites.dial.line
    assert str(line.channel.networks[ppp.IPV4].localAddress) == GIVEN
    sites.stop()


@pytest.mark.parametrize("isRight", [True, False, None])
def test_theServersProof(tmp_path: Path, isRight: bool | None) -> None:
    """
    A server that lets us in, and doesn't prove that it knows our password, is left.
    """
    sites = Dialled(tmp_path, IPV4_ALONE)

    def tamper(frame: Frame) -> list[Frame]:
        protocol, packet = frame
        if isRight or protocol != ppp.CHAP or packet[0] != 3:
            return [frame]
        proof = b"S=" + b"0" * 40 if isRight is False else b""
        return [(protocol, ppp.encodePacket(3, packet[1], proof))]

    north: Any = sites.north.dataPath
    north.tamper = tamper
    sites.start(2)
    assert bool(sites.south.gateway.sessions) == bool(isRight)
    assert (sites.state == "UP") == bool(isRight)
    if not isRight:
        sites.run(120, 0.05)
        assert sites.dial.results.keys() == {DialResult.FAILED}
        assert not any(one.protocol == ppp.IPCP for one in sent(sites))
    sites.stop()


def sent(sites: Dialled) -> list[Any]:
    """
    Return what the gateway has sent in all attempts.
    """
    return [one for made in sites.south.gateway.attempts for one in made.frames if one.isSent]


def test_noEncryption(tmp_path: Path) -> None:
    """
    Nothing passes to a server that encrypts nothing where it must.
    """
    sites = Dialled(tmp_path, IPV4_ALONE)
    offers = sites.north.gateway.offers
    offers.general = replace(offers.general, encryption="off")
    sites.start(60)
    assert DialResult.OPENED not in sites.dial.results
    assert "encryption" in str(sites.dial.redial.cause)
    assert not any(one.protocol == ppp.IPCP and one.information[0] == 2 for one in sent(sites))
    sites.stop()


def test_hangingUpAtOnce(tmp_path: Path) -> None:
    """
    A server that hangs up as soon as a network is open is dialled ever more seldom, and fills no
    log.
    """
    sites = Dialled(tmp_path, "retry-min = 1\nretry-max = 300\n")

    def tamper(frame: Frame) -> list[Frame]:
        if sites.state == "UP":
            for session in list(sites.north.gateway.sessions):
                session.hangUp(f"word {len(sites.opened)}")
        return [frame]

    north: Any = sites.north.dataPath
    north.tamper = tamper
    with loggedLines() as lines:
        sites.start(1)
        sites.run(3600, 0.05)
    # Nine attempts until the longest time, of which half may be left out, and then one each time.
    assert 8 <= len(sites.opened) <= 9 + 2 * 3600 / 300
    assert sites.dial.results[DialResult.OPENED] >= 8
    assert len(lines) <= 12 * len(sites.opened)
    sites.stop()


def test_endlessRenegotiation(tmp_path: Path) -> None:
    """
    A server that negotiates IPCP again and again loses the call.
    """
    sites = Dialled(tmp_path, IPV4_ALONE)
    sites.start()
    assert sites.state == "UP"
    with loggedLines() as lines:
        for number in range(400):
            if len(sites.opened) > 1 or sites.dial.line is None:
                break
            option = ppp.encodeOptions([(3, IPv4Address("10.77.0.1").packed)])
            packet = ppp.encodePacket(ppp.CONFIGURE_REQUEST, number & 0xFF, option)
            sites.received(ppp.IPCP, packet)
            sites.run(0.1, 0.002)
    assert number < 399 and "more than 120 times" in str(sites.dial.redial.cause)
    assert len(lines) <= 5 * 120
    sites.stop()


IPV6_ALONE = """
networks = ["ipv6"]
prefix-to = ["lan"]
lease-address = true
retry-min = 4
"""


def test_hugeAdvertisements(tmp_path: Path) -> None:
    """
    Few of many prefixes, addresses and names are taken.
    """
    sites = Dialled(tmp_path, IPV6_ALONE)
    north: Any = sites.north.dataPath
    sites.start()
    protocol = sites.protocol
    assert protocol is not None
    north.tamper = lambda frame: []
    for number in range(40):
        many = [IPv6Network((0x20010DB8 << 96 | (number * 8 + one) << 64, 64)) for one in range(8)]
        sites.advertise(*many, dns=100)
        sites.reply(dhcpv6.DHCPv6MessageType.REPLY, *many, *(one[1] for one in many))
        sites.run(0.1, 0.01)
    sites.assertSound()
    assert len(protocol.dns) <= 2 * 8
    sites.stop()


def test_prefixesOfOthers(tmp_path: Path) -> None:
    """
    A prefix that the gateway or another call has isn't used; no address is made of one either.
    """
    sites = Dialled(tmp_path, IPV6_ALONE)
    text = sites.text.replace("tunnels = []", 'tunnels = ["pptp"]')
    sites.make(text + '[ipv6]\nprefixes = ["fc00:77::/48"]\ndelegate = ["fc00:78::/36"]\n')
    network: Any = sites.south.networks["ipv6"]
    others = IPv6Network("2001:db8:9::/48")
    network._used.add(others)
    north: Any = sites.north.dataPath
    north.tamper = lambda frame: [] if frame[0] == ppp.IPV6 else [frame]
    sites.start()
    protocol = sites.protocol
    assert protocol is not None and protocol.host is not None
    own, part = IPv6Network("fc00:77:0:5::/64"), IPv6Network("2001:db8:9:1::/64")
    good = IPv6Network("2001:db8:a::/56")
    sites.advertise(own, good.supernet(new_prefix=56))
    sites.advertise(own)
    with loggedLines() as lines:
        kind = dhcpv6.DHCPv6MessageType.REPLY
        sites.reply(kind, own, part, good, network.local)
    assert sites.devices.unreachable == {str(good)}
    assert not any(one in own for one in protocol.attachment().own)
    assert sum("in use already" in line for line in lines) == 2
    sites.stop()
    assert network._used == {others}


def test_prefixesThatChange(tmp_path: Path) -> None:
    """
    A server that delegates other prefixes all the time fills no log.
    """
    sites = Dialled(tmp_path, IPV6_ALONE)
    north: Any = sites.north.dataPath
    north.tamper = lambda frame: [] if frame[0] == ppp.IPV6 else [frame]
    sites.start()
    reply = dhcpv6.DHCPv6MessageType.REPLY
    with loggedLines() as lines:
        for number in range(60):
            prefix = IPv6Network((0x20010DB8 << 96 | number << 80, 48))
            sites.reply(reply, prefix, valid=20)
            assert sites.devices.unreachable == {str(prefix)}
            sites.run(21, 0.5)
            sites.assertSound()
    # Each could be logged once.
    assert LINES[1] <= len(lines) <= LINES[1] + LINES[0] * 60 * 21 + 1
    sites.stop()

"""
IPCP, the control protocol of IPv4 (RFC 1332), with name servers (RFC 1877).

The rules:

 - A server is an end that has an address for the peer. A peer that asks for another address, or for
   none, gets a Nak with that one; if it insists, the protocol is given up and the peer told why. A
   peer that doesn't ask has the address all the same. A peer may reject our own address.
 - A client is an end that has no address for the peer. It asks for 0.0.0.0 unless it has an
   address, takes the address that the server names, and gives up if it gets none.
 - Name servers that we have are given in a Nak; requests for name servers that we don't have are
   rejected.
 - IP-Compression-Protocol is Van Jacobson's alone (RFC 1332 section 4), where the settings permit
   it: a peer that asks for another one gets a Nak. Each direction is agreed on by itself, and may
   do without.
 - IP-Addresses (option 1, obsolete) is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any, ClassVar

from zope.interface import implementer

from pptpgw.error import Refused
from pptpgw.interfaces import Attachment, HeaderCompression, IAddressedProtocol, INamingProtocol
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.decode.text import hexed
from pptpgw.ppp.decode.words import OptionWords, Words, dotted, named
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.ppp import COMPRESSED_TCP
from pptpgw.sessions.remedy import Remedy

# Option types (RFC 1332 section 3, RFC 1877 section 1).
IP_COMPRESSION = 2
IP_ADDRESS = 3
PRIMARY_DNS = 129
PRIMARY_NBNS = 130
SECONDARY_DNS = 131
SECONDARY_NBNS = 132

SLOTS = 16
"""
How many connections' headers this end remembers, and uses of those that the peer remembers.
"""

_VJ = COMPRESSED_TCP.to_bytes(2, "big")


def _server(word: str) -> OptionWords:
    """
    Return the words for an option with a name server: C{ms-dns1 8.8.8.8}.
    """
    address = dotted(word)
    return lambda value: address(value[:4]) + hexed(value[4:]) if len(value) >= 4 else ""


WORDS = Words(
    "IPCP",
    {
        1: dotted("addrs", 2),
        IP_COMPRESSION: named("compress", {_VJ: "VJ", b"\x00\x37": "old-VJ"}, 2),
        IP_ADDRESS: dotted("addr"),
        PRIMARY_DNS: _server("ms-dns1"),
        PRIMARY_NBNS: _server("ms-wins"),
        SECONDARY_DNS: _server("ms-dns2"),
        SECONDARY_NBNS: _server("ms-wins"),
    },
)
"""
The words for IPCP's packets.
"""

_UNSPECIFIED = bytes(4)
# The network of the peer, for a client: whatever the gateway lets through.
_EVERYWHERE = IPv4Network("0.0.0.0/0")


Judge = Callable[[IPv4Address, IPv4Address | None], IPv4Address | None]
"""
A function that judges the addresses that a peer gives us and itself.
"""


@dataclass(frozen=True, slots=True)
class IPv4Settings:
    """
    The settings of IPCP on one link; addresses are dotted.

    @ivar localAddress: our address; 0.0.0.0 to ask the peer for one.
    @ivar peerAddress: the address that the peer gets; None if it may have any.
    @ivar addresses: other networks that the peer may send from and that lead to it.
    @ivar dns: at most two name servers for the peer.
    @ivar wins: at most two NetBIOS name servers for the peer.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    @ivar receive: see L{Attachment}.
    @ivar requestDNS: whether to ask the peer for name servers.
    @ivar yields: whether we take the address that the peer suggests instead of ours, even if
        C{peerAddress} is set.
    @ivar compressHeaders: whether TCP's headers may be compressed.
    @ivar judge: for a client: called with both addresses once they are agreed on, ours first, None
        for one that isn't told. It returns which of the peer's to lead to it, None for none, and
        raises L{pptpgw.error.Refused} if they can't be used. None takes everything.
    """

    localAddress: str = "0.0.0.0"
    peerAddress: str | None = None
    addresses: tuple[IPv4Network, ...] = ()
    dns: tuple[str, ...] = ()
    wins: tuple[str, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None
    requestDNS: bool = False
    yields: bool = False
    compressHeaders: bool = False
    judge: Judge | None = None

    @classmethod
    def client(cls, receive: Callable[[bytes], None], mtu: int = 1400) -> IPv4Settings:
        """
        Return the settings of a client, which takes the addresses and name servers that it is
        given.

        @param receive: called with each packet.
        """
        return cls(addresses=(_EVERYWHERE,), mtu=mtu, receive=receive, requestDNS=True)


@lru_cache(maxsize=1024)
def _packed(address: str) -> bytes:
    return IPv4Address(address).packed


@lru_cache(maxsize=1024)
def networkOf(address: str) -> IPv4Network:
    """
    Return the network that is the one address C{address}. The result is cached, so that all parts
    of the gateway share one object for it.
    """
    return IPv4Network(address)


def _dotted(octets: bytes) -> str:
    try:
        return str(IPv4Address(octets))
    except AddressValueError:
        return f"0x{octets.hex()}"


class _Address(Option["IPCP"]):
    """
    IP-Address (RFC 1332 section 3.3): the address of the end that sends it.
    """

    __slots__ = ()

    def wanted(self, owner: IPCP) -> bytes | None:
        return _packed(owner.settings.localAddress)

    def naked(self, owner: IPCP, current: bytes, suggested: bytes) -> bytes | None:
        given = len(suggested) == 4 and suggested != _UNSPECIFIED
        settings = owner.settings
        return suggested if given and (settings.yields or not settings.peerAddress) else current

    def rejected(self, owner: IPCP, current: bytes) -> None:
        if current == _UNSPECIFIED:
            raise GiveUp("the peer gives us no address")

    def judge(self, owner: IPCP, value: bytes) -> bytes | None:
        assigned = owner.settings.peerAddress
        if assigned is not None:
            return _packed(assigned)
        return value if len(value) == 4 and value != _UNSPECIFIED else None

    def missing(self, owner: IPCP) -> bytes | None:
        assigned = owner.settings.peerAddress
        return _packed(assigned) if assigned is not None else None

    def stalled(self, owner: IPCP, value: bytes) -> None:
        raise GiveUp(
            f"the peer insists on address {_dotted(value)}, it may have "
            f"{owner.settings.peerAddress}",
            Remedy.FIXED,
        )


class _NameServer(Option["IPCP"]):
    """
    One of the four options for name servers (RFC 1877 section 1).
    """

    __slots__ = ("_index", "_setting")

    def __init__(self, setting: str, index: int) -> None:
        self._setting = setting
        self._index = index

    def wanted(self, owner: IPCP) -> bytes | None:
        asked = owner.settings.requestDNS and self._setting == "dns"
        return _UNSPECIFIED if asked else None

    def naked(self, owner: IPCP, current: bytes, suggested: bytes) -> bytes | None:
        return suggested if len(suggested) == 4 else current

    def judge(self, owner: IPCP, value: bytes) -> bytes | None:
        servers: tuple[str, ...] = getattr(owner.settings, self._setting)
        return _packed(servers[self._index]) if self._index < len(servers) else None


class _Compression(Option["IPCP"]):
    """
    IP-Compression-Protocol (RFC 1332 section 4): how the headers are compressed that the end that
    sends it receives. Its value is the protocol, the highest slot and whether slots may be omitted.
    """

    __slots__ = ()

    _ours = bytes((*_VJ, SLOTS - 1, 1))

    def wanted(self, owner: IPCP) -> bytes | None:
        return self._ours if owner.settings.compressHeaders else None

    def naked(self, owner: IPCP, current: bytes, suggested: bytes) -> bytes | None:
        if not _isVJ(suggested):
            return None
        return bytes((*_VJ, min(suggested[2], SLOTS - 1), suggested[3]))

    def judge(self, owner: IPCP, value: bytes) -> bytes | None:
        if not owner.settings.compressHeaders:
            return None
        return value if _isVJ(value) else self._ours


def _isVJ(value: bytes) -> bool:
    """
    Return whether the value of an option is one of Van Jacobson's compression.
    """
    return len(value) == 4 and value.startswith(_VJ) and value[3] <= 1


@implementer(IAddressedProtocol, INamingProtocol)
class IPCP(NetworkProtocol):
    """
    IP's control protocol (RFC 1332, with name servers by RFC 1877) on one link.
    """

    __slots__ = ("settings",)

    name = "ipv4"
    control = ppp.IPCP
    protocol = ppp.IPV4
    kinds: ClassVar[Mapping[int, Option[Any]]] = {
        IP_COMPRESSION: _Compression(),
        IP_ADDRESS: _Address(),
        PRIMARY_DNS: _NameServer("dns", 0),
        PRIMARY_NBNS: _NameServer("wins", 0),
        SECONDARY_DNS: _NameServer("dns", 1),
        SECONDARY_NBNS: _NameServer("wins", 1),
    }

    def __init__(self, settings: IPv4Settings) -> None:
        super().__init__()
        self.settings = settings

    # The result of the negotiation, valid once Opened

    @property
    def localAddress(self) -> str:
        """
        Our address, dotted.
        """
        granted = self.negotiator.granted.get(IP_ADDRESS)
        return _dotted(granted) if granted is not None else self.settings.localAddress

    @property
    def peerAddress(self) -> str | None:
        """
        The peer's address, dotted; None if a server doesn't tell its own.
        """
        allowed = self.negotiator.allowed.get(IP_ADDRESS)
        return _dotted(allowed) if allowed is not None else self.settings.peerAddress

    search: ClassVar[tuple[str, ...]] = ()

    @property
    def dns(self) -> tuple[str, ...]:
        """
        The name servers that the peer gave us, dotted.
        """
        granted = self.negotiator.granted
        servers = (granted.get(PRIMARY_DNS), granted.get(SECONDARY_DNS))
        return tuple(_dotted(server) for server in servers if server and any(server))

    def agreed(self) -> None:
        """
        Give up if we have no address of our own, or the addresses can't be used.
        """
        if self.negotiator.granted.get(IP_ADDRESS) == _UNSPECIFIED:
            raise GiveUp("the peer gives us no address")
        try:
            self._judged()
        except Refused as refusal:
            raise GiveUp(str(refusal)) from refusal

    def attachment(self) -> Attachment:
        """
        Return the attachment: the peer's address and the networks behind it.
        """
        peer = self._judged()
        own = (networkOf(peer),) if peer is not None else ()
        judged = self.settings.judge is not None
        return Attachment(
            addresses=own + self.settings.addresses,
            mtu=min(self.settings.mtu, self.peerMRU),
            receive=self.settings.receive,
            localAddress=IPv4Address(self.localAddress) if judged else None,
            headers=self._headers(),
        )

    def _headers(self) -> HeaderCompression | None:
        """
        Return how TCP's headers are compressed; None if they aren't in either direction.
        """
        receive = self.negotiator.granted.get(IP_COMPRESSION)
        send = self.negotiator.allowed.get(IP_COMPRESSION)
        if receive is None and send is None:
            return None
        return HeaderCompression(
            min(send[2] + 1, SLOTS) if send is not None else 0,
            send is not None and send[3] == 1,
            receive[2] + 1 if receive is not None else 0,
        )

    def _judged(self) -> str | None:
        """
        Return the peer's address, dotted, if packets are to be led to it.
        """
        peer, judge = self.peerAddress, self.settings.judge
        if judge is None:
            return peer
        told = None if peer is None else IPv4Address(peer)
        led = judge(IPv4Address(self.localAddress), told)
        return None if led is None else str(led)

"""
Plugins for pptpgw: quotes as a network protocol, a session observer and an address pool.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pptpgw import interfaces
from pptpgw.config.kind import NAME, NoSettings, key
from pptpgw.error import ConfigurationError, Exhausted
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.option import Option
from pptpgw.sessions.observer import SessionObserver

# Options: the longest quote that the sender takes, and how many it wants for a question.
LONGEST, COUNT = 1, 2


class Number(Option["QuoteCP"]):
    def __init__(self, number: int, low: int, high: int) -> None:
        self.number, self.low, self.high = number, low, high

    def wanted(self, owner: "QuoteCP") -> bytes | None:
        return owner.wants.get(self.number)

    def naked(self, owner: "QuoteCP", current: bytes, suggested: bytes) -> bytes | None:
        return suggested

    def judge(self, owner: "QuoteCP", value: bytes) -> bytes | None:
        return bytes([min(max(self.low, int.from_bytes(value[:1])), self.high)])


class QuoteCP(NetworkProtocol):
    name = "quote"
    # Unassigned numbers whose octets are even and odd, as RFC 1661 section 2 demands.
    control, protocol = 0x80F1, 0x00F1
    kinds = {LONGEST: Number(LONGEST, 16, 255), COUNT: Number(COUNT, 1, 3)}

    def __init__(self, text: bytes, wants: Mapping[int, bytes] = {}, receive: Any = None) -> None:
        super().__init__()
        self.text, self.wants, self.receive = text, wants, receive or self.asked

    def attachment(self) -> interfaces.Attachment:
        return interfaces.Attachment(mtu=self.peerMRU, receive=self.receive)

    def asked(self, packet: bytes) -> None:
        allowed = self.negotiator.allowed
        for _ in range(allowed.get(COUNT, b"\x01")[0] if packet == b"?" else 0):
            self.sendPacket(self.text[: allowed.get(LONGEST, b"\xff")[0]])


@implementer(interfaces.INetwork)
@dataclass(frozen=True)
class Quote:
    text: str = key(NAME, "Festina lente.")

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def release(self, protocol: QuoteCP) -> None: ...

    def makeProtocol(self, subscriber: interfaces.ISubscriber, caller: Any) -> Deferred[Any]:
        return succeed(QuoteCP(self.text.encode()))


@implementer(interfaces.INetworkFactory)
class QuoteFactory:
    name = "quote"
    description = "Quotes for whoever asks (QUOTECP, a protocol of this package's own)"
    settings = Quote

    def makeNetwork(self, settings: Quote, environment: Any) -> Quote:
        return settings


@implementer(interfaces.ISessionObserverFactory)
@dataclass(frozen=True)
class Journal(SessionObserver):
    path: str = ""
    name = "journal"
    settings = NoSettings
    description = "A line for each event of a session, in the file of journal:PATH"

    def makeObserver(self, argument: str, settings: Any, environment: Any) -> "Journal":
        return Journal(argument)

    def sessionStarted(self, session: Any) -> None:
        self.write(session, "start")

    def protocolOpened(self, session: Any, protocol: Any) -> None:
        self.write(session, "opened", protocol.name)

    def protocolClosed(self, session: Any, protocol: Any) -> None:
        self.write(session, "closed", protocol.name)

    def sessionEnded(self, session: Any, cause: str) -> None:
        self.write(session, "end", cause)

    def write(self, session: Any, *event: str) -> None:
        with open(self.path, "a") as file:
            print(session.user, *event, file=file)


@implementer(interfaces.IAddressPool)
class StickyPool:
    def __init__(self, network: IPv4Network) -> None:
        self.networks, self.used = (network,), set[str]()
        self.hosts = [str(host) for host in network.hosts()]

    def allocate(self, subscriber: interfaces.ISubscriber, caller: Any) -> Deferred[str]:
        first = int.from_bytes(subscriber.name.encode()) % len(self.hosts)
        for host in self.hosts[first:] + self.hosts[:first]:
            if host not in self.used:
                self.used.add(host)
                return succeed(host)
        return fail(Exhausted("every address is in use"))

    def release(self, address: str) -> None:
        self.used.discard(address)


@implementer(interfaces.IAddressPoolFactory)
class StickyPoolFactory:
    name = "sticky"
    settings = NoSettings
    description = "The same address for a user each time, from the network of sticky:NETWORK"

    def makePool(self, argument: str, ranges: Any, settings: Any, environment: Any) -> StickyPool:
        try:
            return StickyPool(IPv4Network(argument))
        except ValueError as error:
            raise ConfigurationError(f'[ipv4] allocator = "sticky:{argument}": {error}') from error


network, observer, pool = QuoteFactory(), Journal(), StickyPoolFactory()

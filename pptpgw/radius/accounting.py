"""
Accounting (RFC 2866, with RFC 2869's 64-bit counters and interim updates, RFC 3162 and RFC 4818).

The rules:

 - Accounting-On comes first and Accounting-Off last (RFC 2866 section 5.1).
 - A session's Start is sent when its first network protocol opens: then it is served, and its
   addresses are known. A session that never gets there is nothing to be paid for, and has no Stop
   either.
 - These and the Stop go through the spool, so that they survive dead servers and a restart. They
   keep when they happened (Event-Timestamp); each time they are sent they say how long ago that is
   (Acct-Delay-Time).
 - Interim updates come at the interval of the account or, without one, of the configuration, more
   or less a tenth, and shortly after addresses or the profile have changed. One that nobody answers
   is not repeated, since the next one says more; none is sent before the Start is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from random import uniform
from secrets import token_hex
from struct import Struct, error
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pptpgw.cause import Termination, codeOf
from pptpgw.counters import Counters
from pptpgw.error import Malformed, PPTPGWError
from pptpgw.interfaces import INetworkProtocol
from pptpgw.ppp.network import cancelled
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import ACCOUNTING_REQUEST, LONGEST_VALUE, Reply, Request
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Fill
from pptpgw.session.observer import SessionObserver
from pptpgw.session.session import Session

START, STOP, INTERIM_UPDATE, ON, OFF = 1, 2, 3, 7, 8
"""
Acct-Status-Type (RFC 2866 section 5.1).
"""
SHORTEST_INTERVAL = 60.0
"""
Seconds between interim updates, at least (RFC 2869 section 2.1).
"""
SETTLING = 2.0
"""
Seconds in which changes of a session become one update.
"""
JITTER = 0.1
STOP_SECONDS = 5.0
"""
Seconds that the servers are given to answer when the gateway stops.
"""

UNANSWERED = "an interim accounting record was not answered"

Attributes = Sequence[tuple[str, bytes]]
"""
Names and values, as the octets that are sent.
"""
Ask = Callable[[int, Fill, float], Deferred[Reply]]
"""
L{pptpgw.radius.client.RADIUSClient.request}.
"""

Networks = Mapping[str, Sequence[IPv4Network | IPv6Network]]
"""
The networks of a session by the names of its network protocols.
"""

_TIME = Struct(">Q")
_LENGTHS = Struct(">BB")
_VIRTUAL, _FRAMED, _PPP = 5, 2, 1
# Untagged: RFC 2868 sections 3.1 and 3.2.
_PPTP = _IPV4 = b"\0\0\0\x01"


class Accounting(SessionObserver):
    """
    Tells accounting servers of sessions.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ask: Ask,
        makeSpool: Callable[[Callable[[bytes], Deferred[None]]], Spool],
        nas: NAS,
        interval: float,
        deadline: float,
        counters: Counters,
    ) -> None:
        """
        @param clock: its seconds are those since 1970.
        @param makeSpool: makes the spool of what sends a record.
        @param nas: what we are called.
        @param interval: seconds between interim updates; 0: none.
        @param deadline: seconds that a request may take.
        """
        self.clock = clock
        self.interval = interval
        self._ask = ask
        self._nas = nas
        self._deadline = deadline
        self._counters = counters
        self._accounts: dict[int, _Account] = {}
        self._spool = makeSpool(self._send)
        self._run = token_hex(8).encode()

    def open(self) -> None:
        """
        Take up what an earlier run left.

        @raise pptpgw.error.ConfigurationError: the spool can't be used.
        """
        self._spool.start()

    def start(self) -> None:
        """
        Say that we are here.
        """
        self._run = token_hex(8).encode()
        self.record(b"", self._general(ON))

    def stop(self) -> Deferred[None]:
        """
        Say that we are gone, after the sessions; fires when the servers have all of it, or the time
        for that is over.
        """
        for account in self._accounts.values():
            account.end()
        self._accounts.clear()
        off = (*self._general(OFF), ("Acct-Terminate-Cause", _integer(Termination.ADMIN_REBOOT)))
        self.record(b"", off)
        return self._spool.stop(STOP_SECONDS)

    def close(self) -> None:
        """
        Close the spool; harmless the second time.
        """
        self._spool.close()

    # ISessionObserver

    def protocolOpened(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        The session begins to be served, or has more addresses.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()
            return
        self._accounts[session.number] = account = _Account(self, session)
        self.record(session.identifier.encode(), self._describe(account, START))

    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        It has fewer addresses.
        """
        self.sessionChanged(session)

    def networksChanged(self, session: Session) -> None:
        """
        It has other prefixes.
        """
        self.sessionChanged(session)

    def sessionChanged(self, session: Session) -> None:
        """
        Another profile, with another interval perhaps.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()

    def sessionEnded(self, session: Session, cause: str) -> None:
        """
        The last of it.
        """
        account = self._accounts.pop(session.number, None)
        if account is None:
            return
        account.end()
        stop = (
            *self._describe(account, STOP),
            *self._figures(session),
            ("Acct-Terminate-Cause", _integer(codeOf(cause))),
        )
        self.record(session.identifier.encode(), stop)

    # For the class below

    def record(self, session: bytes, attributes: Attributes) -> None:
        """
        Have a record sent that must not be lost.
        """
        now = int(self.clock.seconds())
        self._spool.put(session, pack(now, (*attributes, ("Event-Timestamp", _integer(now)))))

    def update(self, account: _Account) -> Deferred[None] | None:
        """
        Send an interim update, unless its Start hasn't been answered.
        """
        session = account.session
        account.look()
        if self._spool.awaits(session.identifier.encode()):
            return None
        attributes = (
            *self._describe(account, INTERIM_UPDATE),
            *self._figures(session),
            ("Event-Timestamp", _integer(int(self.clock.seconds()))),
        )
        asked = self._ask(
            ACCOUNTING_REQUEST, lambda request: fill(request, attributes), self._deadline
        )
        return asked.addCallbacks(_answered, self._unanswered)

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(PPTPGWError)
        self._counters.discard(UNANSWERED)

    def _send(self, octets: bytes) -> Deferred[None]:
        """
        Send a record of the spool.
        """
        try:
            happened, attributes = unpack(octets)
        except Malformed:
            # Of another version of the program: nobody can take it.
            self._counters.discard("an accounting record of the spool is none")
            return succeed(None)

        def add(request: Request) -> None:
            fill(request, attributes)
            delay = max(0, int(self.clock.seconds()) - happened)
            request.add("Acct-Delay-Time", _integer(delay))

        return self._ask(ACCOUNTING_REQUEST, add, self._deadline).addCallback(_answered)

    def _general(self, status: int) -> Attributes:
        """
        What every record has.
        """
        return (
            ("Acct-Status-Type", _integer(status)),
            ("Acct-Session-Id", self._run),
            *self._identity(""),
        )

    def _identity(self, called: str) -> Attributes:
        """
        Who we are; where no address is ours by name, the one that was called.
        """
        addresses = [str(address) for address in self._nas.addresses] or [called]
        return (
            ("NAS-Identifier", self._nas.identifier),
            *(("NAS-IP-Address", IPv4Address(one).packed) for one in addresses[:1] if one),
        )

    def _describe(self, account: _Account, status: int) -> Attributes:
        """
        Whose session it is, and what it has or had.
        """
        session = account.session
        return (
            ("Acct-Status-Type", _integer(status)),
            ("Acct-Session-Id", session.identifier.encode()),
            ("User-Name", session.user.encode("utf-8", "surrogateescape")[:LONGEST_VALUE]),
            *self._identity(session.called),
            ("NAS-Port", _integer(session.number)),
            ("NAS-Port-Type", _integer(_VIRTUAL)),
            ("Service-Type", _integer(_FRAMED)),
            ("Framed-Protocol", _integer(_PPP)),
            ("Calling-Station-Id", session.caller.encode()),
            ("Tunnel-Type", _PPTP),
            ("Tunnel-Medium-Type", _IPV4),
            ("Called-Station-Id", session.called.encode()),
            ("Tunnel-Client-Endpoint", session.caller.encode()),
            ("Tunnel-Server-Endpoint", session.called.encode()),
            *_addresses(account.networks),
            *(("Class", one) for one in session.profile.accountingClass),
        )

    def _figures(self, session: Session) -> Attributes:
        """
        How much it carried; "input" came from the user (RFC 2866 section 5.3).
        """
        counters = session.counters
        return (
            ("Acct-Session-Time", _integer(int(self.clock.seconds() - session.since))),
            ("Acct-Input-Octets", _integer(counters.octetsReceived)),
            ("Acct-Input-Gigawords", _integer(counters.octetsReceived >> 32)),
            ("Acct-Output-Octets", _integer(counters.octetsSent)),
            ("Acct-Output-Gigawords", _integer(counters.octetsSent >> 32)),
            ("Acct-Input-Packets", _integer(counters.packetsReceived)),
            ("Acct-Output-Packets", _integer(counters.packetsSent)),
        )


class _Account:
    """
    A session that is served: when its next update is due.

    @ivar networks: those it has; of a protocol that has closed those it had, for the Stop.
    """

    __slots__ = ("_accounting", "_asked", "_timer", "networks", "session")

    _log = Logger()

    def __init__(self, accounting: Accounting, session: Session) -> None:
        self._accounting = accounting
        self._asked: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self.session = session
        self.networks = dict(session.networks)
        self._schedule()

    def look(self) -> None:
        """
        Remember what networks it has.
        """
        self.networks.update(self.session.networks)

    def changed(self) -> None:
        """
        Tell of it shortly.
        """
        self.look()
        self._set(SETTLING)

    def end(self) -> None:
        """
        Send nothing more.
        """
        self._timer = cancelled(self._timer)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    def _schedule(self) -> None:
        interval = self.session.profile.interim
        if interval is None:
            interval = self._accounting.interval
        self._timer = cancelled(self._timer)
        if interval:
            self._set(max(SHORTEST_INTERVAL, interval * uniform(1 - JITTER, 1 + JITTER)))

    def _set(self, seconds: float) -> None:
        self._timer = cancelled(self._timer)
        self._timer = self._accounting.clock.callLater(seconds, self._update)

    def _update(self) -> None:
        self._timer = None
        self._schedule()
        if self._asked is not None:
            # Nobody has answered the last one.
            return
        asked = self._accounting.update(self)
        if asked is not None:
            self._asked = asked
            asked.addErrback(self._failed)
            asked.addCallback(self._over)

    def _failed(self, failure: Failure) -> None:
        if self._asked is not None:
            self._log.failure("an interim accounting record failed", failure=failure)

    def _over(self, _: None) -> None:
        self._asked = None


def fill(request: Request, attributes: Attributes) -> None:
    """
    Put C{attributes} into a request.
    """
    for name, value in attributes:
        request.add(name, value)


def pack(happened: int, attributes: Attributes) -> bytes:
    """
    A record as the spool has it: independent of the server that it will be sent to.

    @param happened: when, in seconds since 1970.
    """
    parts = [_TIME.pack(happened)]
    for name, value in attributes:
        octets = name.encode()
        parts += (_LENGTHS.pack(len(octets), len(value)), octets, value)
    return b"".join(parts)


def unpack(octets: bytes) -> tuple[int, Attributes]:
    """
    What L{pack} made C{octets} of.

    @raise Malformed: nothing.
    """
    attributes = []
    try:
        (happened,) = _TIME.unpack_from(octets)
        place = _TIME.size
        while place < len(octets):
            name, value = _LENGTHS.unpack_from(octets, place)
            start = place + _LENGTHS.size
            place = start + name + value
            if place > len(octets):
                raise Malformed("an attribute of an accounting record isn't whole")
            attributes.append((octets[start : start + name].decode(), octets[start + name : place]))
    except (error, UnicodeDecodeError) as problem:
        raise Malformed(f"an accounting record: {problem}") from problem
    return happened, attributes


def _integer(value: int) -> bytes:
    """
    The lower 32 bits.
    """
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def _addresses(networks: Networks) -> Iterable[tuple[str, bytes]]:
    """
    Framed-IP-Address, Framed-IPv6-Prefix (RFC 3162) and Delegated-IPv6-Prefix (RFC 4818).
    """
    for network in networks.get("ipv4", ())[:1]:
        yield "Framed-IP-Address", network.network_address.packed
    name = "Framed-IPv6-Prefix"
    for network in networks.get("ipv6", ()):
        if isinstance(network, IPv6Network):
            yield name, prefix(network)
            name = "Delegated-IPv6-Prefix"


def prefix(network: IPv6Network) -> bytes:
    """
    As RFC 3162 section 2.3 has it.
    """
    octets = -(-network.prefixlen // 8)
    return bytes((0, network.prefixlen)) + network.network_address.packed[:octets]


def _answered(_: Any) -> None:
    """
    An Accounting-Response has nothing to say but that it came.
    """

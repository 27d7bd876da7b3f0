"""
The content of an accounting record (RFC 2866, with the 64-bit counters of RFC 2869, RFC 3162 and
RFC 4818), and its form in the spool.

The rules:

 - A record consists of attributes, independent of the server that it will be sent to.
 - "Input" is what came from the user (RFC 2866 section 5.3); octets have 64 bits in two attributes.
 - The first IPv4 network is the caller's address (Framed-IP-Address). The first IPv6 network is
   that of the link (Framed-IPv6-Prefix), the others are delegated (Delegated-IPv6-Prefix).
 - The tunnel that a call came by is described without a tag, and with a tag that by which it is
   passed on. Acct-Tunnel-Connection (RFC 2867) has no tag; it is of the latter, if there is one.
 - If no address of the gateway is configured, NAS-IP-Address is the one that was called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from struct import Struct, error

from pptpgw.counting.counters import LOST
from pptpgw.error import Malformed
from pptpgw.interfaces import Caller, ISession
from pptpgw.radius.nas import NAS, connectInfo, tunnelAttributes
from pptpgw.radius.packet import LONGEST_VALUE, Attributes, integer

START, STOP, INTERIM_UPDATE, ON, OFF = 1, 2, 3, 7, 8
"""
The values of Acct-Status-Type (RFC 2866 section 5.1).
"""

PASSED_TO = 1
"""
The tag of the attributes of the tunnel by which a call is passed on. Those of the tunnel that it
came by have none.
"""

Networks = Mapping[str, Sequence[IPv4Network | IPv6Network]]
"""
The networks of a session by the names of its network protocols.
"""

_TIME = Struct(">Q")
_LENGTHS = Struct(">BB")


def general(nas: NAS, run: bytes, status: int) -> Attributes:
    """
    Return the attributes of a record about the gateway itself.

    @param nas: the gateway's name and addresses.
    @param run: the identifier of this run of the gateway.
    @param status: L{ON} or L{OFF}.
    """
    return (
        ("Acct-Status-Type", integer(status)),
        ("Acct-Session-Id", run),
        *nas.identity(),
    )


def describe(nas: NAS, session: ISession, networks: Networks, status: int) -> Attributes:
    """
    Return the attributes that identify a session, and describe its call and addresses.

    @param nas: the gateway's name and addresses.
    @param networks: the networks that the session has or had.
    @param status: L{START}, L{STOP} or L{INTERIM_UPDATE}.
    """
    caller = Caller(
        session.caller,
        session.called,
        session.number,
        session.identifier,
        session.tunnel,
        session.stations,
        session.concentrator,
        session.ends,
    )
    passedTo = session.passedTo
    connection = session.ends.connection if passedTo is None else passedTo.connection
    return (
        ("Acct-Status-Type", integer(status)),
        ("User-Name", session.user.encode("utf-8", "surrogateescape")[:LONGEST_VALUE]),
        *nas.call(caller),
        *connectInfo(session.tunnel, session.encryption),
        *(tunnelAttributes(passedTo, PASSED_TO) if passedTo is not None else ()),
        *((("Acct-Tunnel-Connection", connection.encode()),) if connection else ()),
        *_addresses(networks),
        *(("Class", one) for one in session.profile.accountingClass),
    )


def figures(session: ISession) -> Attributes:
    """
    Return the counters of a session; "input" came from the user (RFC 2866 section 5.3). How many
    packets were lost (RFC 2867) is known only of tunnels that number them.
    """
    counters = session.counters
    lost = counters.discards.get(LOST)
    return (
        ("Acct-Session-Time", integer(int(session.duration))),
        ("Acct-Input-Octets", integer(counters.octetsReceived)),
        ("Acct-Input-Gigawords", integer(counters.octetsReceived >> 32)),
        ("Acct-Output-Octets", integer(counters.octetsSent)),
        ("Acct-Output-Gigawords", integer(counters.octetsSent >> 32)),
        ("Acct-Input-Packets", integer(counters.packetsReceived)),
        ("Acct-Output-Packets", integer(counters.packetsSent)),
        *((("Acct-Tunnel-Packets-Lost", integer(lost)),) if lost else ()),
    )


def pack(happened: int, attributes: Attributes) -> bytes:
    """
    Return a record in its form in the spool.

    @param happened: the time of the event, in seconds since 1970.
    """
    parts = [_TIME.pack(happened)]
    for name, value in attributes:
        octets = name.encode()
        parts += (_LENGTHS.pack(len(octets), len(value)), octets, value)
    return b"".join(parts)


def unpack(octets: bytes) -> tuple[int, Attributes]:
    """
    Return the time and the attributes that L{pack} was given.

    @raise Malformed: C{octets} aren't a record.
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


def _addresses(networks: Networks) -> Iterable[tuple[str, bytes]]:
    """
    Return the attributes Framed-IP-Address, Framed-IPv6-Prefix (RFC 3162) and Delegated-IPv6-Prefix
    (RFC 4818).
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
    Return an IPv6 prefix as the value of an attribute (RFC 3162 section 2.3).
    """
    octets = -(-network.prefixlen // 8)
    return bytes((0, network.prefixlen)) + network.network_address.packed[:octets]

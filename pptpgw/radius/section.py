"""
The section C{[radius]} of the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from pptpgw.config.kind import (
    ADDRESSES,
    BOOLEAN,
    FILE,
    LIVE,
    NEW,
    UDP_ADDRESS,
    key,
    orZero,
    restart,
    seconds,
    whole,
)
from pptpgw.config.table import tables
from pptpgw.radius.servers import IDENTIFIER, DynamicClient, Server

SERVERS = tables("radius.server", "describes a server", Server)
"""
A list of RADIUS servers.
"""

CLIENTS = tables("radius.client", "describes a client", DynamicClient, unique=True)
"""
A list of clients that may end and change sessions (RFC 5176).
"""


@dataclass(frozen=True, slots=True)
class RADIUSSection:
    """
    C{[radius]}: the servers that judge callers, and how they are asked.

    @ivar server: the servers; none: RADIUS can't be used.
    @ivar nasIdentifier: the NAS-Identifier that they are sent; empty: C{[link] name}.
    @ivar nasAddress: the NAS-IP-Address that they are sent; empty: the address that was called.
    @ivar timeout: seconds that a server has to answer before the next one is asked.
    @ivar deadline: seconds that a request for a caller may take, however many servers there are.
    @ivar deadTime: seconds that a dead server without C{status-server} is left alone.
    @ivar probeInterval: seconds between Status-Server packets to a dead server.
    @ivar accounting: whether accounting records are sent to the servers that take them.
    @ivar interim: seconds between interim updates, where an account says nothing; 0: none.
    @ivar spool: the folder that keeps records until a server has them; empty: they are kept in
        memory, and lost when the gateway stops.
    @ivar spoolSize: how large the spool may become, in MiB.
    @ivar dynamic: the address and UDP port of dynamic authorization; empty: none.
    @ivar client: who may send requests there.
    @ivar dynamicWindow: seconds by which the time in a request there may differ from ours.
    @ivar requireEventTimestamp: whether a request there without Event-Timestamp is discarded.
    """

    server: tuple[Server, ...] = key(SERVERS, (), LIVE)
    nasIdentifier: str = key(IDENTIFIER, "", LIVE)
    nasAddress: tuple[IPv4Address, ...] = key(ADDRESSES, (), LIVE)
    timeout: float = key(seconds(1, 60), 6.0, LIVE)
    deadline: float = key(seconds(2, 27), 25.0, LIVE)
    deadTime: float = key(seconds(1, 86400), 60.0, LIVE)
    probeInterval: float = key(seconds(1, 3600), 10.0, LIVE)
    accounting: bool = key(BOOLEAN, True, NEW)
    interim: float = key(orZero(seconds(60, 86400)), 600.0, LIVE)
    spool: str = key(FILE, "", restart("records wait in the old folder"))
    spoolSize: int = key(whole(1, 65536), 64, restart("the queue is opened with its size"))
    dynamic: str = key(UDP_ADDRESS, "", LIVE)
    client: tuple[DynamicClient, ...] = key(CLIENTS, (), LIVE)
    dynamicWindow: float = key(seconds(10, 3600), 300.0, LIVE)
    requireEventTimestamp: bool = key(BOOLEAN, True, LIVE)

"""
What the lines of a gateway share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Totals
from pptpgw.interfaces import IDataPath, INetwork
from pptpgw.ppp.exchange import Authenticate
from pptpgw.sessions.admission import Admission
from pptpgw.sessions.attempts import Attempts
from pptpgw.sessions.bundles import Bundles
from pptpgw.sessions.forwarding import Forwarding
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.networkprotocols import Returns
from pptpgw.sessions.places import Known
from pptpgw.sessions.refusal import Refusals
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.report import Reports
from pptpgw.sessions.seating import Seating
from pptpgw.sessions.seenclaims import SeenClaims
from pptpgw.sessions.tally import Tally


@dataclass(frozen=True, slots=True)
class LineContext:
    """
    What the lines of a gateway share.

    @ivar clock: measures durations.
    @ivar now: gives the time of day, in seconds since 1970.
    @ivar dataPath: carries the packets.
    @ivar networks: the networks that callers are offered, by the names of their protocols, in the
        order of negotiation.
    @ivar filters: make the gates that the packets of sessions pass.
    @ivar authenticate: judges claims.
    @ivar lockout: has claims judged, unless their user or source is locked out.
    @ivar bundles: the lines whose sessions may have more links.
    @ivar lines: counts the current lines and their seats.
    @ivar seating: decides which callers may have a session.
    @ivar known: the addresses from which somebody has logged in lately.
    @ivar sessions: the registry of sessions.
    @ivar forwarding: the ends to which calls are passed on.
    @ivar returns: the network protocols that networks are taking back.
    @ivar counters: the L{Totals} of packets, octets and discards.
    @ivar reports: reports calls and sessions to the log.
    @ivar refusals: reports callers that are turned away.
    @ivar attempts: what becomes of each call.
    @ivar tally: counts what becomes of callers.
    @ivar seenClaims: the claims that other ends have told of.
    """

    clock: IReactorTime
    now: Callable[[], float]
    dataPath: IDataPath
    networks: Mapping[str, INetwork]
    filters: Filters
    authenticate: Authenticate
    lockout: Lockout
    bundles: Bundles[Any]
    lines: Admission[Any]
    seating: Seating[Any]
    known: Known
    sessions: Registry
    forwarding: Forwarding
    returns: Returns
    counters: Totals
    reports: Reports
    refusals: Refusals
    attempts: Attempts
    tally: Tally
    seenClaims: SeenClaims

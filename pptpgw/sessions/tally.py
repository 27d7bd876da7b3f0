"""
What has become of callers since the gateway was made: plain figures, each counted where the event
happens. They name no user and no address.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum
from functools import partial

from pptpgw.counting.counters import Counters
from pptpgw.counting.distribution import Distribution
from pptpgw.error import Category
from pptpgw.sessions.cause import Termination, codeOf

SETUP_BOUNDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""
The bounds of the ranges in which set-up times are counted, in seconds.
"""


class CallResult(Enum):
    """
    What became of a call. The value is the word for programs.
    """

    OPENED = "opened"
    """
    A network protocol opened, so that the caller is served.
    """

    FAILED = "failed"
    """
    The call ended before a network protocol opened.
    """

    REFUSED = "refused"
    """
    The call wasn't taken.
    """


class Tally:
    """
    The figures. Those of tunnels are by the name of the tunnel.

    @ivar calls: the number of calls by their tunnel and their result. A call that is being set up
        isn't counted yet.
    @ivar refusals: the number of calls and claims that were refused, by their tunnel and the
        category of the reason.
    @ivar connections: the number of connections that weren't let in, by their tunnel and the key of
        C{[listen]} that forbids them.
    @ivar attacks: the number of calls that showed signs of an attack, by the kind of their tunnel.
    @ivar ends: the number of sessions that have ended, by the code of the cause.
    @ivar setups: the seconds from the request for a call to its first open network protocol, by
        tunnel.
    @ivar traffic: the packets and octets of the calls that are over, by tunnel.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, CallResult]] = Counter()
        self.refusals: Counter[tuple[str, Category]] = Counter()
        self.connections: Counter[tuple[str, str]] = Counter()
        self.attacks: Counter[str] = Counter()
        self.ends: Counter[Termination] = Counter()
        self.setups: defaultdict[str, Distribution] = defaultdict(
            partial(Distribution, SETUP_BOUNDS)
        )
        self.traffic: defaultdict[str, Counters] = defaultdict(Counters)

    def opened(self, tunnel: str, seconds: float) -> None:
        """
        Count a call whose first network protocol opened, C{seconds} after the call was requested.
        """
        self.calls[tunnel, CallResult.OPENED] += 1
        self.setups[tunnel].add(seconds)

    def failed(self, tunnel: str) -> None:
        """
        Count a call that ended before a network protocol opened.
        """
        self.calls[tunnel, CallResult.FAILED] += 1

    def refused(self, tunnel: str) -> None:
        """
        Count a call that wasn't taken.
        """
        self.calls[tunnel, CallResult.REFUSED] += 1

    def left(self, tunnel: str, counters: Counters) -> None:
        """
        Count what a call has carried that is over.
        """
        self.traffic[tunnel].addTraffic(counters)

    def setUp(self) -> Distribution:
        """
        Return the L{setups} of all tunnels together.
        """
        total = Distribution(SETUP_BOUNDS)
        for one in self.setups.values():
            total.merge(one)
        return total

    def ended(self, cause: str) -> None:
        """
        Count a session that ended for C{cause}.
        """
        self.ends[codeOf(cause)] += 1

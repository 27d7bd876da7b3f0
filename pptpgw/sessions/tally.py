"""
What has become of callers since the gateway was made: plain figures, each counted where the event
happens. They name no user and no address.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

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
    The figures.

    @ivar calls: the number of calls by the kind of their tunnel and their result. A call that is
        being set up isn't counted yet.
    @ivar refusals: the number of calls and claims that were refused, by the category of the reason.
    @ivar connections: the number of connections that weren't let in, by the key of C{[listen]}
        that forbids them.
    @ivar ends: the number of sessions that have ended, by the code of the cause.
    @ivar setups: the seconds from the request for a call to its first open network protocol.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, CallResult]] = Counter()
        self.refusals: Counter[Category] = Counter()
        self.connections: Counter[str] = Counter()
        self.ends: Counter[Termination] = Counter()
        self.setups = Distribution(SETUP_BOUNDS)

    def opened(self, tunnel: str, seconds: float) -> None:
        """
        Count a call whose first network protocol opened, C{seconds} after the call was requested.
        """
        self.calls[tunnel, CallResult.OPENED] += 1
        self.setups.add(seconds)

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

    def ended(self, cause: str) -> None:
        """
        Count a session that ended for C{cause}.
        """
        self.ends[codeOf(cause)] += 1

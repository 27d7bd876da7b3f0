"""
The times at which a request is retransmitted (RFC 5080 section 2.2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

INITIAL_SECONDS = 2.0
"""
IRT: the time to wait for an answer after the first transmission.
"""
MAXIMUM_SECONDS = 16.0
"""
MRT: the longest time to wait after any transmission.
"""
JITTER = 0.1
"""
RAND: the fraction by which each time may be longer or shorter.
"""


def waits(random: Random, seconds: float) -> Iterator[float]:
    """
    Return the seconds to wait after the first transmission, after the second and so on. Their sum
    is C{seconds}, the RFC's MRD.
    """
    wait = INITIAL_SECONDS * (1 + random.uniform(-JITTER, JITTER))
    while wait < seconds:
        yield wait
        seconds -= wait
        wait = 2 * wait + random.uniform(-JITTER, JITTER) * wait
        if wait > MAXIMUM_SECONDS:
            wait = MAXIMUM_SECONDS * (1 + random.uniform(-JITTER, JITTER))
    yield seconds

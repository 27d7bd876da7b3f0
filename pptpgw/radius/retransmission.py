"""
When a request is sent again (RFC 5080 section 2.2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

INITIAL_SECONDS = 2.0
"""
IRT: how long the first transmission is waited for.
"""
MAXIMUM_SECONDS = 16.0
"""
MRT: how long one is waited for at most.
"""
JITTER = 0.1
"""
RAND: the part by which a time is longer or shorter than it would be.
"""


def waits(random: Random, seconds: float) -> Iterator[float]:
    """
    Seconds to wait after the first transmission, after the second and so on; the sum of all is
    C{seconds}, MRD.
    """
    wait = INITIAL_SECONDS * (1 + random.uniform(-JITTER, JITTER))
    while wait < seconds:
        yield wait
        seconds -= wait
        wait = 2 * wait + random.uniform(-JITTER, JITTER) * wait
        if wait > MAXIMUM_SECONDS:
            wait = MAXIMUM_SECONDS * (1 + random.uniform(-JITTER, JITTER))
    yield seconds

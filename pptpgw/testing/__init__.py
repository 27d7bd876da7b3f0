"""
What the tests of a plugin need, without pytest: makers of the values that plugins are given, and a
gateway and its callers in one process, without a socket, on a clock of the test's.
"""

from __future__ import annotations

from pptpgw.testing.makers import CALLER, makeEnvironment, makeSession
from pptpgw.testing.memory import (
    DELAY,
    Frame,
    MemoryChannel,
    MemoryDataPath,
    MemoryNetwork,
    MemoryTransport,
    answering,
    joined,
)

__all__ = [
    "CALLER",
    "DELAY",
    "Frame",
    "MemoryChannel",
    "MemoryDataPath",
    "MemoryNetwork",
    "MemoryTransport",
    "answering",
    "joined",
    "makeEnvironment",
    "makeSession",
]

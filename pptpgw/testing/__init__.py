"""
What the tests of a plugin need, without pytest: makers of the values that plugins are given
(L{pptpgw.testing.makers}), links of network protocols (L{pptpgw.testing.link}), exchanges of
authentication protocols and EAP methods (L{pptpgw.testing.exchange}), and a gateway and its callers
in one process, without a socket, on a clock of the test's (L{pptpgw.testing.world},
L{pptpgw.testing.memory}).
"""

from __future__ import annotations

from pptpgw.testing.exchange import (
    PASSWORD,
    DrivenAuthenticator,
    DrivenEAP,
    ExchangePair,
    ExchangeRecorder,
    Judge,
    makeGrant,
)
from pptpgw.testing.link import DrivenLink, Options
from pptpgw.testing.makers import (
    ALICE,
    CALLER,
    makeClaim,
    makeEnvironment,
    makeProtocol,
    makeSession,
    resultOf,
)
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
from pptpgw.testing.world import World

__all__ = [
    "ALICE",
    "CALLER",
    "DELAY",
    "PASSWORD",
    "DrivenAuthenticator",
    "DrivenEAP",
    "DrivenLink",
    "ExchangePair",
    "ExchangeRecorder",
    "Frame",
    "Judge",
    "MemoryChannel",
    "MemoryDataPath",
    "MemoryNetwork",
    "MemoryTransport",
    "Options",
    "World",
    "answering",
    "joined",
    "makeClaim",
    "makeEnvironment",
    "makeGrant",
    "makeProtocol",
    "makeSession",
    "resultOf",
]

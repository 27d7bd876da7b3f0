"""
Tools for the tests of plugins and programs, which don't need pytest: makers of the values that
plugins are given (L{pptpgw.testing.makers}), links for network protocols (L{pptpgw.testing.link}),
exchanges for authentication protocols and EAP methods (L{pptpgw.testing.exchange}), a recorder of
the events of sessions (L{pptpgw.testing.recorder}), and a network
in memory for a gateway and its callers in one process, on a clock that the test advances
(L{pptpgw.testing.memory}, and L{pptpgw.testing.gre} for packets as they are outside of tests).
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
from pptpgw.testing.gre import GREWorld, MemoryGRE, MemoryTUN, MemoryWire
from pptpgw.testing.link import DrivenLink, Options
from pptpgw.testing.makers import (
    ALICE,
    CALLER,
    makeClaim,
    makeEnvironment,
    makeProtocol,
    makeSession,
    makeTunnelEnvironment,
    resultOf,
)
from pptpgw.testing.memory import (
    DELAY,
    Frame,
    MemoryChannel,
    MemoryDataPath,
    MemoryInterface,
    MemoryNetwork,
    MemoryTransport,
    answering,
    joined,
)
from pptpgw.testing.recorder import SessionRecorder
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
    "GREWorld",
    "Judge",
    "MemoryChannel",
    "MemoryDataPath",
    "MemoryGRE",
    "MemoryInterface",
    "MemoryNetwork",
    "MemoryTUN",
    "MemoryTransport",
    "MemoryWire",
    "Options",
    "SessionRecorder",
    "World",
    "answering",
    "joined",
    "makeClaim",
    "makeEnvironment",
    "makeGrant",
    "makeProtocol",
    "makeSession",
    "makeTunnelEnvironment",
    "resultOf",
]

"""
What the gateway gives its networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from pptpgw.counters import Counters
from pptpgw.interfaces import IKernelInterface, INetworkEnvironment


@implementer(INetworkEnvironment)
@dataclass(frozen=True, slots=True)
class Environment:
    """
    See L{INetworkEnvironment}.
    """

    reactor: Any
    mru: int
    interface: IKernelInterface | None
    counters: Counters

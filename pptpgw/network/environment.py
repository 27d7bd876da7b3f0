"""
What the gateway gives its networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from zope.interface import implementer

from pptpgw.counters import Counters
from pptpgw.interfaces import IKernelInterface, INetworkEnvironment
from pptpgw.session.gate import Filters


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
    filters: Filters = field(default_factory=Filters)
    addresses: tuple[IPv4Address, ...] = ()

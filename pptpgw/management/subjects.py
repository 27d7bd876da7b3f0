"""
The operations of all subjects of a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pptpgw.interfaces import IGatewayService
from pptpgw.management.accounts import ManagedAccounts
from pptpgw.management.attempts import AttemptList
from pptpgw.management.capture import Captures
from pptpgw.management.configuration import ConfigurationInForce
from pptpgw.management.credentials import InThread
from pptpgw.management.dials import Dials
from pptpgw.management.importing import Imports
from pptpgw.management.lockouts import Lockouts
from pptpgw.management.loglevel import LogLevels
from pptpgw.management.operation import Operation
from pptpgw.management.pools import Pools
from pptpgw.management.profiles import Profiles
from pptpgw.management.radius import RADIUS
from pptpgw.management.rates import Rates
from pptpgw.management.sessions import Sessions
from pptpgw.management.status import Overview
from pptpgw.management.steering import Steering
from pptpgw.management.trace import Trace
from pptpgw.management.usage import UsageSums
from pptpgw.management.users import Users


def operations(
    gateway: IGatewayService, rates: Rates, inThread: InThread, now: Callable[[], float]
) -> Iterator[Operation]:
    """
    Iterate over the operations on C{gateway}.

    @param rates: the rates of the current sessions.
    @param inThread: calls a function that takes long.
    @param now: gives the time of day, in seconds since 1970.
    """
    sessions, lockouts, accounts = (
        Sessions(gateway, rates),
        Lockouts(gateway, now),
        ManagedAccounts(gateway),
    )
    for subject in (
        Overview(gateway, now),
        sessions,
        Steering(gateway),
        Dials(gateway),
        lockouts,
        Users(gateway, accounts, sessions, lockouts, now),
        Imports(gateway, accounts, inThread),
        Profiles(accounts),
        UsageSums(gateway),
        Pools(gateway),
        RADIUS(gateway, now),
        ConfigurationInForce(gateway),
        LogLevels(),
        AttemptList(gateway, now),
        Trace(gateway.attempts),
        Captures(gateway, now),
    ):
        yield from subject.operations()

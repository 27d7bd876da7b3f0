"""
The parts of the management interface that say who may do what, joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool

from pptpgw.interfaces import IGatewayService
from pptpgw.management.access import Access
from pptpgw.management.console import ConsoleSessions
from pptpgw.management.credentials import InThread, OperatorChecker
from pptpgw.management.judging import Judge, Told
from pptpgw.management.login import Logins
from pptpgw.management.operation import Operation
from pptpgw.management.operators import Operators
from pptpgw.store.interface import IStore
from pptpgw.store.password import COST, Cost


class Operating:
    """
    Operators: who they are, and the operations by which they log in and are managed.

    @ivar access: says who makes a request.
    @ivar consoles: the sessions of the console, and the links that begin one.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Callable[[], IStore],
        hosts: Callable[[], Collection[str]],
        told: Told,
        inThread: InThread,
        now: Callable[[], float],
        cost: Cost = COST,
    ) -> None:
        """
        @param store: returns the store that has the operators. It raises
            L{pptpgw.error.PPTPGWError} if there is none.
        @param hosts: returns the names in C{[management] hosts}.
        @param told: called with logins, those that fail too, and lockouts.
        @param inThread: calls a function that hashes.
        @param now: gives the time of day, in seconds since 1970.
        @param cost: the cost of a comparison with an unknown operator's password.
        """
        self._judge = Judge(clock, OperatorChecker(store, inThread, cost), told)
        self.consoles = ConsoleSessions(clock)
        self.access = Access(self._judge, self.consoles, store, hosts)
        self._subjects = (
            Logins(self._judge, self.consoles, told),
            Operators(store, inThread, now),
        )

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        for one in self._subjects:
            yield from one.operations()

    def stop(self) -> None:
        """
        Leave no timer behind.
        """
        self._judge.stop()


class OperatorStore:
    """
    Finds the store that has the operators: the one at C{[accounts] store}.
    """

    def __init__(self, reactor: Any, gateway: IGatewayService) -> None:
        self._reactor = reactor
        self._gateway = gateway
        self._own: IStore | None = None

    def __call__(self) -> IStore:
        """
        Return the store: that of a checker, if it is the same one.

        @raise pptpgw.error.PPTPGWError: there is none.
        """
        accounts = self._gateway.configuration.accounts
        for one in self._gateway.stores:
            if getattr(one, "url", "") == accounts.store:
                return IStore(one)
        if self._own is None:
            # Imported here, so that a gateway without operators doesn't load SQL.
            from pptpgw.store.store import Store

            self._own = IStore(Store(self._reactor, accounts.store, accounts.key))
        return self._own

    def close(self) -> None:
        """
        Close the store, unless it is a checker's.
        """
        own, self._own = self._own, None
        if own is not None:
            own.close()


def inThreads(reactor: Any) -> InThread:
    """
    Return a function that calls functions in the threads of C{reactor}.
    """

    def inThread(function: Callable[..., Any], *arguments: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)

    return inThread

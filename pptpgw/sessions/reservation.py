"""
The reservation of addresses that accounts own, before the first caller comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IReserving
from pptpgw.log import Logger
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account
from pptpgw.timing.slices import inSlices


class Reservation(Service):
    """
    Reserves addresses when it starts, and when it is asked to.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        stores: Callable[[], Iterable[IStore]],
        networks: Iterable[object],
    ) -> None:
        """
        @param clock: for slices, since stores may have thousands of accounts.
        @param stores: returns the stores of the checkers. Addresses of other accounts are learned
            when their users call.
        @param networks: the networks; those that aren't L{IReserving} have no part in this.
        """
        Service.setName(self, "addresses of accounts")
        self._clock = clock
        self._stores = stores
        self._networks = [IReserving(one) for one in networks if IReserving.providedBy(one)]

    def startService(self) -> None:
        """
        Reserve the addresses for the first time.
        """
        Service.startService(self)
        self.reserve()

    def reserve(self) -> Deferred[Any]:
        """
        Reserve the addresses that the accounts of every store own.

        @return: a Deferred that fires when that is done or has failed; a failure is logged.
        """
        stores = self._stores() if self._networks else ()
        asked = [
            store.accounts().addCallbacks(
                lambda accounts: inSlices(self._clock, self._each(accounts)), self._failed
            )
            for store in stores
        ]
        return DeferredList(asked)

    def _each(self, accounts: Iterable[Account]) -> Iterator[None]:
        for account in accounts:
            yield
            try:
                addresses = account.profile.addresses
            except ConfigurationError as error:
                self._log.warn(
                    "{user!a} has a profile that can't be read: {error}",
                    user=account.name,
                    error=error,
                )
                continue
            for network in self._networks:
                network.reserve(account.name, addresses)

    def _failed(self, failure: Failure) -> None:
        self._log.warn(
            "no address is reserved for its account before that calls: {why}",
            why=failure.getErrorMessage(),
        )

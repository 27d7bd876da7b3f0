"""
What the operations of users and of profiles have in common: the stores of the accounts, and the
sessions that a change leaves alone, ends or changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorTime

from pptpgw.interfaces import IGatewayService, IReserving, ISession
from pptpgw.management.problem import Problem
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import folded
from pptpgw.store.attribute import present, profileOf
from pptpgw.store.error import Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account
from pptpgw.store.user import LONGEST_NAME, possible
from pptpgw.timing.slices import inSlices

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]

NO_STORE = {HTTPStatus.CONFLICT: "The gateway has no store of accounts, or it can't do this."}
"""
What the problems mean that L{ManagedAccounts} raises.
"""


class Now(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What becomes of the current sessions.

    @ivar now: whether the change applies to them too: they are ended, or have other attributes from
        now on. Otherwise they go on as they are.
    """

    now: bool = False


class Affected(Struct, frozen=True):
    """
    What a change did to the current sessions.

    @ivar sessions: how many sessions of the user, or of the users of the profile, go on as they
        were.
    @ivar ended: the identifiers of the sessions that were ended, and of calls that were being set
        up, which are their attempts'.
    @ivar changed: the identifiers of the sessions that have other attributes now.
    """

    sessions: int
    ended: list[str]
    changed: list[str]


class Found(NamedTuple):
    """
    An account, and the store that has it.
    """

    store: IStore
    account: Account


class ManagedAccounts:
    """
    The accounts in all stores of a gateway, and the sessions of their users.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway

    @property
    def stores(self) -> Sequence[IStore]:
        """
        The stores, in the order in which their checkers are asked.

        @raise Problem: there is none.
        """
        if not self._gateway.stores:
            raise Problem(
                HTTPStatus.CONFLICT,
                "the gateway has no store of accounts: [auth] checkers names no checker that has "
                "one, such as accounts",
            )
        return self._gateway.stores

    async def find(self, name: str) -> Found:
        """
        Find the account that the checkers find first.

        @raise Unknown: there is none.
        @raise Problem: there is no store.
        """
        for store in self.stores:
            account = await store.account(name)
            if account is not None:
                return Found(store, account)
        raise Unknown(f"there is no user {name}")

    def judge(self, name: str, attributes: Mapping[str, str | None]) -> None:
        """
        Check that a user or profile can have this name, and these attributes in this configuration.

        @raise pptpgw.error.ConfigurationError: the attributes can't be given to a session.
        @raise Problem: it can't have this name.
        """
        if not possible(name):
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"a name has 1 to {LONGEST_NAME} characters, none of them NUL",
            )
        self._gateway.judge(profileOf(name, present(attributes)))

    def reserve(self, name: str, profile: Profile | None) -> None:
        """
        Have networks reserve the addresses that the account of the user C{name} owns now.

        @param profile: the user's profile; None if the user was removed.
        """
        for network in self._gateway.networks.values():
            if IReserving.providedBy(network):
                IReserving(network).reserve(name, None if profile is None else profile.addresses)

    def sessionsOf(self, names: Collection[str]) -> list[ISession]:
        """
        Return the current sessions of these users.
        """
        return [one for one in self._gateway.sessions if one.user in names]

    def left(self, names: Collection[str]) -> Affected:
        """
        Leave the sessions of these users alone.
        """
        return Affected(len(self.sessionsOf(names)), [], [])

    def end(self, name: str, why: str, operator: str) -> Affected:
        """
        End the sessions of a user.

        @param why: why, in words.
        @param operator: who ends them.
        """
        cause = Cause(f"disconnected by {operator}: {why}", Termination.ADMIN_RESET)
        sessions, setups = self.sessionsOf({name}), endSetups(self._gateway, {name}, cause)
        for one in sessions:
            one.hangUp(cause)
        return Affected(0, [*(one.identifier for one in sessions), *setups], [])

    async def change(
        self,
        names: Collection[str],
        profile: Callable[[str], Profile],
        operator: str,
        clock: IReactorTime,
    ) -> Affected:
        """
        Give the sessions of these users other profiles, and end their calls that are being set up.

        @param profile: returns the profile of a user.
        @param operator: who changes them.
        @param clock: for slices, since a profile may have thousands of users.
        """
        cause = Cause(f"disconnected by {operator}: the account changed", Termination.ADMIN_RESET)
        setups = endSetups(self._gateway, names, cause)
        changed: list[str] = []

        def steps() -> Iterator[None]:
            for one in self.sessionsOf(names):
                if self._gateway.sessions.withIdentifier(one.identifier) is one:
                    one.change(profile(one.user))
                    changed.append(one.identifier)
                yield

        await inSlices(clock, steps())
        return Affected(0, setups, changed)


def endSetups(gateway: IGatewayService, names: Collection[str], cause: Cause) -> list[str]:
    """
    End the calls of users that are being set up, which have no session yet. An account may have
    changed after they were judged.

    @return: the identifiers of their attempts.
    """
    identities = {folded(one.encode("utf-8", "surrogateescape"), True) for one in names}
    setups = [
        line
        for line in gateway.lines
        if line.session is None
        and (line.attempt.user in names or line.attempt.identity in identities)
    ]
    for line in setups:
        line.hangUp(cause)
    return [line.attempt.identifier for line in setups]

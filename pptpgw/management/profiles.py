"""
The operations of profiles, the attributes that users share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from pptpgw.management.accounts import NO_STORE, Affected, ManagedAccounts, Name, Now
from pptpgw.management.attributes import NO_ATTRIBUTES, Attributes, judged, shownAttributes
from pptpgw.management.operation import NoQuery, Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page
from pptpgw.store.attribute import present
from pptpgw.store.error import Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account, SharedProfile
from pptpgw.timing.slices import inSlices


class ProfileView(Struct, frozen=True):
    """
    A profile.

    @ivar name: the name.
    @ivar attributes: its attributes.
    @ivar users: how many users share it.
    """

    name: str
    attributes: Attributes
    users: int


class ProfileFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which profiles are chosen.

    @ivar name: the name.
    """

    name: str | None = None


class NewProfile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A profile to be made.

    @ivar name: the name.
    @ivar attributes: its attributes.
    """

    name: Name
    attributes: Attributes = NO_ATTRIBUTES


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A change of a profile.

    @ivar attributes: its attributes.
    """

    attributes: Attributes


_COLUMNS: Columns[SharedProfile] = {
    "name": lambda one: one.name,
    "users": lambda one: one.users,
}


class Profiles:
    """
    Answers the requests for profiles.
    """

    def __init__(self, accounts: ManagedAccounts) -> None:
        self._accounts = accounts

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        path = "/profiles/{name}"
        yield Operation(
            "GET",
            "/profiles",
            "List profiles.",
            self._list,
            Page[ProfileView],
            query=ProfileFilter,
            paged=True,
            problems=NO_STORE,
        )
        yield Operation(
            "POST",
            "/profiles",
            "Make a profile.",
            self._make,
            ProfileView,
            body=NewProfile,
            role=OperatorRole.ADMIN,
        )
        yield Operation("GET", path, "Show a profile.", self._show, ProfileView, problems=NO_STORE)
        yield Operation(
            "PATCH",
            path,
            "Change the attributes of a profile.",
            self._change,
            Affected,
            query=Now,
            body=ProfileChange,
            role=OperatorRole.ADMIN,
        )
        yield Operation(
            "DELETE",
            path,
            "Remove a profile that no user shares.",
            self._remove,
            query=NoQuery,
            role=OperatorRole.ADMIN,
        )

    async def _list(self, request: OperationRequest) -> Page[ProfileView]:
        found: dict[str, SharedProfile] = {}
        for store in self._accounts.stores:
            for profile in await store.profiles():
                found.setdefault(profile.name, profile)
        return await page(found.values(), request, _COLUMNS, _view)

    async def _show(self, request: OperationRequest) -> ProfileView:
        return _view((await self._find(request.names["name"]))[1])

    async def _make(self, request: OperationRequest) -> ProfileView:
        body: NewProfile = request.body
        attributes = judged(body.attributes)
        self._accounts.judge(body.name, attributes)
        await self._accounts.stores[0].addProfile(body.name, present(attributes))
        return _view((await self._find(body.name))[1])

    async def _change(self, request: OperationRequest) -> Affected:
        name = request.names["name"]
        attributes = judged(request.body.attributes)
        self._accounts.judge(name, attributes)
        store, _ = await self._find(name)
        await store.changeProfile(name, attributes)
        sharing = {one.name: one for one in await store.accounts() if one.shared == name}
        if "address" in attributes:
            await inSlices(request.clock, self._reserve(sharing.values()))
        if not request.query.now:
            return self._accounts.left(sharing)
        return await self._accounts.change(
            sharing, lambda user: sharing[user].profile, request.operator.name, request.clock
        )

    def _reserve(self, accounts: Iterable[Account]) -> Iterator[None]:
        for one in accounts:
            self._accounts.reserve(one.name, one.profile)
            yield

    async def _remove(self, request: OperationRequest) -> None:
        name = request.names["name"]
        await (await self._find(name))[0].removeProfile(name)

    async def _find(self, name: str) -> tuple[IStore, SharedProfile]:
        """
        Find the profile C{name}, and the store that has it.

        @raise Unknown: there is none.
        """
        for store in self._accounts.stores:
            for profile in await store.profiles():
                if profile.name == name:
                    return store, profile
        raise Unknown(f"there is no profile {name}")


def _view(profile: SharedProfile) -> ProfileView:
    return ProfileView(profile.name, shownAttributes(profile.attributes), profile.users)

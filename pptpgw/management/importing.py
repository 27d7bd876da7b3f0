"""
The operation that takes users from a file of this or another program, or says what would become of
each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence
from heapq import nsmallest
from typing import Annotated, Literal

from msgspec import Meta, Struct

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IGatewayService
from pptpgw.management.accounts import ManagedAccounts
from pptpgw.management.attributes import NO_ATTRIBUTES, Attributes, shownAttributes
from pptpgw.management.credentials import InThread
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.store.interface import IStore
from pptpgw.store.record import Draft
from pptpgw.timing.slices import inSlices
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource
from pptpgw.userfiles.format import FORMATS, detect
from pptpgw.userfiles.intake import Intake, draftOf

LARGEST_FILE = 750_000
"""
The most octets of a file. In base64 they fit in the body of a request.
"""

LISTED = 1000
"""
The most users that an answer lists.
"""

AUTO = "auto"
"""
Stands for the format that the file seems to have.
"""

Outcome = Literal["added", "changed", "left out"]
FormatName = Literal["auto", "chap-secrets", "accel", "routeros", "freeradius", "json"]


class ImportMode(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Whether users are taken.

    @ivar dry_run: whether only to say what would become of each.
    """

    dry_run: bool = False


class ImportFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A file with users.

    @ivar content: its octets, in base64.
    @ivar format: the format; C{auto} looks at the lines of the file.
    @ivar server: the gateway's name in chap-secrets; empty for [link] name.
    @ivar update: change users that exist; otherwise they are left out.
    @ivar skip_errors: take the other users if some can't be taken; otherwise none is.
    @ivar recoverable: store the passwords themselves too, encrypted; CHAP (MD5) needs them.
    """

    content: Annotated[bytes, Meta(max_length=LARGEST_FILE)]
    format: FormatName = "auto"
    server: str = ""
    update: bool = False
    skip_errors: bool = False
    recoverable: bool = False


class ImportedUser(Struct, frozen=True, kw_only=True):
    """
    What becomes of a user of a file.

    @ivar line: the number of the line on which the user begins.
    @ivar name: the name; empty if the line can't be read so far.
    @ivar outcome: what becomes of the user.
    @ivar why: why the user is left out; empty for one who isn't.
    @ivar profile: the name of the profile that the user shares; empty for none.
    @ivar attributes: what the file says of the user.
    @ivar notes: what of the file's text can't be kept, or what was chosen.
    """

    line: int
    name: str
    outcome: Outcome
    why: str = ""
    profile: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    notes: Sequence[str] = ()


class ImportResult(Struct, frozen=True, kw_only=True):
    """
    What became of a file, or would.

    @ivar format: the format that it is taken as.
    @ivar done: whether users were taken.
    @ivar added: how many users of the file are new.
    @ivar changed: how many exist, and are changed.
    @ivar left_out: how many can't be taken.
    @ivar sessions: how many sessions of users that are changed go on as they were.
    @ivar users: what becomes of each, those first that are left out, then those with notes; 1,000
        at most.
    """

    format: str
    done: bool
    added: int
    changed: int
    left_out: int
    sessions: int
    users: Sequence[ImportedUser]


class Imports:
    """
    Answers the requests to take users from a file.
    """

    def __init__(
        self, gateway: IGatewayService, accounts: ManagedAccounts, inThread: InThread
    ) -> None:
        """
        @param inThread: calls a function that reads a file or hashes passwords.
        """
        self._gateway = gateway
        self._accounts = accounts
        self._inThread = inThread

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "POST",
            "/import",
            "Take users from a file, or say what would become of each.",
            self._import,
            ImportResult,
            query=ImportMode,
            body=ImportFile,
            role=OperatorRole.ADMIN,
        )

    async def _import(self, request: OperationRequest) -> ImportResult:
        body: ImportFile = request.body
        store, *others = self._accounts.stores
        server = body.server or self._gateway.configuration.link.name
        kind, found = await self._inThread(_read, body.content, body.format, server)
        existing = await self._names(store)
        elsewhere = {name for other in others for name in await self._names(other)}
        profiles = {one.name for one in await store.profiles()}
        intake = Intake(existing, profiles, self._gateway.judge, body.update)
        judged: list[Entry | EntryFault] = []
        entries: deque[Entry] = deque()
        changed: set[str] = set()

        def judge() -> Iterator[None]:
            for one in found:
                if one.name in elsewhere and one.name not in existing:
                    one = EntryFault(one.line, one.name, "another store has a user of this name")
                one = intake.judged(one)
                judged.append(one)
                if isinstance(one, Entry):
                    entries.append(one)
                    if one.name in existing:
                        changed.add(one.name)
                yield

        await inSlices(request.clock, judge())
        result = ImportResult(
            format=kind,
            done=not request.query.dry_run,
            added=len(entries) - len(changed),
            changed=len(changed),
            left_out=len(judged) - len(entries),
            sessions=self._accounts.left(changed).sessions,
            users=await self._inThread(_listed, judged, existing),
        )
        total = len(judged)
        # Only the entries remain, which are dropped one by one.
        found.clear()
        judged.clear()
        if result.done:
            if result.left_out and not body.skip_errors:
                raise ConfigurationError(
                    f"nothing is imported: {result.left_out} of {total} users can't be "
                    "taken. skip_errors takes the others"
                )
            await self._take(request, store, entries)
        counts = f"{result.added} added, {result.changed} changed, {result.left_out} left out"
        request.said.append(counts if result.done else f"would be: {counts}")
        return result

    async def _take(self, request: OperationRequest, store: IStore, entries: deque[Entry]) -> None:
        """
        Have C{store} take C{entries}, and networks reserve the addresses that they own.
        """
        vault = store.vault if request.body.recoverable else None
        taken: set[str] = set()

        def drafts() -> list[Draft]:
            made = []
            while entries:
                one = entries.popleft()
                taken.add(one.name)
                made.append(draftOf(one, vault))
            return made

        await store.takeAccounts(await self._inThread(drafts), request.body.update)
        accounts = await store.accounts()

        def reserve() -> Iterator[None]:
            while accounts:
                one = accounts.pop()
                if one.name in taken:
                    self._accounts.reserve(one.name, one.profile)
                yield

        await inSlices(request.clock, reserve())

    async def _names(self, store: IStore) -> set[str]:
        """
        Return the names of the users that C{store} has.
        """
        accounts = await store.accounts()

        def names() -> set[str]:
            taken = set()
            while accounts:
                taken.add(accounts.pop().name)
            return taken

        found: set[str] = await self._inThread(names)
        return found


def _read(content: bytes, format: str, server: str) -> tuple[str, list[Entry | EntryFault]]:
    """
    Return the name of the format of a file, and its users.
    """
    kind = detect(content) if format == AUTO else format
    return kind, list(FORMATS[kind].read(EntrySource(content, server)))


def _listed(judged: Sequence[Entry | EntryFault], existing: Container[str]) -> list[ImportedUser]:
    """
    Return what becomes of the first users of C{judged}, in the order of L{ImportResult.users}.
    """

    def rank(one: Entry | EntryFault) -> tuple[int, int]:
        return (0 if isinstance(one, EntryFault) else 1 if one.notes else 2, one.line)

    return [_shown(one, existing) for one in nsmallest(LISTED, judged, key=rank)]


def _shown(one: Entry | EntryFault, existing: Container[str]) -> ImportedUser:
    if isinstance(one, EntryFault):
        return ImportedUser(line=one.line, name=one.name, outcome="left out", why=one.why)
    return ImportedUser(
        line=one.line,
        name=one.name,
        outcome="changed" if one.name in existing else "added",
        profile=one.shared or "",
        attributes=shownAttributes(one.attributes),
        notes=one.notes,
    )

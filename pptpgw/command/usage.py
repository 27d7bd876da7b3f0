"""
The command C{pptpgw usage}, which shows the sessions of users and their sums.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from twisted.python import usage

from pptpgw.command.base import Command, moment, shown, table
from pptpgw.error import ConfigurationError
from pptpgw.store.interface import IStore
from pptpgw.store.record import SessionRecord
from pptpgw.store.record import Usage as Sum

_MOST = 100_000


class UsageCommand(Command):
    """
    C{pptpgw usage [USER]}: show the sums of each user's sessions, or with C{--sessions} the latest
    sessions.
    """

    synopsis = "[USER] [options]"
    longdesc = (
        "Show the sums of each user's sessions: those that have ended, and those that go on as "
        "last written. Octets are counted at the gateway: received from the user, and sent "
        "to the user."
    )
    optParameters: Sequence[Sequence[object]] = [
        [
            "since",
            None,
            None,
            "Only sessions that ended since a day, or go on: YYYY-MM-DD, or 30d.",
        ],
        ["sessions", None, None, "List this many sessions instead of sums, the latest first."],
    ]

    def parseArgs(self, *names: str) -> None:
        """
        Take the name of the user, if one is given.
        """
        if len(names) > 1:
            raise usage.UsageError(f"at most one USER, not {len(names)}")
        self.user = names[0] if names else None

    @property
    def url(self) -> str:
        """
        The URL of the store that the gateway writes sessions to.
        """
        url: str | None = self["store"]
        if url is None and self.configuration.audit.store:
            return self.configuration.audit.store
        return super().url

    @property
    def since(self) -> float:
        """
        The time from which sessions count, in seconds since the epoch.

        @raise ConfigurationError: C{--since} isn't a time.
        """
        text: str | None = self["since"]
        if text is None:
            return 0.0
        try:
            if re.fullmatch("[0-9]{1,5}d", text, re.ASCII):
                day = datetime.now(UTC) - timedelta(days=int(text[:-1]))
            else:
                day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return max(0.0, day.timestamp())
        except (OverflowError, ValueError) as error:
            raise ConfigurationError(
                f"--since {text}: must be a day YYYY-MM-DD, or so many days, as in 30d"
            ) from error

    @property
    def count(self) -> int:
        """
        The number of sessions to list; 0 to show sums instead.

        @raise ConfigurationError: C{--sessions} isn't a number.
        """
        text: str = self["sessions"] or "0"
        if not re.fullmatch("[0-9]{1,6}", text, re.ASCII) or int(text) > _MOST:
            raise ConfigurationError(f"--sessions {text}: must be a number up to {_MOST}")
        return int(text)

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        count, since = self.count, self.since
        if count:
            rows = list(_sessions(await store.sessions(self.user, count), since))
        else:
            rows = list(_sums(await store.usage(self.user, since)))
        print(table(rows) if len(rows) > 1 else "no sessions")


def _sums(sums: Iterable[Sum]) -> Iterator[tuple[str, ...]]:
    every = list(sums)
    yield "USER", "SESSIONS", "TIME", "RECEIVED", "SENT"
    for one in every:
        yield shown(one.user), *_figures(one)
    if len(every) > 1:
        total = Sum(
            "",
            sum(one.sessions for one in every),
            sum(one.seconds for one in every),
            sum(one.octetsReceived for one in every),
            sum(one.octetsSent for one in every),
        )
        yield "(all)", *_figures(total)


def _figures(one: Sum) -> tuple[str, ...]:
    sessions, received, sent = map(str, (one.sessions, one.octetsReceived, one.octetsSent))
    return sessions, _duration(one.seconds), received, sent


def _sessions(records: Iterable[SessionRecord], since: float) -> Iterator[tuple[str, ...]]:
    yield "BEGAN", "TIME", "USER", "CALLER", "ADDRESSES", "RECEIVED", "SENT", "CAUSE"
    for one in records:
        if one.ended is not None and one.ended < since:
            continue
        last = one.changed if one.ended is None else one.ended
        yield (
            moment(one.started),
            _duration(last - one.started),
            shown(one.user),
            one.caller,
            " ".join(one.addresses) or "-",
            str(one.octetsReceived),
            str(one.octetsSent),
            "goes on" if one.ended is None else f"{shown(one.cause)} ({one.code})",
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"

"""
The command C{pptpgw usage}, which shows the sessions of users and their sums.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time
from typing import Any

import click

from pptpgw.command.completion import userNames
from pptpgw.command.options import Accounts, listed, stored
from pptpgw.command.output import Column, Listing, duration, moment, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.quantity import seconds
from pptpgw.error import ConfigurationError
from pptpgw.store.record import SessionRecord, Usage
from pptpgw.timing.stamp import stamp

_MOST = 100_000


def _since(text: str | None) -> float:
    """
    Return the time from which sessions count, in seconds since the epoch.

    @raise ConfigurationError: C{--since} isn't a time.
    """
    if text is None:
        return 0.0
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            return max(0.0, datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        begin = time() - seconds(text)
        if begin < 0:
            raise ValueError("before 1970")
        return begin
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(
            f"--since {text}: must be a day YYYY-MM-DD, or a duration, as in 30d or 36h"
        ) from error


def _count(text: str | None) -> int:
    """
    Return the number of sessions to list; 0 to show sums instead.

    @raise ConfigurationError: C{--sessions} isn't a number.
    """
    text = text or "0"
    if not re.fullmatch("[0-9]{1,6}", text, re.ASCII) or int(text) > _MOST:
        raise ConfigurationError(f"--sessions {text}: must be a number up to {_MOST}")
    return int(text)


SUMS: tuple[Column[Usage], ...] = (
    Column("user", lambda one: one.user, lambda one: shown(one.user)),
    Column("sessions", lambda one: one.sessions, isNumber=True),
    Column(
        "seconds",
        lambda one: round(one.seconds),
        lambda one: duration(one.seconds),
        heading="time",
        isNumber=True,
    ),
    Column("octets_received", lambda one: one.octetsReceived, heading="received", isNumber=True),
    Column("octets_sent", lambda one: one.octetsSent, heading="sent", isNumber=True),
)
"""
The columns of C{pptpgw usage}.
"""


def _lasted(one: SessionRecord) -> float:
    return (one.changed if one.ended is None else one.ended) - one.started


def _cause(one: SessionRecord) -> str:
    return "goes on" if one.ended is None else f"{shown(one.cause)} ({one.code})"


SESSIONS: tuple[Column[SessionRecord], ...] = (
    Column("started", lambda one: stamp(one.started), lambda one: moment(one.started), "began"),
    Column(
        "seconds",
        lambda one: round(_lasted(one)),
        lambda one: duration(_lasted(one)),
        heading="time",
        isNumber=True,
    ),
    Column("user", lambda one: one.user),
    Column("caller", lambda one: one.caller),
    Column("addresses", lambda one: list(one.addresses)),
    Column("octets_received", lambda one: one.octetsReceived, heading="received", isNumber=True),
    Column("octets_sent", lambda one: one.octetsSent, heading="sent", isNumber=True),
    Column("cause", lambda one: one.cause or None, _cause),
    Column("code", lambda one: None if one.ended is None else one.code, usual=False),
    Column("ended", lambda one: stamp(one.ended), usual=False),
    Column("identifier", lambda one: one.identifier, usual=False),
    Column("gateway", lambda one: one.gateway, usual=False),
    Column("authentication", lambda one: one.authentication, usual=False),
    Column("encryption", lambda one: one.encryption, usual=False),
    Column("packets_received", lambda one: one.packetsReceived, usual=False, isNumber=True),
    Column("packets_sent", lambda one: one.packetsSent, usual=False, isNumber=True),
)
"""
The columns of C{pptpgw usage --sessions}.
"""


@command(
    "usage",
    "Show the sessions of users, and their sums.",
    "These are the sums of each user's sessions: those that have ended, and those that go on as "
    "last written. Octets are counted at the gateway: received from the user, and sent to the "
    "user.",
)
@one("USER", needed=False, complete=userNames)
@click.option(
    "--since",
    metavar="WHEN",
    help="Only sessions that ended since a day, or go on: YYYY-MM-DD, or 30d, 36h.",
)
@click.option(
    "--sessions",
    metavar="COUNT",
    help="List this many sessions instead of sums, the latest first.",
)
@listed(SUMS, instead={"sessions": SESSIONS})
@stored
async def usage(
    accounts: Accounts,
    listing: Listing[Any],
    user: str | None,
    since: str | None,
    sessions: str | None,
) -> None:
    """
    C{pptpgw usage [USER]}: show the sums of each user's sessions, or with C{--sessions} the latest
    sessions.
    """
    count, begin = _count(sessions), _since(since)
    with accounts.store(audit=True) as store:
        if count:
            records = await store.sessions(user, count)
        else:
            sums = await store.usage(user, begin)
    if count:
        listing.list(
            [one for one in records if one.ended is None or one.ended >= begin], "no sessions"
        )
    else:
        listing.list(sums, "no sessions", _total)


def _total(sums: Sequence[Usage]) -> Usage:
    return Usage(
        "(all)",
        sum(one.sessions for one in sums),
        sum(one.seconds for one in sums),
        sum(one.octetsReceived for one in sums),
        sum(one.octetsSent for one in sums),
    )

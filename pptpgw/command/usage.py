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
from pptpgw.command.parsing import command, one, refuse
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


BY_TUNNEL: tuple[Column[Any], ...] = (
    Column("tunnel", lambda one: one.tunnel or None, lambda one: one.tunnel or "unknown"),
    Column("user", lambda one: one.user, lambda one: shown(one.user)),
    Column("sessions", lambda one: one.sessions, isNumber=True),
    SUMS[2],
    Column("last_day", lambda one: one.day, heading="last"),
    *SUMS[3:],
)
"""
The columns of C{pptpgw usage --by tunnel}.
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
    Column("tunnel", lambda one: one.tunnel or None, lambda one: one.tunnel or "unknown"),
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
    "user. With --by tunnel each user has a row for each tunnel, with the last day (in UTC) on "
    "which it was used: so it shows who still uses which. The tunnel of sessions that an earlier "
    "version recorded is unknown.",
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
@click.option(
    "--by",
    type=click.Choice(["tunnel"]),
    help="Show a sum for each tunnel of a user.",
)
@listed(SUMS, instead={"sessions": SESSIONS, "by": BY_TUNNEL})
@stored
async def usage(
    accounts: Accounts,
    listing: Listing[Any],
    user: str | None,
    since: str | None,
    sessions: str | None,
    by: str | None,
) -> None:
    """
    C{pptpgw usage [USER]}: show the sums of each user's sessions, with C{--by tunnel} for each
    tunnel, or with C{--sessions} the latest sessions.
    """
    if sessions is not None and by is not None:
        refuse("--sessions lists single sessions, and --by sums: give one of them")
    count, begin = _count(sessions), _since(since)
    with accounts.store(audit=True) as store:
        if count:
            records = await store.sessions(user, count)
        elif by is not None:
            byTunnel = await store.usageByTunnel(user, begin)
        else:
            sums = await store.usage(user, begin)
    if count:
        listing.list(
            [one for one in records if one.ended is None or one.ended >= begin], "no sessions"
        )
    elif by is not None:
        listing.list(byTunnel, "no sessions")
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

"""
The tables of sessions and of their usage.

A record describes the whole session, so the order in which the records of a session arrive doesn't
matter: a record older than the stored one changes nothing, and neither does any record after the
session has ended. The usage of a session is added to the day of its end, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Any

from pptpgw.store.database import Transaction
from pptpgw.store.record import SessionRecord, TunnelUsage, Usage

# In the order of SessionRecord's attributes.
_COLUMNS = (
    "identifier, name, gateway, caller, started, changed, authentication, encryption, addresses, "
    "octets_received, octets_sent, packets_received, packets_sent, ended, cause, code, tunnel"
)
_NAMES = _COLUMNS.split(", ")
_PUT = (
    f"INSERT INTO sessions ({_COLUMNS}) VALUES ({', '.join('?' for _ in _NAMES)}) "
    "ON CONFLICT (identifier) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
    + " WHERE sessions.ended IS NULL "
    "AND (excluded.ended IS NOT NULL OR excluded.changed >= sessions.changed)"
)
_ADD = """
    INSERT INTO usage (name, day, tunnel, sessions, seconds, octets_received, octets_sent)
    VALUES (?, ?, ?, 1, ?, ?, ?)
    ON CONFLICT (name, day, tunnel) DO UPDATE SET
        sessions = usage.sessions + 1,
        seconds = usage.seconds + excluded.seconds,
        octets_received = usage.octets_received + excluded.octets_received,
        octets_sent = usage.octets_sent + excluded.octets_sent
"""
_ADDRESSES = 8


def put(transaction: Transaction, record: SessionRecord) -> None:
    """
    Store C{record}, unless a later one is stored. If it is the first one to end its session, add
    the session to its user's usage.
    """
    values = list(astuple(record))
    values[_ADDRESSES] = ",".join(record.addresses)
    if transaction.execute(_PUT, *values) and record.ended is not None:
        transaction.execute(
            _ADD,
            record.user,
            _day(record.ended),
            record.tunnel,
            max(0.0, record.ended - record.started),
            record.octetsReceived,
            record.octetsSent,
        )


def end(transaction: Transaction, gateway: str, cause: str, code: int) -> list[SessionRecord]:
    """
    End every open session of C{gateway} as of its last record, and return the records.
    """
    rows = transaction.rows(
        f"SELECT {_COLUMNS} FROM sessions WHERE gateway = ? AND ended IS NULL", gateway
    )
    records = [_ended(_record(row), cause, code) for row in rows]
    for record in records:
        put(transaction, record)
    return records


def latest(transaction: Transaction, user: str | None, limit: int) -> list[SessionRecord]:
    """
    Return the records of the latest sessions, of one user or of all, the latest first.
    """
    where = "" if user is None else "WHERE name = ?"
    named = () if user is None else (user,)
    rows = transaction.rows(
        f"SELECT {_COLUMNS} FROM sessions {where} ORDER BY started DESC, identifier DESC LIMIT ?",
        *named,
        limit,
    )
    return [_record(row) for row in rows]


def forget(transaction: Transaction, before: float) -> int:
    """
    Remove the sessions that ended before C{before}, and return how many there were.
    """
    return transaction.execute("DELETE FROM sessions WHERE ended < ?", before)


def usage(transaction: Transaction, user: str | None, since: float) -> list[Usage]:
    """
    Return the sums of the sessions since C{since}, of each user or of one, ordered by name.
    """
    rows = _sums(transaction, user, since, "name")
    return [
        Usage(name, int(sessions), float(seconds), int(received), int(sent))
        for name, sessions, seconds, received, sent, *_ in rows
    ]


def usageByTunnel(transaction: Transaction, user: str | None, since: float) -> list[TunnelUsage]:
    """
    Return the sums of the sessions since C{since} by each tunnel, of each user or of one, ordered
    by tunnel and name.
    """
    rows = _sums(transaction, user, since, "tunnel, name")
    return [
        TunnelUsage(
            name,
            int(sessions),
            float(seconds),
            int(received),
            int(sent),
            tunnel,
            max(day, _day(changed) if changed else ""),
        )
        for name, sessions, seconds, received, sent, tunnel, day, changed in rows
    ]


def _sums(
    transaction: Transaction, user: str | None, since: float, grouped: str
) -> list[tuple[Any, ...]]:
    """
    Return a row for each group of sessions: name, sums, tunnel, the last day of a session that
    ended, and the last time at which one that goes on was written.

    @param grouped: the columns by which sessions are grouped, and rows ordered.
    """
    named = "" if user is None else "AND name = ?"
    return transaction.rows(
        f"""
        SELECT name, SUM(sessions), SUM(seconds), SUM(octets_received), SUM(octets_sent),
            MAX(tunnel), MAX(day), MAX(changed)
        FROM (
            SELECT name, sessions, seconds, octets_received, octets_sent, tunnel, day,
                CAST(0 AS DOUBLE PRECISION) AS changed
            FROM usage WHERE day >= ? {named}
            UNION ALL
            SELECT name, 1, changed - started, octets_received, octets_sent, tunnel, '', changed
            FROM sessions WHERE ended IS NULL {named}
        ) AS parts
        GROUP BY {grouped} ORDER BY {grouped}
        """,
        _day(since),
        *(() if user is None else (user, user)),
    )


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def _record(row: Sequence[object]) -> SessionRecord:
    values: list[Any] = list(row)
    values[_ADDRESSES] = tuple(filter(None, values[_ADDRESSES].split(",")))
    return SessionRecord(*values)


def _ended(record: SessionRecord, cause: str, code: int) -> SessionRecord:
    return replace(record, ended=record.changed, cause=cause, code=code)

"""
The commands of accel-ppp for those who know it, or have scripts that use it: C{pptpgw show
sessions} and C{terminate}, and the table of C{pptpgw sessions --format accel}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import click

from pptpgw.command.options import said
from pptpgw.command.output import Column, Listing, Output, counted, duration, find, shown
from pptpgw.command.parsing import Group, command, refuse
from pptpgw.command.reach import connected
from pptpgw.command.remote import NotDone, RunningGateway, Session

show = Group(
    "show",
    "accel-ppp's listing of sessions.",
    {
        "sessions": (
            "pptpgw.command.accel:sessions",
            "List the sessions of the running gateway in accel-ppp's way.",
        )
    },
)
"""
C{pptpgw show}: the group of accel-ppp's listings.
"""


def _column(
    name: str,
    value: Callable[[Session], Any],
    cell: Callable[[Session], str] | None = None,
    usual: bool = False,
) -> Column[Session]:
    def text(one: Session) -> str:
        found = value(one)
        return "" if found is None else shown(str(found))

    return Column(name, value, text if cell is None else cell, usual=usual)


def _nothing(one: Session) -> None:
    """
    Return the value of a column that no session of this gateway has.
    """


def _nth(name: str, number: int) -> Callable[[Session], Any]:
    def value(one: Session) -> str | None:
        networks: Sequence[str] = one["networks"].get(name, ())
        return networks[number] if len(networks) > number else None

    return value


def _rates(one: Session) -> str | None:
    down, up = one["limits"]["send_rate"], one["limits"]["receive_rate"]
    return f"{(down or 0) // 1000}/{(up or 0) // 1000}" if down or up else None


def _compression(one: Session) -> str | None:
    return "mppe" if one["encryption"].startswith("MPPE") else None


def _uptime(one: Session) -> str:
    days, seconds = divmod(int(one["uptime_seconds"]), 86400)
    return f"{days}." * bool(days) + f"{duration(seconds):0>8}"


def _octets(name: str) -> Callable[[Session], str]:
    def cell(one: Session) -> str:
        scaled, units = float(one[name]), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        while scaled >= 1024 and len(units) > 1:
            scaled /= 1024
            units.pop(0)
        return f"{scaled:.0f} B" if units[0] == "B" else f"{scaled:.1f} {units[0]}"

    return cell


def _field(name: str) -> Callable[[Session], Any]:
    return lambda one: one[name]


COLUMNS: tuple[Column[Session], ...] = (
    _column("netns", _nothing),
    _column("vrf", _nothing),
    _column("ifname", lambda one: one["interface"] or f"ppp{one['number']}", usual=True),
    _column("username", _field("user"), usual=True),
    _column("calling-sid", lambda one: one["calling_station"] or one["caller"], usual=True),
    _column("ip", _nth("ipv4", 0), usual=True),
    _column("rate-limit", _rates, usual=True),
    _column("type", _field("tunnel"), usual=True),
    _column("comp", _compression, usual=True),
    _column("state", lambda one: "active", usual=True),
    _column("uptime", lambda one: int(one["uptime_seconds"]), _uptime, usual=True),
    _column("uptime-raw", lambda one: int(one["uptime_seconds"])),
    _column("ip6", _nth("ipv6", 0)),
    _column("ip6-dp", _nth("ipv6", 1)),
    _column("called-sid", lambda one: one["called_station"] or one["called"]),
    _column("sid", _field("session_id")),
    _column("service-name", _nothing),
    _column("inbound-if", _nothing),
    _column("rx-bytes", _field("octets_received"), _octets("octets_received")),
    _column("tx-bytes", _field("octets_sent"), _octets("octets_sent")),
    _column("rx-bytes-raw", _field("octets_received")),
    _column("tx-bytes-raw", _field("octets_sent")),
    _column("rx-pkts", _field("packets_received")),
    _column("tx-pkts", _field("packets_sent")),
)
"""
The columns of accel-ppp. Those that have no meaning here are empty.
"""


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Return a table as accel-ppp prints it: headings in the middle of their columns, cells at the
    left, and a line between them.
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [
        # Of an odd number of spaces the greater part is on the right.
        [" " * ((width - len(one)) // 2) + one for one, width in zip(titles, widths, strict=True)],
        *rows,
    ]
    head, *others = (
        "|".join(f" {cell:{width}} " for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join([head, "+".join("-" * (width + 2) for width in widths), *others])


def printTable(listing: Listing[Session], found: Sequence[Session]) -> None:
    """
    Print the sessions of C{found} that C{listing} selects in accel-ppp's table; with C{--json} as
    every listing.
    """
    if listing.asJSON:
        listing.list(found, "")
        return
    columns = listing.columns
    cells = [[column.text(one) for column in columns] for one in listing.select(found)]
    print(table([one.name for one in columns], cells))


@command(
    "sessions",
    "List the sessions of the running gateway in accel-ppp's way.",
    "WORDS are [COLUMNS] [order COLUMN] [match COLUMN REGEX], as those of accel-cmd show sessions. "
    f"The columns are {', '.join(one.name for one in COLUMNS)}. netns, vrf, service-name and "
    "inbound-if are empty. ifname is the interface of the session or, if it has none for "
    "itself, ppp and its number, RADIUS's NAS-Port. pptpgw sessions has more.",
)
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@said
@connected
async def sessions(gateway: RunningGateway, output: Output, words: Sequence[str]) -> None:
    """
    C{pptpgw show sessions}: list the sessions in accel-ppp's way.

    @raise click.UsageError: C{words} aren't those of accel-cmd, or name no column.
    """
    rest = list(words)
    chosen = rest.pop(0) if rest and rest[0] not in ("order", "match") else None
    order, matches = None, []
    while rest:
        if rest[0] == "order" and len(rest) > 1:
            _, order = rest[:2]
            del rest[:2]
        elif rest[0] == "match" and len(rest) > 2:
            matches.append(f"{rest[1]}={rest[2]}")
            del rest[:3]
        else:
            refuse("WORDS are [COLUMNS] [order COLUMN] [match COLUMN REGEX]")
    listing = Listing(COLUMNS, output.asJSON, chosen, order, matches)
    printTable(listing, await gateway.list("/sessions"))


_KEYS = {"username": "username", "ip": "ip", "sid": "sid", "csid": "calling-sid", "if": "ifname"}
"""
The column in which each word of C{terminate} looks.
"""

_USAGE = "username NAME|ip ADDRESS|sid ID|csid ADDRESS|if NAME|match COLUMN REGEX|all [soft|hard]"


@command(
    "terminate",
    "End sessions in accel-ppp's way.",
    f"WORDS are {_USAGE}. Both soft and hard let the protocols say goodbye, for a second at most. "
    "if takes the ifname of pptpgw show sessions, such as ppp7. pptpgw disconnect has more.",
)
@click.argument("words", nargs=-1, metavar="WORDS...")
@said
@connected
async def terminate(gateway: RunningGateway, output: Output, words: Sequence[str]) -> None:
    """
    C{pptpgw terminate}: end sessions in accel-ppp's way. That there is none to end is no error.

    @raise click.UsageError: C{words} choose no sessions.
    """
    chooses = _choice(words)
    ended: list[str] = []
    for one in filter(chooses, await gateway.list("/sessions")):
        ended += await _end(gateway, one["session_id"])
    words = f"{counted(len(ended), 'session is', 'sessions are')} ended."
    output.say("\n".join([words, *ended]), session_ids=ended)


def _choice(words: Sequence[str]) -> Callable[[Session], bool]:
    """
    Return what chooses the sessions that C{words} name.

    @raise click.UsageError: they are wrong.
    """
    chooses: Callable[[Session], bool]
    match words:
        case ["all", *how]:
            chooses = _always
        case ["match", name, pattern, *how]:
            chooses = _matching(find(COLUMNS, name), pattern)
        case [key, value, *how] if key in _KEYS:
            chooses = _equal(find(COLUMNS, _KEYS[key]), value)
        case _:
            refuse(f"WORDS are {_USAGE}")
    if how not in ([], ["soft"], ["hard"]):
        refuse(f"WORDS are {_USAGE}")
    return chooses


def _always(one: Session) -> bool:
    return True


def _equal(column: Column[Session], value: str) -> Callable[[Session], bool]:
    return lambda one: column.value(one) == value


def _matching(column: Column[Session], pattern: str) -> Callable[[Session], bool]:
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise click.UsageError(f"match {column.name} {pattern}: {error}") from error
    return lambda one: search(column.text(one)) is not None


async def _end(gateway: RunningGateway, identifier: str) -> list[str]:
    """
    End a session, and return its identifier, unless it has ended by itself meanwhile.
    """
    try:
        answer = await gateway.ask("DELETE", f"/sessions/{identifier}")
    except NotDone as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return []
    found: list[str] = answer["session_ids"]
    return found

"""
The commands on the sessions of a running gateway: C{pptpgw sessions}, C{session} and C{disconnect}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

import click

from pptpgw.command.accel import COLUMNS as accelColumns
from pptpgw.command.accel import printTable
from pptpgw.command.options import listed, said
from pptpgw.command.output import Column, Listing, Output, counted, duration, moment, shown
from pptpgw.command.parsing import Function, Group, command, one, optioned, refuse
from pptpgw.command.quantity import DURATION, RATE, SIZE, octets, rate, seconds
from pptpgw.command.reach import connected
from pptpgw.command.remote import NotDone, RunningGateway, Session, dated, quoted
from pptpgw.error import ConfigurationError
from pptpgw.timing.stamp import stamp

_HERE = "pptpgw.command.sessions"

group = Group(
    "session",
    "One session: show, set.",
    {
        "show": (f"{_HERE}:show", "Show all that is known of a session."),
        "set": (f"{_HERE}:change", "Change the limits, rates or filter of a session."),
    },
)
"""
C{pptpgw session}: the group of commands on one session.
"""


def _field(name: str, heading: str = "", usual: bool = True) -> Column[Session]:
    return Column(name, lambda one: one[name], heading=heading, usual=usual)


def _number(name: str, heading: str = "", usual: bool = True) -> Column[Session]:
    return Column(name, lambda one: one[name], None, heading, usual, isNumber=True)


def _rate(name: str, heading: str) -> Column[Session]:
    def whole(one: Session) -> int | None:
        return None if one[name] is None else round(one[name])

    return Column(name, whole, heading=heading, isNumber=True)


COLUMNS: tuple[Column[Session], ...] = (
    _field("user"),
    _field("addresses"),
    _field("caller"),
    _field("tunnel"),
    Column(
        "uptime_seconds",
        lambda one: round(one["uptime_seconds"]),
        lambda one: duration(one["uptime_seconds"]),
        heading="time",
        isNumber=True,
    ),
    _number("octets_received", "received"),
    _number("octets_sent", "sent"),
    _rate("rate_received", "rate-in"),
    _rate("rate_sent", "rate-out"),
    _field("session_id", "session"),
    _number("number", usual=False),
    _field("direction", usual=False),
    _field("called", usual=False),
    _field("concentrator", usual=False),
    _field("calling_station", usual=False),
    _field("called_station", usual=False),
    _field("subaddress", usual=False),
    _field("private_group", usual=False),
    _field("physical_channel", usual=False),
    Column("networks", lambda one: list(one["networks"]), usual=False),
    _field("authentication", usual=False),
    _field("encryption", usual=False),
    _field("interface", usual=False),
    _field("path", usual=False),
    Column(
        "started",
        lambda one: stamp(one["started"]),
        lambda one: moment(one["started"]),
        usual=False,
    ),
    _number("packets_received", usual=False),
    _number("packets_sent", usual=False),
    Column("filter", lambda one: one["limits"]["filter"] or None, usual=False),
)
"""
The columns of C{pptpgw sessions}.
"""


@command(
    "sessions",
    "List the sessions of the running gateway.",
    "Octets are counted at the gateway: received from the user, and sent to the user. Rates are "
    "bits a second, over the last seconds.",
)
@click.option(
    "--format",
    type=click.Choice(["accel"]),
    help="Print accel-ppp's table, for programs that read that one.",
)
@listed(COLUMNS, {"format": accelColumns})
@connected
async def sessions(gateway: RunningGateway, listing: Listing[Session], format: str | None) -> None:
    """
    C{pptpgw sessions}: list the sessions, with C{--format accel} in accel-ppp's table.
    """
    found = await gateway.list("/sessions")
    if format is None:
        listing.list(found, "There are no sessions.")
    else:
        printTable(listing, found)


async def find(gateway: RunningGateway, name: str) -> Session:
    """
    Return the session with the identifier C{name}, or the only session of the user C{name}.

    @raise pptpgw.error.PPTPGWError: there is none, or the user has several.
    """
    try:
        return await _ask(gateway, name)
    except NotDone as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        own = await gateway.sessionsOf(name)
        if len(own) > 1:
            identifiers = ", ".join(one["session_id"] for one in own)
            raise ConfigurationError(
                f"{shown(name)} has {len(own)} sessions: choose one of {identifiers}"
            ) from error
        if not own:
            raise ConfigurationError(
                f"there is no session {shown(name)}, and no user of this name is connected"
            ) from error
        return await _ask(gateway, own[0]["session_id"])


async def _ask(gateway: RunningGateway, identifier: str) -> Session:
    found: Session = await gateway.ask("GET", f"/sessions/{quoted(identifier)}")
    return found


@command(
    "show",
    "Show all that is known of a session.",
    "SESSION is the identifier of a session, or the name of a user who has one session. Options of "
    "protocols are in pppd's words: ours are those that the gateway asked for, which apply to what "
    "the user sends, and the peer's those that the user's computer asked for.",
)
@one("SESSION")
@said
@connected
async def show(gateway: RunningGateway, output: Output, session: str) -> None:
    """
    C{pptpgw session show SESSION}: show all that is known of a session. See L{find} for errors.
    """
    _show(output, await find(gateway, session))


def _show(output: Output, found: Session) -> None:
    rows = {one.title.lower(): one.text(found) for one in COLUMNS}
    for name, networks in found["networks"].items():
        rows[name] = " ".join(map(shown, networks))
    for protocol in found["protocols"]:
        for side, words in (("ours", "ours"), ("peers", "the peer's")):
            options = [
                f"{option['name']} {value}".rstrip()
                for option in protocol["options"]
                for value in option[side]
            ]
            rows[f"{protocol['name']}, {words}"] = shown(", ".join(options) or "-")
    if (quality := found["quality"]) is not None:
        for side, words in (("received", "lost from the user"), ("sent", "lost to the user")):
            part, packets = quality[f"loss_{side}"], quality[f"packets_{side}_lost"]
            rows[words] = f"{part:.1%}, {packets} packets in all"
    for name, value in found["limits"].items():
        if value and name != "filter":
            rows[name.replace("_", "-")] = f"{value:g}" if isinstance(value, float) else str(value)
    for reason, count in found["discards"].items():
        rows[f"discarded: {shown(reason)}"] = str(count)
    output.show(rows, **dated(found))


_CHANGES: Mapping[str, tuple[str, str, Callable[[str], object], str]] = {
    "session_timeout": (
        "session_timeout_seconds",
        "TIME",
        seconds,
        "Time that the session may last, from its beginning; 0 for any time.",
    ),
    "idle_timeout": (
        "idle_timeout_seconds",
        "TIME",
        seconds,
        "Time without a packet that ends it; 0 for any time.",
    ),
    "volume": ("volume_octets", "SIZE", octets, "What it may carry; 0 for any number of octets."),
    "receive_rate": ("receive_rate", "RATE", rate, "Rate from the user; 0 for any."),
    "send_rate": ("send_rate", "RATE", rate, "Rate to the user; 0 for any."),
    "filter": ("filter", "NAME", str, "Name of a filter."),
}
"""
The field of each option of C{session set}, its metavar, what reads it, and its words.
"""


def _changing(function: Function) -> Function:
    options = [
        click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=words)
        for name, (_, metavar, _, words) in _CHANGES.items()
    ]
    return optioned(function, options)


@command(
    "set",
    "Change the limits, rates or filter of a session.",
    "SESSION is the identifier of a session, or the name of a user who has one session. The change "
    'ends with the session; pptpgw user set changes the account. "" leaves the decision to the '
    f"configuration. A TIME is {DURATION}. A SIZE is {SIZE}. A RATE is {RATE}.",
)
@one("SESSION")
@_changing
@said
@connected
async def change(
    gateway: RunningGateway, output: Output, session: str, **given: str | None
) -> None:
    """
    C{pptpgw session set SESSION}: change a session that goes on.

    @param given: the texts of the options; an empty one leaves the decision to the configuration,
        None changes nothing.
    @raise ConfigurationError: a text isn't a time, size or rate, or there is no such session.
    """
    body: dict[str, object] = {}
    for name, text in given.items():
        field, _, read, _ = _CHANGES[name]
        if text is None:
            continue
        try:
            body[field] = read(text) if text else None
        except ConfigurationError as error:
            raise ConfigurationError(f"--{name.replace('_', '-')} {error}") from error
    if not body:
        refuse("nothing to change; --help lists what can be changed")
    identifier = (await find(gateway, session))["session_id"]
    changed = await gateway.ask("PATCH", f"/sessions/{identifier}", body=body)
    output.say(f"Session {identifier} of {shown(changed['user'])} is changed.", **dated(changed))


_FILTERS = {
    "user": "The name of the user.",
    "caller": "The address that the call came from.",
    "called": "The address that was called.",
    "tunnel": "The kind of tunnel.",
    "concentrator": "The name of the access concentrator (LAC) by which the call came.",
    "calling_station": "The number that calls.",
    "called_station": "The number or host name that was called.",
    "address": "An address or network of the user.",
    "network": "A network protocol that is open.",
    "authentication": "The protocol by which the user authenticated.",
    "interface": "The network interface that the session has for itself.",
    "filter": "The name of the filter.",
}


def _filtered(function: Function) -> Function:
    options = [
        click.option(f"--{name.replace('_', '-')}", name, metavar="PATTERN", help=words)
        for name, words in _FILTERS.items()
    ]
    return optioned(function, options)


@command(
    "disconnect",
    "End sessions.",
    "SESSION is the identifier of a session, or the name of a user who has one session. Options "
    "choose sessions by patterns, in which * stands for any characters and ? for one; several must "
    "all match. --all ends every session.",
)
@one("SESSION", needed=False)
@_filtered
@click.option("--all", "everyone", is_flag=True, help="End all sessions.")
@click.option("--dry-run", is_flag=True, help="Only list the sessions that would be ended.")
@said
@connected
async def disconnect(
    gateway: RunningGateway,
    output: Output,
    session: str | None,
    everyone: bool,
    dry_run: bool,
    **patterns: str | None,
) -> None:
    """
    C{pptpgw disconnect}: end sessions. That patterns match none is no error.

    @raise click.UsageError: sessions are chosen in no way, or in several.
    @raise ConfigurationError: there is no session C{session}.
    """
    query = {name: text for name, text in patterns.items() if text is not None}
    ways = [session is not None, bool(query), everyone]
    if sum(ways) != 1:
        refuse("choose sessions in one way: a SESSION, patterns, or --all")
    if session is not None:
        query = {"session_id": (await find(gateway, session))["session_id"]}
    elif everyone:
        query = {"user": "*"}
    if dry_run:
        found = await gateway.list("/sessions", query)
        would = counted(len(found), "session would be", "sessions would be")
        _ended(output, would, [one["session_id"] for one in found])
        return
    answer = await gateway.ask("DELETE", "/sessions", query)
    ended = answer["session_ids"]
    _ended(output, counted(len(ended), "session is", "sessions are"), ended)


def _ended(output: Output, what: str, identifiers: Sequence[str]) -> None:
    listed = "".join(f"\n{one}" for one in identifiers)
    output.say(f"{what} ended.{listed}", session_ids=identifiers)

"""
The commands that follow what happens: C{pptpgw monitor}, C{trace} and C{capture}.

Each goes on until its time is over or Ctrl-C ends it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import click

from pptpgw.command.completion import userNames
from pptpgw.command.options import FORCE, said
from pptpgw.command.output import Output, counted, duration, moment, shown
from pptpgw.command.parsing import command, one, refuse
from pptpgw.command.quantity import DURATION, SIZE, octets, seconds
from pptpgw.command.reach import connected
from pptpgw.command.remote import GONE, NotDone, RunningGateway, dated, quoted
from pptpgw.command.status import Unreachable
from pptpgw.command.streaming import BlockDecoder, EventDecoder
from pptpgw.error import ConfigurationError
from pptpgw.ports.growingfile import GrowingFile

Event = Mapping[str, Any]
"""
An event, or a line of a trace, as the management interface describes it.
"""

SILENCE = 60.0
"""
Seconds without an octet after which the gateway is given up: four of its heartbeats.
"""

# By how much less than its time a trace may have lasted, as both ends count.
_TOLERANCE = 1.0
# The type of the block with which a capture ends that found a call (pcapng, section 4.6).
_STATISTICS = 5

_TARGET = (
    "The caller is a USER, the ADDRESS that the call comes from, or the ID of a session. A user or "
    "an address needn't be there yet."
)
_TUNNEL = click.option("--tunnel", metavar="NAME", help="Only calls by this tunnel, as sstp.")
_FOR = click.option(
    "--for",
    "lasting",
    metavar="TIME",
    default="5m",
    show_default=True,
    help=f"End after this: {DURATION}; an hour at most.",
)


def _instant(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


def _clock(time: float) -> str:
    return _instant(time)[11:23]


def _printEvent(output: Output, words: Callable[[Event], str]) -> Callable[[str, Event], None]:
    """
    Return what prints each event in a line of its own, at once.
    """

    def tell(name: str, event: Event) -> None:
        fields = dated(dict(event))
        if "time" in event:
            fields["time"] = _instant(event["time"]).replace("+00:00", "Z")
        print(json.dumps(fields) if output.asJSON else words(event), flush=True)

    return tell


def _session(event: Event) -> str:
    return f"session {event['session_id']} of {shown(event['user'])}"


def _changed(event: Event) -> str:
    what = " ".join(filter(None, (event["protocol"], event["change"])))
    networks = " ".join(one for some in event["networks"].values() for one in some)
    return f"{_session(event)} changes: {shown(what)}{networks and f'; it has {shown(networks)}'}"


def _ended(event: Event) -> str:
    return (
        f"{_session(event)}, by {event['tunnel']}, ends after {duration(event['uptime_seconds'])}: "
        f"{shown(event['cause'])}; {event['octets_received']} octets received, "
        f"{event['octets_sent']} sent"
    )


def _refused(event: Event) -> str:
    user = f" as {shown(event['user'])}" if event["user"] else ""
    caller = f"from {shown(event['caller'])} by {shown(event['tunnel'])}"
    return f"a call {caller}{user} is refused: {shown(event['reason'])}"


def _attacked(event: Event) -> str:
    user = f" of {shown(event['user'])}" if event["user"] else ""
    caller = f"from {shown(event['caller'])} by {shown(event['tunnel'])}"
    return f"a call {caller}{user} is attacked, and ended: {shown(event['reason'])}"


def _reloaded(event: Event) -> str:
    if event["error"]:
        return f"the configuration can't be read again: {shown(event['error'])}"
    kept = f"; a restart is needed for {', '.join(event['kept'])}" if event["kept"] else ""
    changed = counted(len(event["applied"]), "key has changed", "keys have changed")
    return f"the configuration is read again: {changed}{kept}"


def _drained(event: Event) -> str:
    drain = event["drain"]
    if drain is None:
        return "the gateway takes calls again"
    until = "" if drain["deadline"] is None else f", until {moment(drain['deadline'])}"
    return f"the gateway {'has no calls left' if drain['drained'] else f'drains{until}'}"


_WORDS: Mapping[str, Callable[[Event], str]] = {
    "session-started": lambda one: (
        f"{_session(one)} begins, from {shown(one['caller'])}, by {one['tunnel']} and "
        f"{one['authentication']}"
    ),
    "session-changed": _changed,
    "session-ended": _ended,
    "caller-refused": _refused,
    "call-attacked": _attacked,
    "lockout-began": lambda one: (
        f"{one['of']} {shown(one['subject'])} is locked out until {moment(one['until'])}, after "
        f"{counted(one['failures'], 'failure', 'failures')}"
    ),
    "radius-server-changed": lambda one: (
        f"RADIUS server {shown(one['server'])} "
        f"{'answers again' if one['alive'] else 'does not answer'} ({one['service']})"
    ),
    "reloaded": _reloaded,
    "drain-changed": _drained,
    "faults-changed": lambda one: (
        f"the gateway takes no calls: {shown('; '.join(one['faults']))}"
        if one["faults"]
        else "the gateway has no fault any more"
    ),
}
"""
The words of each kind of event.
"""


def _gap(event: Event) -> str:
    return f"({'some' if event['lost'] is None else event['lost']} events are missing here)"


def _eventLine(event: Event) -> str:
    """
    Return an event as a line for people, without control characters, with the time of day in UTC.
    """
    if event["kind"] == "gap":
        return _gap(event)
    words = _WORDS.get(event["kind"])
    # A newer gateway may have kinds that this version doesn't know.
    text = shown(f"{event['kind']}: {json.dumps(event)}") if words is None else words(event)
    return f"{_clock(event['time'])}  {text}"


@command(
    "monitor",
    "Print what happens, as it happens.",
    "Sessions that begin, change and end, callers that are refused, calls that are attacked, "
    "lockouts, RADIUS servers, reloads, drains and faults: a line each, with the time in UTC; with "
    "--json a JSON object each. Ctrl-C ends it. If the gateway stops, the exit status is 3.",
)
@click.option("--kind", metavar="PATTERN", help="Only these kinds of events, as session-*.")
@click.option("--user", metavar="PATTERN", help="Only events of these users.")
@click.option("--tunnel", metavar="NAME", help="Only events of calls by this tunnel, as sstp.")
@click.option(
    "--last",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=0,
    help="Begin with the last N events until now.",
)
@said
@connected
async def monitor(
    gateway: RunningGateway,
    output: Output,
    kind: str | None,
    user: str | None,
    tunnel: str | None,
    last: int,
) -> None:
    """
    C{pptpgw monitor}: print events until interrupted.

    @raise Unreachable: the gateway stopped, or couldn't be reached.
    """
    await _assertServed(gateway, tunnel)
    query: dict[str, object] = {"last": last}
    given = {"kind": kind, "user": user, "tunnel": tunnel}
    query |= {name: text for name, text in given.items() if text is not None}
    events = EventDecoder(_printEvent(output, _eventLine))
    await gateway.stream("/events", query, events.add, SILENCE)
    raise Unreachable(f"{GONE}: {gateway.place.text}")


async def _assertServed(gateway: RunningGateway, tunnel: str | None) -> None:
    """
    Check that callers may come by C{tunnel}, if one is named.

    @raise ConfigurationError: the gateway doesn't have it, so that nothing would ever come.
    """
    if tunnel is not None:
        served = (await gateway.ask("GET", "/status"))["tunnels"]
        if tunnel not in served:
            raise ConfigurationError(
                f"--tunnel {shown(tunnel)}: the gateway has {', '.join(map(shown, served))}"
            )


async def _target(gateway: RunningGateway, name: str) -> tuple[str, str]:
    """
    Return what C{name} is (C{address}, C{session} or C{user}), and the value of that.
    """
    with suppress(ValueError):
        return "address", str(ip_address(name))
    try:
        await gateway.ask("GET", f"/attempts/{quoted(name)}")
    except NotDone as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return "user", name
    return "session", name


def _traceLine(event: Event) -> str:
    if event["kind"] == "gap":
        return _gap(event)
    caller = f"{event['user']}@{event['caller']}" if event["user"] else event["caller"]
    called = f"{shown(caller)} {shown(event['tunnel'])}"
    return f"{_clock(event['time'])}  {called}  {shown(event['text'])}"


@command(
    "trace",
    "Print what a caller negotiates, as it happens, in the words of pppd.",
    f"{_TARGET} Each control frame and each stage of the call is a line, with the time in UTC; "
    "with --json a JSON object. Passwords are hidden. Ctrl-C ends it. If the gateway stops, "
    "the exit status is 3.",
)
@one("CALLER", complete=userNames)
@_TUNNEL
@_FOR
@said
@connected
async def trace(
    gateway: RunningGateway, output: Output, caller: str, tunnel: str | None, lasting: str
) -> None:
    """
    C{pptpgw trace CALLER}: print what a caller negotiates, for as long as C{lasting} says.

    @raise Unreachable: the gateway stopped before, or couldn't be reached.
    """
    limit = seconds(lasting)
    await _assertServed(gateway, tunnel)
    kind, value = await _target(gateway, caller)
    began = gateway.reactor.seconds()
    events = EventDecoder(_printEvent(output, _traceLine))
    query: dict[str, object] = {kind: value, "for": limit}
    query |= {"tunnel": tunnel} if tunnel else {}
    await gateway.stream("/trace", query, events.add, SILENCE)
    if gateway.reactor.seconds() - began < limit - _TOLERANCE:
        raise Unreachable(f"{GONE}: {gateway.place.text}")


@command(
    "capture",
    "Write the packets of one call to a file, decrypted.",
    f"{_TARGET} Without a call that goes on the next one is captured. It ends with the call, after "
    "--for and --size, or by Ctrl-C. FILE is in the pcapng format, and only its owner can read it; "
    "- is standard output, as in pptpgw capture alice - | wireshark -k -i -.",
)
@click.argument("caller", shell_complete=userNames)
@click.argument("file")
@_TUNNEL
@_FOR
@click.option(
    "--size",
    metavar="SIZE",
    default="100M",
    show_default=True,
    help=f"End when the file is this large: {SIZE}.",
)
@FORCE
@said
@connected
async def capture(
    gateway: RunningGateway,
    output: Output,
    caller: str,
    file: str,
    tunnel: str | None,
    lasting: str,
    size: str,
    force: bool,
) -> None:
    """
    C{pptpgw capture CALLER FILE}: write the packets of a call to a file.

    @raise Unreachable: the gateway stopped before the end, or couldn't be reached.
    @raise ConfigurationError: no call came within C{lasting}.
    """
    limit, most = seconds(lasting), octets(size)
    if output.asJSON and file == "-":
        refuse("the packets and --json can't both be on standard output: name a FILE")
    await _assertServed(gateway, tunnel)
    kind, value = await _target(gateway, caller)
    if tunnel and kind == "session":
        refuse(f"{shown(value)} is one session: --tunnel is for the calls of a user or an address")
    written = GrowingFile(file, force)
    blocks = BlockDecoder(written.write)
    began = gateway.reactor.seconds()
    query: dict[str, object] = {"for": limit, "size": most}
    path = "/capture"
    if kind == "session":
        path = f"/sessions/{quoted(value)}/capture"
    else:
        query |= {kind: value} | ({"tunnel": tunnel} if tunnel else {})
    try:
        await gateway.stream(path, query, blocks.add)
    finally:
        # After Ctrl-C too.
        if output.asJSON:
            output.say("", file=file, octets=written.size)
        else:
            print(f"{written.size} octets are captured.", file=sys.stderr)
    if blocks.last == _STATISTICS:
        return
    if gateway.reactor.seconds() - began < limit - _TOLERANCE:
        raise Unreachable(f"{GONE}: {gateway.place.text}")
    raise ConfigurationError(f"there was no call of {shown(caller)}")

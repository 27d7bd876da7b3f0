"""
The commands that see and steer the running gateway as a whole: C{pptpgw status}, C{reload},
C{drain} and C{undrain}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pptpgw.command.options import said
from pptpgw.command.output import Output, counted, duration, moment, shown
from pptpgw.command.parsing import command
from pptpgw.command.quantity import DURATION, seconds
from pptpgw.command.reach import connected
from pptpgw.command.remote import RunningGateway, dated
from pptpgw.command.status import DONE, FAILED

_EFFECTS = {
    "new": "for calls from now on",
    "live": "for current sessions too",
    "restart": "needs a restart",
}


@command("status", "Show the state of the running gateway.")
@said
@connected
async def status(gateway: RunningGateway, output: Output) -> int:
    """
    C{pptpgw status}: show the state. The exit status is 1 if the gateway has a fault.
    """
    found = await gateway.ask("GET", "/status")
    output.show(dict(_rows(found)), **dated(found))
    return FAILED if found["faults"] else DONE


def _rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("gateway", f"{shown(found['name'])}, pptpgw {found['version']}, MPPE: {found['mppe']}"),
        ("state", found["state"]),
        *((f"fault {number}", shown(why)) for number, why in enumerate(found["faults"], 1)),
        ("uptime", duration(found["uptime_seconds"])),
        ("sessions", _most(found["sessions"], found["max_sessions"])),
        ("calls", _most(found["calls"], found["max_setups"])),
        *((f"sessions by {name}", str(n)) for name, n in found["sessions_by_tunnel"].items()),
        *((f"sessions with {name}", str(n)) for name, n in found["sessions_by_network"].items()),
        *((name, ", ".join(map(shown, places))) for name, places in found["tunnels"].items()),
        ("received", f"{found['octets_received']} octets, {found['packets_received']} packets"),
        ("sent", f"{found['octets_sent']} octets, {found['packets_sent']} packets"),
        ("processor", f"{found['cpu_seconds']:.1f} s"),
        ("memory", f"{found['memory_octets'] / (1 << 20):.0f} MiB"),
    ]
    if (drain := found["drain"]) is not None:
        until = "" if drain["deadline"] is None else f", until {moment(drain['deadline'])}"
        rows.append(("drain", f"since {moment(drain['since'])}{until}"))
    if (last := found["last_reload"]) is not None:
        rows.append(("last reload", f"{moment(last['time'])}: {shown(last['error'] or 'done')}"))
    return rows


def _most(number: int, most: int | None) -> str:
    return str(number) if most is None else f"{number} of {most}"


@command(
    "reload",
    "Have the running gateway read its configuration again.",
    "It says of each key that differs whether it holds for calls from now on, for current sessions "
    "too, or after a restart alone. If the configuration can't be used, or a part fails to follow "
    "it, nothing is changed.",
)
@click.option("--dry-run", is_flag=True, help="Only say what a reload would change.")
@said
@connected
async def reload(gateway: RunningGateway, output: Output, dry_run: bool) -> None:
    """
    C{pptpgw reload}: read the configuration again, or with C{--dry-run} say what that would change.

    @raise pptpgw.command.remote.NotDone: the configuration can't be used.
    """
    answer = await gateway.ask("GET" if dry_run else "POST", "/reload")
    lines = [
        f"{one['key']}: {_EFFECTS[one['effect']]}{': ' + one['reason'] if one['reason'] else ''}"
        for one in answer["changes"]
    ]
    done = "would be read again" if dry_run else "was read again"
    differ = counted(len(lines), "key differs", "keys differ")
    output.say("\n".join([f"The configuration {done}; {differ}.", *lines]), **answer)


@command(
    "drain",
    "Have the running gateway take no more calls.",
    "Current sessions go on; callers are told to dial elsewhere. pptpgw undrain ends it.",
)
@click.option(
    "--deadline", metavar="TIME", help=f"End the sessions that are left after this: {DURATION}."
)
@click.option("--stop", is_flag=True, help="Stop the gateway when no call is left.")
@said
@connected
async def drain(gateway: RunningGateway, output: Output, deadline: str | None, stop: bool) -> None:
    """
    C{pptpgw drain}: take no more calls. This returns at once, and doesn't wait for calls to end.
    """
    limit = None if deadline is None else seconds(deadline)
    answer = await gateway.ask("PUT", "/drain", body={"deadline_seconds": limit, "stop": stop})
    state = "has no calls left" if answer["drained"] else "takes no more calls"
    output.say(f"The gateway {state}.", **dated(answer))


@command("undrain", "Have the running gateway take calls again.")
@said
@connected
async def undrain(gateway: RunningGateway, output: Output) -> None:
    """
    C{pptpgw undrain}: take calls again.
    """
    await gateway.ask("DELETE", "/drain")
    output.say("The gateway takes calls again.", done="undrained")

"""
The commands on the calls that the running gateway dials: C{pptpgw dial}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pptpgw.command.options import listed, said
from pptpgw.command.output import Column, Listing, Output, duration, shown
from pptpgw.command.parsing import Group, command, one
from pptpgw.command.reach import connected
from pptpgw.command.remote import RunningGateway, quoted

_HERE = "pptpgw.command.dial"

group = Group(
    "dial",
    "Calls that the gateway dials: list, up, down.",
    {
        "list": (f"{_HERE}:show", "List the calls that the running gateway dials."),
        "up": (f"{_HERE}:up", "Have the running gateway dial a call."),
        "down": (f"{_HERE}:down", "End a call, and don't dial it again."),
    },
)
"""
C{pptpgw dial}: the group of commands on calls of C{[[dial]]}.
"""

Item = Mapping[str, Any]
"""
A call, as the management interface describes it.
"""


def _field(name: str, heading: str = "", isNumber: bool = False) -> Column[Item]:
    return Column(name, lambda one: one[name], heading=heading, isNumber=isNumber)


def _time(name: str, heading: str) -> Column[Item]:
    return Column(
        name,
        lambda one: None if one[name] is None else round(one[name]),
        lambda one: "" if one[name] is None else duration(one[name]),
        heading=heading,
        isNumber=True,
    )


COLUMNS = (
    _field("name"),
    _field("tunnel"),
    _field("address"),
    _field("state"),
    _time("state_seconds", "time"),
    _time("next_seconds", "next"),
    _field("failures", isNumber=True),
    _field("reason"),
    _field("session_id", "session"),
)
"""
The columns of C{pptpgw dial list}.
"""


@command(
    "list",
    "List the calls that the running gateway dials.",
    "The time is that of the state. A call that is waiting is dialled when the next time is over.",
)
@listed(COLUMNS)
@connected
async def show(gateway: RunningGateway, listing: Listing[Item]) -> None:
    """
    C{pptpgw dial list}: list the calls.
    """
    listing.list(await gateway.list("/dials"), "The configuration has no [[dial]].")


@command(
    "up",
    "Have the running gateway dial a call.",
    "A call that waits is dialled at once, within its hours.",
)
@one("NAME")
@said
@connected
async def up(gateway: RunningGateway, output: Output, name: str) -> None:
    """
    C{pptpgw dial up}: have a call up.
    """
    found = await gateway.ask("PUT", f"/dials/{quoted(name)}/call")
    output.say(f"{shown(name)} is {found['state']}.", **found)


@command(
    "down",
    "End a call, and don't dial it again.",
    "It stays down until 'pptpgw dial up' or a restart.",
)
@one("NAME")
@said
@connected
async def down(gateway: RunningGateway, output: Output, name: str) -> None:
    """
    C{pptpgw dial down}: end a call.
    """
    found = await gateway.ask("DELETE", f"/dials/{quoted(name)}/call")
    output.say(f"{shown(name)} is {found['state']}.", **found)

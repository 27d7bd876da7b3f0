"""
The command C{pptpgw pools}, which lists pools of addresses and who has an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pptpgw.command.options import listed
from pptpgw.command.output import Column, Listing
from pptpgw.command.parsing import command
from pptpgw.command.reach import connected
from pptpgw.command.remote import RunningGateway

Item = Mapping[str, Any]
"""
A pool, or an address that is held, as the management interface describes it.
"""


def _field(name: str, heading: str = "", isNumber: bool = False) -> Column[Item]:
    return Column(name, lambda one: one[name], heading=heading, isNumber=isNumber)


POOLS = (
    _field("network"),
    _field("name"),
    _field("size", isNumber=True),
    _field("used", isNumber=True),
    _field("reserved", isNumber=True),
    _field("free", isNumber=True),
    _field("next"),
)
"""
The columns of C{pptpgw pools}.
"""

HELD = (
    _field("address"),
    _field("network"),
    _field("pool"),
    _field("user"),
    _field("session_id", "session"),
)
"""
The columns of C{pptpgw pools --held}.
"""


@command(
    "pools",
    "List pools of addresses and prefixes, and how much of them is used.",
    "Reserved addresses belong to accounts that don't use them now. The next pool serves when a "
    "pool is used up.",
)
@click.option("--held", is_flag=True, help="List who has which address, prefix or network.")
@listed(POOLS, instead={"held": HELD})
@connected
async def pools(gateway: RunningGateway, listing: Listing[Item], held: bool) -> None:
    """
    C{pptpgw pools}: list the pools, or with C{--held} a row for each address, prefix and network
    that somebody has.
    """
    if held:
        listing.list(await gateway.list("/addresses"), "Nobody has an address.")
    else:
        listing.list(await gateway.list("/pools"), "There are no pools.")

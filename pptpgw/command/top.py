"""
The command C{pptpgw top}, a screen with the sessions of the running gateway as they are now.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from pptpgw.command.options import said
from pptpgw.command.output import Output, duration, shown
from pptpgw.command.parsing import command, refuse
from pptpgw.command.quantity import seconds
from pptpgw.command.reach import connected
from pptpgw.command.remote import RunningGateway, Session
from pptpgw.ports.terminal import Keys
from pptpgw.timing.timer import cancelled

ORDERS: Mapping[str, tuple[str, bool]] = {
    "u": ("user", False),
    "c": ("caller", False),
    "n": ("tunnel", False),
    "t": ("uptime_seconds", True),
    "r": ("octets_received", True),
    "s": ("octets_sent", True),
    "i": ("rate_received", True),
    "o": ("rate_sent", True),
}
"""
The column by which each key sorts, and whether its greatest value comes first.
"""

QUIT = "q"

# The lines that no session has: a heading, an empty line, and the titles.
_HEAD = 3


class Screen:
    """
    What the screen shows.

    @ivar sort: the order of the sessions, as the management interface takes it.
    @ivar isOver: whether it was left.
    """

    def __init__(self) -> None:
        self.sort = "-rate_received"
        self.isOver = False
        self._pressed: Deferred[None] | None = None

    def press(self, keys: str) -> None:
        """
        Do what keys mean. The key of the present order turns it round.
        """
        for key in keys:
            if key == QUIT:
                self.isOver = True
            elif key in ORDERS:
                name, isReverse = ORDERS[key]
                usual = f"-{name}" if isReverse else name
                other = name if isReverse else f"-{name}"
                self.sort = other if self.sort == usual else usual
        pressed, self._pressed = self._pressed, None
        if pressed is not None:
            pressed.callback(None)

    async def wait(self, reactor: Any, interval: float) -> None:
        """
        Wait for a key, or until the interval is over.
        """
        self._pressed = Deferred()
        timer = reactor.callLater(interval, self.press, "")
        try:
            await self._pressed
        finally:
            cancelled(timer)


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    for unit in ("", "k", "M"):
        if value < 1000:
            return f"{value:.0f}{unit}"
        value /= 1000
    return f"{value:.1f}G"


def _table(status: Mapping[str, Any], sessions: Sequence[Session], sort: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    most = "" if status["max_sessions"] is None else f" of {status['max_sessions']}"
    title = (
        f"{shown(status['name'])}: {status['state']}, {status['sessions']}{most} sessions, "
        f"{status['calls']} calls; sorted by {sort}\n"
    )
    table = Table(box=None, pad_edge=False, title=Text(title), title_justify="left")
    for key, heading in (
        ("u", "USER"),
        ("c", "CALLER"),
        ("n", "TUNNEL"),
        ("", "ADDRESSES"),
        ("t", "UPTIME"),
        ("r", "RECEIVED"),
        ("s", "SENT"),
        ("i", "IN"),
        ("o", "OUT"),
    ):
        justify: Any = "right" if key and key in "trsio" else "left"
        table.add_column(Text(heading), justify=justify, no_wrap=True, overflow="ellipsis")
    for one in sessions:
        cells = (
            shown(one["user"]),
            shown(one["caller"]),
            shown(one["tunnel"]),
            " ".join(map(shown, one["addresses"])),
            duration(one["uptime_seconds"]),
            str(one["octets_received"]),
            str(one["octets_sent"]),
            _rate(one["rate_received"]),
            _rate(one["rate_sent"]),
        )
        table.add_row(*map(Text, cells))
    return table


@command(
    "top",
    "Show the sessions of the running gateway on a screen, as they are now.",
    "Keys sort: u by user, c by caller, n by tunnel, t by uptime, r and s by octets received and "
    "sent, i and o by rates in and out; the same key again turns the order round. q leaves. Rates "
    "are bits a second. With --json it needs no terminal: each look is a line, with the gateway's "
    "state and all sessions.",
)
@click.option("--interval", metavar="TIME", default="2s", help="Time between two looks.")
@said
@connected
async def top(gateway: RunningGateway, output: Output, interval: str) -> None:
    """
    C{pptpgw top}: show sessions on the whole screen until C{q} is pressed.

    @param interval: the time between two looks, a second at least.
    @raise click.UsageError: standard input or output isn't a terminal.
    """
    pause = max(1, seconds(interval))
    if output.asJSON:
        while True:
            status, items = await gateway.ask("GET", "/status"), await gateway.list("/sessions")
            print(json.dumps({"status": status, "sessions": items}), flush=True)
            await deferLater(gateway.reactor, pause)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        refuse("top needs a terminal, or --json; pptpgw sessions prints the sessions once")
    # What fails at once is told on the usual screen.
    status = await gateway.ask("GET", "/status")
    from rich.console import Console
    from rich.live import Live

    console, screen = Console(highlight=False), Screen()
    with (
        Keys(gateway.reactor, screen.press),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while not screen.isOver:
            query = {"sort": screen.sort, "limit": max(1, console.height - _HEAD)}
            page = await gateway.ask("GET", "/sessions", query)
            live.update(_table(status, page["items"], screen.sort), refresh=True)
            await screen.wait(gateway.reactor, pause)
            status = await gateway.ask("GET", "/status")

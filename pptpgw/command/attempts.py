"""
The commands on calls that were made, whatever became of them: C{pptpgw why} and C{attempts}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pptpgw.command.completion import userNames
from pptpgw.command.options import listed, said
from pptpgw.command.output import Column, Listing, Output, moment, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.reach import connected
from pptpgw.command.remote import RunningGateway, dated, quoted
from pptpgw.timing.stamp import stamp

Attempt = Mapping[str, Any]
"""
An attempt to call, as the management interface describes it.
"""


@command(
    "why",
    "Say why a user can't call.",
    "First comes what would keep the user out now, and what became of the last calls, each with "
    "what to do about it. Then come the stages of the last call, with the seconds after which each "
    "was passed.",
)
@one("USER", complete=userNames)
@said
@connected
async def why(gateway: RunningGateway, output: Output, user: str) -> None:
    """
    C{pptpgw why USER}: say why the user can't call. A name that nobody has is no error: it is what
    is found.
    """
    answer = await gateway.ask("GET", f"/why/{quoted(user)}")
    findings, last = answer["findings"], answer["last"]
    lines = [line for finding in findings for line in _finding(finding)]
    if last is not None:
        lines += ["", *_attempt(last)]
    output.say("\n".join(lines), findings=findings, last=dated(last))


def _finding(finding: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'!' if finding['problem'] else '-'} {shown(finding['text'])}"
    if finding["advice"]:
        yield f"  {shown(finding['advice'])}"


def _attempt(last: Attempt) -> Iterator[str]:
    user = f" as {shown(last['user'])}" if last["user"] else ""
    yield (
        f"The last call{user} from {shown(last['caller'])} by {shown(last['tunnel'])} at "
        f"{moment(last['started'])} ({last['outcome']}):"
    )
    for stage in last["stages"]:
        failure = f"failed: {shown(stage['failure'])}" if stage["failure"] else "passed"
        yield f"{stage['seconds']:9.3f} s  {shown(stage['name'])}: {failure}"
    if last["cause"]:
        yield f"{last['duration_seconds']:9.3f} s  ended: {shown(last['cause'])}"


COLUMNS: tuple[Column[Attempt], ...] = (
    Column(
        "started", lambda one: stamp(one["started"]), lambda one: moment(one["started"]), "time"
    ),
    Column("user", lambda one: one["user"]),
    Column("caller", lambda one: one["caller"]),
    Column("tunnel", lambda one: one["tunnel"]),
    Column(
        "outcome",
        lambda one: one["outcome"],
        style=lambda cell: "red" if cell in ("failed", "refused") else "",
    ),
    Column("stage", lambda one: one["stage"]),
    Column("cause", lambda one: one["cause"]),
    Column("repeats", lambda one: one["repeats"], usual=False, isNumber=True),
    Column(
        "duration_seconds",
        lambda one: round(one["duration_seconds"], 3),
        heading="seconds",
        usual=False,
        isNumber=True,
    ),
    Column("attempt_id", lambda one: one["attempt_id"], heading="attempt", usual=False),
)
"""
The columns of C{pptpgw attempts}.
"""


@command(
    "attempts",
    "List what became of the last calls.",
    "The newest call comes first. The gateway remembers the last ones, those that failed or were "
    "refused too.",
)
@listed(COLUMNS)
@connected
async def attempts(gateway: RunningGateway, listing: Listing[Attempt]) -> None:
    """
    C{pptpgw attempts}: list the calls that the gateway remembers, by default the newest first.
    """
    found = await gateway.list("/attempts", {"sort": "-started"})
    listing.list(found, "No calls are remembered.")

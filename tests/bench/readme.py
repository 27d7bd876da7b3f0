"""
The table in README.md, made from the report of a run.

C{python -m tests.bench.readme} writes it into README.md from C{docs/bench.json}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from tests.bench import lateness, packets, paths, prototype, setups, tcp, tunnels, udp
from tests.bench.both import RADIUS, SECRETS, STORE
from tests.bench.report import Report, read, shown
from tests.bench.row import Quotient

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENT = ROOT / "docs" / "bench.json"
BEGIN, END = "<!-- make bench -->\n", "<!-- end of make bench -->\n"
JUDGES = {SECRETS: "a file", STORE: "the account store", RADIUS: "FreeRADIUS"}
WORDS = {tunnels.PLAIN: "plain", tunnels.MPPE: "MPPE-128", tunnels.TLS: "TLS"}
PATHS = (paths.NATIVE, paths.KERNEL, paths.PYTHON)
CROWD = 10_000


def _pair(values: dict[str, float], *names: str) -> list[float]:
    """
    Return the values of figures; nothing if one of them isn't there.
    """
    return [values[name] for name in names] if all(name in values for name in names) else []


def _packets(values: dict[str, float], path: str) -> Iterator[tuple[str, str, str]]:
    for encrypted, size in product((False, True), (1400, 64)):
        names = (packets.title(path, "IPv4", (way, encrypted, size)) for way in ("in", "out"))
        if each := _pair(values, *names):
            word = WORDS[tunnels.MPPE if encrypted else tunnels.PLAIN]
            costs = " / ".join(shown(one) for one in each)
            rates = " / ".join(shown(1e3 / one) for one in each)
            what = f"`{path}`: {size}-octet packets, {word}, in / out"
            yield what, f"{costs} µs", f"{rates} thousand a second"
    for word in (tunnels.PLAIN, tunnels.MPPE):
        names = (tcp.title(path, direction, word) for direction in ("up", "down"))
        if each := _pair(values, *names):
            rates = " / ".join(shown(one) for one in each)
            yield f"`{path}`: TCP, {WORDS[word]}, up / down", "", f"{rates} Gb/s"


def _byTunnel(values: dict[str, float]) -> Iterator[tuple[str, str, str]]:
    """
    Yield what the whole gateway carries by each tunnel, and what its calls cost.
    """
    for tunnel, path, word in tunnels.carried(PATHS):
        what = f"by `{tunnel}`, `{path}`"
        names = (udp.title(tunnel, path, way, word) for way in ("in", "out"))
        if each := _pair(values, *names):
            costs = " / ".join(shown(one) for one in each)
            rates = " / ".join(shown(1e3 / one) for one in each)
            yield (
                f"{what}: {udp.OCTETS}-octet packets, {WORDS[word]}, in / out",
                f"{costs} µs",
                f"{rates} thousand a second",
            )
        titles = [tcp.title(path, direction, word, tunnel) for direction in tcp.DIRECTIONS]
        for more in ("", f", {tcp.APART}") if tunnel != tunnels.PPTP else ():
            if each := _pair(values, *(f"{one}{more}" for one in titles)):
                rates = " / ".join(shown(one) for one in each)
                yield f"{what}: TCP, {WORDS[word]}{more}, up / down", "", f"{rates} Gb/s"
    for tunnel, path in setups.byTunnels(PATHS):
        titles = [setups.title(tunnel, path, count) for count in setups.AT_A_TIME]
        if each := _pair(values, *(f"{one}, CPU" for one in titles)):
            costs = " / ".join(shown(one) for one in each)
            more = ""
            if own := _pair(values, setups.tls(path)) if tunnel == tunnels.SSTP else []:
                more = f", TLS {shown(own[0])} ms of it"
            speeds = _pair(values, *(f"{one}, made" for one in titles))
            yield (
                f"a call by `{tunnel}`, `{path}`: one at a time / eight",
                f"{costs} ms{more}",
                " / ".join(shown(one) for one in speeds) + " a second",
            )


def _beside(values: dict[str, float]) -> Iterator[tuple[str, str, str]]:
    """
    Yield how fast the native data path is beside the prototype.
    """
    packet = [1 / values[one] for one in _quotients(packets.quotients()) if one in values]
    octets = [values[one] for one in _quotients(prototype.quotients()) if one in values]
    for what, found in (("packets", packet), ("TCP", octets)):
        if found:
            span = " to ".join(shown(one) for one in (min(found), max(found)))
            yield (
                f"`{paths.NATIVE}`, in the speed of a program in C that does nothing but carry "
                f"packets: {what}",
                "",
                f"{span} times",
            )


def _quotients(all_: Iterable[Quotient]) -> list[str]:
    end = f"/ {paths.PROTOTYPE}"
    return [one.figure.name for one in all_ if one.figure.name.endswith(end)]


def _sessions(values: dict[str, float], path: str) -> Iterator[tuple[str, str, str]]:
    for auth, judge in JUDGES.items():
        name = f"set-up {path} {auth}"
        figures = (f"{name} {count} at a time, CPU" for count in (1, 8))
        if each := _pair(values, *figures):
            costs = " / ".join(shown(one) for one in each)
            what = f"a call, MS-CHAPv2 and MPPE, judged by {judge}: one at a time / eight"
            yield what, f"{costs} ms", ""
    for count in (1_000, 10_000):
        name = f"{count} calls at once {path} {SECRETS}"
        if each := _pair(values, f"{name}, p50", f"{name}, max"):
            times = " / ".join(shown(one) for one in each)
            yield f"{count:,} calls at once: half / all of them are up within", f"{times} s", ""
    if each := _pair(values, f"memory {path} of an idle session"):
        yield "an idle session", f"{shown(each[0])} KiB", ""


def _rest(values: dict[str, float]) -> Iterator[tuple[str, str, str]]:
    floods = ("without a flood", "under a flood up", "under a flood down")
    for path, flood in product((paths.NATIVE, paths.PYTHON), floods):
        name = f"ping {path} {flood}"
        if each := _pair(values, f"{name}, p99", f"{name}, lost"):
            yield (
                f"`{path}`: another session's pings {flood}: p99 / lost",
                (f"{shown(each[0])} ms / {shown(each[1])} %"),
                "",
            )
    worst = [
        values[name]
        for phase in lateness.PHASES
        if (name := f"late with {CROWD} sessions, {phase}, most") in values
    ]
    if worst:
        what = (
            f"the most that the reactor is late while {CROWD:,} sessions begin, end or are reloaded"
        )
        yield what, f"{shown(max(worst))} ms", ""
    if each := _pair(values, f"metrics of {CROWD} sessions, an answer, p50"):
        yield f"the metrics of {CROWD:,} sessions, read once", f"{shown(each[0])} ms", ""
    if each := _pair(values, "accounting record kept on disk, sent and answered"):
        yield "an accounting record, kept on disk, sent and answered", f"{shown(each[0])} µs", ""
    if each := _pair(values, "start CPU until it listens"):
        yield "the start, until it listens", f"{shown(each[0])} s", ""


def section(report: Report) -> str:
    """
    Return the part of README.md that a report makes.
    """
    values = {row.figure: row.value for row in report.rows}
    before, after = report.load
    lines = [
        f"On {report.machine}, on {report.date}, {report.runs} runs of each, at a load average of "
        f"{before:g} before and {after:g} after:",
        "",
        "| | a packet or call | of a processor |",
        "|---|---|---|",
    ]
    for path in (*PATHS, paths.TWINS, paths.HDLC):
        lines += [f"| {' | '.join(row)} |" for row in _packets(values, path)]
    lines += [f"| {' | '.join(row)} |" for row in _byTunnel(values)]
    lines += [f"| {' | '.join(row)} |" for row in _beside(values)]
    lines += [f"| {' | '.join(row)} |" for row in _sessions(values, paths.PYTHON)]
    lines += [f"| {' | '.join(row)} |" for row in _rest(values)]
    return "\n".join(lines) + "\n"


def renewed(text: str, report: Report) -> str:
    """
    Return the text of README.md with the part that C{report} makes.

    @raise ValueError: the marks around that part are missing.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no {BEGIN.strip()} with {END.strip()}")
    return pattern.sub(lambda _: BEGIN + section(report) + END, text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(), read(DOCUMENT)))

"""
A campaign: fuzzes every kind of target for a while, beginning with the saved inputs.

Run it as C{python -m tests.fuzz --seconds 60}, or C{make fuzz SECONDS=60}. A finding is printed
with the input that caused it, and with the commands that run it again and that save it, which makes
it a test. C{--keep} saves inputs that reach new code.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz import build, targets
from tests.fuzz.planted import FAULTS
from tests.fuzz.reader import Target

LIVE = "live"
KINDS = (*targets.KINDS, LIVE)

KEPT_OCTETS = 500
"""
Octets of inputs that C{--keep} leaves in the file of a target. Findings are kept besides.
"""

INPUT_SECONDS = 20
LIMIT_MEGABYTES = 2048

_COMMAND = (sys.executable, "-m", "tests.fuzz.fuzzed")
_ENDINGS = ("crash-", "leak-", "oom-", "timeout-")
# The place at which libFuzzer or a sanitizer begins to report a fault.
_BEGINNING = re.compile(r"^ === Uncaught Python|^==\d+==|: runtime error:", re.M)
_CALLS = re.compile(r"(\d+) calls")
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PROGRESS = re.compile(r"INFO: |#\d+\t")
_SHOWN_LINES = 40


class Result(NamedTuple):
    """
    The result of one kind.

    @ivar findings: the name of the target and the input of each finding.
    @ivar said: the output of the process about it.
    """

    kind: str
    runs: int
    findings: list[tuple[str, bytes]]
    said: str
    failed: bool


def unpack(kind: str, folder: Path) -> None:
    """
    Write the saved inputs of a kind into C{folder}, one to a file, as libFuzzer wants them.
    """
    folder.mkdir()
    for place, name in enumerate(targets.targetsOf(kind)):
        for number, octets in enumerate(targets.saved(kind, name)):
            (folder / f"{name}-{number}").write_bytes(bytes((place,)) + octets)


def of(kind: str, octets: bytes) -> tuple[str, bytes]:
    """
    The name of the target and its input, from an input of libFuzzer's.
    """
    names = tuple(targets.targetsOf(kind))
    return names[octets[0] % len(names)], octets[1:]


def fuzz(kind: str, seconds: float, folder: Path, native: Path) -> Result:
    """
    Fuzz the targets of one kind.
    """
    inputs, found = folder / kind, folder / f"{kind}-found"
    unpack(kind, inputs)
    found.mkdir()
    options = (
        f"-max_total_time={max(1, round(seconds))}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={LIMIT_MEGABYTES}",
        f"-artifact_prefix={found}/",
        "-max_len=2048",
        "-print_final_stats=1",
    )
    environment = build.environment(native) if kind == "native" else {}
    failed, said = _run([*_COMMAND, kind, *options, str(inputs)], environment)
    findings = [
        of(kind, path.read_bytes())
        for path in sorted(found.iterdir())
        if path.name.startswith(_ENDINGS) and path.stat().st_size
    ]
    done = _RUNS.search(said)
    return Result(kind, int(done[1]) if done else 0, findings, said, failed)


def attack(seconds: float) -> Result:
    """
    Fuzz a running gateway.
    """
    failed, said = _run([sys.executable, "-m", "tests.fuzz.live", str(seconds)], {})
    done = _CALLS.search(said)
    return Result(LIVE, int(done[1]) if done else 0, [], said, failed)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[bool, str]:
    """
    Run a command.

    @return: whether it failed, and its output.
    """
    ran = subprocess.run(
        command,
        cwd=build.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return ran.returncode != 0, ran.stdout + ran.stderr


def report(result: Result) -> None:
    """
    Print the result of one kind.
    """
    print(f"{result.kind}: {result.runs} inputs, {len(result.findings)} findings", flush=True)
    if not result.failed and not result.findings:
        return
    begins = _BEGINNING.search(result.said)
    said = result.said[begins.start() :] if begins else result.said
    lines = [line for line in said.splitlines() if not _PROGRESS.match(line)]
    print("\n".join(lines if result.kind == LIVE else lines[:_SHOWN_LINES]))
    for name, octets in result.findings:
        what = f"{result.kind} {name} {octets.hex() or '-'}"
        print(f"To run it again: {sys.executable} -m tests.fuzz --reproduce {what}")
        print(f"To make it a test: {sys.executable} -m tests.fuzz --save {what}", flush=True)


def reached(target: Target, octets: bytes) -> set[tuple[str, int, int]]:
    """
    The steps from line to line in pptpgw that an input causes.
    """
    steps: set[tuple[str, int, int]] = set()
    before = 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal before
        if "/pptpgw/" not in frame.f_code.co_filename:
            return None
        steps.add((frame.f_code.co_filename, before, frame.f_lineno))
        before = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        target(octets)
    finally:
        sys.settrace(None)
    return steps


def keep(kind: str, folder: Path) -> None:
    """
    Save the smallest inputs that each reach something that those before it don't.
    """
    found: dict[str, list[bytes]] = {name: [] for name in targets.targetsOf(kind)}
    for path in folder.iterdir():
        name, octets = of(kind, path.read_bytes())
        found[name].append(octets)
    for name, target in targets.targetsOf(kind).items():
        # The first run of any code does more than later ones.
        target(b"")
        kept = targets.saved(kind, name)
        seen = {step for octets in kept for step in reached(target, octets)}
        left = KEPT_OCTETS - sum(map(len, kept))
        for octets in sorted(found[name], key=lambda one: (len(one), one)):
            if len(octets) > left:
                break
            new = reached(target, octets) - seen
            if new:
                seen |= new
                left -= len(octets)
                targets.add(kind, name, [octets])


def findsFaults(folder: Path, native: Path) -> bool:
    """
    Whether the planted faults are found and reported.
    """
    sound = True
    for octets, said in FAULTS.items():
        path = folder / "fault"
        path.write_bytes(b"\0" + octets)
        failed, output = _run([*_COMMAND, "planted", str(path)], build.environment(native))
        if not failed or said not in output:
            print(f"A fault that was planted isn't found: no {said!r} in\n{output}", flush=True)
            sound = False
    return sound


def campaign(kinds: Sequence[str], seconds: float, jobs: int, keeping: bool) -> bool:
    """
    Fuzz these kinds, C{jobs} at a time, in C{seconds} altogether.

    @return: whether nothing was found.
    """
    with tempfile.TemporaryDirectory(prefix="pptpgw-fuzz.") as name:
        folder = Path(name)
        native = folder / "extensions"
        native.mkdir()
        build.build(native)
        if not findsFaults(folder, native):
            return False
        each = seconds * jobs / len(kinds)

        def one(kind: str) -> Result:
            return attack(each) if kind == LIVE else fuzz(kind, each, folder, native)

        sound = True
        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(one, kinds):
                report(result)
                sound &= not (result.failed or result.findings)
                if keeping and not result.failed and result.kind != LIVE:
                    keep(result.kind, folder / result.kind)
    return sound


def reproduce(kind: str, name: str, octets: bytes) -> int:
    """
    Run one input again as it was run.

    @return: the exit status of the process.
    """
    with tempfile.TemporaryDirectory(prefix="pptpgw-fuzz.") as temporary:
        folder = Path(temporary)
        environment = dict(os.environ)
        if kind == "native":
            build.build(folder)
            environment |= build.environment(folder)
        place = tuple(targets.targetsOf(kind)).index(name)
        (folder / "input").write_bytes(bytes((place,)) + octets)
        command = [*_COMMAND, kind, str(folder / "input")]
        return subprocess.run(command, cwd=build.ROOT, env=environment, check=False).returncode


def main(arguments: Iterable[str] | None = None) -> int:
    """
    Run the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long it takes altogether")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", action="store_true", help="save inputs that reach more")
    what = ("KIND", "TARGET", "HEX")
    parser.add_argument("--reproduce", nargs=3, metavar=what, help="run one input")
    parser.add_argument("--save", nargs=3, metavar=what, help="make one input a test")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args(None if arguments is None else list(arguments))
    for given in (options.reproduce, options.save):
        if given:
            kind, name, octets = given[0], given[1], bytes.fromhex(given[2].strip("-"))
            if given is options.reproduce:
                return reproduce(kind, name, octets)
            targets.add(kind, name, [octets])
            return 0
    kinds = options.kinds or KINDS
    return 0 if campaign(kinds, options.seconds, options.jobs, options.keep) else 1


if __name__ == "__main__":
    sys.exit(main())

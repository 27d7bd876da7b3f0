"""
What commands find when they examine something: each finding with what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from pptpgw.command.output import Output
from pptpgw.command.status import DONE, FAILED


class Level(Enum):
    """
    How bad a finding is. A C{FAULT} keeps callers out; a C{WARNING} may do so, or isn't sure.
    """

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Examined:
    """
    One thing that was examined.

    @ivar subject: what was examined.
    @ivar text: what was found.
    @ivar advice: what to do about it; empty if nothing must be done.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Examined:
    """
    Return a finding for which nothing must be done.
    """
    return Examined(Level.OK, subject, text)


def warning(subject: str, text: str, advice: str) -> Examined:
    """
    Return a finding that may be a fault.
    """
    return Examined(Level.WARNING, subject, text, advice)


def fault(subject: str, text: str, advice: str) -> Examined:
    """
    Return a finding that is a fault.
    """
    return Examined(Level.FAULT, subject, text, advice)


def told(output: Output, findings: Sequence[Examined]) -> int:
    """
    Print findings, a line or two for each.

    @return: the exit status, 1 if there are faults; warnings alone are 0.
    """
    faults = sum(one.level is Level.FAULT for one in findings)
    output.say(
        "\n".join(_lines(findings)),
        faults=faults,
        warnings=sum(one.level is Level.WARNING for one in findings),
        findings=[
            {
                "level": one.level.value,
                "subject": one.subject,
                "text": one.text,
                "advice": one.advice,
            }
            for one in findings
        ],
    )
    return FAILED if faults else DONE


def _lines(findings: Sequence[Examined]) -> Iterator[str]:
    for one in findings:
        yield f"{one.level.value:7}  {one.subject}: {one.text}"
        if one.advice:
            yield f"{'':9}{one.advice}"

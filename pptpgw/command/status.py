"""
The exit statuses of C{pptpgw}, and the error that has one of its own.
"""

from __future__ import annotations

from pptpgw.error import PPTPGWError

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3

WORDS = {
    str(DONE): "The command is done.",
    str(FAILED): "It failed, or not all of it could be done. Standard error says why.",
    str(USAGE): "The command line is wrong.",
    str(UNREACHABLE): "The gateway isn't running, or can't be reached.",
    "128+N": "Signal N ended it: 130 after Ctrl-C, 143 after SIGTERM.",
}
"""
What each status means, for C{--help} and the manual.
"""


class Unreachable(PPTPGWError):
    """
    The gateway isn't running, or can't be reached; the text says what to look at.
    """


def statusOf(error: PPTPGWError) -> int:
    """
    Return the exit status of a command that failed with C{error}.
    """
    return UNREACHABLE if isinstance(error, Unreachable) else FAILED

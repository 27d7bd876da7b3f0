"""
The sources of a new password. None of them is the command line, which every user of the machine can
see.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from getpass import GetPassWarning, getpass
from secrets import token_urlsafe

from twisted.python import usage

from pptpgw.command.base import BaseOptions
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt

_OCTETS = 12


class Password(BaseOptions):
    """
    The options that say where the new password comes from, and how it is stored.
    """

    optFlags: Sequence[Sequence[object]] = [
        ["generate", None, "Make a random password, and print it once."],
        ["stdin", None, "Read the password, a line, from standard input."],
        ["recoverable", None, "Store the password itself too, encrypted: CHAP (MD5) needs it."],
    ]

    def postOptions(self) -> None:
        """
        Check that at most one source of the password is given.
        """
        if self["generate"] and self["stdin"]:
            raise usage.UsageError("--generate and --stdin: it can be only one of them")

    def password(self, name: str) -> bytes:
        """
        Get the new password of the user C{name}, from the source that the command line names.

        @raise ConfigurationError: there is none, it is empty, or two that were typed differ.
        @raise SystemExit: SIGINT or SIGTERM came instead.
        """
        if self["generate"]:
            return token_urlsafe(_OCTETS).encode()
        # Reading blocks the reactor, so its own signal handlers would do nothing meanwhile.
        with onInterrupt(sys.exit):
            if self["stdin"]:
                password = sys.stdin.buffer.readline().rstrip(b"\r\n")
            else:
                password = _typed(name)
        if not password:
            raise ConfigurationError("the password is empty; nothing is changed")
        return password

    def announce(self, password: bytes) -> None:
        """
        Print a generated password, once it is in force.
        """
        if self["generate"]:
            print(f"The password: {password.decode()}")


def _typed(name: str) -> bytes:
    """
    Return the password that is typed twice at the terminal, which does not show it.

    @raise ConfigurationError: nothing was typed, or the two differ.
    """
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass would read standard input with a warning that the password
            # is shown; refuse that.
            warnings.simplefilter("error", GetPassWarning)
            password = getpass(f"Password of {name}: ")
            again = getpass("Again: ")
    except (EOFError, GetPassWarning) as error:
        if isinstance(error, EOFError):
            # The cursor is still behind the prompt: end its line.
            print(file=sys.stderr)
        raise ConfigurationError(
            "no password was typed; nothing is changed. --stdin reads it from standard input, "
            "--generate makes one"
        ) from error
    if password != again:
        raise ConfigurationError("these are two different passwords; nothing is changed")
    return password.encode("utf-8", "surrogateescape")

"""
The sources of a password. None of them is the command line, which every user of the machine can
see.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import wraps
from getpass import GetPassWarning, getpass
from secrets import token_urlsafe
from typing import Any

import click

from pptpgw.command.parsing import Function, exclusive, optioned
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt

_OCTETS = 12


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """
    Where the new password comes from, and how it is stored.

    @ivar generate: whether to make a random one.
    @ivar stdin: whether to read it from standard input.
    @ivar recoverable: whether to store the password itself too, encrypted.
    """

    generate: bool
    stdin: bool
    recoverable: bool

    def password(self, name: str) -> bytes:
        """
        Get the new password of the user C{name}.

        @raise ConfigurationError: there is none, it is empty, or two that were typed differ.
        @raise SystemExit: SIGINT or SIGTERM came instead.
        """
        if self.generate:
            return token_urlsafe(_OCTETS).encode()
        # Reading blocks the reactor, so its own signal handlers would do nothing meanwhile.
        with onInterrupt(sys.exit):
            if self.stdin:
                password = sys.stdin.buffer.readline().rstrip(b"\r\n")
            else:
                password = _typed(name)
        if not password:
            raise ConfigurationError("the password is empty; nothing is changed")
        return password

    def told(self, password: bytes) -> str | None:
        """
        Return the password if it was generated, to be told once; otherwise None.
        """
        return password.decode() if self.generate else None


def passworded(function: Function) -> Function:
    """
    Add the options that say where a password comes from; the function is given C{source}, a
    L{PasswordSource}.
    """

    @wraps(function)
    def wrapped(
        first: Any, *, generate: bool, stdin: bool, recoverable: bool = False, **more: Any
    ) -> Any:
        exclusive(generate=generate, stdin=stdin)
        return function(first, source=PasswordSource(generate, stdin, recoverable), **more)

    words = {
        "--generate": "Make a random password, and print it once.",
        "--stdin": "Read the password, a line, from standard input.",
    }
    return optioned(
        wrapped, [click.option(flag, is_flag=True, help=text) for flag, text in words.items()]
    )


def sourced(function: Function) -> Function:
    """
    Add the options of L{passworded}, and the one by which a password can be had back.
    """
    return click.option(
        "--recoverable",
        is_flag=True,
        help="Store the password itself too, encrypted: CHAP (MD5) needs it.",
    )(passworded(function))


def present(name: str, stdin: bool) -> bytes:
    """
    Return the password that the user C{name} has already.

    @param stdin: whether to read it from standard input; otherwise it is typed at the terminal.
    @raise ConfigurationError: there is none, or it is empty.
    @raise SystemExit: SIGINT or SIGTERM came instead.
    """
    if not stdin:
        return typedOnce(name, ". --stdin reads it from standard input")
    with onInterrupt(sys.exit):
        return _some(sys.stdin.buffer.readline().rstrip(b"\r\n"))


def typedOnce(name: str, otherwise: str) -> bytes:
    """
    Return the password of C{name}, as it is typed at the terminal.

    @param otherwise: the end of the error if none is typed, which says what else there is.
    @raise ConfigurationError: none is typed, or it is empty.
    @raise SystemExit: SIGINT or SIGTERM came instead.
    """
    with onInterrupt(sys.exit):
        (typed,) = _asked(otherwise, f"Password of {name}: ")
    return _some(typed.encode("utf-8", "surrogateescape"))


def _some(password: bytes) -> bytes:
    if not password:
        raise ConfigurationError("the password is empty")
    return password


def _typed(name: str) -> bytes:
    """
    Return the password that is typed twice at the terminal.

    @raise ConfigurationError: nothing was typed, or the two differ.
    """
    password, again = _asked(
        "; nothing is changed. --stdin reads it from standard input, --generate makes one",
        f"Password of {name}: ",
        "Again: ",
    )
    if password != again:
        raise ConfigurationError("these are two different passwords; nothing is changed")
    return password.encode("utf-8", "surrogateescape")


def _asked(otherwise: str, *prompts: str) -> list[str]:
    """
    Return what is typed at the terminal after each of the prompts, which does not show it.

    @param otherwise: the end of the error, which says what else there is.
    @raise ConfigurationError: nothing was typed.
    """
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass would read standard input with a warning that the password
            # is shown; refuse that.
            warnings.simplefilter("error", GetPassWarning)
            return [getpass(one) for one in prompts]
    except (EOFError, GetPassWarning) as error:
        if isinstance(error, EOFError):
            # The cursor is still behind the prompt: end its line.
            print(file=sys.stderr)
        raise ConfigurationError(f"no password was typed{otherwise}") from error

"""
Chat scripts, which have a modem dial before PPP begins, in the language of pppd's chat(8).

A script is a list of words, quoted as in a shell: in turn a word that is expected and a word that
is then sent::

    ABORT BUSY ABORT 'NO CARRIER' TIMEOUT 45 '' ATZ OK ATDT5551234 CONNECT ''

 - An expected word may name alternatives, for the case that it doesn't come in time:
   C{ogin:--ogin:} sends an empty line after the timeout, and waits for the word once more.
 - A carriage return is sent after each word, unless the word ends with C{\\c}. The other escapes
   are C{\\n}, C{\\r}, C{\\s} (a space), C{\\t} and C{\\\\}.
 - C{\\T} stands for the number that is to be dialled, where there is one.
 - C{ABORT} and a word: the script fails if the word comes at any later time.
 - C{TIMEOUT} and a number: the time in seconds to wait for each later word. At first it is 45.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import CallError, ConfigurationError
from pptpgw.timing.timer import cancelled

TIMEOUT = 45.0
"""
The time in seconds to wait for an expected word, unless the script says otherwise.
"""

Alternative = tuple[bytes, bytes | None]

_ESCAPED = {"n": "\n", "r": "\r", "s": " ", "t": "\t", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Step:
    """
    A word of a script that is waited for, and the word that is then sent.

    @ivar expected: the alternatives: each is a word that is waited for, with the octets to send if
        it doesn't come in time; None after the last word.
    @ivar send: the octets to send when one of the words has come.
    @ivar aborts: the words that make the script fail.
    @ivar timeout: the time in seconds to wait for each word.
    """

    expected: tuple[Alternative, ...]
    send: bytes
    aborts: tuple[bytes, ...]
    timeout: float


def parseChat(script: str, number: str = "") -> tuple[Step, ...]:
    """
    Return the steps of C{script}.

    @param number: stands in the place of each C{\\T}.
    @raise ConfigurationError: the script can't be read; the text says why.
    """
    try:
        words = iter(shlex.split(_dialling(script, number)))
    except ValueError as error:
        raise ConfigurationError(f"the chat script can't be read: {error}") from error
    aborts: tuple[bytes, ...] = ()
    timeout = TIMEOUT
    steps = []
    for word in words:
        if word == "ABORT":
            aborts += (_octets(_following(words, word)),)
        elif word == "TIMEOUT":
            timeout = _seconds(_following(words, word))
        else:
            # There need be no word to send after the last expected one.
            sent = next(words, None)
            send = b"" if sent is None else _line(sent)
            steps.append(Step(_alternatives(word), send, aborts, timeout))
    return tuple(steps)


def _dialling(script: str, number: str) -> str:
    return re.sub(r"(?s)\\(.)", lambda escape: number if escape[1] == "T" else escape[0], script)


def _following(words: Iterator[str], keyword: str) -> str:
    word = next(words, None)
    if not word:
        raise ConfigurationError(f"the chat script has nothing behind {keyword}")
    return word


def _seconds(word: str) -> float:
    if not word.isdecimal() or not 1 <= int(word) <= 3600:
        raise ConfigurationError(
            f"the chat script has TIMEOUT {word}: must be a number of seconds from 1 to 3600"
        )
    return float(word)


def _octets(word: str) -> bytes:
    def escaped(match: re.Match[str]) -> str:
        character = match[1]
        if character not in _ESCAPED:
            raise ConfigurationError(
                f"the chat script has \\{character}, which isn't known: "
                f"there are {', '.join(f'{chr(92)}{one}' for one in _ESCAPED)}, and \\c at an end"
            )
        return _ESCAPED[character]

    return re.sub(r"(?s)\\(.|$)", escaped, word).encode()


def _line(word: str) -> bytes:
    """
    Return the octets to send for C{word}.
    """
    if re.search(r"(?<!\\)(\\\\)*\\c$", word):
        return _octets(word[:-2])
    return _octets(word) + b"\r"


def _alternatives(word: str) -> tuple[Alternative, ...]:
    """
    Return the alternatives of an expected word: C{ogin:--ogin:} has two.
    """
    parts = word.split("-")
    if len(parts) % 2 == 0:
        parts.append("")
    sent = [_line(part) for part in parts[1::2]]
    return tuple(zip(map(_octets, parts[::2]), [*sent, None], strict=True))


class Chat:
    """
    One run of a chat script.

    @ivar done: fires with the octets that came after the last expected word, which are the first of
        PPP. It fails with L{CallError} if the script fails. Cancelling it ends the script.
    """

    def __init__(
        self, clock: IReactorTime, script: tuple[Step, ...], send: Callable[[bytes], None]
    ) -> None:
        """
        @param send: sends octets to the modem.
        """
        self.done: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._clock = clock
        self._send = send
        self._steps = iter(script)
        self._step: Step | None = None
        self._waiting: Iterator[Alternative] = iter(())
        self._expected = b""
        self._instead: bytes | None = None
        self._buffer = b""
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """
        Begin with the first step.
        """
        self._advance()

    def received(self, octets: bytes) -> None:
        """
        Handle octets from the modem.
        """
        self._buffer += octets
        while (step := self._step) is not None:
            words = (self._expected, *step.aborts)
            found = [
                (at + len(word), word) for word in words if (at := self._buffer.find(word)) >= 0
            ]
            if not found:
                # The beginning of a word may have come.
                self._buffer = self._buffer[-max(map(len, words)) :]
                return
            end, word = min(found)
            self._buffer = self._buffer[end:]
            if word in step.aborts:
                self._fail(f"the modem says {word.decode(errors='replace')}")
                return
            self._timer = cancelled(self._timer)
            if step.send:
                self._send(step.send)
            self._advance()

    def lost(self, reason: str) -> None:
        """
        Fail, since the line is disconnected.

        @param reason: why, in words.
        """
        self._fail(reason)

    def _advance(self) -> None:
        self._step = next(self._steps, None)
        if self._step is None:
            rest, self._buffer = self._buffer, b""
            self.done.callback(rest)
            return
        self._waiting = iter(self._step.expected)
        self._await()

    def _await(self) -> None:
        """
        Wait for the next alternative of this step. An empty word counts as received at once.
        """
        assert self._step is not None
        self._expected, self._instead = next(self._waiting)
        if self._expected:
            self._timer = self._clock.callLater(self._step.timeout, self._timedOut)
        self.received(b"")

    def _timedOut(self) -> None:
        self._timer = None
        assert self._step is not None
        if self._instead is None:
            word, seconds = self._expected.decode(errors="replace"), self._step.timeout
            self._fail(f"the modem didn't say {word} within {seconds:g} s")
        else:
            self._send(self._instead)
            self._await()

    def _fail(self, reason: str) -> None:
        if self._step is not None:
            self._stop()
            self.done.errback(Failure(CallError(reason)))

    def _stop(self) -> None:
        self._step = None
        self._timer = cancelled(self._timer)

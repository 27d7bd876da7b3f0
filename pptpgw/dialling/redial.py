"""
When a call of C{[[dial]]} is placed, where to, and when again.

The rules:

 - Addresses are tried in order. After one that fails the next one is tried, after C{retry-min}
   seconds. When all have failed, the time until the first one is tried again doubles each time, up
   to C{retry-max}.
 - A random part, up to half, is taken off each of these times, so that gateways that lost their
   calls together don't dial together.
 - A call that has stayed up for L{STAYED} seconds ends all that: the first address is tried next,
   after C{retry-min}.
 - A refused password is tried again after C{retry-max} only, at the next address.
 - Outside of its hours nothing is dialled.
 - A call that reaches its limit of time, idle time or volume is placed anew if it is to be up
   always; if somebody asked for it, it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import uniform
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.config.dial import Dial
from pptpgw.sessions import hours
from pptpgw.sessions.cause import Cause, Termination, asCause, codeOf
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

STAYED = 30.0
"""
The seconds after which a call counts as one that works.
"""

LOOK = 60.0
"""
The interval in seconds at which the hours are looked at, since the machine's clock may be set.
"""

_DOUBLINGS = 32

_LIMITS = (Termination.SESSION_TIMEOUT, Termination.IDLE_TIMEOUT)


class DialState(Enum):
    """
    The states. The value is the word for people and programs.
    """

    OFF = "off"
    """
    Nobody wants the call.
    """

    WAITING = "waiting"
    """
    The call is wanted, and is placed when it is time.
    """

    DIALLING = "dialling"
    """
    The call is being placed, or no network is open yet.
    """

    UP = "up"
    """
    A network is open.
    """

    ENDING = "ending"
    """
    The call is being given up.
    """


class Placer(TypingProtocol):
    """
    What places calls, one at a time. It calls L{Redial.opened} and L{Redial.over}.
    """

    def place(self, number: int) -> None:
        """
        Place a call to the address with this number, counted from 0.
        """

    def giveUp(self, cause: str) -> None:
        """
        End the call, or the attempt to place it.
        """


class Redial:
    """
    The state of one C{[[dial]]}.

    @ivar state: the state.
    @ivar since: when that began, by the clock.
    @ivar due: when the call is placed next, by the clock; None if it isn't waiting.
    @ivar isWanted: whether the call is to be up.
    @ivar failures: how many attempts in a row have failed.
    @ivar number: the number of the address that is tried now or next.
    @ivar cause: why the last attempt or call has ended; empty if none has.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        dial: Dial,
        placer: Placer,
        uniform: Callable[[float, float], float] = uniform,
    ) -> None:
        """
        @param now: gives the time of day, in seconds since 1970, for the hours.
        @param uniform: returns a random number between two.
        """
        self.state = DialState.OFF
        self.since = clock.seconds()
        self.due: float | None = None
        self.isWanted = False
        self.failures = 0
        self.number = 0
        self.cause: Cause | None = None
        self._clock = clock
        self._now = now
        self._dial = dial
        self._placer = placer
        self._uniform = uniform
        self._timer: IDelayedCall | None = None

    @property
    def lasted(self) -> float:
        """
        The seconds that it has been in its state.
        """
        return self._clock.seconds() - self.since

    @property
    def left(self) -> float | None:
        """
        The seconds until the next attempt; None if it doesn't wait.
        """
        return None if self.due is None else max(0.0, self.due - self._clock.seconds())

    # What is asked

    def up(self) -> None:
        """
        Have the call up. If it waits, it is placed at once, within its hours.
        """
        self.isWanted = True
        if self.state in (DialState.OFF, DialState.WAITING):
            self._place()

    def down(self, cause: str) -> None:
        """
        End the call, and place no other one until L{up}.
        """
        self.isWanted = False
        if self.state is DialState.WAITING:
            self._become(DialState.OFF)
        elif self.state in (DialState.DIALLING, DialState.UP):
            self._giveUp(cause)

    def change(self, dial: Dial, cause: str) -> None:
        """
        Follow another description of the call, which is placed anew if there is one.
        """
        self._dial = dial
        self.failures = self.number = 0
        if self.state is DialState.WAITING:
            self._place()
        elif self.state in (DialState.DIALLING, DialState.UP):
            self._giveUp(cause)

    # What happens

    def opened(self) -> None:
        """
        Note that a network is open.
        """
        if self.state is DialState.DIALLING:
            self._become(DialState.UP)

    def over(self, cause: str) -> None:
        """
        Note that the call, or the attempt to place it, is over.
        """
        before, lasted = self.state, self.lasted
        if before is DialState.ENDING and self.cause is not None:
            # Why it was given up says more than how it ended then.
            cause = self.cause
        self.cause = asCause(cause)
        if before is DialState.UP and codeOf(cause) in _LIMITS and self._dial.when == "asked":
            self.isWanted = False
        if not self.isWanted:
            self.failures = self.number = 0
            self._become(DialState.OFF)
            return
        if before is DialState.UP and lasted >= STAYED:
            self.failures = self.number = 0
        else:
            self.failures += 1
            self.number = (self.number + 1) % len(self._dial.addresses)
        self._wait(self._delay())

    # What is private

    def _delay(self) -> float:
        """
        Return the seconds until the next attempt.
        """
        dial, cause = self._dial, self.cause
        longest = max(dial.retryMin, dial.retryMax)
        if cause is not None and cause.remedy is Remedy.NOT_BELIEVED:
            return longest
        if self.number or not self.failures:
            return dial.retryMin
        rounds = min((self.failures - 1) // len(dial.addresses), _DOUBLINGS)
        return min(longest, dial.retryMin * (1 << rounds))

    def _wait(self, seconds: float) -> None:
        self._become(DialState.WAITING, self._uniform(seconds / 2, seconds), self._place)

    def _place(self) -> None:
        closed = hours.parse(self._dial.hours).until(self._now()) if self._dial.hours else 0
        if closed:
            self._become(DialState.WAITING, min(closed, LOOK), self._place)
            self.due = self._clock.seconds() + closed
            return
        self._become(DialState.DIALLING, self._dial.timeout, self._late)
        self._placer.place(self.number)

    def _late(self) -> None:
        text = f"no network was open after {self._dial.timeout:g} s"
        self._giveUp(Cause(text, Termination.LOST_CARRIER, Remedy.SLOW))

    def _giveUp(self, cause: str) -> None:
        self.cause = asCause(cause)
        self._become(DialState.ENDING)
        self._placer.giveUp(cause)

    def _become(
        self, state: DialState, seconds: float = 0, then: Callable[[], None] | None = None
    ) -> None:
        """
        Enter C{state}, and do C{then} after C{seconds}.
        """
        self._timer = cancelled(self._timer)
        self.state = state
        self.since = self._clock.seconds()
        self.due = self.since + seconds if state is DialState.WAITING else None
        if then is not None:
            self._timer = self._clock.callLater(seconds, self._timed, then)

    def _timed(self, then: Callable[[], None]) -> None:
        self._timer = None
        then()

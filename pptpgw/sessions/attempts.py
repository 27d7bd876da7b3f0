"""
The attempts of a gateway: those that go on, and the last ones that are over.

The rules:

 - Attempts of calls that were up, and attempts that failed or were refused, are two kinds. When
   there are too many, the oldest one of the kind with more is forgotten, so that neither kind
   drives out the other.
 - One source has at most the L{SHARE}th part of the attempts that are over. Its next one replaces
   its own oldest one, so that a stranger can't make the gateway forget others.
 - A caller that is turned away again for the same reason is only counted.
 - As many calls as are kept that are over, those that came up last, keep the frames of their
   set-up, while they last too. Calls that came up earlier lose them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import (
    Caller,
    Direction,
    Frame,
    IAttempt,
    IAttempts,
    ICall,
    IFollowing,
    INetwork,
    IReadableNetwork,
    IStagedCall,
    Outcome,
    TunnelKind,
)
from pptpgw.ppp.decode.frame import Decoder
from pptpgw.ppp.decode.words import Words
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.following import Following

CALL = "call"
"""
The stage in which the gateway decides whether to take a call.
"""

SHARE = 8
"""
The part of all attempts that one source may have.
"""

_Attempts = OrderedDict[str, Attempt]


@implementer(IAttempts)
class Attempts:
    """
    See L{IAttempts}.

    @ivar decoder: writes frames as texts, and what control protocols have agreed on.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        size: int,
        words: Mapping[int, Words] | None = None,
    ) -> None:
        """
        @param now: returns the time of day, in seconds since 1970.
        @param size: how many are kept that are over; 0 for none.
        @param words: the words for the control protocols of networks, by PPP protocol number.
        """
        self.decoder = Decoder(words)
        self._seconds: Callable[[], float] = clock.seconds
        self._now = now
        self._size = size
        self._going: dict[str, Attempt] = {}
        # Those that are over, the oldest first, by whether they were up.
        self._over: dict[bool, _Attempts] = {True: OrderedDict(), False: OrderedDict()}
        # The same ones, by their sources.
        self._sources: dict[str, _Attempts] = {}
        # Those that were up and have the frames of their set-up, the first that came up first.
        self._framed: _Attempts = OrderedDict()
        self._followings: tuple[Following, ...] = ()
        # One object for all attempts, which saves memory.
        self._tell = self._named
        self._turnedAway = 0

    # IAttempts

    def __len__(self) -> int:
        return len(self._going) + sum(map(len, self._over.values()))

    def __iter__(self) -> Iterator[Attempt]:
        over = chain.from_iterable(one.values() for one in self._over.values())
        yield from reversed(tuple(self._going.values()))
        yield from sorted(over, key=lambda one: one.since + one.duration, reverse=True)

    def withIdentifier(self, identifier: str) -> Attempt | None:
        """
        See L{IAttempts.withIdentifier}.
        """
        for table in (self._going, *self._over.values()):
            if (found := table.get(identifier)) is not None:
                return found
        return None

    def find(
        self, user: str | None = None, source: str | None = None, outcome: Outcome | None = None
    ) -> list[Attempt]:
        """
        See L{IAttempts.find}.
        """
        return [
            one
            for one in self
            if (user is None or one.isOf(user))
            and (source is None or one.source == source)
            and (outcome is None or one.outcome is outcome)
        ]

    def text(self, frame: Frame) -> str:
        """
        See L{IAttempts.text}.
        """
        direction = "sent" if frame.isSent else "rcvd"
        text = self.decoder.text(frame.protocol, frame.information, frame.size)
        return f"{direction} {text}"

    def follow(
        self, predicate: Callable[[IAttempt], bool], listener: Callable[[IFollowing], object]
    ) -> Following:
        """
        See L{IAttempts.follow}.
        """
        following = Following(predicate, listener, self._unfollow)
        self._followings += (following,)
        for attempt in tuple(self._going.values()):
            following.consider(attempt)
        return following

    # The gateway, its lines and its tunnels

    def begin(self, call: ICall, caller: Caller) -> Attempt:
        """
        Begin the attempt of a call that is taken.
        """
        now = began = self._seconds()
        steps: Sequence[tuple[str, float]] = ()
        going = "LCP"
        if IStagedCall.providedBy(call):
            staged = IStagedCall(call)
            steps, going = staged.steps, staged.carrier or going
            began = steps[0][1] if steps else now
        since = self._now() - (now - began)
        attempt = Attempt(caller, since, self._seconds, began, self._tell, going)
        for name, when in steps:
            attempt.arrived(name, when)
        attempt.arrived(CALL, now)
        self._going[caller.session] = attempt
        self._named(attempt)
        return attempt

    def opened(self, attempt: Attempt, protocol: str) -> None:
        """
        Note that a network protocol opened on the call of C{attempt}.
        """
        if not attempt.isUp:
            self._framed[attempt.identifier] = attempt
            self._shrink()
        attempt.open(protocol)

    def ended(self, attempt: Attempt, cause: str) -> None:
        """
        Note that the call of C{attempt} is over.
        """
        del self._going[attempt.identifier]
        attempt.end(cause)
        self._keep(attempt)

    def turnedAway(
        self,
        source: str,
        tunnel: TunnelKind,
        stage: str,
        reason: str,
        isRefused: bool = True,
        dial: str = "",
    ) -> None:
        """
        Note that a caller was turned away, or went away, before it had a call; or that one that the
        gateway dials couldn't be placed. If the same happened the last time, it is only counted.

        @param source: the address of the other end.
        @param stage: the stage in which that was.
        @param isRefused: whether the gateway refused it.
        @param dial: the name of the C{[[dial]]}; empty for a caller.
        """
        own = self._sources.get(source)
        if own:
            last = own[next(reversed(own))]
            if not last.caller.port and (last.cause, last.going, last.user) == (
                reason,
                stage,
                dial,
            ):
                last.again()
                return
        self._turnedAway += 1
        direction = Direction.OUT if dial else Direction.IN
        identifier = f"refused-{self._turnedAway}"
        caller = Caller(source, "", 0, identifier, tunnel, direction=direction)
        now = self._seconds()
        attempt = Attempt(caller, self._now(), self._seconds, now, self._tell, stage)
        attempt.user = attempt.identity = dial
        self._named(attempt)
        attempt.isRefused = isRefused
        attempt.end(reason)
        self._keep(attempt)

    def resize(self, size: int) -> None:
        """
        Keep at most C{size} attempts that are over from now on; 0 for none.
        """
        self._size = size
        self._shrink()

    def _shrink(self) -> None:
        while sum(map(len, self._over.values())) > self._size:
            larger = max(self._over.values(), key=len)
            self._forget(next(iter(larger.values())))
        while len(self._framed) > self._size:
            _, attempt = self._framed.popitem(last=False)
            attempt.dropFrames()

    def _keep(self, attempt: Attempt) -> None:
        if not self._size:
            return
        identifier, source = attempt.identifier, attempt.source
        own = self._sources.setdefault(source, OrderedDict())
        if len(own) >= max(1, self._size // SHARE):
            self._forget(next(iter(own.values())))
            own = self._sources.setdefault(source, own)
        own[identifier] = attempt
        self._over[attempt.isUp][identifier] = attempt
        self._shrink()

    def _forget(self, attempt: Attempt) -> None:
        del self._over[attempt.isUp][attempt.identifier]
        self._framed.pop(attempt.identifier, None)
        own = self._sources[attempt.source]
        del own[attempt.identifier]
        if not own:
            del self._sources[attempt.source]

    def _named(self, attempt: Attempt) -> None:
        """
        Ask those who follow attempts whether they want this one, whose caller is known better now.
        """
        for following in self._followings:
            following.consider(attempt)

    def _unfollow(self, following: Following) -> None:
        self._followings = tuple(one for one in self._followings if one is not following)
        for attempt in self._going.values():
            if following in attempt.followers:
                attempt.followers = tuple(one for one in attempt.followers if one is not following)


def wordsOf(networks: Iterable[INetwork]) -> dict[int, Words]:
    """
    Return the words for the control protocols of C{networks}, by PPP protocol number.
    """
    readable = map(IReadableNetwork, filter(IReadableNetwork.providedBy, networks))
    return {one.control: one.words for one in readable}

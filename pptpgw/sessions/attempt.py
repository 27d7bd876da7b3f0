"""
One attempt to call: its stages with their times, its last control frames, and its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any
from typing import Protocol as TypingProtocol

from zope.interface import implementer

from pptpgw.interfaces import (
    AttemptEvent,
    Caller,
    Claim,
    Direction,
    Ending,
    Frame,
    IAttempt,
    Outcome,
    Stage,
    TunnelKind,
)
from pptpgw.ppp.decode.secrecy import withoutPassword
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.username import folded

FRAMES = 64
"""
The number of frames that are kept of each attempt.
"""

FRAME_OCTETS = 512
"""
The most octets that are kept of each frame.
"""

_STAGES = 32
"""
The number of stages that are kept. A peer may negotiate again and again.
"""

# What precedes the octets of a frame that is kept: the seconds, whether it was sent, its protocol
# number and its size.
_RECORD = Struct("!d?HI")
# The lowest number of a control protocol. Packets of networks have lower ones (RFC 1661 section 2).
_CONTROL = 0x8000
# The codes of LCP that a session exchanges all the time.
_ECHOES = (b"\x09", b"\x0a", b"\x0b")


class Follower(TypingProtocol):
    """
    The interface of an object that is told what happens in an attempt.
    """

    def happened(self, event: AttemptEvent) -> None:
        """
        Note an event. This doesn't raise.
        """


@implementer(IAttempt)
class Attempt:
    """
    See L{IAttempt}. Its methods are called by the line and the link of the call.

    @ivar caller: the caller, with the identifier that its session has or would have had.
    @ivar identity: the identity of the user (L{Claim.identity}); empty if unknown.
    @ivar isUp: whether a network protocol has opened.
    @ivar isRefused: whether the call wasn't taken at all.
    @ivar followers: the L{Follower}s that are told of its events.
    @ivar repeats: see L{IAttempt}.
    """

    __slots__ = (
        "_began",
        "_ended",
        "_flat",
        "_frames",
        "_heard",
        "_named",
        "_seconds",
        "caller",
        "cause",
        "followers",
        "going",
        "identity",
        "isRefused",
        "isUp",
        "repeats",
        "since",
        "user",
    )

    def __init__(
        self,
        caller: Caller,
        since: float,
        seconds: Callable[[], float],
        began: float,
        named: Callable[[Attempt], None],
        going: str,
    ) -> None:
        """
        @param since: when it began, in seconds since 1970.
        @param seconds: returns the monotonic time.
        @param began: when it began, by C{seconds}.
        @param named: called when the caller gives a name.
        @param going: the name of the stage that goes on.
        """
        self.caller = caller
        self.since = since
        self.user = ""
        self.identity = ""
        self.cause = ""
        self.going = going
        self.isUp = self.isRefused = False
        self.repeats = 0
        self.followers: tuple[Follower, ...] = ()
        self._seconds = seconds
        self._began = began
        self._ended: float | None = None
        self._named = named
        # The name and the time of each stage, one after the other; a tuple of name and failure for
        # one that failed. A session keeps them as long as it lasts, and a value for each stage
        # would take more memory.
        self._flat: list[Any] = []
        # A record and the octets of each L{Frame}, which is only made when somebody reads it: one
        # object takes less memory than a value for each field.
        self._frames: list[bytes] | None = None
        # Whether a frame has come.
        self._heard = False

    # IAttempt

    @property
    def identifier(self) -> str:
        """
        See L{IAttempt}.
        """
        return self.caller.session

    @property
    def guesser(self) -> str:
        """
        See L{IAttempt}.
        """
        return self.caller.guesser

    @property
    def source(self) -> str:
        """
        See L{IAttempt}.
        """
        return self.caller.address

    @property
    def tunnel(self) -> TunnelKind:
        """
        See L{IAttempt}.
        """
        return self.caller.tunnel

    @property
    def direction(self) -> Direction:
        """
        See L{IAttempt}.
        """
        return self.caller.direction

    @property
    def protection(self) -> str:
        """
        See L{IAttempt}.
        """
        return self.caller.protection

    @property
    def duration(self) -> float:
        """
        See L{IAttempt}.
        """
        return (self._seconds() if self._ended is None else self._ended) - self._began

    @property
    def outcome(self) -> Outcome:
        """
        See L{IAttempt}.
        """
        if self.isRefused:
            return Outcome.REFUSED
        if self._ended is None:
            return Outcome.UP if self.isUp else Outcome.SETTING_UP
        return Outcome.ENDED if self.isUp else Outcome.FAILED

    @property
    def stages(self) -> Sequence[Stage]:
        """
        See L{IAttempt}.
        """
        flat, began, stages = iter(self._flat), self._began, []
        for name, when in zip(flat, flat, strict=True):
            failure = ""
            if isinstance(name, tuple):
                name, failure = name
            stages.append(Stage(name, when - began, failure))
        return stages

    @property
    def frames(self) -> Sequence[Frame]:
        """
        See L{IAttempt}.
        """
        frames = []
        for one in self._frames or ():
            seconds, isSent, protocol, size = _RECORD.unpack_from(one)
            frames.append(Frame(seconds, isSent, protocol, one[_RECORD.size :], size))
        return frames

    def isOf(self, user: str) -> bool:
        """
        See L{IAttempt.isOf}.
        """
        return bool(self.user) and (
            user == self.user
            or folded(user.encode("utf-8", "surrogateescape"), True) == self.identity
        )

    def __repr__(self) -> str:
        return f"<Attempt {self.identifier} from {self.source}, {self.outcome.value}>"

    # pptpgw.ppp.settings.LinkWatcher

    def frame(self, isSent: bool, protocol: int, information: bytes) -> None:
        """
        Keep a control frame that was sent or received. Once the attempt is up, echoes are only
        shown to followers.
        """
        if not isSent and not self._heard:
            self._heard = True
            if self.going != "LCP":
                self.passed(self.going, "LCP")
        if protocol < _CONTROL:
            return
        kept = information
        if protocol in ppp.AUTHENTICATION:
            kept = withoutPassword(protocol, information)
        kept = kept[:FRAME_OCTETS]
        seconds, size = self._seconds() - self._began, len(information)
        if not (self.isUp and protocol == ppp.LCP and information[:1] in _ECHOES):
            record = _RECORD.pack(seconds, isSent, protocol, size) + kept
            if self._frames is None:
                self._frames = []
            self._frames.append(record)
            if len(self._frames) > FRAMES:
                del self._frames[0]
        if self.followers:
            self._tell(Frame(seconds, isSent, protocol, bytes(kept), size))

    def begins(self, stage: str) -> None:
        """
        Note that a stage begins.
        """
        self.going = "" if self.isUp else stage

    def passed(self, stage: str, following: str = "") -> None:
        """
        Note that a stage was passed.

        @param following: the name of the stage that begins now; empty if it is unknown.
        """
        self.begins(following)
        self._note(stage, "", self._seconds())

    def failed(self, stage: str, reason: str) -> None:
        """
        Note that a stage failed. The attempt may go on, with another password for example.
        """
        self._note(stage, reason, self._seconds())

    # The line

    def arrived(self, stage: str, when: float) -> None:
        """
        Note a stage that was passed before the call was offered.

        @param when: when, by the monotonic clock.
        """
        self._note(stage, "", when)

    def claimed(self, claim: Claim) -> None:
        """
        Note the name that the caller gives, which is judged now.
        """
        self.begins("authentication")
        self.named(claim.name[:64].decode("utf-8", "replace"), claim.identity())

    def named(self, user: str, identity: str) -> None:
        """
        Note whom the call is for.
        """
        if (user, identity) != (self.user, self.identity):
            self.user, self.identity = user, identity
            self._named(self)

    def open(self, protocol: str) -> None:
        """
        Note that a network protocol opened. With the first one the set-up is over.
        """
        self.isUp = True
        self.passed(protocol)
        # A copy takes no more memory than it needs.
        self._flat = self._flat[:]

    def dropFrames(self) -> None:
        """
        Drop the frames that are kept.
        """
        self._frames = None

    def end(self, cause: str) -> None:
        """
        Note that the call is over. The stage that went on has failed, if the attempt wasn't up.
        """
        self._ended = self._seconds()
        self.cause = cause
        if not self.isUp and self.going and self.going != self._failedLast:
            self._note(self.going, cause, self._ended)
        if self.followers:
            self._tell(Ending(self.duration, cause))
        self.followers = ()

    def again(self) -> None:
        """
        Note that the caller was turned away once more.
        """
        self.repeats += 1
        self._ended = self._seconds()

    @property
    def _failedLast(self) -> str:
        """
        The name of the last stage, if it failed.
        """
        last = self._flat[-2] if self._flat else ""
        return last[0] if isinstance(last, tuple) else ""

    def _note(self, stage: str, failure: str, when: float) -> None:
        flat = self._flat
        if len(flat) == 2 * _STAGES:
            # The first ones tell of the set-up, the last ones of the end.
            del flat[_STAGES : _STAGES + 2]
        flat += ((stage, failure) if failure else stage, when)
        if self.followers:
            self._tell(Stage(stage, when - self._began, failure))

    def _tell(self, what: Frame | Stage | Ending) -> None:
        event = AttemptEvent(self, what)
        for follower in self.followers:
            follower.happened(event)

"""
Attempts: what became of each call and of each caller that was turned away, as operators and
programs see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from zope.interface import Attribute, Interface

from pptpgw.interfaces.caller import Direction, TunnelKind


class Outcome(Enum):
    """
    What became of an attempt.
    """

    SETTING_UP = "being set up"
    """
    The call goes on, and no network protocol has opened yet.
    """

    UP = "up"
    """
    The call goes on, and a network protocol has opened.
    """

    ENDED = "ended"
    """
    The call was up, and is over.
    """

    FAILED = "failed"
    """
    The call ended before any network protocol had opened.
    """

    REFUSED = "refused"
    """
    The connection or the call wasn't taken at all.
    """


class Stage(NamedTuple):
    """
    A stage that an attempt has passed, or in which it has failed.

    @ivar name: C{TCP}, C{GRE}, C{LCP}, C{authentication}, C{limits}, C{addresses}, C{CCP}, the name
        of a network protocol such as C{ipv4}, or another name that a tunnel gives.
    @ivar seconds: when it was passed or failed, in seconds since the attempt began.
    @ivar failure: why it failed, in words; empty if it was passed.
    """

    name: str
    seconds: float
    failure: str = ""


class Frame(NamedTuple):
    """
    A control frame of an attempt.

    @ivar seconds: when it was sent or received, in seconds since the attempt began.
    @ivar isSent: whether the gateway sent it.
    @ivar protocol: its PPP protocol number.
    @ivar information: the first octets of its information field, never with a password in clear.
    @ivar size: the length of the whole information field in octets.
    """

    seconds: float
    isSent: bool
    protocol: int
    information: bytes
    size: int


class IAttempt(Interface):
    """
    One call, from its first sign to its end, or a caller that was turned away.
    """

    identifier: str = Attribute(
        "The identifier of the attempt: that of its session, as in the log and the audit, whether "
        "or not it ever had one. A caller that was turned away has another one."
    )
    source: str = Attribute("The address of the caller, in text.")
    guesser: str = Attribute("See L{pptpgw.interfaces.Caller.guesser}.")
    tunnel: TunnelKind = Attribute("The L{TunnelKind} of the tunnel.")
    direction: Direction = Attribute(
        "Who placed the call, a L{Direction}. If this gateway did, C{source} is our own address; "
        "it is that of the other end if there was no call."
    )
    protection: str = Attribute("See L{pptpgw.interfaces.Caller.protection}.")
    user: str = Attribute(
        "The name that the caller gave last, or that its account has; empty if it gave none."
    )
    since: float = Attribute("When it began, in seconds since 1970.")
    duration: float = Attribute(
        "The seconds that it has lasted, by a monotonic clock, until now or until its end."
    )
    outcome: Outcome = Attribute("The L{Outcome}.")
    cause: str = Attribute(
        "Why it ended or was refused, in words; empty while it goes on. "
        "L{pptpgw.sessions.cause.codeOf} gives the code."
    )
    going: str = Attribute(
        "The name of the stage that goes on, or that it failed in; empty once it is up."
    )
    stages: Sequence[Stage] = Attribute(
        "The stages that it has passed, and those that failed, in the order of time."
    )
    frames: Sequence[Frame] = Attribute(
        "The last control frames, the oldest first. A call that is up loses those of its set-up "
        "when as many others as are kept came up after it."
    )
    repeats: int = Attribute(
        "How often the caller was turned away since, for the same reason. Only the first time has "
        "an attempt of its own."
    )

    def isOf(user: str) -> bool:
        """
        Return whether the attempt is one of C{user}'s, however the name is spelled.
        """


class Ending(NamedTuple):
    """
    The end of an attempt.

    @ivar seconds: when it ended, in seconds since it began.
    @ivar cause: why, in words.
    """

    seconds: float
    cause: str


class AttemptEvent(NamedTuple):
    """
    Something that happened in an attempt.

    @ivar attempt: the L{IAttempt}.
    @ivar what: the frame, the stage or the end.
    """

    attempt: IAttempt
    what: Frame | Stage | Ending


class IFollowing(Interface):
    """
    The events of attempts that somebody follows, see L{IAttempts.follow}.
    """

    lost: int = Attribute("How many events were lost because they weren't taken in time.")

    def take() -> list[AttemptEvent]:
        """
        Return the events that have happened since the last call, in the order of time.
        """

    def stop() -> None:
        """
        Follow no more. Calling this again does nothing.
        """


class IAttempts(Interface):
    """
    The attempts of a gateway: those that go on, and the last ones that are over. A number of them
    is kept in memory, C{[limits] attempts}, and none of it survives a restart.
    """

    def __len__() -> int:
        """
        Return how many there are.
        """

    def __iter__() -> Iterator[IAttempt]:
        """
        Iterate over all of them: those that go on, then those that are over, the newest first.
        """

    def withIdentifier(identifier: str) -> IAttempt | None:
        """
        Return the attempt with this identifier, or None.
        """

    def find(
        user: str | None = None, source: str | None = None, outcome: Outcome | None = None
    ) -> Sequence[IAttempt]:
        """
        Return the attempts of a user, from an address, or with an outcome, in the order of the
        iteration. None stands for all.
        """

    def text(frame: Frame) -> str:
        """
        Return what pppd would log of a frame: C{sent [LCP ConfReq id=0x1 <mru 1400>]}. Passwords
        and everything that they could be guessed with are hidden.
        """

    def follow(
        predicate: Callable[[IAttempt], bool], listener: Callable[[IFollowing], object]
    ) -> IFollowing:
        """
        Follow the attempts that C{predicate} is true for, those to come too. It is asked when an
        attempt begins, and again whenever its caller gives a name. An attempt that goes on is
        followed from its first frame that is kept.

        @param listener: called when there are events to take after there were none. An exception
            that it raises is logged and ends the following.
        """

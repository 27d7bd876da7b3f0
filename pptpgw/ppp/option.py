"""
Options and their negotiation, written once for every control protocol (RFC 1661 sections 5.1-5.4).

The rules:

 - What we ask for is C{wanted}; a Configure-Nak may change it and a Configure-Reject removes it;
   what the peer acknowledged of it is C{granted}.
 - What the peer asks for is judged kind by kind: the same value is an Ack, another one a Nak, none
   a Reject, and so is a type that nobody here knows.  Reject outranks Nak.  What we acknowledged
   is C{allowed}.
 - After C{MAX_FAILURE} Naks without an Ack every further one is a Reject, and nothing is appended
   that the peer didn't ask for (section 4.6).  The same number of Naks received makes the next one
   count as a Reject.
 - After C{MAX_REFUSALS} refusals in one direction the two won't ever agree.
 - An Ack repeats the octets.  Of an option that stands twice the first one counts, unless it is of
   a kind that may stand several times.
 - Replies are cut between options to fit what the peer can receive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from pptpgw.error import PPTPGWError
from pptpgw.ppp.wire.ppp import (
    CONFIGURE_ACK,
    CONFIGURE_NAK,
    CONFIGURE_REJECT,
    decodeOptions,
    encodeOptions,
)
from pptpgw.ppp.wire.ppp import Option as Octets

# Max-Failure (RFC 1661 section 4.6).
MAX_FAILURE = 5
# Naks and Rejects in one direction until negotiation is given up.
MAX_REFUSALS = 2 * MAX_FAILURE

Owner = TypeVar("Owner")


class GiveUp(PPTPGWError):
    """
    A control protocol can't reach an agreement; the text says why, fit for a log and for the peer.
    """


class Option(Generic[Owner]):
    """
    A kind of option.

    It keeps nothing: one instance serves every negotiation, and each question names the owner, the
    control protocol that negotiates.  Values are the octets after type and length.  Every method
    may raise L{GiveUp}.

    @cvar several: it may stand several times in one request, and each is judged by itself.
    """

    __slots__ = ()

    several: ClassVar[bool] = False

    def wanted(self, owner: Owner) -> bytes | None:
        """
        The value to ask for first, or None: don't ask.
        """
        return None

    def naked(self, owner: Owner, current: bytes, suggested: bytes) -> bytes | None:
        """
        The value to ask for after a Configure-Nak, or None: ask no more.
        """
        return None

    def rejected(self, owner: Owner, current: bytes) -> None:
        """
        The peer won't have the option; it isn't asked for any more.
        """

    def judge(self, owner: Owner, value: bytes) -> bytes | None:
        """
        The value that the peer may have: the same, another, or None where it may have none.
        """
        return None

    def missing(self, owner: Owner) -> bytes | None:
        """
        The value to suggest to a peer that doesn't ask for the option, or None: it needn't.
        """
        return None

    def stalled(self, owner: Owner, value: bytes) -> None:
        """
        C{value} is about to be rejected because Naks haven't changed the peer's mind.
        """


class Negotiator(Generic[Owner]):
    """
    One negotiation, of both directions.

    @ivar wanted: what we ask for, type to value, in the order of the kinds.
    @ivar granted: what the peer acknowledged of that.
    @ivar allowed: what we acknowledged to the peer.
    @ivar naks: Configure-Naks sent since the last Ack.
    """

    __slots__ = (
        "_judged",
        "_kinds",
        "_naksReceived",
        "_owner",
        "_refusals",
        "_refusalsReceived",
        "allowed",
        "granted",
        "naks",
        "wanted",
    )

    def __init__(self, owner: Owner, kinds: Mapping[int, Option[Owner]]) -> None:
        self._owner = owner
        self._kinds = kinds
        self.wanted: dict[int, bytes] = {}
        # Outlives begin(): a request is judged before This-Layer-Down and acknowledged after it.
        self._judged: dict[int, bytes] = {}
        self._forget()

    def _forget(self) -> None:
        self.granted: dict[int, bytes] = {}
        self.allowed: dict[int, bytes] = {}
        self.naks = self._naksReceived = 0
        self._refusals = self._refusalsReceived = 0

    def detach(self) -> None:
        """
        Negotiate no more, and drop the reference to the owner.
        """
        self._kinds = {}
        del self._owner

    def begin(self) -> None:
        """
        Forget what was agreed, and want what the kinds want first.
        """
        self._forget()
        self.wanted = {}
        for number, kind in self._kinds.items():
            value = kind.wanted(self._owner)
            if value is not None:
                self.wanted[number] = value

    def request(self) -> bytes:
        """
        The octets of the options that we ask for now.
        """
        return encodeOptions(self.wanted.items())

    # The peer's requests

    def judge(self, data: bytes, limit: int) -> tuple[int, bytes] | None:
        """
        The answer to the options of a Configure-Request: its code and its data of at most C{limit}
        octets; None where no answer fits.

        An Ack takes effect with L{acknowledge}.

        @raise Malformed: these aren't options.
        @raise GiveUp: the two won't agree.
        """
        judged: dict[int, bytes] = {}
        seen: set[int] = set()
        naked: list[Octets] = []
        disputed: list[Octets] = []
        rejected: list[Octets] = []
        for option in decodeOptions(data):
            number, value = option
            kind = self._kinds.get(number)
            if number in seen and not (kind is not None and kind.several):
                continue
            seen.add(number)
            answer = kind.judge(self._owner, value) if kind is not None else None
            if answer is None:
                rejected.append(option)
            elif answer == value:
                judged[number] = value
            else:
                naked.append((number, answer))
                disputed.append(option)
        if self.naks < MAX_FAILURE:
            if not rejected:
                naked += self._missing(seen)
        else:
            for number, value in disputed:
                self._kinds[number].stalled(self._owner, value)
            rejected += disputed
            naked = []
        if not rejected and not naked:
            self._judged = judged
            return (CONFIGURE_ACK, data) if len(data) <= limit else None
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise GiveUp("the peer keeps asking for what it can't have")
        if rejected:
            return _fitting(CONFIGURE_REJECT, rejected, limit)
        self.naks += 1
        return _fitting(CONFIGURE_NAK, naked, limit)

    def _missing(self, seen: set[int]) -> list[Octets]:
        missing = []
        for number, kind in self._kinds.items():
            if number not in seen:
                value = kind.missing(self._owner)
                if value is not None:
                    missing.append((number, value))
        return missing

    def acknowledge(self) -> None:
        """
        The Ack that L{judge} gave is sent: what it allows holds.
        """
        self.allowed = self._judged
        self.naks = self._refusals = 0

    # The answers to ours

    def acknowledged(self) -> None:
        """
        The peer acknowledged everything wanted.
        """
        self.granted = dict(self.wanted)
        self._naksReceived = self._refusalsReceived = 0

    def naked(self, data: bytes) -> None:
        """
        Follow the options of a Configure-Nak; those that we didn't ask for change nothing.

        @raise Malformed: these aren't options.
        @raise GiveUp: the two won't agree.
        """
        suggested = decodeOptions(data)
        self._refused()
        self._naksReceived += 1
        for number, value in suggested:
            current = self.wanted.get(number)
            if current is None:
                continue
            following = None
            if self._naksReceived > MAX_FAILURE:
                self._kinds[number].rejected(self._owner, current)
            else:
                following = self._kinds[number].naked(self._owner, current, value)
            if following is None:
                del self.wanted[number]
            else:
                self.wanted[number] = following

    def rejected(self, data: bytes) -> bool:
        """
        Give up the options of a Configure-Reject; False, and nothing done, where they aren't some
        of ours in the order and with the values that we sent (section 5.4).

        @raise Malformed: these aren't options.
        @raise GiveUp: we can't do without one, or the two won't agree.
        """
        options = decodeOptions(data)
        ours = iter(self.wanted.items())
        if not all(option in ours for option in options):
            return False
        self._refused()
        for number, value in options:
            self._kinds[number].rejected(self._owner, value)
            del self.wanted[number]
        return True

    def _refused(self) -> None:
        self._refusalsReceived += 1
        if self._refusalsReceived > MAX_REFUSALS:
            raise GiveUp("the peer keeps refusing what we ask for")


def _fitting(code: int, options: list[Octets], limit: int) -> tuple[int, bytes] | None:
    octets = encodeOptions(options)
    while len(octets) > limit:
        options = options[:-1]
        octets = encodeOptions(options)
    return (code, octets) if options else None

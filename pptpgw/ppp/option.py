"""
Options and their negotiation, the same for every control protocol (RFC 1661 sections 5.1-5.4).

The rules:

 - C{wanted} are the options that we ask for. A Configure-Nak may change them, and a
   Configure-Reject removes them. C{granted} are those that the peer acknowledged.
 - Each option that the peer asks for is judged by its kind: if the result is the same value the
   option is acknowledged, if it is another value the option is naked, and if it is None the option
   is rejected. Options of unknown types are rejected. If any option is rejected, the answer is a
   Configure-Reject, even if others are naked. C{allowed} are the options that we acknowledged.
 - After C{MAX_FAILURE} Naks without an Ack, options are rejected that would have been naked, and no
   option is suggested that the peer didn't ask for (section 4.6). After the same number of Naks
   received, the next one counts as a Reject.
 - After C{MAX_REFUSALS} Naks and Rejects in one direction negotiation is given up.
 - An Ack repeats the octets of the request. If an option is there twice the first one counts,
   unless its kind allows several.
 - Replies are cut between options to fit what the peer can receive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from pptpgw.error import Malformed, PPTPGWError
from pptpgw.ppp.wire.ppp import (
    CONFIGURE_ACK,
    CONFIGURE_NAK,
    CONFIGURE_REJECT,
    decodeOptions,
    encodeOptions,
)
from pptpgw.ppp.wire.ppp import Option as Octets
from pptpgw.sessions.remedy import Remedy

# Max-Failure (RFC 1661 section 4.6).
MAX_FAILURE = 5
# The number of Naks and Rejects in one direction after which negotiation is given up.
MAX_REFUSALS = 2 * MAX_FAILURE

Owner = TypeVar("Owner")


class GiveUp(PPTPGWError):
    """
    A control protocol can't reach an agreement; the text says why, for the log and for the peer.

    @ivar remedy: what the operator can do about it; None if nothing is known.
    """

    def __init__(self, reason: str, remedy: Remedy | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Option(Generic[Owner]):
    """
    A kind of option.

    It has no state: one instance serves every negotiation, and each method is given the owner,
    which is the control protocol that negotiates. Values are the octets after type and length.
    Every method may raise L{GiveUp}.

    @cvar several: whether the option may occur several times in one request; each is judged by
        itself.
    """

    __slots__ = ()

    several: ClassVar[bool] = False

    def wanted(self, owner: Owner) -> bytes | None:
        """
        Return the value to ask for first, or None not to ask.
        """
        return None

    def naked(self, owner: Owner, current: bytes, suggested: bytes) -> bytes | None:
        """
        Return the value to ask for after a Configure-Nak, or None to ask no more.

        @param current: the value that was asked for.
        @param suggested: the value in the Configure-Nak.
        """
        return None

    def rejected(self, owner: Owner, current: bytes) -> None:
        """
        Note that the peer rejects the option, which isn't asked for any more.
        """

    def judge(self, owner: Owner, value: bytes) -> bytes | None:
        """
        Return the value that the peer may have: the same or another; None rejects the option.
        """
        return None

    def missing(self, owner: Owner) -> bytes | None:
        """
        Return the value to suggest to a peer that doesn't ask for the option, or None to suggest
        none.
        """
        return None

    def stalled(self, owner: Owner, value: bytes) -> None:
        """
        Note that C{value} will be rejected, because the peer insists on it after L{MAX_FAILURE}
        Naks.
        """

    def accepts(self, owner: Owner, value: bytes | None) -> bool:
        """
        Return whether this end can take over a request that another end made in its place.

        @param value: the value that the peer has acknowledged; None if it wasn't asked for.
        """
        return value is None


class Negotiator(Generic[Owner]):
    """
    The negotiation of options in both directions.

    @ivar wanted: the options that we ask for, by type, in the order of the kinds.
    @ivar granted: the options that the peer acknowledged to us.
    @ivar allowed: the options that we acknowledged to the peer.
    @ivar naks: the number of Configure-Naks sent since the last Ack.
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
        # Not reset by begin(): a request is judged before This-Layer-Down and acknowledged after
        # it.
        self._judged: dict[int, bytes] = {}
        self._forget()

    def _forget(self) -> None:
        self.granted: dict[int, bytes] = {}
        self.allowed: dict[int, bytes] = {}
        self.naks = self._naksReceived = 0
        self._refusals = self._refusalsReceived = 0

    def detach(self) -> None:
        """
        Drop the reference to the owner, when negotiation is over for good.
        """
        self._kinds = {}
        del self._owner

    def begin(self) -> None:
        """
        Begin anew: forget the agreement, and want the first values of each kind.
        """
        self._forget()
        self.wanted = {}
        for number, kind in self._kinds.items():
            value = kind.wanted(self._owner)
            if value is not None:
                self.wanted[number] = value

    def adopt(self, ours: bytes, peers: bytes) -> bool:
        """
        Take over an agreement that another end has made with the peer, if this end would make it,
        too.

        @param ours: the options that the peer has acknowledged to the other end.
        @param peers: those that the other end has acknowledged to the peer.
        @return: whether the agreement is taken over. If not, L{begin} must be called.
        """
        try:
            granted = dict(decodeOptions(ours))
            judged = self.judge(peers, len(peers))
        except (Malformed, GiveUp):
            return False
        if judged is None or judged[0] != CONFIGURE_ACK or not granted.keys() <= self._kinds.keys():
            return False
        for number, kind in self._kinds.items():
            if not kind.accepts(self._owner, granted.get(number)):
                return False
        self.acknowledge()
        self.wanted = granted
        self.acknowledged()
        return True

    def request(self) -> bytes:
        """
        Return the octets of the options that we ask for now.
        """
        return encodeOptions(self.wanted.items())

    # Requests of the peer

    def judge(self, data: bytes, limit: int) -> tuple[int, bytes] | None:
        """
        Judge the options of a Configure-Request. An Ack takes effect with L{acknowledge}.

        @param limit: the largest number of octets of data in the answer.
        @return: the code and the data of the answer; None if no answer fits.
        @raise Malformed: C{data} aren't options.
        @raise GiveUp: no agreement is possible.
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
        Apply the options of the last L{judge}, whose answer, an Ack, is sent.
        """
        self.allowed = self._judged
        self.naks = self._refusals = 0

    # Answers to our requests

    def acknowledged(self) -> None:
        """
        Note that the peer acknowledged everything in C{wanted}.
        """
        self.granted = dict(self.wanted)
        self._naksReceived = self._refusalsReceived = 0

    def naked(self, data: bytes) -> None:
        """
        Follow the suggestions of a Configure-Nak. Options that we didn't ask for are ignored.

        @raise Malformed: C{data} aren't options.
        @raise GiveUp: no agreement is possible.
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
        Remove the options of a Configure-Reject from C{wanted}.

        @return: False, with nothing changed, if the options aren't some of ours in the order and
            with the values that we sent (RFC 1661 section 5.4).
        @raise Malformed: C{data} aren't options.
        @raise GiveUp: an option is indispensable, or no agreement is possible.
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

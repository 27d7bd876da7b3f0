"""
Link quality monitoring (RFC 1989): the reports that both ends of a link send each other, and what
they show of losses on the way.

The rules:

 - This end reports if the peer asks for it in LCP: at least as often as the peer wants, or, if the
   peer wants answers only, once for each report of the peer. A report is also sent at once if two
   successive reports of the peer show that none of ours has arrived between them.
 - Counters are those of the call: frames of all protocols as packets, and the octets of network
   packets alone. Discards aren't reported, since they aren't counted by direction; errors are
   frames whose header or check sequence was wrong.
 - Losses are what one end has counted as sent, less what the other has counted as received,
   between two reports. A frame that a report overtakes counts as lost until the next report.
 - A limit on losses may be set. Then a period is bad in which more was lost, either way, or in
   which no report came; the link ends when L{BAD} of the last L{PERIODS} were bad.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.error import Malformed
from pptpgw.interfaces import IChannel, LinkQuality
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.lqr import NUMBERS, Report, decode, encode
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

BAD = 3
"""
How many of the last L{PERIODS} periods must be bad for the link to end.
"""

PERIODS = 5
"""
How many of the last periods are judged.
"""

SILENCE = 2
"""
The number of periods without a report that count as a bad one. The peer's reports needn't come at
the same point of each period.
"""

ERRORS = ("malformed PPP header", "bad FCS")
"""
The reasons of discards that are reported as errors.
"""


class Quality:
    """
    The monitoring of one link, from when it is made.

    @ivar measured: what the reports of the peer have shown; None before two of them have come.
    @ivar discarded: how many packets were silently discarded.
    """

    __slots__ = (
        "_bad",
        "_channel",
        "_clock",
        "_failed",
        "_inLQRs",
        "_last",
        "_lcp",
        "_limit",
        "_outLQRs",
        "_saved",
        "_send",
        "_silence",
        "_timer",
        "discarded",
        "measured",
    )

    def __init__(
        self,
        clock: IReactorTime,
        lcp: LCP,
        channel: IChannel,
        send: Callable[[int, bytes], None],
        limit: float,
        failed: Callable[[str], object],
    ) -> None:
        """
        @param lcp: LCP, which is open and has agreed on reports in a direction at least.
        @param send: sends a packet of the given protocol.
        @param limit: the part of the packets of a period that may be lost, from 0 to 1; 0 for any.
        @param failed: called with a cause if too many periods were bad.
        """
        self._clock = clock
        self._lcp = lcp
        self._channel = channel
        self._send = send
        self._limit = limit
        self._failed = failed
        self._outLQRs = self._inLQRs = 0
        # The latest report of the peer, and what this end had counted when it came: reports,
        # packets, discards, errors and octets.
        self._last: Report | None = None
        self._saved = (0, 0, 0, 0, 0)
        self._bad: deque[bool] = deque(maxlen=PERIODS)
        self.measured: LinkQuality | None = None
        self.discarded = 0
        self._timer: IDelayedCall | None = None
        self._silence: IDelayedCall | None = None
        if lcp.reportEvery:
            self._timer = clock.callLater(lcp.reportEvery, self._report)
        self._listen()

    def stop(self) -> None:
        """
        End the monitoring.
        """
        self._timer = cancelled(self._timer)
        self._silence = cancelled(self._silence)

    def received(self, packet: bytes) -> None:
        """
        Handle a report of the peer. This never raises.
        """
        try:
            report = decode(packet)
        except Malformed:
            self.discarded += 1
            return
        lcp, last = self._lcp, self._last
        if report.magic and report.magic == lcp.magic:
            # It was sent by ourselves.
            self.discarded += 1
            return
        self._channel.count()
        counters, before = self._channel.counters, self._saved
        self._inLQRs += 1
        self._last = report
        self._saved = (
            self._inLQRs,
            counters.framesReceived,
            0,
            sum(counters.discards.get(reason, 0) for reason in ERRORS),
            counters.octetsReceived,
        )
        isMissed = last is not None and report.peerInLQRs == last.peerInLQRs
        if lcp.reportEvery == 0 or (isMissed and lcp.reportEvery is not None):
            self._report()
        self._listen()
        # What comes last may end the link.
        if last is not None:
            self._measure(last, report, before[1])

    def rejected(self) -> None:
        """
        Send no more reports, since the peer doesn't know them.
        """
        self._timer = cancelled(self._timer)

    def _report(self) -> None:
        """
        Send a report, and the next one after the agreed period.
        """
        lcp, last = self._lcp, self._last or Report()
        self._timer = cancelled(self._timer)
        if lcp.reportEvery:
            self._timer = self._clock.callLater(lcp.reportEvery, self._report)
        self._channel.count()
        counters = self._channel.counters
        self._outLQRs += 1
        sent = last.peerOutLQRs, last.peerOutPackets, last.peerOutOctets
        # The report counts itself.
        own = self._outLQRs, counters.framesSent + 1, counters.octetsSent
        self._send(ppp.LQR, encode(Report(lcp.magic, *sent, *self._saved, *own)))

    def _measure(self, last: Report, report: Report, received: int) -> None:
        """
        Find out what was lost between two reports of the peer.

        @param received: the frames that had been received with the first of them.
        """
        fromPeer = (report.peerOutPackets - last.peerOutPackets) % NUMBERS
        toPeer = (report.lastOutPackets - last.lastOutPackets) % NUMBERS
        arrived = (report.peerInPackets - last.peerInPackets) % NUMBERS
        lostFromPeer = fromPeer - (self._saved[1] - received)
        lostToPeer = toPeer - arrived
        before = self.measured or LinkQuality()
        self.measured = LinkQuality(
            _part(lostFromPeer, fromPeer),
            _part(lostToPeer, toPeer),
            before.lostFromPeer + lostFromPeer,
            before.lostToPeer + lostToPeer,
            before.fromPeer + fromPeer,
            before.toPeer + toPeer,
        )
        self._judge(max(self.measured.lossFromPeer, self.measured.lossToPeer))

    def _judge(self, loss: float) -> None:
        """
        Note how much was lost in a period, and end the link if too many were bad.
        """
        if not self._limit:
            return
        self._bad.append(loss > self._limit)
        count = sum(self._bad)
        if count >= BAD:
            self._bad.clear()
            text = (
                f"in {count} of {PERIODS} periods more than {self._limit:.0%} of the packets were "
                "lost, by Link-Quality-Reports"
            )
            self._failed(Cause(text, Termination.LOST_CARRIER, Remedy.QUALITY))

    def _listen(self) -> None:
        """
        Count a bad period if no report comes for too long.
        """
        self._silence = cancelled(self._silence)
        if self._limit and self._lcp.reportedEvery:
            wait = SILENCE * self._lcp.reportedEvery
            self._silence = self._clock.callLater(wait, self._missed)

    def _missed(self) -> None:
        self._silence = None
        self._listen()
        self._judge(1.0)


def _part(lost: int, sent: int) -> float:
    return min(max(lost, 0) / sent, 1.0) if sent else 0.0

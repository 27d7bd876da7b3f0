"""
The figures of the last minutes, hours and days, for plots.

The rules:

 - The figures are looked at once a second (L{History.sample}). One pass over the calls adds up
   their counters; everything else is kept as a sum where it happens.
 - There are three series, of 10 minutes, 24 hours and 30 days. Each has its own step, and compares
   what there is now with what there was a step before.
 - The longest series is kept in a file, if there is one, and goes on after a restart.
"""

from __future__ import annotations

import resource
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Traffic
from pptpgw.counting.distribution import Distribution
from pptpgw.interfaces import IGatewayService
from pptpgw.log import Logger
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.ports.keptfile import KeptFile

Range = Literal["10m", "24h", "30d"]

_SERIES: dict[Range, tuple[int, int]] = {"10m": (1, 600), "24h": (60, 1440), "30d": (900, 2880)}
"""
The step of each series in seconds, and the number of its points.
"""

# Steps may differ by this many seconds, since no timer is exact.
_SLACK = 0.5
_NONE = float("nan")


class HistoryView(Struct, frozen=True):
    """
    A series of figures. All lists have the same length; what stands at the same place in them is of
    the same step. A gateway that was down for some time has no points of that time.

    @ivar step_seconds: the seconds of a step.
    @ivar time: the end of each step, in seconds since 1970.
    @ivar sessions: the number of sessions, on average over the step.
    @ivar calls: the number of calls in the step that opened, failed or were refused.
    @ivar refusals: the number of calls and logins in the step that were refused.
    @ivar octets_received: octets a second from users; the other three likewise.
    @ivar discards: the number of discards in the step.
    @ivar setup_p50_seconds: the time from the request for a call to its first open network
        protocol, which half of the calls in the step didn't exceed; null if there was no call.
    @ivar setup_p95_seconds: the time which 95 % of them didn't exceed.
    @ivar reactor_delay_seconds: how late the reactor was at worst; null if that isn't known.
    @ivar cpu: the part of one processor that the process has used.
    """

    step_seconds: int
    time: list[float | None]
    sessions: list[float | None]
    calls: list[float | None]
    refusals: list[float | None]
    octets_received: list[float | None]
    octets_sent: list[float | None]
    packets_received: list[float | None]
    packets_sent: list[float | None]
    discards: list[float | None]
    setup_p50_seconds: list[float | None]
    setup_p95_seconds: list[float | None]
    reactor_delay_seconds: list[float | None]
    cpu: list[float | None]


COLUMNS = HistoryView.__struct_fields__[1:]


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Which series is asked for.

    @ivar range: 10 minutes by the second, 24 hours by the minute, or 30 days by the quarter of an
        hour.
    """

    range: Range = "10m"


class Kept(Struct, frozen=True):
    """
    The content of the file.

    @ivar columns: the names of the columns.
    @ivar values: the points, one after the other, each with a C{double} for each column.
    """

    columns: tuple[str, ...]
    values: bytes


class Snapshot(NamedTuple):
    """
    The figures until one moment. All but C{time} only grow.

    @ivar seconds: the moment, by a monotonic clock.
    @ivar time: the moment in seconds since 1970.
    @ivar sessions: the number of sessions at each sample, added up.
    @ivar samples: the number of samples.
    @ivar setups: the L{Distribution.counts} of set-up times; C{delays} likewise.
    """

    seconds: float
    time: float
    sessions: int
    samples: int
    calls: int
    refusals: int
    traffic: Traffic
    setups: tuple[int, ...]
    delays: tuple[int, ...]
    cpu: float


class Series:
    """
    Points that are a step of time apart, each with the figures of its step. Beyond so many the
    oldest ones are dropped.
    """

    def __init__(self, step: int, size: int) -> None:
        """
        @param step: the seconds of a step.
        @param size: how many points are kept.
        """
        self.step = step
        self._size = size
        self._values = array("d")
        # Where the oldest point stands, once there are as many as may be.
        self._oldest = 0
        self._before: Snapshot | None = None

    def __len__(self) -> int:
        return len(self._values) // len(COLUMNS)

    def due(self, now: Snapshot) -> Snapshot | None:
        """
        Return the beginning of the step that ends C{now}; None if none does.
        """
        before = self._before
        if before is not None and now.seconds - before.seconds < self.step - _SLACK:
            return None
        self._before = now
        return before

    def add(self, point: Sequence[float]) -> None:
        """
        Add a point, in the place of the oldest one if there are as many as may be.
        """
        if len(self) < self._size:
            self._values.extend(point)
            return
        start = self._oldest * len(COLUMNS)
        self._values[start : start + len(COLUMNS)] = array("d", point)
        self._oldest = (self._oldest + 1) % self._size

    @property
    def values(self) -> array[float]:
        """
        All points in the order of time, one after the other.
        """
        start = self._oldest * len(COLUMNS)
        return self._values[start:] + self._values[:start]

    def take(self, values: array[float], now: float) -> None:
        """
        Begin with points of an earlier run. Those that are too old are left out, and so are those
        that would come later than what follows.

        @param now: the time of day, in seconds since 1970.
        """
        last = now - self._size * self.step
        for start in range(0, len(values), len(COLUMNS)):
            point = values[start : start + len(COLUMNS)]
            if last < point[0] <= now:
                last = point[0]
                self.add(point)


class History:
    """
    What a gateway did lately, as series with steps of different lengths.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        gateway: IGatewayService,
        delays: Distribution,
        now: Callable[[], float],
        file: KeptFile | None = None,
    ) -> None:
        """
        @param delays: how late the reactor is.
        @param now: gives the time of day, in seconds since 1970.
        @param file: keeps the longest series; None to keep it in memory only.
        """
        self._clock = clock
        self._gateway = gateway
        self._delays = delays
        self._now = now
        self._file = file
        self._series = {name: Series(*one) for name, one in _SERIES.items()}
        self._sessions = self._samples = 0

    def start(self) -> None:
        """
        Read the file.
        """
        octets = b"" if self._file is None else self._file.read()
        if not octets:
            return
        try:
            kept = msgspec.msgpack.decode(octets, type=Kept)
            if kept.columns != COLUMNS:
                raise ValueError("it has other columns")
            values = array("d", kept.values)
            if len(values) % len(COLUMNS):
                raise ValueError("it is cut off")
        except (msgspec.DecodeError, ValueError) as error:
            self._log.warn("the history of an earlier run can't be used: {why}", why=str(error))
        else:
            self._series["30d"].take(values, self._now())

    def stop(self) -> Deferred[None]:
        """
        Write the file.

        @return: fires when that is done.
        """
        if self._file is None:
            return succeed(None)
        self._keep(self._file)
        return self._file.stop()

    def sample(self) -> None:
        """
        Look at the figures; to be called once a second.
        """
        now = self._snapshot()
        for name, series in self._series.items():
            before = series.due(now)
            if before is not None:
                series.add(self._point(before, now))
                if name == "30d" and self._file is not None:
                    self._keep(self._file)

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/history",
            "Show the figures of the last minutes, hours or days.",
            self._show,
            HistoryView,
            query=HistoryQuery,
        )

    def _show(self, request: OperationRequest) -> HistoryView:
        series = self._series[request.query.range]
        values, count = series.values, len(COLUMNS)
        return HistoryView(
            series.step,
            *(
                [None if one != one else one for one in values[column::count]]
                for column in range(count)
            ),
        )

    def _keep(self, file: KeptFile) -> None:
        kept = Kept(COLUMNS, self._series["30d"].values.tobytes())
        file.write(msgspec.msgpack.encode(kept))

    def _snapshot(self) -> Snapshot:
        gateway, tally = self._gateway, self._gateway.tally
        self._sessions += len(gateway.sessions)
        self._samples += 1
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Snapshot(
            self._clock.seconds(),
            self._now(),
            self._sessions,
            self._samples,
            sum(tally.calls.values()),
            sum(tally.refusals.values()),
            gateway.counters.traffic(),
            tuple(tally.setUp().counts),
            tuple(self._delays.counts),
            used.ru_utime + used.ru_stime,
        )

    def _point(self, before: Snapshot, now: Snapshot) -> tuple[float, ...]:
        """
        Return the values of all columns for the step from C{before} to C{now}.
        """
        seconds = now.seconds - before.seconds
        old, new, setups = before.traffic, now.traffic, self._gateway.tally.setUp()
        return (
            round(now.time, 1),
            round((now.sessions - before.sessions) / (now.samples - before.samples), 1),
            now.calls - before.calls,
            now.refusals - before.refusals,
            round((new.octetsReceived - old.octetsReceived) / seconds, 1),
            round((new.octetsSent - old.octetsSent) / seconds, 1),
            round((new.packetsReceived - old.packetsReceived) / seconds, 1),
            round((new.packetsSent - old.packetsSent) / seconds, 1),
            new.discards - old.discards,
            _part(setups, 0.5, before.setups),
            _part(setups, 0.95, before.setups),
            _part(self._delays, 1.0, before.delays),
            round((now.cpu - before.cpu) / seconds, 3),
        )


def _part(distribution: Distribution, part: float, since: Sequence[int]) -> float:
    found = distribution.quantile(part, since)
    return _NONE if found is None else round(found, 4)

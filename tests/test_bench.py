"""
Tests for the benchmark's rows, table, document and plot. They measure nothing.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pptpgw.config.configuration import load
from tests.bench import packets, paths, prototype, readme, setups, tcp, tunnels, udp
from tests.bench.__main__ import KINDS
from tests.bench.both import NOTHING, configure
from tests.bench.case import datagram
from tests.bench.dialling import DIALLERS
from tests.bench.fairness import jain
from tests.bench.gateway import CONFIGURATION
from tests.bench.load import sourced
from tests.bench.namespaces import BEYOND
from tests.bench.plot import bars, plot
from tests.bench.readme import BEGIN, DOCUMENT, END, README, renewed, section
from tests.bench.report import Report, read, shown, table, write
from tests.bench.row import Figure, Quotient, Row, Trial, measure, rowOf
from tests.bench.setups import percentile

PLAIN = packets.title(paths.PYTHON, "IPv4", ("in", False, 1400))
REPORT = Report(
    "2 x a processor, Linux 6.1",
    "2026-11-30",
    (0.5, 1.25),
    3,
    {"native": "this version of pptpgw has no such data path"},
    (
        Row(PLAIN, 4.0, 3.5, 4.25, "us", 3.6, 0.9),
        Row(packets.title(paths.PYTHON, "IPv4", ("out", False, 1400)), 5.0, 5.0, 5.5, "us"),
        Row(tcp.title(paths.PYTHON, "up", tunnels.MPPE), 1.12, 1.0, 1.2, "Gb/s a core", 3.3, 0.34),
        Row("memory python of an idle session", 18.34, 18.0, 19.0, "KiB"),
    ),
)


def values(*each: float) -> Callable[[], tuple[float]]:
    """
    Return the C{run} of a trial that gives these values, one after the other.
    """
    left = iter(each)
    return lambda: (next(left),)


def noted(notes: dict[str, str]) -> Callable[[str, Exception], object]:
    """
    Return a function that notes what failed.
    """
    return lambda figure, error: notes.__setitem__(figure, str(error))


class TestRow:
    def test_aRowHasTheMedianAndTheExtremes(self) -> None:
        row = rowOf(Figure("one", "us"), [3.0, 1.0, 8.0])
        assert row == Row("one", 3.0, 1.0, 8.0, "us", None, None)

    @pytest.mark.parametrize(
        ("least", "value", "ratio"),
        [(False, 2.0, 2.0), (False, 8.0, 0.5), (True, 8.0, 2.0), (True, 2.0, 0.5)],
    )
    def test_theRatioIsOneOrMoreWhereTheTargetIsMet(
        self, least: bool, value: float, ratio: float
    ) -> None:
        assert rowOf(Figure("one", "us", 4.0, least), [value]).ratio == ratio

    def test_nothingLostMeetsATargetOfNone(self) -> None:
        assert rowOf(Figure("lost", "%", 0.0), [0.0]).ratio == 1.0
        assert rowOf(Figure("lost", "%", 0.0), [2.0]).ratio == 0.0

    @pytest.mark.parametrize(
        ("pattern", "chosen"), [("", True), ("IPv4 in", True), ("*1400", True), ("out", False)]
    )
    def test_aFigureIsChosenByAPartOfItsNameOrAPattern(self, pattern: str, chosen: bool) -> None:
        assert Figure("packet python IPv4 in plain 1400", "us").chosen(pattern) is chosen


class TestMeasuring:
    def test_trialsAreDoneInTurn(self) -> None:
        done = []

        def noting(name: str) -> Trial:
            def run() -> tuple[float]:
                done.append(name)
                return (1.0,)

            return Trial((Figure(name, "us"),), run)

        measure([noting("a"), noting("b")], [], 2, "", noted({}))
        assert done == ["a", "b", "a", "b"]

    def test_onlyWhatIsWantedIsDone(self) -> None:
        def run() -> tuple[float]:
            raise AssertionError("not wanted")

        trials = [
            Trial((Figure("a", "us"),), values(1.0)),
            Trial((Figure("b", "us"),), run),
        ]
        notes: dict[str, str] = {}
        assert [row.figure for row in measure(trials, [], 1, "a", noted(notes))] == ["a"]
        assert notes == {}

    def test_aTrialIsDoneAtMostAsOftenAsItSays(self) -> None:
        trial = Trial((Figure("a", "us"),), values(1.0, 9.0), 2)
        (row,) = measure([trial], [], 5, "", noted({}))
        assert (row.low, row.high) == (1.0, 9.0)

    def test_aTrialThatFailsIsSaidAndHasNoRow(self) -> None:
        def run() -> tuple[float]:
            raise RuntimeError("no packets")

        notes: dict[str, str] = {}
        trials = [Trial((Figure("a", "us"),), run), Trial((Figure("b", "us"),), values(1.0, 1.0))]
        assert [row.figure for row in measure(trials, [], 2, "", noted(notes))] == ["b"]
        assert notes == {"a": "no packets"}

    def test_whatWasDivided(self) -> None:
        """
        A quotient is that of two values of one run. What it needs is measured although only the
        quotient is wanted.
        """
        trials = [
            Trial((Figure("a", "us"),), values(6.0, 9.0)),
            Trial((Figure("b", "us"),), values(2.0, 3.0)),
        ]
        quotient = Quotient(Figure("ratio", "times", 6.0), "a", "b")
        (row,) = measure(trials, [quotient], 2, "ratio", noted({}))
        assert row == Row("ratio", 3.0, 3.0, 3.0, "times", 6.0, 2.0)

    def test_whenNoTimeIsLeft(self) -> None:
        """
        What was done once has its row, what wasn't done at all is said.
        """
        left = iter((False, True, True, True))
        notes: dict[str, str] = {}
        trials = [
            Trial((Figure("a", "us"),), values(1.0)),
            Trial((Figure("b", "us"),), values()),
        ]
        rows = measure(trials, [], 2, "", noted(notes), over=lambda: next(left))
        assert [row.figure for row in rows] == ["a"]
        assert notes == {"b": "no time was left"}

    @pytest.mark.parametrize("quick", [True, False])
    def test_noTwoFiguresHaveOneName(self, quick: bool) -> None:
        names = [
            figure.name
            for trials, _ in KINDS
            for trial in trials(quick)
            for figure in trial.figures
        ]
        assert len(names) == len(set(names)) > 10

    @pytest.mark.parametrize("kind", [packets, prototype, setups, tcp])
    def test_quotientsAreOfFiguresThatExist(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        With every data path that a comparison needs, and the prototype.
        """
        monkeypatch.setenv("PROTOTYPE", "./prototype")
        names = {figure.name for trial in kind.trials(False) for figure in trial.figures}
        for quotient in kind.quotients():
            if paths.PYTHON in paths.possible():
                assert {quotient.dividend, quotient.divisor} <= names


class TestStatistics:
    def test_percentiles(self) -> None:
        assert percentile([float(n) for n in range(1, 201)], 99) == 198
        assert percentile([7.0], 99) == 7
        assert percentile([1.0, 2.0, 3.0], 50) == 2

    def test_evenness(self) -> None:
        assert jain([3, 3]) == 1
        assert jain([5, 0]) == 0.5
        assert jain([0, 0]) == 0


def test_aPacketOfAnotherSession() -> None:
    """
    Its checksum is that of its own source.
    """
    one, other = (datagram(source, BEYOND, 256) for source in ("10.77.0.10", "10.100.0.9"))
    assert sourced(one, bytes((10, 100, 0, 9))) == other


class TestPaths:
    def test_whatThisVersionHasNotIsSaid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paths, "entry_points", lambda group: ())
        assert "no such data path" in paths.lacking()[paths.KERNEL]
        assert paths.KERNEL not in paths.possible()
        assert paths.TWINS in paths.possible()


class TestTunnels:
    def test_aTunnelIsMeasuredByTheDataPathsThatMayCarryIt(self) -> None:
        """
        Only those of PPTP and L2TP leave the interpreter.
        """
        found = {(tunnel, path) for tunnel, path, _ in tunnels.carried(readme.PATHS)}
        assert (tunnels.L2TP, paths.NATIVE) in found
        assert (tunnels.SSTP, paths.PYTHON) in found
        assert (tunnels.SSTP, paths.NATIVE) not in found
        assert {tunnel for tunnel, _ in found} == set(tunnels.WAYS)

    @pytest.mark.parametrize("tunnel", tunnels.WAYS)
    def test_theServerIsConfiguredForIt(self, tunnel: str, tmp_path: Path) -> None:
        configure(tmp_path, NOTHING, tunnel=tunnel)
        configuration = load(str(tmp_path / CONFIGURATION))
        assert configuration.listen.tunnels == (tunnel,)

    def test_thereIsACallerForEach(self) -> None:
        assert set(DIALLERS) == set(tunnels.WAYS)


class TestReport:
    def test_aDocumentIsReadAsItWasWritten(self, tmp_path: Path) -> None:
        write(REPORT, tmp_path / "bench.json")
        assert read(tmp_path / "bench.json") == REPORT

    def test_theTable(self) -> None:
        head, first, second, *_ = table(REPORT.rows).splitlines()
        assert head.split() == ["figure", "value", "low", "high", "unit", "target", "ratio"]
        assert first.split()[-7:] == ["1400", "4", "3.5", "4.25", "us", "3.6", "0.90"]
        assert second.endswith("us")

    def test_threeDigitsAreShown(self) -> None:
        assert [shown(one) for one in (0.01234, 5.678, 56.78, 1234.5)] == [
            "0.0123",
            "5.68",
            "56.8",
            "1234",
        ]


class TestPlot:
    def test_whatItShows(self) -> None:
        assert bars(REPORT) == {
            "python": [
                ("1400 octets in, plain", 1400 * 8e-3 / 4.0),
                ("1400 octets out, plain", 1400 * 8e-3 / 5.0),
                ("TCP up, MPPE", 1.12),
            ]
        }

    def test_itIsXMLAndTheSameEachTime(self) -> None:
        drawn = plot(REPORT)
        assert drawn == plot(REPORT)
        root = ElementTree.fromstring(drawn)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        text = drawn.decode()
        assert "<script" not in text
        assert "1400 octets in, plain" in text
        assert ">2.80<" in text


class TestReadMe:
    def test_theTable(self) -> None:
        assert section(REPORT) == (
            "On 2 x a processor, Linux 6.1, on 2026-11-30, 3 runs of each, at a load average of "
            "0.5 before and 1.25 after:\n"
            "\n"
            "| | a packet or call | of a processor |\n"
            "|---|---|---|\n"
            "| `python`: 1400-octet packets, plain, in / out | 4 / 5 µs "
            "| 250 / 200 thousand a second |\n"
            "| an idle session | 18.3 KiB |  |\n"
        )

    def test_howFastTheNativePathIsBesideThePrototype(self) -> None:
        """
        The costs of packets are turned round; speeds of TCP aren't.
        """
        native = packets.title(paths.NATIVE, "IPv4", ("in", False, 64))
        up, down = (prototype.title(paths.NATIVE, direction, True) for direction in tcp.DIRECTIONS)
        rows = tuple(
            Row(f"{name} / {paths.PROTOTYPE}", value, value, value, "times")
            for name, value in ((native, 0.8), (up, 0.9), (down, 1.5))
        )
        lines = section(replace(REPORT, rows=rows)).splitlines()[-2:]
        assert [line.rpartition("packets: ")[2] for line in lines] == [
            "packets |  | 1.25 to 1.25 times |",
            "TCP |  | 0.9 to 1.5 times |",
        ]

    def test_whatEachTunnelCosts(self) -> None:
        costs = {
            udp.title(tunnels.SSTP, paths.PYTHON, "in", tunnels.TLS): 4.0,
            udp.title(tunnels.SSTP, paths.PYTHON, "out", tunnels.TLS): 5.0,
            tcp.title(paths.PYTHON, "up", tunnels.TLS, tunnels.SSTP): 1.25,
            tcp.title(paths.PYTHON, "down", tunnels.TLS, tunnels.SSTP): 1.5,
            setups.tls(paths.PYTHON): 0.75,
        }
        for direction, speed in zip(tcp.DIRECTIONS, (4.0, 4.5), strict=True):
            name = tcp.title(paths.NATIVE, direction, tunnels.PLAIN, tunnels.L2TP)
            costs |= {name: 2 * speed, f"{name}, {tcp.APART}": speed}
        for count, cpu in zip(setups.AT_A_TIME, (3.5, 2.5), strict=True):
            name = setups.title(tunnels.SSTP, paths.PYTHON, count)
            costs |= {f"{name}, CPU": cpu, f"{name}, made": 1000 / cpu}
        rows = tuple(Row(name, value, value, value, "us") for name, value in costs.items())
        assert section(replace(REPORT, rows=rows)).splitlines()[4:] == [
            "| by `l2tp`, `native`: TCP, plain, up / down |  | 8 / 9 Gb/s |",
            "| by `l2tp`, `native`: TCP, plain, datagrams apart, up / down |  | 4 / 4.5 Gb/s |",
            "| by `sstp`, `python`: 1396-octet packets, TLS, in / out | 4 / 5 µs "
            "| 250 / 200 thousand a second |",
            "| by `sstp`, `python`: TCP, TLS, up / down |  | 1.25 / 1.5 Gb/s |",
            "| a call by `sstp`, `python`: one at a time / eight | 3.5 / 2.5 ms, TLS 0.75 ms of it "
            "| 286 / 400 a second |",
        ]

    def test_onlyItsOwnPartIsReplaced(self) -> None:
        before = f"# pptpgw\n{BEGIN}old\n{END}more\n"
        after = renewed(before, REPORT)
        assert after == f"# pptpgw\n{BEGIN}{section(REPORT)}{END}more\n"
        assert renewed(after, replace(REPORT, rows=())) != after

    def test_aTextWithoutTheMarksIsRefused(self) -> None:
        with pytest.raises(ValueError, match="no <!-- make bench -->"):
            renewed("# pptpgw\n", REPORT)

    def test_itSaysWhatTheCommittedDocumentSays(self) -> None:
        """
        The part of README.md is made from docs/bench.json, and there is none without it.
        """
        text = README.read_text()
        if DOCUMENT.exists():
            assert renewed(text, read(DOCUMENT)) == text
        else:
            assert BEGIN not in text

"""
The plot of a report, as SVG. It is readable on light and dark pages, and the same for the same
report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pygal
from pygal.style import Style

from tests.bench import packets, paths, tcp
from tests.bench.report import Report

GREY = "#808890"
STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground=GREY,
    foreground_strong=GREY,
    foreground_subtle=GREY,
    colors=("#2a78d6", "#1a9c5b", "#c77700", "#9a5fd0"),
    font_family="sans-serif",
    value_font_size=11,
    value_colors=("#ffffff",) * 4,
    opacity="1",
    guide_stroke_color=f"{GREY}60",
    major_guide_stroke_color=f"{GREY}60",
)


def bars(report: Report) -> dict[str, list[tuple[str, float]]]:
    """
    Return the bars of the plot, Gb/s of one processor, in order: by data path, what they carry and
    how much.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    values = {row.figure: row.value for row in report.rows}
    for path in (paths.NATIVE, paths.KERNEL, paths.PYTHON, paths.TWINS):
        for encrypted in (False, True):
            word = "MPPE" if encrypted else "plain"
            for way in ("in", "out"):
                name = packets.title(path, "IPv4", (way, encrypted, 1400))
                if name in values:
                    bar = f"1400 octets {way}, {word}", 1400 * 8e-3 / values[name]
                    found.setdefault(path, []).append(bar)
            for direction in ("up", "down"):
                name = tcp.title(path, direction, word)
                if name in values:
                    bar = f"TCP {direction}, {word}", values[name]
                    found.setdefault(path, []).append(bar)
    return found


def plot(report: Report) -> bytes:
    """
    Return the plot of a report.
    """
    series = bars(report)
    labels: Sequence[str] = list(
        dict.fromkeys(label for one in series.values() for label, _ in one)
    )
    chart = pygal.HorizontalBar(
        js=(),
        no_prefix=True,
        style=STYLE,
        width=760,
        height=90 + 22 * len(labels) * max(1, len(series)),
        title=f"Gb/s of one processor, {report.machine}, {report.date}",
        legend_at_bottom=True,
        print_values=True,
        value_formatter=lambda value: f"{value:.2f}",
        truncate_label=-1,
    )
    # The first label is at the bottom.
    chart.x_labels = labels[::-1]
    for path, one in series.items():
        values = dict(one)
        chart.add(path, [values.get(label) for label in labels[::-1]])
    # Comments name the library's version and the day, and a script is for tooltips.
    return re.sub(rb"<!--.*?-->|<script.*?</script>", b"", chart.render(), flags=re.DOTALL) + b"\n"

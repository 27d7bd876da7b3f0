"""
Families of metrics: a name, what it means, and a value for each combination of labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from pptpgw.counting.distribution import Distribution

Values = Mapping[tuple[str, ...], float]
"""
Values by the labels that they have.
"""


def counter(name: str, meaning: str, values: Values, *labels: str) -> Metric:
    """
    Return a family of counters, which never become less.

    @param name: the name without C{_total}.
    @param meaning: what is counted, a sentence in plain English.
    @param labels: the names of the labels.
    """
    family = CounterMetricFamily(name, meaning, labels=labels)
    for texts, value in values.items():
        family.add_metric(texts, value)
    return family


def gauge(name: str, meaning: str, values: Values, *labels: str) -> Metric:
    """
    Return a family of values that go up and down; the arguments are as in L{counter}.
    """
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for texts, value in values.items():
        family.add_metric(texts, value)
    return family


def histogram(
    name: str, meaning: str, values: Mapping[tuple[str, ...], Distribution], *labels: str
) -> Metric:
    """
    Return a family of histograms; the arguments are as in L{counter}.
    """
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for texts, value in values.items():
        bounds = [f"{bound:g}" for bound in value.bounds] + ["+Inf"]
        buckets = list(zip(bounds, accumulate(value.counts), strict=True))
        family.add_metric(texts, buckets, value.sum)
    return family


class Labels:
    """
    The texts of a label that plugins may add to. The first ones are taken as they are; from then on
    what is new is called C{other}, so that the number of time series has a limit.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: how many different texts there may be.
        """
        self._limit = limit
        self._known: set[str] = set()

    def add(self, values: Mapping[str, float]) -> Values:
        """
        Return C{values} by labels, C{other} among them.
        """
        found: dict[tuple[str, ...], float] = {("other",): 0}
        for text, value in values.items():
            if text not in self._known:
                if len(self._known) < self._limit:
                    self._known.add(text)
                else:
                    text = "other"
            found[text,] = found.get((text,), 0) + value
        return found

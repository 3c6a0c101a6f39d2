"""The three types of metric: a counter with a bound on its labels, a distribution, and a sample that its owner computes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

MAX_LABEL_SETS = 512
"""Combinations of label values kept for one family; further ones are counted under ``other``."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that its owner computes when asked. ``labels`` must never hold a phone number."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: Literal["gauge", "counter"] = "gauge"


@final
class LabelledCount:
    """A counter with labels, of at most `MAX_LABEL_SETS` combinations."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], int] = {}

    @property
    def total(self) -> int:
        """The sum over all labels."""
        return sum(self.values.values())

    def add(self, *values: str, by: int = 1) -> None:
        """Add ``by`` to the count for these label values."""
        key = values if values in self.values or len(self.values) < MAX_LABEL_SETS else ("other",) * len(self.labels)
        self.values[key] = self.values.get(key, 0) + by

    def family(self) -> CounterMetricFamily:
        """Return the values for one exposition."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values, count in self.values.items():
            family.add_metric(values, count)
        return family


@final
class Distribution:
    """A histogram with fixed upper bounds."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.text = text
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def family(self) -> HistogramMetricFamily:
        """Return the buckets for one exposition, cumulative as Prometheus wants them."""
        return HistogramMetricFamily(self.name, self.text, buckets=list(self._cumulative()), sum_value=self.sum)

    def _cumulative(self) -> Iterator[tuple[str, float]]:
        running = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            yield bound, float(running)


def families(samples: Sequence[Sample]) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """Group samples of one name into one family each; the first sample of a name decides its kind, help and labels."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.name, []).append(sample)
    for name, group in groups.items():
        first = group[0]
        kind = GaugeMetricFamily if first.kind == "gauge" else CounterMetricFamily
        family = kind(name, first.help, labels=tuple(first.labels))
        for sample in group:
            family.add_metric(tuple(sample.labels.values()), sample.value)
        yield family

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics for Prometheus' textfile collector, all under one prefix; the text is prometheus_client's.

prometheus_client is Debian's python3-prometheus-client, and is only imported where metrics are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import files

PREFIX = "imaging_repository_"


@dataclass(frozen=True)
class Distribution:
    """What a histogram knows: how many values were at most each bound (in order), and the sum of all values."""

    counts: Mapping[float, int]
    number: int
    total: float


@dataclass
class Family:
    """One metric: `name` without the prefix and without the _total of a counter; samples by their labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    samples: list[tuple[Mapping[str, str], float | Distribution]] = field(default_factory=list)

    def add(self, value: float | Distribution | None, **labels: str) -> Family:
        """Add a sample, unless its value is not known; return the family."""
        if value is not None:
            self.samples.append((labels, value))
        return self


def require() -> None:
    """Import what writes metrics, which takes a moment; raises ImportError."""
    import prometheus_client.core  # noqa: F401


def exposition(families: Iterable[Family]) -> str:
    """Return the metrics in Prometheus' text format; families without samples are left out."""
    import prometheus_client

    return prometheus_client.generate_latest(_Collector(families)).decode()


def write(path: str | os.PathLike[str], families: Iterable[Family]) -> None:
    """Replace the file at `path` by the metrics, readable to everybody: the collector is another user."""
    files.write(path, exposition(families))


class _Collector:
    """What generate_latest() asks of a registry."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        from prometheus_client import core

        kinds: dict[str, Any] = {
            "counter": core.CounterMetricFamily,
            "gauge": core.GaugeMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        for family in self._families:
            if not family.samples:
                continue
            names = list(family.samples[0][0])
            metric = kinds[family.kind](PREFIX + family.name, family.text, labels=names)
            for labels, value in family.samples:
                values = [labels[name] for name in names]
                if isinstance(value, Distribution):
                    buckets = [(str(bound), number) for bound, number in value.counts.items()]
                    metric.add_metric(values, [*buckets, ("+Inf", value.number)], value.total)
                else:
                    metric.add_metric(values, value)
            yield metric

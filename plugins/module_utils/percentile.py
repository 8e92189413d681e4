# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What most of many values do not exceed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping


def percentile(values: Iterable[float] | Mapping[float, int], fraction: float) -> float:
    """Return the smallest value that at least `fraction` of the values do not exceed (nearest rank); 0 without values.

    `values`: one by one, or how often each occurs.
    """
    counts: Mapping[float, int] = values if isinstance(values, Mapping) else Counter(values)
    wanted, seen = fraction * sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0

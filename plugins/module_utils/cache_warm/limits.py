# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How the engine waits, and what makes it give up."""

from __future__ import annotations

import random
from dataclasses import dataclass


class Stopped(Exception):
    """The warm cannot go on; the text says what happened and what to do."""


@dataclass(frozen=True)
class Limits:
    """How the engine waits. Times in seconds."""

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    # While nobody listens, a restart is likely: it takes longer than an overload.
    refused_pause_seconds: float = 2.0
    # What Retry-After may ask for at most.
    longest_retry_after_seconds: float = 600.0
    # So many pages in a row that failed for good: nobody is there, and asking for the rest helps nobody.
    give_up_after: int = 50
    # So many pages in a row that nginx said it keeps, and a moment later did not.
    lost_after: int = 10

    def pause_seconds(self, attempt: int, refused: bool = False) -> float:
        """Return how long to wait after the failed attempt number `attempt` (from 1): doubling, with jitter."""
        first = self.refused_pause_seconds if refused else self.first_pause_seconds
        return float(min(first * 2 ** (attempt - 1), self.longest_pause_seconds) * random.uniform(0.75, 1.0))

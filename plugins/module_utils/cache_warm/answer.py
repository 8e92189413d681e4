# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""An answer to a request, and what its status says whichever page it was."""

from __future__ import annotations

from typing import NamedTuple

# Answers that say "not now"; 0 is none at all.
OVERLOADED = frozenset({0, 408, 429, 502, 503, 504})
# X-Cache-Status of an answer that the cache gave because the image servers could not, or not yet.
STALE = frozenset({"STALE", "UPDATING"})


class Answer(NamedTuple):
    """What a request came to: an HTTP status, or 0 and an error in words that do not differ from one URL to the next.

    `cache`: the header X-Cache-Status. `retry_after`: that header as it is. `seconds`: from the beginning to the last
    byte. `start`: the first bytes of the body (transport.START_BYTES). `body`: all of it where it was wanted, else empty.
    """

    status: int
    cache: str = ""
    size_bytes: int = 0
    error: str = ""
    content_type: str = ""
    retry_after: str = ""
    seconds: float = 0.0
    start: bytes = b""
    body: bytes = b""


def is_temporary(answer: Answer) -> bool:
    """Return whether the same request may be answered well later."""
    return answer.status in OVERLOADED or answer.status >= 500 or answer.cache in STALE


def cause_of(answer: Answer) -> str:
    """Return in words why an answer is none that was hoped for."""
    if answer.error:
        return answer.error
    if answer.cache in STALE:
        return f"an old copy, because the image servers fail ({answer.cache})"
    return f"HTTP {answer.status}"


def no_answer(address: str, answer: Answer, attempts: int) -> str:
    """Return the sentence about an address without which nothing goes on."""
    return (
        f"{address}: {cause_of(answer)} after {attempts} attempt{'s' if attempts > 1 else ''}; see to nginx on the cache "
        "host and to the image servers, then run the warm again"
    )

"""What a job has finished, so that a kill, a reboot or a full disk costs a second."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .items import Item


class JournalError(Exception):
    """The journal cannot be written; the text says why and what to do. What was committed stays."""


class Failure(NamedTuple):
    """A page that failed for good, and why."""

    item: Item
    cause: str


def fingerprint(text: str) -> int:
    """Return the signed 64-bit fingerprint of a page: of the text of its key (keys.Key.text)."""
    raise NotImplementedError


class Journal:
    """The journal of one job in `directory`; a context manager, which commits at its end.

    `job` identifies what is warmed (hash of sources, routes, refresh). A journal of another job, or of one that is
    complete, is begun anew. `texts` are what name a page: the text of its key.
    """

    # Sentences for the report, e.g. that a damaged journal was moved aside.
    problems: list[str]
    # Whether an unfinished job of the same identity goes on.
    resumed: bool

    def __init__(self, directory: str, job: str):
        raise NotImplementedError

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def finished(self, fingerprints: Iterable[int]) -> set[int]:
        """Return which of the fingerprints are finished; a few thousand at a time."""
        raise NotImplementedError

    def known(self, texts: Iterable[str]) -> set[str]:
        """Return which of the pages are finished (failed ones are not); a few thousand at a time."""
        raise NotImplementedError

    def note(self, text: str, outcome: str, item: Item | None = None, cause: str = "") -> None:
        """Note how a page ended; written about once a second. `failed` needs its item and cause, and may be overwritten."""
        raise NotImplementedError

    def cursor(self, source: str) -> object:
        """Return the saved cursor of a source, or None."""
        raise NotImplementedError

    def set_cursor(self, source: str, cursor: object) -> None:
        """Save where a source is resumed, in one transaction with what was noted before."""
        raise NotImplementedError

    def outcomes(self) -> dict[str, int]:
        """Return how many pages ended how, including earlier runs of the job."""
        raise NotImplementedError

    def failures(self, limit: int | None = None) -> list[Failure]:
        """Return the pages that failed: resume by asking for them again first, as cursors are beyond them."""
        raise NotImplementedError

    def commit(self) -> None:
        """Write what was noted; raise JournalError where the disk is full (nothing is lost: commit again)."""
        raise NotImplementedError

    def complete(self) -> None:
        """Note that the job is done: the next one begins anew."""
        raise NotImplementedError

    def close(self) -> None:
        """Commit and close."""
        raise NotImplementedError

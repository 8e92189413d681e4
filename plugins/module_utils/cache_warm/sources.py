"""Which pages there are: streams of items, one per entry of the configuration's `sources`."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .items import Item


class SourceError(Exception):
    """A source cannot be read; the text says what is wrong and what to do."""


class Stream:
    """The items of one source, lazily, once.

    `cursor`: JSON-able; a stream opened with it begins at the page (line, sitemap, study) of the item that was yielded
    last, so that items of that page are yielded again: what is finished is known from the journal. Save a cursor only
    when every item that was yielded before it was taken is finished or noted as failed.
    `problems`: sentences about what was skipped, at most MAX_PROBLEMS and one that counts the others.
    `approximate_total`: how many items there are, None where nobody knows before the end.
    """

    cursor: object
    problems: list[str]
    approximate_total: int | None

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError


def problems(entry: dict) -> list[str]:
    """Return what is wrong with an entry of `sources`, as `key: what; what to do` without the entry's own path."""
    raise NotImplementedError


def in_order(entries: Iterable[dict]) -> list[dict]:
    """Return the entries as they are warmed: by `priority` (low first, default 100), as configured where it is equal."""
    raise NotImplementedError


def open_source(entry: dict, fetch: Callable[[str], bytes], cursor: object = None) -> Stream:
    """Return the stream of an entry without problems, from a saved cursor where one is given.

    `fetch(address)` returns a body, or raises: a path is asked at the refresh port, a URL where it says. It is called
    while the stream is read. Raises SourceError, also while it is read.
    """
    raise NotImplementedError

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What every kind of source is: a stream of pages, read while it is read."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .items import Item

MAX_PROBLEMS = 20
# nginx refuses a request line of more than 8 KiB (large_client_header_buffers).
MAX_PATH_CHARACTERS = 8000
# A path or URL of which nothing needs encoding in a request (RFC 3986, section 2), and that holds no escape.
_PLAIN = re.compile(r"(?:https?://[^/?#]+)?(/[!$&-;=?-\[\]_a-z~]*)").fullmatch
# The same as a line of a file, whose ends do not matter.
PLAIN_LINE = re.compile(rb"[ \t]*(?:https?://[!\"$-.0->@-~]+)?(/[!$&-;=?-\[\]_a-z~]*)[ \t\r]*\n?").fullmatch
_UNSAFE = re.compile(r"[^!$-;=?-\[\]_a-z~]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_CONTROL = re.compile(r"[\x00-\x20\x7f]").search
_URL = re.compile(r"https?://[^/?#]+", re.IGNORECASE).match

Entry = Mapping[str, Any]
Fetch = Callable[[str], bytes]
Cursor = Mapping[str, Any]


class SourceError(Exception):
    """A source cannot be read; the text says what is wrong and what to do."""


class NotFound(SourceError):
    """What `fetch` raises where the answer is 404."""


class Rubbish(ValueError):
    """A text is no page; the message says why."""


def page_path(text: str) -> str:
    """Return the path with query that browsers ask for at a path or URL; raise ValueError with a reason.

    The host of a URL does not matter, its fragment is not sent, and letters of other languages are encoded.
    """
    plain = _PLAIN(text)
    if plain and len(text) <= MAX_PATH_CHARACTERS:
        return plain[1]
    text = text.partition("#")[0]
    url = _URL(text)
    if url:
        text = text[url.end() :]
        text = text if text.startswith("/") else "/" + text
    if not text.startswith("/"):
        raise Rubbish("neither a path that begins with / nor an http or https URL")
    if _CONTROL(text):
        raise Rubbish("holds a space or a control character, which must be written as %20 and the like")
    if _BAD_ESCAPE(text.partition("?")[0]):
        raise Rubbish("holds a % that is not followed by two hexadecimal digits")
    text = _UNSAFE.sub(lambda character: urllib.parse.quote(character[0], safe="", errors="surrogateescape"), text)
    if len(text) > MAX_PATH_CHARACTERS:
        raise Rubbish(f"longer than {MAX_PATH_CHARACTERS} characters")
    return text


class Stream:
    """The items of one source, lazily, once.

    `cursor`: JSON-able; a stream opened with it begins at the page (line, sitemap, study) of the item that was yielded
    last, so that items of that page come again: the journal knows those that are finished. Save a cursor only when
    every item that was yielded before it was taken is finished or noted as failed. None: there is nothing to go on
    from.
    `problems`: sentences about what was skipped, at most MAX_PROBLEMS and one that counts the others.
    `approximate_total`: how many items there are, None where nobody knows before the end.
    """

    approximate_total: int | None = None

    def __init__(self, entry: Entry, fetch: Fetch, cursor: Cursor | None) -> None:
        self.name: str = entry["name"]
        self._entry = entry
        self._fetch = fetch
        self._refresh = bool(entry.get("refresh", False))
        self._begin: Cursor = cursor or {}
        self._sentences: list[str] = []
        self._skipped = 0

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError

    @property
    def cursor(self) -> dict[str, Any] | None:
        return None

    @property
    def problems(self) -> list[str]:
        left = self._skipped - len(self._sentences)
        return self._sentences + [f"{self.name}: {left} more like these"] * (left > 0)

    def _skip(self, sentence: str) -> None:
        self._skipped += 1
        if len(self._sentences) < MAX_PROBLEMS:
            self._sentences.append(f"{sentence}; skipped")

    def _item(self, path: str) -> Item:
        return Item(path, self.name, False, self._refresh)

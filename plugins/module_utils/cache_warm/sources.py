# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which pages there are: streams of items, one per entry of the configuration's `sources`.

Every stream reads while it is read: ten million URLs take no more memory than one page of them. Only the access log is
counted first, with a bounded number of counters. source_rules.py says what an entry may hold.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import urllib.parse
import xml.etree.ElementTree
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from .access_log import AccessLog
from .items import Item
from .lines import GZIP_ERRORS, GZIP_MAGIC, READ_BYTES, LineReader, opened
from .paging import is_paged, list_page
from .source_rules import kind_of
from .stream import (
    MAX_PATH_CHARACTERS,
    PLAIN_LINE,
    Cursor,
    Entry,
    Fetch,
    NotFound,
    Rubbish,
    SourceError,
    Stream,
    page_path,
)

DEFAULT_PRIORITY = 100
# Fields of a study in the gallery's catalogue that hold pages.
CATALOGUE_FIELDS = ("thumbnail", "pages")


class _Templates:
    """The URLs of an id: `urls` and `optional_urls` of an entry, with {id} in them."""

    def __init__(self, entry: Entry, source: str, refresh: bool) -> None:
        self._templates = [(template, False) for template in entry.get("urls", ())]
        self._templates += [(template, True) for template in entry.get("optional_urls", ())]
        self._source = source
        self._refresh = refresh

    def items(self, identifier: str) -> Iterator[Item]:
        quoted = urllib.parse.quote(identifier, safe="")
        for template, optional in self._templates:
            yield Item(template.replace("{id}", quoted), self._source, optional, self._refresh)


def _identifiers(body: bytes, path: str, field: str) -> list[str]:
    """Return the ids of a JSON list: of strings, or of objects with the id in `field`; of a list there, the first."""
    try:
        entries = json.loads(body)
        named = [entry if isinstance(entry, str) else entry[field] for entry in entries]
        identifiers = [one[0] if isinstance(one, list) else one for one in named]
        if isinstance(entries, list) and all(isinstance(identifier, str) for identifier in identifiers):
            return identifiers
    except (ValueError, LookupError, TypeError):
        pass
    raise SourceError(f"{path} answers no JSON list of ids; correct warm_sources of the image server's driver")


class _List(Stream):
    """The driver's list of ids, in pages where it has pages, and the URLs of each id."""

    def __init__(self, entry: Entry, fetch: Fetch, cursor: Cursor | None) -> None:
        super().__init__(entry, fetch, cursor)
        self._offset: int = self._begin.get("offset", 0)

    @property
    def cursor(self) -> dict[str, Any]:
        return {"offset": self._offset}

    def __iter__(self) -> Iterator[Item]:
        entry = self._entry
        templates = _Templates(entry, self.name, self._refresh)
        paged = is_paged(entry)
        first = None
        while True:
            path = list_page(entry, self._offset, entry.get("page_size", 0))
            identifiers = _identifiers(self._fetch(path), path, entry.get("field", "ID"))
            # Not a page shorter than asked for, but an empty one is the end: a server may give less than asked.
            if not identifiers:
                return
            if identifiers[0] == first:
                raise SourceError(f"{path} answers the same page again: the list ignores where a page begins")
            first = identifiers[0]
            for identifier in identifiers:
                yield from templates.items(identifier)
            if not paged:
                return
            self._offset += len(identifiers)


class _Catalogue(Stream):
    """What the gallery's pages ask for, as its catalogue says; nothing before the first load has written it.

    `fields` of a study hold a page, a list of pages, or nothing. The first field of all studies comes first: visitors
    see the pictures of the front page before anything else.
    """

    def __iter__(self) -> Iterator[Item]:
        path = self._entry["path"]
        try:
            with open(path, "rb") as file:
                studies = json.load(file)["studies"]
            fields = self._entry.get("fields", CATALOGUE_FIELDS)
            # A study of which nothing can be drawn has none.
            values = [study.get(field) or () for field in fields for study in studies]
            paths = [page_path(page) for value in values for page in ([value] if isinstance(value, str) else value)]
        except FileNotFoundError:
            return
        except (ValueError, LookupError, TypeError, AttributeError):
            raise SourceError(f"{path}: is no catalogue of the gallery; run load.yml, which writes it") from None
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}; may this user read it?") from None
        self.approximate_total = len(paths)
        yield from map(self._item, paths)


class _Lines(Stream):
    """What a file lists, one a line: comments begin with #, rubbish is reported by number and skipped."""

    def __init__(self, entry: Entry, fetch: Fetch, cursor: Cursor | None) -> None:
        super().__init__(entry, fetch, cursor)
        self._reader = LineReader(entry["file"]) if "file" in entry else None
        # A file that is another one by now is read from its beginning.
        if self._reader and self._begin.get("file") != self._reader.identity:
            self._begin = {}

    @property
    def cursor(self) -> dict[str, Any] | None:
        reader = self._reader
        return {"file": reader.identity, "offset": reader.offset, "line": reader.number} if reader else None

    def _lines(self, reader: LineReader) -> Iterator[bytes | None]:
        return reader.lines(self._begin.get("offset", 0), self._begin.get("line", 0))

    def _text(self, reader: LineReader, line: bytes | None) -> str:
        """Return what a line lists; nothing for a comment and for rubbish, which is noted."""
        try:
            if line is None:
                raise Rubbish(f"longer than {MAX_PATH_CHARACTERS} characters")
            text = line.strip().decode().removeprefix("\ufeff")
            return "" if text.startswith("#") else text
        except UnicodeDecodeError:
            self._reject(reader, "not UTF-8")
        except Rubbish as reason:
            self._reject(reader, reason)
        return ""

    def _reject(self, reader: LineReader, reason: object) -> None:
        self._skip(f"{reader.path} line {reader.number + 1}: {reason}")


class _Urls(_Lines):
    """The paths or URLs of a file; roughly as many as it has lines."""

    def __iter__(self) -> Iterator[Item]:
        reader = self._reader
        if reader is None:
            return
        self.approximate_total = reader.line_count()
        name, refresh = self.name, self._refresh
        for line in self._lines(reader):
            # Most lines need no look at what they are.
            plain = PLAIN_LINE(line) if line is not None and len(line) <= MAX_PATH_CHARACTERS else None
            if plain:
                yield Item(plain[1].decode("ascii"), name, False, refresh)
            elif text := self._text(reader, line):
                try:
                    path = page_path(text)
                except Rubbish as reason:
                    self._reject(reader, reason)
                else:
                    yield Item(path, name, False, refresh)


class _Studies(_Lines):
    """The pages of the studies that are named, and of what their lists of children name."""

    def __init__(self, entry: Entry, fetch: Fetch, cursor: Cursor | None) -> None:
        super().__init__(entry, fetch, cursor)
        self._index: int = self._begin.get("index", 0)

    @property
    def cursor(self) -> dict[str, Any]:
        return super().cursor or {"index": self._index}

    def __iter__(self) -> Iterator[Item]:
        templates = _Templates(self._entry, self.name, self._refresh)
        children = [(child, _Templates(child, self.name, self._refresh)) for child in self._entry.get("children", ())]
        for study in self._named():
            try:
                lists = [(self._children(child, study), below) for child, below in children]
            except NotFound:
                reader = self._reader
                where = f"{reader.path} line {reader.number + 1}" if reader else f"ids of {self.name}"
                self._skip(f"{where}: the image server has no study {study}")
            else:
                yield from templates.items(study)
                for identifiers, below in lists:
                    for identifier in identifiers:
                        yield from below.items(identifier)
            self._index += 1

    def _named(self) -> Iterator[str]:
        """Yield the studies that are named."""
        reader = self._reader
        if reader:
            yield from filter(None, (self._text(reader, line) for line in self._lines(reader)))
        else:
            yield from itertools.islice(self._entry["ids"], self._index, None)

    def _children(self, child: Entry, study: str) -> list[str]:
        path = child["list"].replace("{id}", urllib.parse.quote(study, safe=""))
        return _identifiers(self._fetch(path), path, child.get("field", "ID"))


class _Sitemap(Stream):
    """The pages of a sitemap, or of all that an index names (sitemaps.org, protocol 0.9), packed by gzip or not."""

    def __init__(self, entry: Entry, fetch: Fetch, cursor: Cursor | None) -> None:
        super().__init__(entry, fetch, cursor)
        self._index: int = self._begin.get("sitemap", 0)

    @property
    def cursor(self) -> dict[str, Any]:
        return {"sitemap": self._index}

    def __iter__(self) -> Iterator[Item]:
        entry = self._entry
        top = entry.get("path") or entry["url"]
        number = 0
        for kind, location in self._locations(self._open(top), top):
            if kind == "url":
                yield from self._page(location, top)
                continue
            if number >= self._index:
                self._index = number
                yield from self._child(self._neighbour(location))
            number += 1

    def _child(self, address: str) -> Iterator[Item]:
        try:
            for kind, location in self._locations(self._open(address), address):
                if kind == "url":
                    yield from self._page(location, address)
                else:
                    self._skip(f"{address}: names {location}, but an index must not be in an index")
        except NotFound:
            self._skip(f"{address}: is named by the index and does not exist")
        except SourceError as error:
            self._skip(str(error))

    def _page(self, location: str, address: str) -> Iterator[Item]:
        try:
            yield self._item(page_path(location))
        except Rubbish as reason:
            self._skip(f"{address}: {location[:100]!r} {reason}")

    def _neighbour(self, location: str) -> str:
        """Return where a sitemap of the index is: beside it, where the index is a file and has such a neighbour."""
        if "path" in self._entry:
            name = os.path.basename(urllib.parse.urlsplit(location).path)
            beside = os.path.join(os.path.dirname(self._entry["path"]), name)
            if name and os.path.isfile(beside):
                return beside
        return location

    def _open(self, address: str) -> BinaryIO:
        # Of a file only its neighbours are files.
        if "path" in self._entry and address.startswith("/"):
            return opened(address)
        body = self._fetch(address)
        plain = io.BytesIO(body)
        return cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if body.startswith(GZIP_MAGIC) else plain

    @staticmethod
    def _locations(file: BinaryIO, address: str) -> Iterator[tuple[str, str]]:
        """Yield (url or sitemap, its loc) of a document as it is read."""
        parser: Any = xml.etree.ElementTree.XMLPullParser(("start", "end"))
        root: Any = None
        try:
            with file:
                while data := file.read(READ_BYTES):
                    parser.feed(data)
                    for event, element in parser.read_events():
                        root = element if root is None else root
                        kind = element.tag.rpartition("}")[2]
                        if event == "start" or kind not in ("url", "sitemap"):
                            continue
                        for child in element:
                            if child.tag.rpartition("}")[2] == "loc":
                                yield kind, (child.text or "").strip()
                        root.clear()
                parser.close()
        except (xml.etree.ElementTree.ParseError, OSError, *GZIP_ERRORS) as error:
            raise SourceError(f"{address}: is no whole sitemap ({error}); write it anew") from None
        if root is None or root.tag.rpartition("}")[2] not in ("urlset", "sitemapindex"):
            raise SourceError(f"{address}: is no sitemap: its root is neither urlset nor sitemapindex")


_STREAMS: dict[str, type[Stream]] = {
    "list": _List,
    "catalogue": _Catalogue,
    "urls": _Urls,
    "sitemap": _Sitemap,
    "access_log": AccessLog,
    "studies": _Studies,
}


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries as they are warmed: by `priority` (low first, default 100), else as they are configured."""
    return sorted(entries, key=lambda entry: entry.get("priority", DEFAULT_PRIORITY))


def open_source(entry: Entry, fetch: Fetch, cursor: Cursor | None = None) -> Stream:
    """Return the stream of an entry without problems, from a saved cursor where one is given.

    `fetch(address)` returns a body while the stream is read: a path is asked at the refresh port, a URL where it says.
    It raises NotFound for 404; whatever else it raises goes through. Raises SourceError, also while the stream is read.
    """
    return _STREAMS[kind_of(entry)](entry, fetch, cursor)

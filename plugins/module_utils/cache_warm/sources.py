# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which pages there are: streams of items, one per entry of the configuration's `sources`.

Every stream reads while it is read: ten million URLs take no more memory than one page of them. Only the access log is
counted first, with a bounded number of counters.
"""

from __future__ import annotations

import datetime
import difflib
import glob
import gzip
import io
import itertools
import json
import os
import re
import urllib.parse
import xml.etree.ElementTree
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from .items import Item

DEFAULT_PRIORITY = 100
MAX_PROBLEMS = 20
# nginx refuses a request line of more than 8 KiB (large_client_header_buffers).
MAX_PATH_CHARACTERS = 8000
# So many different pages of an access log are told apart, the most visited ones; twice as many for a moment.
LOG_COUNTERS = 100_000
# Fields of a study in the gallery's catalogue that hold pages.
CATALOGUE_FIELDS = ("thumbnail", "pages")
# The warm's own requests begin their User-Agent with this and are no visits.
OWN_AGENT = "imaging.repository"
_READ_BYTES = 1 << 16
_LONGEST_LINE_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)
# A path or URL of which nothing needs encoding in a request (RFC 3986, section 2), and that holds no escape.
_PLAIN = re.compile(r"(?:https?://[^/?#]+)?(/[!$&-;=?-\[\]_a-z~]*)").fullmatch
_UNSAFE = re.compile(r"[^!$-;=?-\[\]_a-z~]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_CONTROL = re.compile(r"[\x00-\x20\x7f]").search
_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]+").fullmatch
_URL = re.compile(r"https?://[^/?#]+", re.IGNORECASE).match
# A line of nginx's and Apache's format "combined", as the site before this one may have written it.
_COMBINED = re.compile(
    rb'\S+ \S+ \S+ \[(\d\d)/([A-Z][a-z]{2})/(\d{4}):[^\]]*\] "([A-Z]+) (\S+)[^"]*" (\d{3}) .*?'
    rb'(?:"([^"]*)")?\s*$'
).match
_MONTHS = {
    month: f"{number:02}"
    for number, month in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), start=1
    )
}
# Answers to visits of a page that is there.
_VISITED = frozenset({200, 206, 304})


class SourceError(Exception):
    """A source cannot be read; the text says what is wrong and what to do."""


class NotFound(SourceError):
    """What `fetch` raises where the answer is 404."""


class _Rubbish(ValueError):
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
        raise _Rubbish("neither a path that begins with / nor an http or https URL")
    if _CONTROL(text):
        raise _Rubbish("holds a space or a control character, which must be written as %20 and the like")
    if _BAD_ESCAPE(text.partition("?")[0]):
        raise _Rubbish("holds a % that is not followed by two hexadecimal digits")
    text = _UNSAFE.sub(lambda character: urllib.parse.quote(character[0], safe="", errors="surrogateescape"), text)
    if len(text) > MAX_PATH_CHARACTERS:
        raise _Rubbish(f"longer than {MAX_PATH_CHARACTERS} characters")
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

    def __init__(self, entry: dict, fetch: Callable[[str], bytes], cursor: dict | None):
        self.name: str = entry["name"]
        self._entry = entry
        self._fetch = fetch
        self._refresh = bool(entry.get("refresh", False))
        self._begin = cursor or {}
        self._sentences: list[str] = []
        self._skipped = 0

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError

    @property
    def cursor(self) -> dict | None:
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


class _Templates:
    """The URLs of an id: `urls` and `optional_urls` of an entry, with {id} in them."""

    def __init__(self, entry: dict, source: str, refresh: bool):
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
        identifiers = [entry if isinstance(entry, str) else entry[field] for entry in entries]
        identifiers = [one[0] if isinstance(one, list) else one for one in identifiers]
    except (ValueError, LookupError, TypeError):
        entries = identifiers = None
    if not isinstance(entries, list) or not all(isinstance(identifier, str) for identifier in identifiers):
        raise SourceError(f"{path} answers no JSON list of ids; correct warm_sources of the image server's driver")
    return identifiers


def list_page(entry: Mapping, offset: int, count: int) -> str:
    """Return the path of the page of a list that begins after `offset` ids and has at most `count` of them.

    The entry says how: {offset} and {count} in `list`, or the names of query arguments in `page`, {offset: ...,
    count: ...}. Where it says nothing, the list has one page, its own path.
    """
    address = entry["list"]
    if is_paged(entry) and "page" not in entry:
        return address.replace("{offset}", str(offset)).replace("{count}", str(count))
    if "page" not in entry:
        return address
    names = entry["page"]
    return f"{address}{'&' if '?' in address else '?'}{names['offset']}={offset}&{names['count']}={count}"


def is_paged(entry: Mapping) -> bool:
    """Return whether a list is asked for in pages."""
    return "page" in entry or "{offset}" in entry["list"]


class _List(Stream):
    """The driver's list of ids, in pages where it has pages, and the URLs of each id."""

    def __init__(self, entry: dict, fetch: Callable[[str], bytes], cursor: dict | None):
        super().__init__(entry, fetch, cursor)
        self._offset: int = self._begin.get("offset", 0)

    @property
    def cursor(self) -> dict:
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


def _opened(path: str) -> BinaryIO:
    """Open a file for its bytes, unpacked where it is packed by gzip."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        return gzip.open(path) if packed else open(path, "rb")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; correct the path, or let this user read it") from None


class _Reader:
    """The lines of a file, packed by gzip or not, from a byte of it on; a line that is too long comes as None."""

    def __init__(self, path: str):
        self.path = path
        self._file = _opened(path)
        status = os.fstat(self._file.fileno())
        # By this a cursor knows whether it is of this file.
        self.identity = [status.st_size, status.st_mtime_ns]
        self.offset = 0
        self.number = 0

    def line_count(self) -> int | None:
        """Return how many lines there are; None where the file cannot be read to its end."""
        try:
            with _opened(self.path) as file:
                return sum(data.count(b"\n") for data in iter(lambda: file.read(_READ_BYTES), b""))
        except (SourceError, OSError, *_GZIP_ERRORS):
            return None

    def lines(self, offset: int = 0, number: int = 0) -> Iterator[bytes | None]:
        """Yield the lines; `offset` and `number` are then where the line begins and how many came before it."""
        readline = self._file.readline
        length = 0
        try:
            with self._file:
                self._file.seek(offset)
                self.offset, self.number = offset, number - 1
                while line := readline(_LONGEST_LINE_BYTES):
                    self.offset += length
                    self.number += 1
                    length = len(line)
                    if length == _LONGEST_LINE_BYTES and not line.endswith(b"\n"):
                        while line and not line.endswith(b"\n"):
                            line = readline(_LONGEST_LINE_BYTES)
                            length += len(line)
                        yield None
                    else:
                        yield line
        except (OSError, *_GZIP_ERRORS) as error:
            raise SourceError(f"{self.path}: cannot be read to its end ({error}); is it complete?") from None


class _Lines(Stream):
    """What a file lists, one a line: comments begin with #, rubbish is reported by number and skipped."""

    def __init__(self, entry: dict, fetch: Callable[[str], bytes], cursor: dict | None):
        super().__init__(entry, fetch, cursor)
        self._reader = _Reader(entry["file"]) if "file" in entry else None
        # A file that is another one by now is read from its beginning.
        if self._reader and self._begin.get("file") != self._reader.identity:
            self._begin = {}

    @property
    def cursor(self) -> dict | None:
        reader = self._reader
        return {"file": reader.identity, "offset": reader.offset, "line": reader.number} if reader else None

    def _texts(self) -> Iterator[str]:
        begin = self._begin
        for line in self._reader.lines(begin.get("offset", 0), begin.get("line", 0)):
            try:
                if line is None:
                    raise _Rubbish(f"longer than {MAX_PATH_CHARACTERS} characters")
                text = line.strip().decode()
                if text and text[0] == "\ufeff":
                    text = text[1:]
                if text and text[0] != "#":
                    yield text
            except UnicodeDecodeError:
                self._reject("not UTF-8")
            except _Rubbish as reason:
                self._reject(reason)

    def _reject(self, reason: object) -> None:
        self._skip(f"{self._reader.path} line {self._reader.number + 1}: {reason}")


class _Urls(_Lines):
    """The paths or URLs of a file; roughly as many as it has lines."""

    def __iter__(self) -> Iterator[Item]:
        self.approximate_total = self._reader.line_count()
        name, refresh = self.name, self._refresh
        for text in self._texts():
            try:
                path = page_path(text)
            except _Rubbish as reason:
                self._reject(reason)
            else:
                yield Item(path, name, False, refresh)


class _Studies(_Lines):
    """The pages of the studies that are named, and of what their lists of children name."""

    def __init__(self, entry: dict, fetch: Callable[[str], bytes], cursor: dict | None):
        super().__init__(entry, fetch, cursor)
        self._index: int = self._begin.get("index", 0)

    @property
    def cursor(self) -> dict:
        return super().cursor or {"index": self._index}

    def __iter__(self) -> Iterator[Item]:
        studies = self._texts() if self._reader else itertools.islice(self._entry["ids"], self._index, None)
        templates = _Templates(self._entry, self.name, self._refresh)
        children = [(child, _Templates(child, self.name, self._refresh)) for child in self._entry.get("children", ())]
        for study in studies:
            try:
                lists = [(self._children(child, study), below) for child, below in children]
            except NotFound:
                where = f"{self._reader.path} line {self._reader.number + 1}" if self._reader else f"ids of {self.name}"
                self._skip(f"{where}: the image server has no study {study}")
            else:
                yield from templates.items(study)
                for identifiers, below in lists:
                    for identifier in identifiers:
                        yield from below.items(identifier)
            self._index += 1

    def _children(self, child: dict, study: str) -> list[str]:
        path = child["list"].replace("{id}", urllib.parse.quote(study, safe=""))
        return _identifiers(self._fetch(path), path, child.get("field", "ID"))


class _Sitemap(Stream):
    """The pages of a sitemap, or of all that an index names (sitemaps.org, protocol 0.9), packed by gzip or not."""

    def __init__(self, entry: dict, fetch: Callable[[str], bytes], cursor: dict | None):
        super().__init__(entry, fetch, cursor)
        self._index: int = self._begin.get("sitemap", 0)

    @property
    def cursor(self) -> dict:
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
        except _Rubbish as reason:
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
            return _opened(address)
        body = self._fetch(address)
        return gzip.GzipFile(fileobj=io.BytesIO(body)) if body.startswith(_GZIP_MAGIC) else io.BytesIO(body)

    @staticmethod
    def _locations(file: BinaryIO, address: str) -> Iterator[tuple[str, str]]:
        """Yield (url or sitemap, its loc) of a document as it is read."""
        parser = xml.etree.ElementTree.XMLPullParser(("start", "end"))
        root = None
        try:
            with file:
                while data := file.read(_READ_BYTES):
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
        except (xml.etree.ElementTree.ParseError, OSError, *_GZIP_ERRORS) as error:
            raise SourceError(f"{address}: is no whole sitemap ({error}); write it anew") from None
        if root is None or root.tag.rpartition("}")[2] not in ("urlset", "sitemapindex"):
            raise SourceError(f"{address}: is no sitemap: its root is neither urlset nor sitemapindex")


class _AccessLog(Stream):
    """The pages that visitors asked for, the most visited first; the site's own format, or the format combined.

    Which pages are counted is decided by a Misra-Gries summary in steps (J. Misra, D. Gries, Finding repeated elements,
    1982): memory is bounded, and a page that makes more than one in LOG_COUNTERS visits is never missed. Begun anew, it
    is counted anew: the order may have changed, what is finished the journal knows.
    """

    def __iter__(self) -> Iterator[Item]:
        paths = self._most_visited()
        self.approximate_total = len(paths)
        yield from map(self._item, paths)

    def _most_visited(self) -> list[str]:
        counts: dict[str, int] = {}
        for path in self._visits():
            counts[path] = counts.get(path, 0) + 1
            if len(counts) >= 2 * LOG_COUNTERS:
                least = sorted(counts.values(), reverse=True)[LOG_COUNTERS]
                counts = {path: count - least for path, count in counts.items() if count > least}
        return sorted(counts, key=lambda path: (-counts[path], path))

    def _visits(self) -> Iterator[str]:
        days = self._entry.get("days")
        first_day = (datetime.date.today() - datetime.timedelta(days=days)).isoformat() if days else ""
        for pattern in self._entry["files"]:
            files = sorted(glob.glob(pattern))
            if not files:
                self._skip(f"{pattern}: names no file")
            for file in files:
                reader = _Reader(file)
                # Not written to since.
                if datetime.date.fromtimestamp(reader.identity[1] / 1e9).isoformat() < first_day:
                    continue
                for line in reader.lines():
                    try:
                        visit = _visit(line)
                        if visit and visit[0] >= first_day:
                            yield page_path(visit[1])
                    except ValueError as reason:
                        reason = reason if isinstance(reason, _Rubbish) else "no line of an access log"
                        self._skip(f"{file} line {reader.number + 1}: {reason}")


def _visit(line: bytes | None) -> tuple[str, str] | None:
    """Return (day, path) of a line of an access log, None if it is no visit of a page; raise ValueError for rubbish."""
    if line is None:
        raise _Rubbish("too long")
    if line.startswith(b"{"):
        fields = json.loads(line.decode("utf-8", "surrogateescape"))
        try:
            # A request that no route served is of no page of the image servers.
            served = fields["method"] == "GET" and fields["status"] in _VISITED and fields["route"]
            if not served or fields["agent"].startswith(OWN_AGENT):
                return None
            return fields["time"][:10], fields["path"]
        except (LookupError, TypeError, AttributeError):
            raise _Rubbish("no line of the cache's log") from None
    found = _COMBINED(line)
    if not found:
        raise _Rubbish("no line of an access log")
    day, month, year, method, path, status, agent = found.groups()
    if method != b"GET" or int(status) not in _VISITED or (agent or b"").startswith(OWN_AGENT.encode()):
        return None
    return f"{int(year)}-{_MONTHS.get(month, '00')}-{int(day):02}", path.decode("utf-8", "surrogateescape")


class _Rule(NamedTuple):
    """What a value of an entry must be: a test, and the words for it."""

    holds: Callable[[object], bool]
    words: str


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(test, value))


_TEXT = _Rule(lambda value: isinstance(value, str) and value != "", "must be a text")
_PATH = _Rule(lambda value: isinstance(value, str) and value.startswith("/"), "must be a path that begins with /")
_ADDRESS = _Rule(
    lambda value: isinstance(value, str) and bool(value.startswith("/") or _URL(value)),
    "must be a path or an http or https URL",
)
_WHOLE = _Rule(_whole, "must be a whole number")
_POSITIVE = _Rule(lambda value: _whole(value) and value > 0, "must be a whole number above 0")
_TRUTH = _Rule(lambda value: isinstance(value, bool), "must be true or false")
_TEXTS = _Rule(_list_of(_TEXT.holds), "must be a list of texts")
_PATHS = _Rule(_list_of(_PATH.holds), "must be a list of paths that begin with /")
_URLS = _Rule(
    lambda value: isinstance(value, list) and all(_PATH.holds(url) and "{id}" in url for url in value),
    "must be a list of paths that begin with / and hold {id}",
)
_CHILD_LIST = _Rule(
    lambda value: _PATH.holds(value) and "{id}" in value, "must be a path that begins with / and holds {id}"
)
_CHILDREN = _Rule(_list_of(lambda value: isinstance(value, dict)), "must be a list of entries with list and urls")
_PAGE = _Rule(
    lambda value: (
        isinstance(value, dict)
        and set(value) == {"offset", "count"}
        and all(isinstance(name, str) and _ARGUMENT(name) for name in value.values())
    ),
    "must be {offset: <name of the query argument>, count: <name of the query argument>}",
)
_COMMON = {"name": _TEXT, "kind": _TEXT, "priority": _WHOLE, "refresh": _TRUTH, "readers": _TRUTH}
_OF_AN_ID = {"urls": _URLS, "optional_urls": _URLS, "field": _TEXT}


class _Kind(NamedTuple):
    """A kind of source: its stream, its keys, and those that it needs, one of each group."""

    stream: type[Stream]
    rules: dict[str, _Rule]
    needs: tuple[tuple[str, ...], ...]


_CHILD_RULES = {"list": _CHILD_LIST, **_OF_AN_ID}
_CHILD_NEEDS = (("list",), ("urls", "optional_urls"))
KINDS = {
    "list": _Kind(
        _List,
        {"list": _PATH, "page": _PAGE, "page_size": _POSITIVE, **_OF_AN_ID},
        (("list",), ("urls", "optional_urls")),
    ),
    "catalogue": _Kind(_Catalogue, {"path": _PATH, "fields": _TEXTS}, (("path",),)),
    "urls": _Kind(_Urls, {"file": _PATH}, (("file",),)),
    "sitemap": _Kind(_Sitemap, {"path": _PATH, "url": _ADDRESS}, (("path", "url"),)),
    "access_log": _Kind(_AccessLog, {"files": _PATHS, "days": _POSITIVE}, (("files",),)),
    "studies": _Kind(
        _Studies,
        {"ids": _TEXTS, "file": _PATH, "children": _CHILDREN, **_OF_AN_ID},
        (("ids", "file"), ("urls", "optional_urls", "children")),
    ),
}


def _kind(entry: dict) -> str:
    # A driver's own lists need not say so.
    return entry.get("kind", "list")


def problems(entry: dict) -> list[str]:
    """Return what is wrong with an entry of `sources`, as `key: what; what to do`, without the place of the entry."""
    if not isinstance(entry, dict):
        return [f"{entry!r} is no entry with name and kind; write one"]
    kind = KINDS.get(_kind(entry)) if isinstance(_kind(entry), str) else None
    if kind is None:
        return [f"kind: there is no kind {_kind(entry)!r}; write one of {', '.join(KINDS)}"]
    found = _problems(entry, {**_COMMON, **kind.rules}, (("name",), *kind.needs), "")
    if not found and "list" in kind.rules:
        found += _page_problems(entry)
    for index, child in enumerate(entry.get("children", ()) if not found else ()):
        found += _problems(child, _CHILD_RULES, _CHILD_NEEDS, f"children[{index}].")
    return found


def _page_problems(entry: Mapping) -> list[str]:
    """Return what does not fit together in how a list is asked for in pages."""
    marks = [mark for mark in ("{offset}", "{count}") if mark in entry["list"]]
    if "page" in entry and marks:
        return [f"page: stands beside {marks[0]} in list; give one of them"]
    if len(marks) == 1:
        return [f"list: holds {marks[0]} alone; write both {{offset}} and {{count}}"]
    if is_paged(entry) and "page_size" not in entry:
        return ["page_size: is missing; say how many ids a page has"]
    if not is_paged(entry) and "page_size" in entry:
        return [
            "page_size: nothing says how a page is asked for; give page, or write {offset} and {count} in list, "
            "or leave it out for a list of one page"
        ]
    return []


def _problems(entry: dict, rules: dict[str, _Rule], needs: Iterable[tuple[str, ...]], prefix: str) -> list[str]:
    found = []
    for key, value in entry.items():
        if key not in rules:
            close = difflib.get_close_matches(str(key), rules, 1)
            found.append(
                f"{prefix}{key}: is unknown; "
                + (f"did you mean {close[0]}?" if close else f"known are {', '.join(rules)}")
            )
        elif not rules[key].holds(value):
            found.append(f"{prefix}{key}: {value!r} {rules[key].words}; correct it")
    for group in needs:
        given = [key for key in group if key in entry]
        if not given:
            found.append(f"{prefix}{group[0]}: is missing; give {' or '.join(group)}")
        elif len(given) > 1 and group in _EXCLUSIVE:
            found.append(f"{prefix}{given[1]}: stands beside {given[0]}; give one of them")
    return found


# Two places for the same thing: one of them would be ignored.
_EXCLUSIVE = {("path", "url"), ("ids", "file")}


def in_order(entries: Iterable[dict]) -> list[dict]:
    """Return the entries as they are warmed: by `priority` (low first, default 100), else as they are configured."""
    return sorted(entries, key=lambda entry: entry.get("priority", DEFAULT_PRIORITY))


def open_source(entry: dict, fetch: Callable[[str], bytes], cursor: dict | None = None) -> Stream:
    """Return the stream of an entry without problems, from a saved cursor where one is given.

    `fetch(address)` returns a body while the stream is read: a path is asked at the refresh port, a URL where it says.
    It raises NotFound for 404; whatever else it raises goes through. Raises SourceError, also while the stream is read.
    """
    return KINDS[_kind(entry)].stream(entry, fetch, cursor)

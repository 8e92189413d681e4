# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The entries of nginx's cache as files: which there are, removed from disk or fetched anew.

nginx keeps an entry in a file below its zone's directory, in two levels of subdirectories (levels=1:2), named by
the MD5 of its key: ``ngx_http_file_cache_header_t``, ``\\nKEY: <key>\\n``, the headers of the image server, the body
(nginx_cache/zone_files.py). An entry whose file is gone is fetched again when somebody asks for it; the zone's count of bytes
falls when the entry would have expired.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import http.client
import itertools
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .nginx_cache.keys import Routes
from .nginx_cache.zone_files import HEADER, HEADER_BYTES, KEY_MARK, VERSION, leaf_names, leaf_of

# The longest path that nginx takes (large_client_header_buffers) is 8 KiB; most keys are shorter than this.
_READ_BYTES = 1024
_NAME = re.compile("[0-9a-f]{32}").fullmatch
_STUDY = re.compile("[A-Za-z0-9._-]+").fullmatch
# What stays as it is in a path: RFC 3986 pchar and /.
_PATH_SAFE = "/!$&'()*+,;=:@~-._"


class EntriesError(Exception):
    """Nothing can be done as it was asked for; the text is one sentence with the remedy."""


class Entry(NamedTuple):
    """One entry on disk: its zone, its key, its file, what the file takes, and where in it the body begins."""

    zone: str
    key: str
    file: str
    size_bytes: int
    body_start: int


class Selection(NamedTuple):
    """What the user named: one page by its path and digest, a study by the ids that belong to it, or a pattern."""

    path: str = ""
    digest: str = ""
    ids: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def matches(self, key: str) -> bool:
        """Return whether the entry of a key is meant."""
        if self.pattern:
            return self.pattern.search(key) is not None
        return bool(self.digest) or not self.ids.isdisjoint(re.split("[/?&=]", key))


# --- The files ------------------------------------------------------------------------------------------------------


def read_entry(zone: str, file: str, directory: int) -> Entry | None:
    """Return the entry in a file; None if it is none, which is all that is not exactly as nginx writes it.

    `directory`: a descriptor of the file's directory, so that no link on the way there is followed.
    """
    name = os.path.basename(file)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        # Evicted meanwhile, or a link.
        return None
    try:
        data = os.read(descriptor, _READ_BYTES)
        if len(data) < HEADER_BYTES + len(KEY_MARK):
            return None
        version, _, key_end, body_start, _ = HEADER.unpack_from(data)
        if key_end > len(data):
            data += os.read(descriptor, key_end - len(data))
        key = data[HEADER_BYTES + len(KEY_MARK) : key_end - 1]
        if (
            version != VERSION
            or not data.startswith(KEY_MARK, HEADER_BYTES)
            or data[key_end - 1 : key_end] != b"\n"
            or hashlib.md5(key, usedforsecurity=False).hexdigest() != name
        ):
            return None
        size_bytes = os.fstat(descriptor).st_size
    except OSError:
        # A directory, or a volume that fails.
        return None
    finally:
        os.close(descriptor)
    return Entry(zone, key.decode("utf-8", "surrogateescape"), file, size_bytes, body_start)


def leaves(directory: str, digest: str = "") -> Iterator[tuple[str, int]]:
    """Yield the directories in which a zone keeps files, with a descriptor that is open meanwhile; no link is followed.

    `digest`: only the directory of this name's file.
    """
    for name in [leaf_of(digest)] if digest else leaf_names():
        path = f"{directory}/{name}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise EntriesError(
                f"{path}: cannot be read ({error.strerror}); see to it, then run the same again"
            ) from error
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)


def select(
    zones: Iterable[Mapping[str, Any]], selection: Selection, seen: Callable[[int], None] = lambda number: None
) -> Iterator[tuple[Entry, int]]:
    """Yield the entries that are meant, each with a descriptor of its directory that is open meanwhile.

    `zones`: with ``name`` and ``directory``. `seen` is told how many files were looked at.
    """
    number = 0
    for zone in zones:
        for path, descriptor in leaves(zone["directory"], selection.digest):
            for name in os.listdir(descriptor):
                # Longer names are answers that are being received.
                if not _NAME(name) or selection.digest not in ("", name):
                    continue
                number += 1
                entry = read_entry(zone["name"], f"{path}/{name}", descriptor)
                if entry and selection.matches(entry.key):
                    yield entry, descriptor
            seen(number)


def purge(
    zones: Iterable[Mapping[str, Any]],
    selection: Selection,
    *,
    pretend: bool = False,
    seen: Callable[[int], None] = lambda number: None,
) -> list[Entry]:
    """Remove the entries that are meant from disk, and return them; with `pretend` nothing is removed.

    File by file: killed half-way, the rest is still there. What nginx is writing meanwhile is not seen.
    """
    purged = []
    for entry, descriptor in select(zones, selection, seen):
        if not pretend:
            try:
                os.unlink(os.path.basename(entry.file), dir_fd=descriptor)
            except FileNotFoundError:
                continue
        purged.append(entry)
    return purged


def body_checksum(entry: Entry, directory: int) -> str | None:
    """Return the SHA-256 of the body that an entry's file holds; None if it is gone."""
    try:
        descriptor = os.open(os.path.basename(entry.file), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    with open(descriptor, "rb") as stream:
        stream.seek(entry.body_start)
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- The pages ------------------------------------------------------------------------------------------------------


class Cache:
    """The cache on its own host: its loopback port and the port that rewrites. Connections are kept, one per thread."""

    def __init__(self, url: str, refresh_url: str, timeout_seconds: float = 60.0):
        urls = {"url": url, "refresh_url": refresh_url}
        self._addresses = {name: urllib.parse.urlsplit(one).netloc for name, one in urls.items()}
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of a page, from the cache where it is there."""
        return self._request("url", path)[:2]

    def refresh(self, path: str) -> tuple[int, bytes]:
        """Fetch a page from the image servers and rewrite its entry; return status and body."""
        return self._request("refresh_url", path)[:2]

    def _request(self, port: str, path: str) -> tuple[int, bytes]:
        """Raises EntriesError when nginx does not answer, twice: it may have closed a kept connection."""
        problem: Exception | None = None
        for _ in range(2):
            try:
                connection = self._connection(port)
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                problem = error
                setattr(self._local, port, None)
        raise EntriesError(
            f"http://{self._addresses[port]}: does not answer ({problem or type(problem).__name__}); "
            "look at 'systemctl status nginx', then run the same again"
        )

    def _connection(self, port: str) -> http.client.HTTPConnection:
        connection = getattr(self._local, port, None)
        if connection is None:
            connection = http.client.HTTPConnection(self._addresses[port], timeout=self._timeout_seconds)
            setattr(self._local, port, connection)
        return connection


def selection_of(
    text: str, routes: Routes, members: Iterable[Mapping[str, str]], cache: Cache, *, look_only: bool = False
) -> Selection:
    """Return what the user means by a URL or path, by ``~`` and a regular expression, or by the id of a study.

    `members`, `look_only`: see `study_ids`. Raises EntriesError.
    """
    if text.startswith("~"):
        try:
            return Selection(pattern=re.compile(text[1:]))
        except re.error as error:
            raise EntriesError(
                f"{text}: is no regular expression ({error}); correct it, for example ~^/images/[^/]+/picture"
            ) from error
    if text.startswith(("/", "http://", "https://")):
        path = text
        if not text.startswith("/"):
            parts = urllib.parse.urlsplit(text)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        key = routes.key(path)
        if key is None:
            raise EntriesError(
                f"{text}: no route of the cache policy serves it; correct the URL, or name several pages "
                "by a pattern, for example ~^/images/"
            )
        return Selection(path=path, digest=key.digest)
    if not _STUDY(text):
        raise EntriesError(
            f"{text}: is neither a path, a pattern nor the id of a study; begin a path with / and a pattern with ~"
        )
    return Selection(ids=study_ids(text, members, cache, look_only))


def study_ids(
    study: str, members: Iterable[Mapping[str, str]], cache: Cache, look_only: bool = False
) -> frozenset[str]:
    """Return the ids of a study and of all that belongs to it.

    `members`: from the policy, level by level ``{path, field}``: the page of each id of the level before, and the key
    under which its JSON lists the ids of this level; those of one `driver` are the levels of its studies. The image servers are asked, and for what they no longer have, the
    cache: a study that was deleted can still be purged. `look_only` asks the cache first, which changes no entry.
    """
    drivers: dict[str, list[Mapping[str, str]]] = {}
    for member in members:
        drivers.setdefault(member.get("driver", ""), []).append(member)
    status = 0
    for levels in drivers.values():
        status, ids = _ids_below(study, levels, cache, look_only)
        if status == 200:
            return ids
    if not drivers:
        return frozenset([study])
    raise EntriesError(
        f"{study}: neither the image servers nor the cache know such a study (status {status}); correct the id, or "
        "purge by a pattern"
    )


def _ids_below(
    study: str, members: Iterable[Mapping[str, str]], cache: Cache, look_only: bool
) -> tuple[int, frozenset[str]]:
    """Return the status of the study's own page, and the ids below it level by level of one driver."""
    ids, level = {study}, [study]
    for depth, member in enumerate(members):
        found: list[str] = []
        for parent in level:
            path = member["path"].replace("{id}", urllib.parse.quote(parent, safe=""))
            status, body = cache.get(path) if look_only else cache.refresh(path)
            if status != 200:
                status, body = cache.get(path)
            if status != 200:
                if depth == 0:
                    return status, frozenset()
                continue
            try:
                found += [str(one) for one in json.loads(body)[member["field"]]]
            except (ValueError, KeyError, TypeError) as error:
                raise EntriesError(
                    f"{path}: has no list {member['field']}; correct study_members in the cache policy"
                ) from error
        ids.update(found)
        level = found
    return 200, frozenset(ids)


class Refreshed(NamedTuple):
    """What came of fetching pages anew: how many, which of them differ from before, and the failures by status."""

    pages: int
    changed: list[str]
    failures: dict[str, list[str]]


def pages(
    zones: Iterable[Mapping[str, Any]],
    selection: Selection,
    routes: Routes,
    seen: Callable[[int], None] = lambda number: None,
) -> Iterator[tuple[str, str | None]]:
    """Yield the pages that are meant: the path to ask for and the checksum of the body until now.

    A page that the user named by its path is one also if it is not cached: its checksum is None then.
    """
    found = False
    for entry, descriptor in select(zones, selection, seen):
        path = path_of(entry, routes)
        if path is not None:
            found = True
            yield path, body_checksum(entry, descriptor)
    if selection.path and not found:
        yield selection.path, None


def path_of(entry: Entry, routes: Routes) -> str | None:
    """Return the path to ask for so that nginx finds this entry; None if there is none in this policy.

    The key is the decoded path and the kept arguments as they were.
    """
    uri, mark, arguments = entry.key.partition("?")
    path = urllib.parse.quote(uri.encode("utf-8", "surrogateescape"), safe=_PATH_SAFE) + mark + arguments
    key = routes.key(path)
    return path if key and key.text == entry.key else None


def refresh(
    wanted: Iterable[tuple[str, str | None]],
    cache: Cache,
    *,
    concurrency: int = 8,
    done: Callable[[int, int], None] = lambda pages, failed: None,
) -> Refreshed:
    """Fetch pages anew; each is a path and the checksum of its body until now.

    An entry of which the image servers say anything but 200 stays as it is. `done` is told how many pages are done and
    how many of them failed. Raises EntriesError when the cache does not answer.
    """
    changed: list[str] = []
    failures: dict[str, list[str]] = collections.defaultdict(list)
    number = failed = 0

    def fetch(page: tuple[str, str | None]) -> tuple[str, int, bool]:
        path, before = page
        status, body = cache.refresh(path)
        return path, status, hashlib.sha256(body).hexdigest() != before

    stream = iter(wanted)
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        # In portions, because map() takes all pages of its argument at once.
        while portion := list(itertools.islice(stream, 100 * concurrency)):
            for path, status, differs in pool.map(fetch, portion):
                number += 1
                if status != 200:
                    failed += 1
                    failures[str(status)].append(path)
                elif differs:
                    changed.append(path)
                done(number, failed)
    return Refreshed(number, changed, dict(failures))

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a job has finished, so that a kill, a reboot or a full disk costs less than a second.

SQLite, because it is tried by everybody what an append-only file of our own would have to prove: a transaction that is
written is whole after a kill or a power cut at any moment (write-ahead log, synchronous), damage is noticed, and ten
million pages are looked up from disk, not from memory. A page is a 64-bit fingerprint: 17 bytes on disk; that two of
ten million pages share one has a probability of 3 in a million. Nothing here reads the clock of the day.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .items import Item

FAILED = "failed"
_Result = TypeVar("_Result")
# What a kill costs at most, whichever comes first: half a second, or half a percent of a million pages.
COMMIT_INTERVAL_SECONDS = 0.5
COMMIT_PAGES = 5000
# How many fingerprints one query looks up: SQLite allows 32,766 (SQLITE_MAX_VARIABLE_NUMBER).
_QUERY_SIZE = 5000
_CACHE_KIB = 32 * 1024
_SCHEMA = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cursor (source TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outcome (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE page (fingerprint INTEGER PRIMARY KEY, outcome INTEGER NOT NULL);
CREATE TABLE failure (fingerprint INTEGER PRIMARY KEY, cause TEXT NOT NULL, path TEXT NOT NULL, source TEXT NOT NULL,
                      optional INTEGER NOT NULL, refresh INTEGER NOT NULL);
"""
# Of the schema, as the database's user_version. A journal of another version is begun anew: what is cached already is
# not fetched again.
_VERSION = 2


class JournalError(Exception):
    """The journal cannot be written; the text says why and what to do. What was committed stays."""


class Failure(NamedTuple):
    """A page that failed for good, and why."""

    item: Item
    cause: str


# A statement of so many rows costs half of what as many statements of one row do.
_ROWS = 250


def fingerprint(text: str) -> int:
    """Return the signed 64-bit fingerprint of a page: of the text of its key, as keys.Key.fingerprint."""
    data = hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).digest()
    return int.from_bytes(data[:8], "big", signed=True)


class Journal:
    """The journal of one job in `directory`; a context manager, which commits at its end.

    `job` identifies what is warmed (hash of sources, routes, refresh). A journal of another job, or of one that is
    complete, is begun anew. `texts` are what name a page: the text of its key.
    `resumed`: whether an unfinished job goes on. `problems`: sentences for the report, e.g. about a damaged journal.
    `before_commit`: called before each commit, for what must be on disk before the journal says that it is.
    """

    def __init__(self, directory: str | os.PathLike[str], job: str) -> None:
        self.problems: list[str] = []
        self.resumed = False
        self._path = Path(directory, "journal.sqlite")
        self._job = job
        # What is noted and not written yet: the outcome by page, and of those that failed what the page was.
        self._notes: dict[int, str] = {}
        self._failed: dict[int, Failure] = {}
        self._cursors: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._failures = 0
        self.before_commit: Callable[[], None] = lambda: None
        self._committed_at = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        self._guarded(self._open)

    def __enter__(self) -> Journal:
        return self

    @property
    def _database(self) -> sqlite3.Connection:
        """The open database."""
        if self._connection is None:
            raise JournalError(f"{self._path}: is closed")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        # The exception that is on its way says more than that the end could not be written either.
        with contextlib.suppress(JournalError) if kind else contextlib.nullcontext():
            self.close()

    def finished(self, fingerprints: Iterable[int]) -> set[int]:
        """Return which of the fingerprints are finished."""
        fingerprints = list(fingerprints)
        found = self._guarded(lambda: self._stored(fingerprints))
        # What is noted and not written yet is newer.
        for number in self._notes.keys() & fingerprints:
            (found.discard if self._notes[number] == FAILED else found.add)(number)
        return found

    def note(self, page: str | int, outcome: str, item: Item | None = None, cause: str = "") -> None:
        """Note how a page, by its text or fingerprint, ended; written twice a second, or after COMMIT_PAGES.

        FAILED needs its item and cause, and is never final.
        """
        number = page if isinstance(page, int) else fingerprint(page)
        if outcome == FAILED:
            if item is None:
                raise ValueError("a failure is noted with its item")
            self._failed[number] = Failure(item, cause)
        self._notes[number] = outcome
        self._commit_in_time()

    def note_all(self, pages: Iterable[int], outcome: str) -> None:
        """Note that pages, by their fingerprints, ended the same way, and well."""
        self._notes.update(dict.fromkeys(pages, outcome))
        self._commit_in_time()

    def _commit_in_time(self) -> None:
        if len(self._notes) >= COMMIT_PAGES or time.monotonic() - self._committed_at >= COMMIT_INTERVAL_SECONDS:
            self.commit()

    def cursor(self, source: str) -> Any:
        """Return the saved cursor of a source, or None."""
        text: str | None = self._cursors.get(source)
        if text is None:
            row = self._guarded(
                lambda: self._database.execute("SELECT value FROM cursor WHERE source = ?", (source,)).fetchone()
            )
            text = row[0] if row else "null"
        return json.loads(text)

    def set_cursor(self, source: str, cursor: object) -> None:
        """Save where a source is resumed, in one transaction with what was noted before."""
        self._cursors[source] = json.dumps(cursor)

    def outcomes(self) -> dict[str, int]:
        """Return how many pages ended how, in all runs of the job; reads the whole journal."""
        self.commit()
        counts = dict(
            self._guarded(
                lambda: self._database.execute(
                    "SELECT name, count(*) FROM page JOIN outcome ON number = outcome GROUP BY number"
                ).fetchall()
            )
        )
        return counts | {FAILED: self._failures} if self._failures else counts

    def failures(self, limit: int | None = None) -> list[Failure]:
        """Return pages that failed. Who resumes asks for them again first: the cursors are beyond them."""
        self.commit()
        rows = self._guarded(
            lambda: self._database.execute(
                "SELECT cause, path, source, optional, refresh FROM failure ORDER BY cause, path LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        )
        return [
            Failure(Item(path, source, bool(optional), bool(refresh)), cause)
            for cause, path, source, optional, refresh in rows
        ]

    def commit(self) -> None:
        """Write what was noted; raise JournalError where the disk is full (nothing is lost: commit again)."""
        if self._notes or self._cursors:
            self.before_commit()
            self._guarded(lambda: self._transaction(self._write))
            self._notes.clear()
            self._failed.clear()
            self._cursors.clear()
        self._committed_at = time.monotonic()

    def complete(self) -> None:
        """Note that the job is done: the next one begins anew."""
        self.commit()
        self._guarded(
            lambda: self._transaction(lambda: self._database.execute("REPLACE INTO job VALUES ('complete', 'yes')"))
        )

    def close(self) -> None:
        """Commit and close; a second time does nothing."""
        if self._connection is None:
            return
        try:
            self.commit()
        finally:
            self._disconnect()

    def _open(self) -> None:
        """Go on with the journal that is there, if it is this job's and unfinished, else begin one."""
        if self._connection is not None:
            return
        self._connect()
        if self._tables():
            damage = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise _damaged(damage)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            about = dict(self._database.execute("SELECT name, value FROM job")) if version == _VERSION else {}
            if about.get("job") == self._job and "complete" not in about:
                self.resumed = True
                self._numbers = dict(self._database.execute("SELECT name, number FROM outcome"))
                self._failures = self._count_failures()
                return
            self._disconnect()
            self._remove()
            self._connect()
        self._transaction(self._create)

    def _connect(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        # Only one may use it, which also needs no shared memory beside it.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        # What is committed outlives a power cut: two fsync(2) per second.
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _tables(self) -> bool:
        return bool(self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])

    def _create(self) -> None:
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute("INSERT INTO job VALUES ('job', ?)", (self._job,))
        self._numbers = {}
        self._failures = 0

    def _remove(self) -> None:
        # In this order: SQLite ignores a log without its database.
        for suffix in ("", "-wal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _move_aside(self) -> str:
        aside = f"{self._path}.damaged"
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}{suffix}", aside + suffix)
        return aside

    def _stored(self, fingerprints: list[int]) -> set[int]:
        found: set[int] = set()
        for begin in range(0, len(fingerprints), _QUERY_SIZE):
            part = fingerprints[begin : begin + _QUERY_SIZE]
            marks = ",".join("?" * len(part))
            found.update(
                itertools.chain.from_iterable(
                    self._database.execute(f"SELECT fingerprint FROM page WHERE fingerprint IN ({marks})", part)
                )
            )
        return found

    def _transaction(self, work: Callable[[], object]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._database.execute("COMMIT")
        except sqlite3.Error:
            # SQLite may have rolled back by itself.
            if self._database.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
            raise

    def _write(self) -> None:
        pages: dict[str, list[int]] = {}
        for number, outcome in self._notes.items():
            pages.setdefault(outcome, []).append(number)
        failed = pages.pop(FAILED, [])
        for outcome, finished in pages.items():
            self._write_finished(outcome, finished)
        database = self._database
        database.executemany("DELETE FROM page WHERE fingerprint = ?", ((number,) for number in failed))
        database.executemany(
            "REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?)",
            (_row(number, self._failed[number]) for number in failed),
        )
        database.executemany("REPLACE INTO cursor VALUES (?, ?)", self._cursors.items())
        self._failures = self._count_failures()

    def _write_finished(self, outcome: str, finished: list[int]) -> None:
        # A transaction that failed took the row back; the number stays.
        number = self._numbers.setdefault(outcome, len(self._numbers))
        self._database.execute("INSERT OR IGNORE INTO outcome VALUES (?, ?)", (number, outcome))
        # In the order of the tree: neighbours share a page of it.
        finished.sort()
        for begin in range(0, len(finished), _ROWS):
            rows = finished[begin : begin + _ROWS]
            values = ",".join([f"(?,{number})"] * len(rows))
            self._database.execute(f"REPLACE INTO page VALUES {values}", rows)
        if self._failures:
            self._database.executemany("DELETE FROM failure WHERE fingerprint = ?", ((page,) for page in finished))

    def _count_failures(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM failure").fetchone()[0])

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        """Do what needs the database; a damaged one is moved aside and begun anew, other errors become sentences."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._sentence(error) from None
            self._disconnect()
            try:
                aside = self._move_aside()
                self.problems.append(
                    f"{self._path}: damaged ({error}); moved aside to {aside} and begun anew: what is "
                    "in the cache already is not fetched again"
                )
                self._open()
                # To open it once more does nothing.
                return work()
            except (sqlite3.Error, OSError) as second:
                raise self._sentence(second) from None
        except OSError as error:
            raise self._sentence(error) from None

    def _sentence(self, error: Exception) -> JournalError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        remedy = {
            sqlite3.SQLITE_FULL: "the disk is full; make room and start again: nothing that was written is lost",
            sqlite3.SQLITE_BUSY: "another process uses it; let it end, or end it",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened; does the directory exist, and may this user write there?",
            sqlite3.SQLITE_READONLY: "it may not be written; give it to the user that warms",
        }.get(code, f"{error}; is the disk full or failing? Make room and start again")
        return JournalError(f"{self._path}: {remedy}")


def _row(number: int, failure: Failure) -> tuple[int, str, str, str, bool, bool]:
    item = failure.item
    return number, failure.cause, item.path, item.source, item.optional, item.refresh


def _damaged(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what.splitlines()[-1])
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The journal: what outlives a kill, a full disk and damage."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from plugins.module_utils.cache_warm import journal as journal_module
from plugins.module_utils.cache_warm.items import Item
from plugins.module_utils.cache_warm.journal import FAILED, Failure, Journal, JournalError, fingerprint


def known(journal: Journal, pages) -> set[str]:
    """Return which of the pages are finished."""
    by_fingerprint = {fingerprint(page): page for page in pages}
    return {by_fingerprint[number] for number in journal.finished(by_fingerprint)}


def item(path: str) -> Item:
    return Item(path, "instances", True, False)


def test_a_journal_of_an_older_version_is_begun_anew(tmp_path):
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.executescript(
            """
            CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE cursor (source TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE outcome (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
            CREATE TABLE page (fingerprint INTEGER PRIMARY KEY, outcome INTEGER NOT NULL);
            CREATE TABLE failure (fingerprint INTEGER PRIMARY KEY, cause TEXT NOT NULL, path TEXT NOT NULL,
                                  source TEXT NOT NULL, optional INTEGER NOT NULL, refresh INTEGER NOT NULL,
                                  route TEXT NOT NULL);
            INSERT INTO job VALUES ('job', 'job');
            INSERT INTO cursor VALUES ('instances', '7');
            INSERT INTO failure VALUES (1, 'time-out', '/a', 'instances', 0, 0, 'thumbnail');
            """
        )
    database.close()
    with Journal(tmp_path, "job") as journal:
        assert not journal.resumed and not journal.problems
        assert journal.cursor("instances") is None and not journal.failures()
        journal.note("/b", FAILED, item("/b"), "HTTP 500")
    with Journal(tmp_path, "job") as journal:
        assert journal.resumed and journal.failures() == [Failure(item("/b"), "HTTP 500")]


def damaged(path: Path) -> None:
    """Overwrite the middle of a file."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(max(size - 4096, 4096)))


def test_fingerprint_is_the_beginning_of_the_md5():
    assert fingerprint("/a") == int.from_bytes(hashlib.md5(b"/a").digest()[:8], "big", signed=True)
    assert fingerprint("/\udcff") == int.from_bytes(hashlib.md5(b"/\xff").digest()[:8], "big", signed=True)


def test_an_unfinished_job_goes_on(tmp_path):
    with Journal(tmp_path, "job") as journal:
        assert not journal.resumed and known(journal, ["/a"]) == set() and journal.outcomes() == {}
        journal.note("/a", "cached")
        journal.note("/b", "absent")
        journal.set_cursor("instances", {"since": 500})
        assert known(journal, ["/a", "/b", "/c"]) == {"/a", "/b"}
        assert journal.cursor("instances") == {"since": 500}
    with Journal(tmp_path, "job") as journal:
        assert journal.resumed and not journal.problems
        assert known(journal, ["/a", "/b", "/c"]) == {"/a", "/b"}
        assert journal.finished([fingerprint("/a"), 5]) == {fingerprint("/a")}
        assert journal.cursor("instances") == {"since": 500} and journal.cursor("series") is None
        assert journal.outcomes() == {"cached": 1, "absent": 1}


@pytest.mark.parametrize("complete, second", [(True, "job"), (False, "other")])
def test_another_job_and_one_after_the_end_begin_anew(tmp_path, complete: bool, second: str):
    with Journal(tmp_path, "job") as journal:
        journal.note("/a", "cached")
        journal.note("/b", FAILED, item("/b"), "HTTP 500")
        journal.set_cursor("instances", 7)
        if complete:
            journal.complete()
    with Journal(tmp_path, second) as journal:
        assert not journal.resumed and not known(journal, ["/a"]) and not journal.outcomes()
        assert journal.cursor("instances") is None and not journal.failures()


def test_failures_are_kept_with_their_items_and_are_not_final(tmp_path):
    with Journal(tmp_path, "job") as journal:
        journal.note("/a", "cached")
        for path in ("/a", "/b", "/c"):
            journal.note(path, FAILED, item(path), "time-out")
        assert known(journal, ["/a", "/b"]) == set()
    with Journal(tmp_path, "job") as journal:
        assert known(journal, ["/a", "/b"]) == set()
        assert journal.failures() == [Failure(item(path), "time-out") for path in ("/a", "/b", "/c")]
        assert journal.outcomes() == {FAILED: 3}
        journal.note("/b", "cached")
        journal.commit()
        assert known(journal, ["/b", "/c"]) == {"/b"}
        journal.note("/b", FAILED, item("/b"), "HTTP 500")
        assert known(journal, ["/b"]) == set()
        journal.note("/b", "cached")
        journal.note("/c", FAILED, item("/c"), "HTTP 500")
        assert journal.failures(1) == [Failure(item("/c"), "HTTP 500")]
        assert journal.outcomes() == {"cached": 1, FAILED: 2}
    with pytest.raises(ValueError), Journal(tmp_path, "job") as journal:
        journal.note("/x", FAILED)


def test_many_pages_are_looked_up_at_once(tmp_path):
    with Journal(tmp_path, "job") as journal:
        for number in range(12_000):
            journal.note(f"/{number}", "cached")
        journal.commit()
        assert len(known(journal, (f"/{number}" for number in range(0, 50_000, 2)))) == 6000


def test_what_is_noted_is_written_within_a_second(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: clock[0])
    journal = Journal(tmp_path, "job")
    journal.note("/a", "cached")
    journal.note("/b", "cached")
    assert stored(tmp_path) == 0
    clock[0] += 0.9
    journal.note("/c", "cached")
    assert stored(tmp_path) == 3


def test_what_must_be_written_before_is_written_before(tmp_path):
    with Journal(tmp_path, "job") as journal:
        before = []
        journal.before_commit = lambda: before.append(stored(tmp_path))
        journal.commit()
        for page in "abc":
            journal.note(page, "cached")
            journal.commit()
        assert before == [0, 1, 2]


def stored(directory: Path) -> int:
    """Return how many pages would be there after a kill: what a copy of the files holds."""
    with tempfile.TemporaryDirectory() as copy:
        for file in directory.glob("journal.sqlite*"):
            Path(copy, file.name).write_bytes(file.read_bytes())
        with contextlib.closing(sqlite3.connect(Path(copy, "journal.sqlite"))) as database:
            return database.execute("SELECT count(*) FROM page").fetchone()[0]


def test_the_clock_of_the_day_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: pytest.fail("asked for the time of day"))
    with Journal(tmp_path, "job") as journal:
        journal.note("/a", "cached")
    for file in tmp_path.iterdir():
        os.utime(file, (2**33, 2**33))
    with Journal(tmp_path, "job") as journal:
        assert known(journal, ["/a"])


def test_two_at_once_are_refused(tmp_path):
    with Journal(tmp_path, "job"), pytest.raises(JournalError, match="another process uses it"):
        Journal(tmp_path, "job")


@pytest.mark.parametrize("rubbish", [b"rubbish" * 10000, b"SQLite format 3\0" + b"\xff" * 9000, b"", b"\0" * 8192])
def test_a_file_that_is_no_journal_is_moved_aside(tmp_path, rubbish: bytes):
    (tmp_path / "journal.sqlite").write_bytes(rubbish)
    with Journal(tmp_path, "job") as journal:
        assert not journal.resumed
        journal.note("/a", "cached")
    if rubbish:
        assert "damaged" in journal.problems[0] and str(tmp_path / "journal.sqlite.damaged") in journal.problems[0]
        assert (tmp_path / "journal.sqlite.damaged").read_bytes() == rubbish
    with Journal(tmp_path, "job") as journal:
        assert journal.resumed and known(journal, ["/a"]) and not journal.problems


def test_a_damaged_journal_is_moved_aside(tmp_path):
    with Journal(tmp_path, "job") as journal:
        for number in range(20_000):
            journal.note(f"/{number}", "cached")
    damaged(tmp_path / "journal.sqlite")
    with Journal(tmp_path, "job") as journal:
        assert "damaged" in journal.problems[0] and not journal.resumed
        assert known(journal, ["/1"]) == set()


def test_damage_while_it_is_used_loses_nothing_that_is_not_written(tmp_path, monkeypatch):
    # Nothing of the file is in memory when it is damaged.
    monkeypatch.setattr(journal_module, "_CACHE_KIB", 1)
    with Journal(tmp_path, "job") as journal:
        for number in range(50_000):
            journal.note(f"/{number}", "cached")
    with Journal(tmp_path, "job") as journal:
        damaged(tmp_path / "journal.sqlite")
        journal.note("/new", "cached")
        known(journal, (f"/{number}" for number in range(50_000)))
        journal.commit()
        assert len(journal.problems) == 1 and known(journal, ["/new", "/1"]) == {"/new"}
    with Journal(tmp_path, "job") as journal:
        assert journal.resumed and known(journal, ["/new"])


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(JournalError, match=r"journal.sqlite: it cannot be opened; does the directory exist"):
        Journal(tmp_path / "none", "job")


# --- A full disk. ---


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB; needs root, as the tests of storage do."""
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root; bin/test is run by root")
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_full_disk_is_a_sentence_and_loses_nothing(small_disk):
    written = 0
    journal = Journal(small_disk, "job")
    with pytest.raises(JournalError, match=r"journal.sqlite: .*disk is full.*[Mm]ake room"):
        while written < 100_000:
            for number in range(written, written + 1000):
                journal.note(f"/{number}", "cached")
            journal.commit()
            written += 1000
    assert written >= 10_000
    # What was written is still there, for this run and, after a kill, for the next.
    assert len(known(journal, (f"/{number}" for number in range(written)))) == written
    with pytest.raises(JournalError):
        journal.close()
    with contextlib.suppress(JournalError), Journal(small_disk, "job") as journal:
        assert len(known(journal, (f"/{number}" for number in range(written)))) == written
    # With room it goes on where it was, and what could not be written can.
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    with Journal(small_disk, "job") as journal:
        assert journal.resumed and len(known(journal, (f"/{number}" for number in range(written)))) == written
        journal.note("/more", "cached")


def test_what_a_full_disk_refused_is_written_when_there_is_room(small_disk):
    journal = Journal(small_disk, "job")
    (small_disk / "other").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))
    for number in range(20_000):
        journal._notes[fingerprint(f"/{number}")] = "cached"
    with pytest.raises(JournalError):
        journal.commit()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    journal.close()
    with Journal(small_disk, "job") as journal:
        assert journal.outcomes() == {"cached": 20_000}


# --- Kills. ---

PAGES = [f"/page/{number}" for number in range(60)]
# A kill leaves what the kernel has, written to a disk or not: memory does, and is faster.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def run_until_killed(directory: str, steps: int | None) -> None:
    """Warm PAGES as the engine does, in a process that kills itself after `steps` steps; the child never returns."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        step()
        with Journal(directory, "job") as journal:
            step()
            cursor = journal.cursor("pages") or 0
            for begin in range(cursor, len(PAGES), 7):
                batch = PAGES[begin : begin + 7]
                finished = known(journal, batch)
                for page in batch:
                    if page not in finished:
                        with open(Path(directory, "asked"), "a", encoding="ascii") as asked:
                            asked.write(page + "\n")
                        journal.note(page, "cached" if page[-1] != "3" else "absent")
                    step()
                    if page[-1] in "258":
                        journal.commit()
                        step()
                journal.set_cursor("pages", begin + len(batch))
        step()
    finally:
        os._exit(0)


@settings(max_examples=25, deadline=None)
@given(strategies.lists(strategies.integers(1, 100), max_size=6))
def test_any_kills_end_in_the_same_set(kills: list[int]):
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        for steps in [*kills, None]:
            run_until_killed(directory, steps)
        with Journal(directory, "job") as journal:
            assert known(journal, PAGES) == set(PAGES)
            assert journal.outcomes() == {"cached": 54, "absent": 6} and journal.cursor("pages") == len(PAGES)
        # Each kill costs at most what was not written yet: here up to four pages.
        asked = Path(directory, "asked").read_text(encoding="ascii").splitlines()
        assert set(asked) == set(PAGES) and len(asked) <= len(PAGES) + 4 * len(kills)


def test_a_kill_in_the_middle_of_writing_loses_at_most_a_second(tmp_path):
    script = (
        "import sys\n"
        "from plugins.module_utils.cache_warm.journal import Journal\n"
        "journal = Journal(sys.argv[1], 'job')\n"
        "number = 0\n"
        "while True:\n"
        "    journal.note(f'/{number}', 'cached')\n"
        "    number += 1\n"
        "    if journal._notes: continue\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [os.sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        for _ in range(2):
            said = int(process.stdout.readline())
        time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
    with Journal(tmp_path, "job") as journal:
        assert journal.resumed and journal.outcomes()["cached"] >= said


def test_many_pages_do_not_wait_for_the_time_to_write_them(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "COMMIT_INTERVAL_SECONDS", 3600.0)
    (tmp_path / "killed").mkdir()
    with Journal(tmp_path, "job") as journal:
        for begin in range(0, 6000, 100):
            journal.note_all(range(begin, begin + 100), "miss")
        # What a kill would leave.
        for file in tmp_path.glob("journal.sqlite*"):
            shutil.copy(file, tmp_path / "killed")
    with Journal(tmp_path / "killed", "job") as journal:
        assert journal.outcomes() == {"miss": journal_module.COMMIT_PAGES}

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import os
import stat
import threading

import pytest

from plugins.module_utils import files


def mode(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_file_is_written_with_its_mode_whatever_the_umask_is(tmp_path):
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "open", "text\n")
        files.write(tmp_path / "private", b"\x00bytes", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "open").read_text() == "text\n"
    assert (tmp_path / "private").read_bytes() == b"\x00bytes"
    assert (mode(tmp_path / "open"), mode(tmp_path / "private")) == (0o644, 0o600)


def test_a_file_is_replaced_with_its_mode_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    files.write(path, "new", mode=0o640, durable=True)
    assert (path.read_text(), mode(path)) == ("new", 0o640)
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_the_working_directory_and_one_with_the_longest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write("here", "text", durable=True)
    files.write("n" * 255, "text")
    assert sorted(os.listdir(tmp_path)) == ["here", "n" * 255]


def test_owner_and_group_are_given(tmp_path):
    path = tmp_path / "file"
    if os.geteuid():
        with pytest.raises(PermissionError):
            files.write(path, "text", owner=0)
        assert os.listdir(tmp_path) == []
    else:
        files.write(path, "text", owner=1, group=2, mode=0o4755)
        assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (1, 2, 0o4755)


def test_names_that_are_no_utf_8_come_out_as_they_were(tmp_path):
    files.write(tmp_path / "file", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "file").read_bytes() == b"caf\xe9"


def test_a_failure_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "inside").touch()
    with pytest.raises(OSError):
        files.write(tmp_path / "directory", "text")
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "missing" / "file", "text")
    assert os.listdir(tmp_path) == ["directory"]


def test_a_reader_never_sees_a_half(tmp_path):
    path = tmp_path / "file"
    texts = {letter * 200_000 for letter in "ab"}
    files.write(path, "a" * 200_000)
    seen = set()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for text in sorted(texts) * 20:
        files.write(path, text)
    stop.set()
    reader.join()
    assert seen <= texts

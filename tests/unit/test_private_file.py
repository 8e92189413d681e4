# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Private files are never readable by others and never half written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plugins.module_utils import private_file


def test_written_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = os.umask(0)
    try:
        private_file.write(str(path), "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert private_file.read(str(path)) == "one"
    assert not private_file.loose(str(path))


def test_a_failed_write_leaves_the_old_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    private_file.write(str(path), "old")
    with pytest.raises(UnicodeEncodeError):
        private_file.write(str(path), "\ud800")
    assert private_file.read(str(path)) == "old"
    assert os.listdir(tmp_path) == ["secret"]


def test_loose_is_what_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert private_file.read(str(path)) == "" and not private_file.loose(str(path))
    path.write_text("text")
    path.chmod(0o640)
    tmp_path.chmod(0o750)
    assert private_file.loose(str(path)) and private_file.loose(str(tmp_path))
    tmp_path.chmod(0o700)
    assert not private_file.loose(str(tmp_path))

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A directory holds exactly the files of its sources, and what is right is left alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plugins.action.file_tree import read_tree
from plugins.modules import file_tree


def digests(tree: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}


def apply(dest: Path, tree: dict[str, bytes], keep: list[str]) -> tuple[list[str], list[str]]:
    written, removed = file_tree.plan(str(dest), digests(tree), keep)
    for path in written:
        file_tree.write_file(str(dest), path, tree[path])
    for path in removed:
        file_tree.remove_file(str(dest), path)
    return written, removed


@pytest.fixture
def tree() -> dict[str, bytes]:
    return {"index.html": b"home", "js/a.js": b"a", "js/deep/b.js": b"b"}


def test_all_is_written_once_and_readable(tmp_path: Path, tree: dict[str, bytes]) -> None:
    dest = tmp_path / "www"
    assert apply(dest, tree, []) == (sorted(tree), [])
    assert {path: (dest / path).read_bytes() for path in tree} == tree
    assert all((dest / path).stat().st_mode & 0o777 == 0o644 for path in tree)
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in (dest, dest / "js", dest / "js/deep"))
    assert apply(dest, tree, []) == ([], [])


def test_changed_content_mode_and_links_are_put_right(tmp_path: Path, tree: dict[str, bytes]) -> None:
    apply(tmp_path, tree, [])
    (tmp_path / "index.html").write_bytes(b"defaced")
    (tmp_path / "js/a.js").chmod(0o600)
    (tmp_path / "js/deep/b.js").unlink()
    (tmp_path / "js/deep/b.js").symlink_to("/etc/hostname")
    assert apply(tmp_path, tree, []) == (sorted(tree), [])
    assert not (tmp_path / "js/deep/b.js").is_symlink() and apply(tmp_path, tree, []) == ([], [])


def test_what_no_source_has_goes_except_what_others_write(tmp_path: Path, tree: dict[str, bytes]) -> None:
    apply(tmp_path, tree, [])
    (tmp_path / "catalogue.json").write_text("{}")
    del tree["js/deep/b.js"]
    assert apply(tmp_path, tree, ["catalogue.json"]) == ([], ["js/deep/b.js"])
    assert (tmp_path / "catalogue.json").exists() and not (tmp_path / "js/deep").exists() and (tmp_path / "js").exists()


def test_a_later_source_wins_and_hidden_files_stay_out(tmp_path: Path) -> None:
    for name, content in {
        "one/page.html": "one",
        "one/only.html": "only",
        "two/page.html": "two",
        "two/.git/config": "x",
        "two/.hidden": "x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert read_tree([str(tmp_path / "one"), str(tmp_path / "two")]) == {"page.html": b"two", "only.html": b"only"}


def test_what_python_compiled_is_no_file_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"")
    (tmp_path / "a.py").write_bytes(b"a")
    assert read_tree([str(tmp_path)]) == {"a.py": b"a"}


def test_a_source_is_laid_below_a_directory(tmp_path: Path) -> None:
    for name, content in {"own/index.html": b"home", "driver/driver.js": b"draw"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    sources = [str(tmp_path / "own"), str(tmp_path / "driver")]
    assert read_tree(sources, ["", "drivers/one"]) == {"index.html": b"home", "drivers/one/driver.js": b"draw"}

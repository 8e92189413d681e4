# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What roles/cache/tasks/programs.yml installs is whole: nothing of it needs a module that is not among it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from plugins.action.file_tree import included, read_tree

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    tasks = yaml.safe_load((PROJECT / "roles/cache/tasks/programs.yml").read_text(encoding="utf-8"))
    task = tasks[0]["imaging.repository.file_tree"]
    package = tmp_path_factory.mktemp("lib") / Path(task["dest"]).name
    for path, content in included(read_tree([str(PROJECT / "plugins/module_utils")]), task["include"]).items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(content)
    return package


def test_only_what_is_named_is_taken():
    tree = {"a/b.py": b"", "a.py": b"", "c/a.py": b""}
    assert set(included(tree, ["a", "a.py"])) == {"a/b.py", "a.py"}
    assert included(tree, None) == tree


@pytest.mark.parametrize("name", ["cache-metrics", "cache-warm"])
def test_the_commands_run_from_what_is_installed(installed, name):
    launcher = (PROJECT / "roles/cache/files/programs" / name).read_text(encoding="utf-8")
    module = next(word for word in launcher.split() if word.startswith("imaging_repository."))
    done = subprocess.run(
        [sys.executable, "-B", "-m", module, "--help"],
        env={**os.environ, "PYTHONPATH": str(installed.parent)},
        cwd=installed.parent,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {name}"), done.stderr


def test_every_module_can_be_imported(installed):
    names = [
        ".".join((installed.name, *path.relative_to(installed).with_suffix("").parts))
        for path in installed.rglob("*.py")
        if not path.stem.startswith("__")
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    environment = {**os.environ, "PYTHONPATH": str(installed.parent)}
    subprocess.run([sys.executable, "-B", "-c", code, *names], env=environment, cwd=installed.parent, check=True)

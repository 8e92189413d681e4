# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A copy of the repository with one more feature, which stands in a page of the manual."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# The parts of ansible-core and this repository that are commands.
COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class Tree:
    """A copy of the repository."""

    path: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does: from the repository, with its ansible.cfg."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {"PATH": f"{COMMANDS}:{environment['PATH']}", "ANSIBLE_LOCALHOST_WARNING": "false"}
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)

    def write(self, name: str, content: str) -> Path:
        """Write a file of the copy."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return file


def manual(page: str) -> dict[str, str]:
    """Return the files of a page: a block below a line that is only the name of a file."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w./-]+)`:\n```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def configure_line(page: str) -> str:
    """Return the lines of playbooks/configure.yml that a page adds: its only other block that imports a playbook."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(- name: [^\n]+\n  ansible.builtin.import_playbook: configure/\w+.yml\n)```", text)
    assert found
    return found[1]


def copied(target: Path) -> Tree:
    """Return a copy of what git knows of the repository and of what it would add."""
    tree = Tree(target)
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        source, place = REPOSITORY / name, tree.path / name
        if name and (source.is_symlink() or source.is_file()):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)
    # What the test adds is what git shows.
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tree.path, check=True, capture_output=True)
    return tree


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Return a copy of the repository."""
    return copied(tmp_path_factory.mktemp("repository"))

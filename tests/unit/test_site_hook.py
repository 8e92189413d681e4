# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Playbooks of a user that run before and after configure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from plugins.lookup.site_hook import NONE, hook

PROJECT = Path(__file__).parents[2]


def test_without_a_hook_a_playbook_that_does_nothing_runs(tmp_path: Path) -> None:
    assert hook("before", [f"@{tmp_path}/site.yml", "a=b", '{"c": 1}']) == NONE
    assert hook("before", []) == NONE and NONE.is_file()


def test_the_hook_beside_the_last_file_is_taken(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "hooks").mkdir(parents=True)
        (tmp_path / folder / "hooks" / "after.yml").touch()
    assert hook("after", [f"@{tmp_path}/a/site.yml", f"@{tmp_path}/b/more.yml"]) == tmp_path / "b/hooks/after.yml"
    assert hook("before", [f"@{tmp_path}/a/site.yml"]) == NONE


def test_hooks_run_first_and_last_and_find_their_roles(tmp_path: Path) -> None:
    role = tmp_path / "hooks/roles/mine/tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- name: Mine\n  ansible.builtin.debug: {msg: mine}\n")
    for name in ("before", "after"):
        play = f"- name: Own {name}\n  hosts: site:!unprovisioned\n  gather_facts: false\n  roles: [mine]\n"
        (tmp_path / "hooks" / f"{name}.yml").write_text(play)
    (tmp_path / "site.yml").write_text("site: {name: hooked}\n")
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            *("-i", "inventory/", "-e", f"@{tmp_path}/site.yml", "playbooks/configure.yml", "--list-tasks"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    plays = re.findall(r"play #\d+ \([^)]*\): (.*?)\t", done.stdout)
    assert [plays[0], plays[1], plays[-1]] == ["Check the site file", "Own before", "Own after"]
    assert done.stdout.count("mine : Mine") == 2

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What holds for the playbooks of all verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = PROJECT / "playbooks"
VERBS = [*PLAYBOOKS.glob("*.yml"), *PLAYBOOKS.glob("configure/*.yml"), *PROJECT.glob("molecule/*/converge.yml")]


def plays(file: Path) -> list[dict[str, Any]]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def includes(play: dict[str, Any]) -> list[tuple[str, str]]:
    """(role, file of its tasks) of each include of a play."""
    found = [
        task["ansible.builtin.include_role"] for task in play.get("tasks", ()) if "ansible.builtin.include_role" in task
    ]
    return [(role["name"], role.get("tasks_from", "main")) for role in found]


@pytest.mark.parametrize("file", VERBS, ids=lambda file: str(file.relative_to(PROJECT)))
def test_no_play_reads_variables_from_files(file: Path) -> None:
    """They named the secrets file by a fixed path; the vars plugin offers what is in it."""
    assert [play for play in plays(file) if "vars_files" in play] == []


def test_configure_imports_every_feature_after_it_has_looked_at_the_hosts() -> None:
    imported = [play.get("ansible.builtin.import_playbook", "") for play in plays(PLAYBOOKS / "configure.yml")]
    features = [name for name in imported if name.startswith("configure/")]
    assert sorted(features) == sorted(f"configure/{file.name}" for file in PLAYBOOKS.glob("configure/*.yml"))
    assert imported.index("preflight.yml") < imported.index(features[0])


def test_switch_looks_at_hosts_as_verify_does() -> None:
    """So a host without volumes and services, which counted as one that was not asked, no longer stops a switch."""
    for verb in ("verify", "switch"):
        play = next(play for play in plays(PLAYBOOKS / f"{verb}.yml") if play["hosts"] == "site:!unprovisioned")
        assert ("imaging.repository.verify", "hosts") in includes(play)

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The secrets of the site are there once, for their owner only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

testinfra_hosts = ["ansible://localhost"]
REPOSITORY = Path(__file__).parents[3]
CONVERGE = Path(__file__).parents[1] / "converge.yml"
NAMES = {
    "vault_database_owner_password",
    "vault_database_reader_password",
    "vault_image_server_operator_password",
    "vault_image_server_cache_password",
}


def play(directory: Path, *arguments: str) -> str:
    """Runs the scenario's play on a state directory of its own; returns all that it printed."""
    program, inventory = Path(sys.executable).parent / "ansible-playbook", REPOSITORY / "molecule/inventory"
    command = [
        str(program),
        "--inventory",
        str(inventory),
        str(CONVERGE),
        "-vvv",
        "--diff",
        "--extra-vars",
        f"secrets_file={directory}/state/secrets.yml",
        *arguments,
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def test_secrets_of_the_site_are_for_their_owner_only(host) -> None:
    state = Path(host.ansible.get_variables()["site_state_directory"])
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "secrets.yml").stat().st_mode & 0o777 == 0o600
    secrets = yaml.safe_load((state / "secrets.yml").read_text())
    assert set(secrets) >= NAMES and len(set(secrets.values())) == len(secrets)
    assert all(len(secret) >= 32 for secret in secrets.values())
    command = ["git", "check-ignore", "--quiet", str(state / "secrets.yml")]
    ignored = subprocess.run(command, cwd=REPOSITORY, check=False)
    assert ignored.returncode in (0, 128), "outside git, or ignored by it"


def test_secrets_are_planned_made_kept_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "state/secrets.yml"
    assert "changed=1" in play(tmp_path, "--check") and not file.exists()
    shown = play(tmp_path)
    made = yaml.safe_load(file.read_text())
    assert set(made) == NAMES and not [secret for secret in made.values() if secret in shown]
    shown = play(tmp_path)
    assert "changed=0" in shown and not [secret for secret in made.values() if secret in shown]

    text = file.read_text()
    removed = next(line for line in text.splitlines(keepends=True) if line.startswith("vault_database_owner_password"))
    file.write_text(text.replace(removed, ""))
    play(tmp_path)
    now = yaml.safe_load(file.read_text())
    assert set(now) == NAMES
    assert {name for name in NAMES if now[name] != made[name]} == {"vault_database_owner_password"}


def test_secrets_that_the_site_gives_are_not_made(tmp_path: Path) -> None:
    given = "vault_database_owner_password"
    play(tmp_path, "--extra-vars", f"{given}=hush")
    assert set(yaml.safe_load((tmp_path / "state/secrets.yml").read_text())) == NAMES - {given}


def test_damaged_file_is_left_alone_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "state/secrets.yml"
    file.parent.mkdir()
    file.write_text('vault_database_owner_password: "hush\n  - [')
    shown = play(tmp_path)
    assert "is not valid YAML; restore it from its copy" in shown and "hush" not in shown
    assert "hush" in file.read_text()

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Where a clone may lie and from where it is used: another folder, spaces, `~`, a folder that everybody may write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils.site import absolute

REPOSITORY = Path(__file__).parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the tree in a folder with a space in its name."""
    target = tmp_path / "my repository"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    copy = ["xargs", "--null", "cp", "--no-dereference", "--parents", f"--target-directory={target}"]
    target.mkdir()
    there = b"\0".join(name for name in listed.split(b"\0") if name and os.path.lexists(REPOSITORY / os.fsdecode(name)))
    subprocess.run(copy, cwd=REPOSITORY, input=there, check=True)
    return target


def said(clone: Path, folder: Path, playbook: str, **variables: str) -> str:
    """What a verb says on the demo of a clone, called from a folder with only the settings that Ansible finds there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [
            PLAYBOOK,
            "-i",
            f"{clone}/inventory/",
            "-e",
            f"@{clone}/vars/demo.yml",
            f"{clone}/playbooks/{playbook}.yml",
            "--limit",
            "localhost",
        ],
        cwd=folder,
        env={**kept, "ANSIBLE_NOCOLOR": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join((done.stdout + done.stderr).split())


def test_a_path_with_spaces_works(clone):
    assert "changed=0" in said(clone, clone, "preflight")


def test_another_folder_works_with_the_settings_and_says_so_without(clone, tmp_path):
    assert "changed=0" in said(clone, tmp_path, "preflight", ANSIBLE_CONFIG=f"{clone}/ansible.cfg")
    refused = said(clone, tmp_path, "validate")
    assert (
        f"ansible: {clone}/ansible.cfg is not in use; run this in its folder (cd '{clone}'), or say export" in refused
    )
    assert "failed=1" in refused


def test_a_clone_that_everybody_may_write_to_is_named(clone):
    clone.chmod(0o777)
    refused = said(clone, clone, "validate")
    assert f"everybody may write to {clone}; take that from others (chmod o-w" in refused and "failed=1" in refused


def test_paths_of_a_site_file_may_begin_with_the_users_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert absolute("~/images.crt", "/srv/repository") == "/home/ada/images.crt"
    assert absolute("tls/images.crt", "/srv/repository") == "/srv/repository/tls/images.crt"
    assert absolute("/etc/images.crt", "/srv/repository") == "/etc/images.crt"

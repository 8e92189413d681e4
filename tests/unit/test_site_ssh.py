# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The SSH keys of a site: made once, kept, known before the first connection, and never shown."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils import site_ssh
from plugins.modules import site_ssh as module

HOSTS = ["database", "proxy"]


def run(directory: Path, hosts: list[str] | None = None, check: bool = False) -> dict[str, Any]:
    """Run the module as Ansible does, and return its answer."""
    arguments = {
        "directory": str(directory),
        "site": "lab",
        "hosts": hosts or HOSTS,
        "bastion": "proxy",
        "_ansible_check_mode": check,
        "_ansible_diff": True,
    }
    script = (
        "import sys; from ansible.module_utils import basic; from plugins.modules import site_ssh;"
        "basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), 'modern'; site_ssh.main()"
    )
    result = subprocess.run(
        [os.sys.executable, "-c", script],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        text=True,
        capture_output=True,
        cwd=Path(__file__).resolve().parents[2],
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return json.loads(result.stdout)


def content(directory: Path) -> dict[str, str]:
    return {str(file.relative_to(directory)): file.read_text() for file in directory.rglob("*") if file.is_file()}


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "ssh"
    first = run(directory)
    assert first["changed"] and first["made"] == ["id_ed25519", "host_keys/database", "host_keys/proxy"]
    assert first["user_data_files"] == {host: f"{directory}/user_data/{host}.yml" for host in HOSTS}
    made = content(directory)
    again = run(directory)
    assert not again["changed"] and again["made"] == [] and again["public_key"] == first["public_key"]
    assert content(directory) == made
    more = run(directory, [*HOSTS, "replica1"])
    assert more["made"] == ["host_keys/replica1"]
    now = content(directory)
    assert {name: now[name] for name in made if name != "known_hosts"} == {
        name: text for name, text in made.items() if name != "known_hosts"
    }


def test_openssh_takes_the_keys_for_what_they_are(tmp_path: Path) -> None:
    answer = run(tmp_path)
    for name in ("id_ed25519", "host_keys/database"):
        shown = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / name], capture_output=True, text=True, check=True)
        assert shown.stdout.split()[:2] == (tmp_path / f"{name}.pub").read_text().split()[:2]
    assert answer["public_key"] == (tmp_path / "id_ed25519.pub").read_text().strip()
    found = subprocess.run(
        ["ssh-keygen", "-F", "lab-database", "-f", tmp_path / "known_hosts"], capture_output=True, text=True, check=True
    )
    assert (tmp_path / "host_keys" / "database.pub").read_text().split()[1] in found.stdout


def test_no_private_key_is_shown_or_can_be_read_by_others(tmp_path: Path) -> None:
    directory = tmp_path / "ssh"
    answer = json.dumps(run(directory))
    for file in [directory, *directory.rglob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file
    for name in ("id_ed25519", "host_keys/database"):
        assert "PRIVATE" not in answer and (directory / name).read_text().splitlines()[2] not in answer


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "ssh"
    answer = run(directory, check=True)
    assert answer["changed"] and answer["public_key"] == "" and answer["diff"]["before"] == ""
    assert answer["user_data_files"] == {}
    assert "host_keys/database\n" in answer["diff"]["after"]
    assert not directory.exists()
    assert run(directory)["changed"] and not run(directory, check=True)["changed"]


@pytest.mark.parametrize("lost", ["id_ed25519.pub", "known_hosts", "user_data/proxy.yml"])
def test_what_is_derived_comes_back_the_same(tmp_path: Path, lost: str) -> None:
    run(tmp_path)
    before = content(tmp_path)
    (tmp_path / lost).unlink()
    assert run(tmp_path)["changed"]
    assert content(tmp_path) == before


def test_a_key_that_others_could_read_is_closed(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "id_ed25519").chmod(0o644)
    assert run(tmp_path)["changed"]
    assert stat.S_IMODE((tmp_path / "id_ed25519").stat().st_mode) == 0o600


def test_a_damaged_key_is_an_error_and_is_kept(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "host_keys" / "database").write_text("damaged")
    answer = run(tmp_path)
    assert answer["failed"] and answer["msg"].endswith(
        "host_keys/database is no ed25519 key without a passphrase; restore it from its copy"
    )
    assert (tmp_path / "host_keys" / "database").read_text() == "damaged"


def test_a_server_gets_its_host_key_and_upgrades_nothing() -> None:
    private = site_ssh.new_key()
    public = site_ssh.public_key(private)
    for bastion in (False, True):
        text = site_ssh.user_data(private, public, bastion)
        assert text.startswith("#cloud-config\n")
        told = yaml.safe_load(text)
        assert told["ssh_keys"] == {"ed25519_private": private, "ed25519_public": public}
        assert told["ssh_deletekeys"] and not told["package_upgrade"]
        assert ("write_files" in told) == bastion


def test_the_files_are_those_of_the_documentation(tmp_path: Path) -> None:
    files = module.Files(str(tmp_path))
    module.plan(files, "lab", ["database"], "database")
    assert list(files.wanted) == [
        "id_ed25519",
        "id_ed25519.pub",
        "host_keys/database",
        "host_keys/database.pub",
        "user_data/database.yml",
        "known_hosts",
    ]

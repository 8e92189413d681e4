# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The module files with its action plugin, as a real ansible-playbook runs them on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives files to root; bin/test is run by root")
TASK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - imaging.repository.files:
        files:
          - {dest: "{{ to }}/new/rendered", template: rendered.j2, mode: "0640", group: daemon}
          - {dest: "{{ to }}/copied", source: binary}
          - {dest: "{{ to }}/tree", source: tree/, mode: "0755"}
          - {dest: "{{ to }}/given", content: "x {{ word }}\\n", validate: grep -q one %s, secret: true, mode: "0600"}
          - {dest: "{{ to }}/kept", content: "first\\n", keep: true}
          - {dest: "{{ to }}/left-out", content: "", when: "{{ word == 'never' }}"}
          - {dest: "{{ to }}/folder", directory: true, mode: "0700"}
"""


@pytest.fixture
def play(tmp_path):
    """Return a function that runs the task and returns its result."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "files/tree/deep").mkdir(parents=True)
    (tmp_path / "files/tree/deep/program").write_text("run")
    (tmp_path / "to").mkdir()
    (tmp_path / "templates/rendered.j2").write_text("{% include 'more.j2' %}\n{% if true %}\n{{ word }}\n{% endif %}\n")
    (tmp_path / "templates/more.j2").write_text("# {{ ansible_managed }}\nmore\n")
    (tmp_path / "files/binary").write_bytes(b"\0\xff{{ no }}")
    (tmp_path / "play.yml").write_text(TASK)

    def run(*options: str, word: str = "one"):
        done = subprocess.run(
            [
                ANSIBLE_PLAYBOOK,
                "-i",
                "localhost,",
                "-c",
                "local",
                "-e",
                f"to={tmp_path}/to word={word}",
                *options,
                tmp_path / "play.yml",
            ],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.host_list",
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"][0]["hosts"]["localhost"]

    return run


def test_files_are_written_once_and_as_they_shall_be(play, tmp_path):
    to = tmp_path / "to"
    planned = play("--check", "--diff")
    assert planned["changed"] and len(planned["written"]) == 6 and not list(to.iterdir())
    assert planned["diff"][0]["after"] == "# Ansible managed\nmoreone\n" and "x one" not in json.dumps(planned)
    assert play()["changed"]
    assert (to / "new/rendered").read_text() == "# Ansible managed\nmoreone\n"
    found = (to / "new/rendered").stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o640, 0) and (to / "new/rendered").group() == "daemon"
    assert (to / "copied").read_bytes() == b"\0\xff{{ no }}" and (to / "copied").stat().st_mode & 0o777 == 0o644
    assert (to / "folder").stat().st_mode & 0o777 == 0o700 and not (to / "left-out").exists()
    assert (to / "tree/deep/program").stat().st_mode & 0o777 == 0o755
    # Again, and with what only a user changed.
    (to / "kept").write_text("second\n")
    (to / "copied").chmod(0o600)
    again = play()
    assert again["written"] == [str(to / "copied")] and (to / "kept").read_text() == "second\n"
    assert not play()["changed"]


def test_what_a_command_refuses_is_not_written(play, tmp_path):
    play()
    refused = play(word="two")
    assert refused["failed"] and "grep refuses it, so the old one stays" in refused["msg"]
    assert (tmp_path / "to/given").read_text() == "x one\n"
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
        "copied",
        "folder",
        "given",
        "kept",
        "new",
        "tree",
    ]

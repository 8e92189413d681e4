# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs playbooks and modules as an operator does, for the tests of the verbs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def play(playbook: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Runs a playbook without a terminal; stdout and stderr together in stdout."""
    return subprocess.run(
        [PLAYBOOK, "-i", "inventory/", f"playbooks/{playbook}.yml", *map(str, arguments)],
        cwd=REPOSITORY,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "PATH": f"{PLAYBOOK.parent}:{os.environ['PATH']}"},
    )


def words(run: subprocess.CompletedProcess) -> str:
    """What was printed, with single spaces, so that a wrapped sentence is found."""
    return " ".join(run.stdout.split())


class Verbs:
    """The verbs on one site of conftest.Site, by a site file of its own."""

    def __init__(self, site):
        self.site = site
        self.file = site.directory / f"{site.name}.yml"
        self.state = REPOSITORY / "state" / site.name
        hosts = site.hosts
        # Two hosts do all that the base has five for.
        hosts["database"]["groups"] = ["database", "image_server_primary", "image_server_replica"]
        # As their places in the base give them.
        hosts["database"]["address"], hosts["proxy"]["address"] = "192.168.77.16", "192.168.77.64"
        site.overrides["hosts"] = [
            hosts["database"],
            hosts["proxy"],
            {"name": "primary", "absent": True},
            {"name": "replica", "absent": True},
        ]

    def __call__(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess:
        self.file.write_text(yaml.safe_dump({"site": self.site.overrides}))
        return play(playbook, "-e", f"@{self.file}", *arguments)

    def provision(self) -> None:
        """Makes the site; servers of the fake hypervisor do not answer, so that only the controller's part is run."""
        run = self("provision", "--limit", "localhost")
        assert run.returncode == 0, run.stdout
        self.site.public_key = (self.state / "ssh/id_ed25519.pub").read_text()

    def forget(self) -> None:
        """Removes what the controller keeps of the site."""
        shutil.rmtree(self.state, ignore_errors=True)


def start_module(name: str, directory: Path, /, check: bool = False, **parameters) -> subprocess.Popen:
    """A module, running as Ansible runs it."""
    file = directory / f"{name}.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_check_mode": check, **parameters}}))
    return subprocess.Popen(
        [sys.executable, f"plugins/modules/{name}.py", str(file)],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "collections"},
    )


def run_module(name: str, directory: Path, /, check: bool = False, **parameters) -> dict:
    """What a module returned."""
    output, errors = start_module(name, directory, check, **parameters).communicate(timeout=600)
    assert output.strip() and "Traceback" not in errors, errors
    return json.loads(output.strip().splitlines()[-1])

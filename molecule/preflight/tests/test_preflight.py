# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Hosts with every kind of problem: configure names all of them at once and writes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

testinfra_hosts = ["local://"]

PROJECT = Path(__file__).parents[3]
HOSTS = ("database", "primary", "replica1", "replica2", "proxy")
# Where connections, journals, and apt's lists may be newer.
VOLATILE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/log",
    "/root/.ansible",
    "/var/lib/apt",
    "/var/lib/systemd",
    "/var/cache/apt",
)
MARKER = "/root/before-preflight"


def play(name: str, *options: str) -> tuple[int, str]:
    """(exit status, output) of a playbook."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, "-i", "molecule/inventory", f"playbooks/{name}.yml", *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def on(host: str, command: str) -> str:
    """Run a shell command on a host of the scenario."""
    return subprocess.run(
        ["docker", "exec", f"molecule-{host}", "sh", "-ec", command], check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def changed(host: str, command: str, repair: str) -> Iterator[None]:
    on(host, command)
    try:
        yield
    finally:
        on(host, repair)


def listener(host: str, address: str, port: int) -> ExitStack:
    """A foreign program that listens on a port."""
    stack = ExitStack()
    unit = f"foreign-{port}"
    stack.enter_context(
        changed(
            host,
            # What is ours may listen there already, in the tests of roles that come later.
            f"systemctl stop orthanc postgresql@17-main 2>/dev/null || true; systemd-run --quiet --unit {unit} "
            f"python3 -m http.server --bind {address} {port}; sleep 1",
            f"systemctl stop {unit}",
        )
    )
    return stack


def written(host: str) -> list[str]:
    """Files that are newer than the marker."""
    paths = " ".join(f"-path {path} -prune -o" for path in VOLATILE)
    return on(host, f"find / -xdev {paths} -type f -newer {MARKER} -print").split()


def first_mib(host: str, volume: str) -> str:
    return on(host, f"head -c 1048576 /dev/disk/by-id/imaging-repository-{volume} | sha256sum")


def test_all_problems_of_all_hosts_at_once_and_nothing_written() -> None:
    for host in HOSTS:
        on(host, f"touch {MARKER}; sleep 1")
    with (
        changed("replica1", "useradd --no-create-home --uid 951 visitor", "userdel visitor"),
        changed(
            "replica2",
            "cp --dereference /etc/os-release /root/os-release; rm /etc/os-release; "
            "sed 's/13/12/; s/trixie/bookworm/' /root/os-release >/etc/os-release",
            "ln --symbolic --force ../usr/lib/os-release /etc/os-release",
        ),
        listener("primary", "0.0.0.0", 8042),
        listener("database", "127.0.0.1", 5432),
    ):
        # Making the problems has written, too.
        for host in HOSTS:
            on(host, f"sleep 1; touch {MARKER}")
        before = [first_mib("primary", "data"), first_mib("database", "db")]
        secrets = sorted((PROJECT / "state/molecule").rglob("*"))
        status, output = play("configure", "-e", json.dumps({"base_packages": ["no-such-package"]}))
        assert status != 0
        for sentence in (
            "replica1: the number 951 belongs to user visitor, and the files of postgres on kept volumes have it",
            "replica2: runs Debian GNU/Linux 12 (bookworm), but this release needs Debian 13",
            "primary: port 8042 is in use by python3 (pid ",
            ", foreign-8042.service), and the image server needs it; stop python3",
            "database: port 5432 is in use by python3 (pid ",
            "proxy: package no-such-package cannot be installed: no source of apt has it",
            "nothing was written",
        ):
            assert sentence in output, output
        assert {host: written(host) for host in HOSTS} == {host: [] for host in HOSTS}
        assert [first_mib("primary", "data"), first_mib("database", "db")] == before
        assert sorted((PROJECT / "state/molecule").rglob("*")) == secrets


def test_validate_looks_at_hosts_that_are_there(tmp_path: Path) -> None:
    """Hosts in containers are asked once the site has its secrets; until then there may be none."""
    secrets = tmp_path / "secrets.yml"
    given = ["-e", json.dumps({"secrets_file": str(secrets), "base_packages": ["no-such-package"]})]
    status, output = play("validate", *given)
    assert status == 0 and "not looked at: database" in output, output
    names = (
        "vault_database_owner_password vault_database_reader_password "
        "vault_image_server_operator_password vault_image_server_cache_password"
    )
    secrets.write_text("".join(f"{name}: x\n" for name in names.split()))
    status, output = play("validate", *given)
    assert status != 0 and "replica2: package no-such-package cannot be installed" in output, output
    subprocess.run(["docker", "pause", "molecule-replica2"], check=True)
    try:
        status, output = play("validate", *given[:1], json.dumps({"secrets_file": str(secrets)}))
    finally:
        subprocess.run(["docker", "unpause", "molecule-replica2"], check=True)
    assert status == 0 and "not looked at: replica2" in output, output


def test_sound_hosts_cost_little_and_are_not_changed() -> None:
    status, output = play("preflight")
    assert status == 0 and "changed=0" in output and "nothing was written" not in output, output

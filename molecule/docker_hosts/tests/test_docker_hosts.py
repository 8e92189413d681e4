# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A site's hosts on this machine: restarted, grown, refused, removed and found again, with real containers."""

from __future__ import annotations

import socket
import stat
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
INVENTORY = REPOSITORY / "molecule/docker_hosts/inventory"
SITE = "molecule-docker"
VOLUMES = Path("/var/lib/imaging-repository") / SITE / "volumes"
DEVICE = "/dev/disk/by-id/imaging-repository-db"


def run(*command: str, fails: bool = False) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def play(playbook: str, *arguments: str, fails: bool = False) -> str:
    return run("ansible-playbook", "-i", str(INVENTORY), f"playbooks/{playbook}", *arguments, fails=fails)


def on(host: str, command: str) -> str:
    return run("docker", "exec", f"{SITE}-{host}", "sh", "-c", command)


def test_every_host_runs_with_its_own_keys():
    keys = set()
    for host in ("database", "primary", "replica1", "proxy"):
        assert on(host, "systemctl is-system-running").strip() == "running"
        keys.add(on(host, "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id"))
    assert len(keys) == 4


def test_a_host_sees_its_own_devices_and_no_others():
    assert on("database", "ls /dev/disk/by-id").split() == ["imaging-repository-db"]
    assert run("docker", "exec", f"{SITE}-replica1", "ls", "/dev/disk", fails=True)
    assert "Permission denied" in run(
        "docker", "exec", f"{SITE}-replica1", "sh", "-c", "mknod /tmp/loop b 7 0 && head -c1 /tmp/loop", fails=True
    )


def test_public_ports_listen_on_loopback_only():
    ports = run("docker", "port", f"{SITE}-proxy").split("\n")
    assert sorted(filter(None, ports)) == ["443/tcp -> 127.0.0.1:19443", "80/tcp -> 127.0.0.1:19080"]
    assert not run("docker", "port", f"{SITE}-database")


def test_packages_come_through_the_shared_cache():
    on("replica1", "apt-get update -qq && cd /tmp && apt-get download -qq hello")
    assert list(Path("/var/lib/imaging-repository/packages").rglob("hello_*.deb"))


def test_nobody_else_enters_the_folders():
    folders = [VOLUMES.parent, VOLUMES, VOLUMES.parent / "devices", VOLUMES.parents[1] / "packages"]
    assert {str(folder): stat.S_IMODE(folder.stat().st_mode) for folder in folders} == dict.fromkeys(
        map(str, folders), 0o700
    )


def test_check_mode_shows_the_plan_and_writes_nothing():
    size = (VOLUMES / "database-db.img").stat().st_size
    output = play("provision.yml", "--check", "--diff", "-e", volumes(3))
    assert "1 GiB -> 3 GiB" in output
    assert (VOLUMES / "database-db.img").stat().st_size == size


def volumes(gib: int) -> str:
    """The test site with a database volume of another size, as extra variables."""
    return (
        '{"site": {"name": "molecule-docker", "docker": {"network": {"cidr": "172.30.79.0/24"}},'
        ' "public": {"https_port": 19443, "http_port": 19080}, "hosts": [{"name": "replica", "count": 1},'
        f' {{"name": "database", "volumes": [{{"name": "db", "gib": {gib}}}]}}]}}}}'
    )


def test_a_volume_grows_and_never_shrinks():
    on("database", f"echo data-before >{DEVICE}")
    play("provision.yml", "-e", volumes(2))
    assert on("database", f"blockdev --getsize64 {DEVICE}").strip() == str(2 * 1024**3)
    assert "never made smaller" in play("provision.yml", fails=True)
    assert on("database", f"blockdev --getsize64 {DEVICE}").strip() == str(2 * 1024**3)
    assert on("database", f"head -c 11 {DEVICE}") == "data-before"


def test_a_reboot_of_the_machine_is_mended_by_a_run():
    containers = [f"{SITE}-{host}" for host in ("database", "primary", "replica1", "proxy")]
    run("docker", "kill", *containers)
    for file in VOLUMES.glob("*.img"):
        device = run("losetup", "--noheadings", "--output", "NAME", "--associated", str(file)).strip()
        run("losetup", "--detach", device)
    output = play("provision.yml", "-e", volumes(2))
    assert "changed=1" in output
    assert on("database", f"head -c 11 {DEVICE}") == "data-before"
    assert "changed=0" in play("provision.yml", "-e", volumes(2))


def test_settings_that_need_a_new_container_need_the_users_word():
    other = volumes(2).replace("19443", "19444")
    assert "replace it by name with -e replace_hosts=proxy" in play("provision.yml", "-e", other, fails=True)
    play("provision.yml", "-e", other, "-e", "replace_hosts=proxy")
    assert "127.0.0.1:19444" in run("docker", "port", f"{SITE}-proxy")


def test_a_port_in_use_is_refused_before_anything_is_made():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 29443))
        listener.listen()
        run("docker", "rm", "--force", f"{SITE}-proxy")
        other = volumes(2).replace("19443", "29443")
        assert "port 29443 of this machine is in use" in play("provision.yml", "-e", other, fails=True)
    assert not run("docker", "ps", "--all", "--quiet", "--filter", f"name={SITE}-proxy").strip()
    play("provision.yml", "-e", volumes(2))


def test_volumes_larger_than_the_disk_are_refused():
    assert "GiB free" in play("provision.yml", "-e", volumes(60000), fails=True)


@pytest.mark.parametrize("answer", [(), ("-e", "confirm=demo")])
def test_destroy_needs_the_name_of_the_site(answer):
    output = play("destroy.yml", *answer, fails=True)
    assert f"{SITE}-database" in output and "nothing was removed" in output
    assert on("database", "true") == ""


def test_destroy_keeps_volumes_and_a_new_deployment_finds_them():
    play("destroy.yml", "-e", f"confirm={SITE}")
    assert not run("docker", "ps", "--all", "--quiet", "--filter", f"label=imaging_repository_site={SITE}").strip()
    play("provision.yml", "-e", volumes(2))
    assert on("database", f"head -c 11 {DEVICE}") == "data-before"


def test_destroy_of_the_volumes_leaves_nothing():
    play("destroy.yml", "-e", f"confirm={SITE}", "-e", "destroy_volumes=true")
    assert not list(VOLUMES.glob("*"))
    assert str(VOLUMES) not in run("losetup", "--list", "--output", "BACK-FILE")

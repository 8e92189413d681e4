# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The primary's files are on every replica, read-only, for nobody else, and come back after every fault."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import testinfra

testinfra_hosts = ["ansible://image_server_replica"]
INVENTORY = str(Path(__file__).parents[3] / "molecule/inventory")
SSH = (
    "ssh -o BatchMode=yes -o UserKnownHostsFile=/etc/ssh/share_known_hosts -o StrictHostKeyChecking=yes "
    "-i /etc/ssh/share_ed25519 share@%s %s"
)


@pytest.fixture(scope="module")
def primary():
    return testinfra.get_hosts(["ansible://image_server_primary"], ansible_inventory=INVENTORY)[0]


def seconds_until(host, works: bool) -> float:
    """Seconds until the check of the share succeeds (or fails) on the replica; at most 30."""
    start = time.monotonic()
    while (host.run("/usr/local/sbin/share check").rc == 0) is not works and time.monotonic() - start < 30:
        time.sleep(0.5)
    return time.monotonic() - start


def test_a_replica_reads_the_files_of_the_primary_and_cannot_write(host, primary):
    primary.check_output("echo pixels >/srv/images/molecule")
    try:
        assert host.check_output("cat /srv/images/molecule") == "pixels"
        assert "Read-only file system" in host.run("touch /srv/images/molecule").stderr
        assert "Read-only file system" in host.run("rm /srv/images/molecule").stderr
    finally:
        primary.check_output("rm /srv/images/molecule")


def test_the_share_is_the_one_of_this_site(host):
    site = host.ansible.get_variables()["effective_site"]["name"]
    assert host.check_output("cat /srv/images/.imaging-repository") == site


def test_only_owner_and_group_read_a_pixel_file(host, primary):
    # A name of its own: sshfs remembers the mode of the other test's file for 20 s.
    primary.check_output("install --mode=0640 --group=share /dev/null /srv/images/molecule-private")
    try:
        assert host.run("cat /srv/images/molecule-private").rc == 0
        assert "Permission denied" in host.run("runuser -u nobody -- cat /srv/images/molecule-private").stderr
    finally:
        primary.check_output("rm /srv/images/molecule-private")


def test_the_key_opens_files_and_nothing_else(host, primary):
    address = primary.ansible.get_variables()["host_address"]
    assert "sftp" in host.run(SSH, address, "id").stdout + host.run(SSH, address, "id").stderr
    assert "prohibited" in host.run(SSH, address, "-W localhost:22").stderr
    sftp = (
        "printf '%%s\\n' %s | sftp -b - -o IdentityFile=/etc/ssh/share_ed25519 "
        "-o UserKnownHostsFile=/etc/ssh/share_known_hosts share@" + address
    )
    assert host.run(sftp, "ls /").rc == 0
    assert "Permission denied" in host.run(sftp, "put /etc/hostname /molecule").stderr
    assert "not found" in host.run(sftp, "ls /etc").stderr
    assert not primary.file("/srv/images/molecule").exists


def test_the_key_is_worth_nothing_from_elsewhere(host, primary):
    key = host.check_output("cat /etc/ssh/share_ed25519")
    address = primary.ansible.get_variables()["host_address"]
    primary.check_output("install --mode=0600 /dev/null /root/molecule && printf '%%s\\n' %s >/root/molecule", key)
    try:
        refused = primary.run(
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
            "-i /root/molecule share@%s",
            address,
        )
        assert "Permission denied" in refused.stderr
    finally:
        primary.check_output("rm /root/molecule")


def test_the_share_comes_back_after_the_server_was_down(host, primary):
    primary.check_output("systemctl stop ssh && (pkill -KILL -u share || true)")
    try:
        assert seconds_until(host, works=False) < 15
    finally:
        primary.check_output("systemctl start ssh")
    assert seconds_until(host, works=True) < 20


def test_the_share_comes_back_after_its_process_was_killed(host):
    host.check_output("systemctl kill --signal=KILL srv-images.mount")
    assert seconds_until(host, works=False) < 15
    assert seconds_until(host, works=True) < 20
    # The watch sees it too, and leaves it alone.
    mounted = host.check_output("systemctl show --property=InvocationID srv-images.mount")
    time.sleep(12)
    assert host.check_output("systemctl show --property=InvocationID srv-images.mount") == mounted


def test_the_watch_is_in_a_sandbox(host):
    overall = host.check_output("systemd-analyze security --no-pager share-watch.service").splitlines()[-1]
    assert float(re.search(r"[0-9.]+", overall.split(":")[1])[0]) <= 4.0, overall

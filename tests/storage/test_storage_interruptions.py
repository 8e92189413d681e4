# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Kills of storage_volumes at any moment, restarts and lost devices, on real loop devices: run by `bin/test storage`."""

from __future__ import annotations

import json
import os

import pytest

from tests.storage.conftest import DATA, NOTES, OTHER, SIZE_BYTES, Host, Loop, actions, shell


@pytest.mark.parametrize("file_system", ["xfs", "ext4"])
def test_format_without_its_final_label_is_redone(host: Host, data: Loop, file_system: str) -> None:
    shell(f"mkfs.{file_system}", "-q", "-L", "ir~format", data.path)
    volume = {**DATA, "file_system": file_system}
    assert actions(host.volumes(volume)) == [["format", "unit", "mount"]]
    assert actions(host.volumes(volume)) == [[]]


def test_remains_of_a_cut_format_are_redone_only_with_the_note_of_this_host(host: Host, data: Loop) -> None:
    data.write(4096, os.urandom(64 * 1024))
    note = json.dumps({"device": DATA["device"], "size_bytes": SIZE_BYTES})
    host.command("sh", "-c", f"mkdir -p {NOTES} && echo '{note}' > {NOTES}/other.formatting")
    assert "data without a known signature" in host.volumes(DATA)["msg"]
    host.command("mv", f"{NOTES}/other.formatting", f"{NOTES}/data.formatting")
    assert actions(host.volumes(DATA)) == [["format", "unit", "mount"]]
    assert host.command("ls", NOTES) == ""


# The commands of a format in their order, and what a kill of the module just before each leaves as the label.
STEPS = [
    ("xfs", "mkfs.xfs", ""),
    ("xfs", "xfs_admin", "ir~format"),
    ("xfs", "systemctl", "ir-data"),
    ("ext4", "mkfs.ext4", ""),
    ("ext4", "tune2fs", "ir~format"),
    ("ext4", "systemctl", "ir-data"),
]


@pytest.mark.parametrize(("file_system", "step", "label"), STEPS)
def test_run_that_is_killed_before_a_step_is_completed_by_the_next(
    host: Host, data: Loop, file_system: str, step: str, label: str
) -> None:
    volume = {**DATA, "file_system": file_system}
    # Found before the real command, it kills the module that calls it.
    wrapper = f"/usr/local/sbin/{step}"
    host.command("sh", "-c", f"printf '#!/bin/sh\nkill -9 $PPID\n' > {wrapper} && chmod +x {wrapper}")
    try:
        output, _error = host.start_volumes(volume).communicate()
    finally:
        host.command("rm", wrapper)
    assert output == "", "the module was killed before it could answer"
    assert label_of(data) == label
    assert_completed_by_the_next_run(host, volume)


@pytest.mark.parametrize("file_system", ["xfs", "ext4"])
def test_run_that_is_killed_at_any_moment_is_completed_by_the_next(host: Host, data: Loop, file_system: str) -> None:
    volume = {**DATA, "file_system": file_system}
    for delay_ms in (0, 10, 30, 70, 140, 300):
        host.forget()
        data.blank()
        process = host.start_volumes(volume)
        # From the note on, every moment is one in which a write may be under way.
        killer = f"""
            for _ in $(seq 2000); do [ -e {NOTES}/data.formatting ] && break; sleep 0.005; done
            sleep {delay_ms / 1000}
            for process in /proc/[0-9]*; do
              case $(cat $process/comm) in
                python3|mkfs.*|xfs_admin|xfs_db|tune2fs|systemctl) kill -9 ${{process#/proc/}} ;;
              esac
            done
            """
        host.command("sh", "-c", killer, check=False)
        process.communicate()
        assert_completed_by_the_next_run(host, volume)


def label_of(device: Loop) -> str:
    probe = ("blkid", "--probe", "--output", "value", "--match-tag", "LABEL", device.path)
    return shell(*probe, check=False).stdout.strip()


def assert_completed_by_the_next_run(host: Host, volume: dict) -> None:
    answer = host.volumes(volume)
    assert not answer.get("failed"), answer["msg"]
    assert host.command("findmnt", "--noheadings", "--output", "LABEL", "/srv/data") == "ir-data"
    assert actions(host.volumes(volume)) == [[]]


def start_a_service_on_the_volume(host: Host) -> None:
    """Make, enable and start test-user.service, which needs /srv/data."""
    service = """[Unit]\nRequiresMountsFor=/srv/data\n[Service]\nExecStart=/bin/sleep infinity
        ExecStartPre=/usr/bin/touch /srv/data/started\n[Install]\nWantedBy=multi-user.target\n"""
    host.command("sh", "-c", f"echo '{service}' > /etc/systemd/system/test-user.service")
    host.command("systemctl", "enable", "--quiet", "--now", "test-user.service")


def test_another_disk_under_the_name_of_a_volume_is_not_mounted_at_boot(host: Host, data: Loop) -> None:
    host.volumes(DATA)
    start_a_service_on_the_volume(host)
    host.command("systemctl", "stop", "test-user.service", "srv-data.mount")
    data.blank()
    host.command("mkfs.xfs", "-q", "-L", "ir-data", DATA["device"])
    host.restart()
    assert host.command("systemctl", "is-active", "srv-data.mount", "test-user.service", check=False).split() == [
        "inactive",
        "inactive",
    ]
    assert host.command("findmnt", "/srv/data", check=False) == ""
    assert "is on 0 devices; it is not mounted" in host.command("journalctl", "--boot", "--quiet", "--output=cat")
    assert "is not the one that was mounted here before" in host.volumes(DATA)["msg"]


def test_a_copy_of_a_volume_is_not_mounted_in_its_place(host: Host, data: Loop, other: Loop) -> None:
    host.volumes(DATA)
    host.command("systemctl", "stop", "srv-data.mount")
    shell("cp", "--sparse=always", str(data.file), str(other.file))
    shell("blockdev", "--flushbufs", other.path)
    host.command("systemctl", "start", "srv-data.mount", check=False)
    assert host.command("findmnt", "/srv/data", check=False) == ""
    assert "is on 2 devices; it is not mounted" in host.volumes(DATA)["msg"]


def test_data_survive_a_restart_and_a_missing_device_does_not_hold_up_a_boot(
    host: Host, data: Loop, other: Loop
) -> None:
    host.volumes(DATA, OTHER)
    start_a_service_on_the_volume(host)
    host.command("sh", "-c", "echo kept > /srv/data/file")

    assert host.restart() < 30
    assert host.command("cat", "/srv/data/file") == "kept"
    assert host.command("systemctl", "is-active", "test-user.service") == "active"
    assert actions(host.volumes(DATA, OTHER)) == [[], []]

    host.command("systemctl", "stop", "test-user.service", "srv-data.mount")
    host.command("touch", "/srv/data")
    data.resize(0)
    assert host.restart() < 30, "the boot does not wait"
    units = ("srv-data.mount", "srv-other.mount", "multi-user.target", "local-fs.target")
    states = host.command("systemctl", "is-active", *units, check=False).split()
    assert states == ["inactive", "active", "active", "active"]
    assert host.command("systemctl", "is-active", "test-user.service", check=False) == "inactive"
    assert host.command("ls", "/srv/data") == "", "no service on the empty mount point"
    assert "has no size" in host.volumes(DATA, OTHER)["msg"]

    data.resize(SIZE_BYTES)

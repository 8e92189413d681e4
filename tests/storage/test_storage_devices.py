# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""storage_volumes on real loop devices in a container with systemd: run by `bin/test storage`."""

from __future__ import annotations

import time

from tests.storage.conftest import DATA, GIB, OTHER, Host, Loop, actions


def test_blank_device_is_planned_then_formatted_then_left_alone(host: Host, data: Loop, other: Loop) -> None:
    before = data.checksum()
    planned = host.volumes(DATA, {**OTHER, "file_system": "ext4"}, check=True)
    assert actions(planned) == [["format", "unit", "mount"]] * 2
    assert "blank" in planned["diff"]["before"] and "mounted at /srv/data" in planned["diff"]["after"]
    assert data.checksum() == before
    assert host.command("ls", "/srv") == ""

    made = host.volumes(DATA, {**OTHER, "file_system": "ext4"})
    assert actions(made) == [["format", "unit", "mount"]] * 2
    kinds = host.command("findmnt", "--noheadings", "--output", "FSTYPE,LABEL,UUID", "/srv/data").split()
    assert kinds == ["xfs", "ir-data", made["volumes"][0]["uuid"]]
    kinds = host.command("findmnt", "--noheadings", "--output", "FSTYPE,LABEL", "/srv/other").split()
    assert kinds == ["ext4", "ir-other"]

    again = host.volumes(DATA, {**OTHER, "file_system": "ext4"})
    assert actions(again) == [[], []] and not again["changed"]
    planned = host.volumes(DATA, {**OTHER, "file_system": "ext4"}, check=True)
    assert actions(planned) == [[], []] and planned["diff"]["before"] == planned["diff"]["after"]


def test_owner_and_mode_of_the_mount_point_stay(host: Host, data: Loop) -> None:
    host.command("install", "-d", "-o", "33", "-g", "34", "-m", "2750", "/srv/data")
    host.volumes(DATA)
    assert host.command("stat", "-c", "%u %g %a", "/srv/data") == "33 34 2750"
    host.command("chmod", "00711", "/srv/data")
    host.volumes(DATA)
    assert host.command("stat", "-c", "%u %g %a", "/srv/data") == "33 34 711"


def test_file_system_grows_online_with_its_device(host: Host, data: Loop) -> None:
    host.volumes(DATA)
    host.command("sh", "-c", "echo kept > /srv/data/file")
    data.resize(2 * GIB)
    assert actions(host.volumes(DATA, check=True)) == [["grow"]]
    assert actions(host.volumes(DATA)) == [["grow"]]
    assert int(host.command("stat", "-f", "-c", "%b", "/srv/data")) * 4096 > 1.8 * GIB
    assert host.command("cat", "/srv/data/file") == "kept"
    assert actions(host.volumes(DATA)) == [[]]


def test_device_that_grew_while_the_volume_was_elsewhere_grows_when_mounted(host: Host, data: Loop) -> None:
    host.volumes(DATA)
    host.forget()
    data.resize(2 * GIB)
    assert actions(host.volumes(DATA)) == [["unit", "mount", "grow"]]
    assert actions(host.volumes(DATA)) == [[]]


def test_ext4_grows_or_says_what_is_missing(host: Host, data: Loop) -> None:
    volume = {**DATA, "file_system": "ext4"}
    host.volumes(volume)
    data.resize(GIB)
    answer = host.volumes(volume)
    capabilities = int(host.command("sh", "-c", "awk '/CapEff/ {print $2}' /proc/self/status"), 16)
    if capabilities & 1 << 24:
        assert actions(answer) == [["grow"]] and actions(host.volumes(volume)) == [[]]
    else:
        assert "CAP_SYS_RESOURCE" in answer["msg"]


def test_unit_that_is_outdated_or_missing_is_written_while_the_volume_stays_mounted(host: Host, data: Loop) -> None:
    unit = "/etc/systemd/system/srv-data.mount"
    host.volumes(DATA)
    host.command("sed", "-i", "s/noatime,//", unit)
    host.command("systemctl", "daemon-reload")
    host.command("mount", "-o", "remount,relatime", "/srv/data")
    assert actions(host.volumes(DATA)) == [["unit"]]
    assert "noatime" in host.command("findmnt", "--noheadings", "--output", "OPTIONS", "/srv/data")

    host.forget()
    host.command("mkdir", "/srv/data")
    host.command("mount", DATA["device"], "/srv/data")
    assert actions(host.volumes(DATA)) == [["unit"]]
    assert actions(host.volumes(DATA)) == [[]]
    assert host.command("systemctl", "is-enabled", "srv-data.mount") == "enabled"


def test_service_that_waited_for_its_volume_starts_with_it(host: Host, data: Loop) -> None:
    service = '[Unit]\nRequiresMountsFor=/srv/data\n[Service]\nExecStart=/bin/sh -c "findmnt /srv/data && sleep 60"\n'
    host.command("sh", "-c", f"printf '{service}' > /etc/systemd/system/test-user.service && systemctl daemon-reload")
    host.command("systemctl", "show", "test-user.service")
    assert actions(host.volumes(DATA)) == [["format", "unit", "mount"]]
    host.command("systemctl", "start", "test-user.service")
    host.command("systemctl", "stop", "srv-data.mount")
    assert host.command("systemctl", "is-active", "test-user.service", check=False) == "inactive"
    host.command("systemctl", "start", "test-user.service")
    assert host.command("findmnt", "--noheadings", "--output", "LABEL", "/srv/data") == "ir-data"


def test_missing_tool_is_named(host: Host, data: Loop) -> None:
    host.command("mv", "/usr/sbin/mkfs.xfs", "/usr/sbin/mkfs.xfs.away")
    try:
        assert actions(host.volumes(DATA, check=True)) == [["format", "unit", "mount"]]
        started = time.monotonic()
        assert "mkfs.xfs is not installed; the role storage installs" in host.volumes(DATA)["msg"]
        assert time.monotonic() - started < 30
    finally:
        host.command("mv", "/usr/sbin/mkfs.xfs.away", "/usr/sbin/mkfs.xfs")
    assert actions(host.volumes(DATA)) == [["format", "unit", "mount"]]

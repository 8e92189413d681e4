# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""storage_volumes on real loop devices in a container with systemd: run by `bin/test storage`."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib

import pytest

from tests.storage.conftest import GIB, MIB, SIZE_BYTES, Host, Loop, shell

DATA = {"name": "data", "device": "/dev/disk/by-id/imaging-repository-data", "mount": "/srv/data"}
OTHER = {"name": "other", "device": "/dev/disk/by-id/imaging-repository-other", "mount": "/srv/other"}

NOTES = "/var/lib/imaging-repository/storage"


def actions(answer: dict) -> list[list[str]]:
    """What was done per volume; fails with the module's sentence."""
    assert not answer.get("failed"), answer["msg"]
    return [volume["actions"] for volume in answer["volumes"]]


def gpt(loop: Loop) -> None:
    """Writes an empty GPT with its protective partition table, both copies."""
    last = SIZE_BYTES // 512 - 1
    table = bytes(128 * 128)

    def header(here: int, there: int, entries: int) -> bytes:
        values = (
            b"EFI PART",
            0x10000,
            92,
            0,
            0,
            here,
            there,
            34,
            last - 33,
            os.urandom(16),
            entries,
            128,
            128,
            zlib.crc32(table),
        )
        packed = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", *values))
        struct.pack_into("<I", packed, 16, zlib.crc32(bytes(packed)))
        return bytes(packed).ljust(512, b"\0")

    protective = bytearray(512)
    protective[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, last)
    protective[510:] = b"\x55\xaa"
    loop.write(0, bytes(protective) + header(1, last, 2) + table)
    loop.write((last - 32) * 512, table + header(last, 1, last - 32))


def lvm(loop: Loop) -> None:
    """Writes the label of an LVM physical volume."""
    label = bytearray(512)
    struct.pack_into("<8sQII8s32sQ", label, 0, b"LABELONE", 1, 0, 32, b"LVM2 001", b"x" * 32, SIZE_BYTES)
    checksum = 0xF597A6CF
    for byte in label[20:]:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum >> 1) ^ (0xEDB88320 if checksum & 1 else 0)
    struct.pack_into("<I", label, 16, checksum)
    loop.write(512, bytes(label))


def ext4(loop: Loop) -> None:
    """Makes a file system of somebody else."""
    shell("mkfs.ext4", "-q", "-F", "-L", "old-data", loop.path)


FOREIGN = {
    "ext4": (ext4, "an ext4 file system labelled 'old-data'"),
    "swap": (lambda loop: shell("mkswap", loop.path), "a swap area"),
    "lvm": (lvm, "an LVM physical volume"),
    "gpt": (gpt, "a GPT partition table"),
    "random bytes": (lambda loop: loop.write(0, os.urandom(MIB)), "data without a known signature"),
    "zero start, used end": (lambda loop: loop.write(SIZE_BYTES - 512, b"x"), "data without a known signature"),
}


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


def test_shrunk_device_is_refused(host: Host, data: Loop) -> None:
    host.volumes(DATA)
    host.forget()
    data.resize(350 * MIB)
    assert "was shrunk" in host.volumes(DATA)["msg"]


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_content_is_refused_untouched_and_wiped_only_by_its_exact_name(
    host: Host, data: Loop, other: Loop, kind: str
) -> None:
    make, words = FOREIGN[kind]
    make(data)
    before, blank = data.checksum(), other.checksum()
    refused = host.volumes({**DATA, "wipe_signature": "ext4:something-else"}, OTHER)
    assert refused["failed"] and refused["msg"].startswith(
        f"storage: volume data of primary (device {DATA['device']}): holds {words}"
    )
    assert "nothing was written" in refused["msg"]
    assert host.volumes(DATA, OTHER, check=True)["failed"]
    assert data.checksum() == before and other.checksum() == blank, "not one byte changes, on no volume of the host"
    assert host.command("ls", "/srv") == ""

    name = refused["msg"].split("wipe_signature: ")[1].split(" ")[0]
    wiping = {**DATA, "wipe_signature": name}
    assert actions(host.volumes(wiping, check=True)) == [["wipe", "format", "unit", "mount"]]
    assert data.checksum() == before
    assert actions(host.volumes(wiping)) == [["wipe", "format", "unit", "mount"]]
    assert actions(host.volumes(wiping)) == [[]]


def test_all_refusals_come_at_once(host: Host, data: Loop, other: Loop) -> None:
    ext4(data)
    answer = host.volumes(DATA, {**OTHER, "device": "/dev/disk/by-id/missing"})
    assert "volume data" in answer["msg"] and "volume other" in answer["msg"] and "does not exist" in answer["msg"]


def test_swapped_volumes_are_refused(host: Host, data: Loop, other: Loop) -> None:
    host.volumes(DATA, OTHER)
    host.forget()
    answer = host.volumes({**DATA, "device": OTHER["device"]}, {**OTHER, "device": DATA["device"]})
    assert "holds the volume labelled 'ir-other', not 'ir-data'" in answer["msg"] and "volume other" in answer["msg"]


def test_another_volume_of_the_same_name_is_refused(host: Host, data: Loop, other: Loop) -> None:
    host.volumes({**DATA, "device": OTHER["device"]})
    host.forget()
    host.volumes(DATA)
    host.command("systemctl", "stop", "srv-data.mount")
    before = other.checksum()
    answer = host.volumes({**DATA, "device": OTHER["device"]})
    assert "is not the one that was mounted here before" in answer["msg"]
    data.blank()
    assert "but a device that is blank" in host.volumes(DATA)["msg"], "emptied behind our back"
    assert other.checksum() == before


def test_device_in_use_elsewhere_is_refused(host: Host, data: Loop) -> None:
    host.volumes(DATA)
    moved = host.volumes({**DATA, "mount": "/srv/other"})
    assert "is mounted at /srv/data, the site says /srv/other" in moved["msg"]


def test_two_volumes_on_one_device_are_refused(host: Host, data: Loop) -> None:
    host.command("ln", "-sf", DATA["device"], "/dev/disk/by-id/alias")
    answer = host.volumes(DATA, {**OTHER, "device": "/dev/disk/by-id/alias"})
    assert "volumes data and other are on one device" in answer["msg"]


def test_mount_point_with_content_is_refused(host: Host, data: Loop) -> None:
    host.command("install", "-D", "/dev/null", "/srv/data/precious")
    assert "would hide what is in /srv/data" in host.volumes(DATA)["msg"]


def test_read_only_device_is_refused(host: Host, data: Loop) -> None:
    shell("blockdev", "--setro", data.path)
    try:
        assert "is read-only" in host.volumes(DATA)["msg"]
    finally:
        shell("blockdev", "--setrw", data.path)


def test_device_smaller_than_the_site_says_is_refused(host: Host, data: Loop) -> None:
    assert "has 400 MiB, the site says 1 GiB" in host.volumes({**DATA, "gib": 1})["msg"]
    assert actions(host.volumes({**DATA, "wipe_signature": None}, check=True))


@pytest.mark.parametrize("file_system", ["xfs", "ext4"])
def test_format_without_its_final_label_is_redone(host: Host, data: Loop, file_system: str) -> None:
    shell(f"mkfs.{file_system}", "-q", "-L", "ir~format", data.path)
    volume = {**DATA, "file_system": file_system}
    assert actions(host.volumes(volume)) == [["format", "unit", "mount"]]
    assert actions(host.volumes(volume)) == [[]]


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

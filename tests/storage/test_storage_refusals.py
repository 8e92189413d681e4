# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What storage_volumes refuses to touch, on real loop devices: run by `bin/test storage`."""

from __future__ import annotations

import os
import struct
import zlib

import pytest

from tests.storage.conftest import DATA, MIB, OTHER, SIZE_BYTES, Host, Loop, actions, shell


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

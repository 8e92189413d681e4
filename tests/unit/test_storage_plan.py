# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of storage_volumes: what was found goes in, actions or a refusal come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_samples import BLANK, DATA, MOUNTED, OTHER_UUID, OWN, UNIT, UUID, device, plan

from plugins.module_utils.storage import model
from plugins.module_utils.storage import plan as planning
from plugins.module_utils.storage import signatures as probes
from plugins.module_utils.storage.model import GIB, MIB, Device, MountPoint, Signature, Volume


def test_blank_device_is_formatted() -> None:
    made = plan(DATA, BLANK)
    assert made.actions == ("format", "unit", "mount") and not made.refusal
    assert made.label == "ir-data"
    assert made.before == "data: blank, not mounted"
    assert made.after == "data: xfs ir-data, 10 GiB, mounted at /srv/images by srv-images.mount"


def test_own_mounted_volume_is_left_alone() -> None:
    made = plan(DATA, device(OWN, in_use=True, mounted_at=("/srv/images",)), MOUNTED)
    assert made.actions == () and made.before == made.after and made.uuid == UUID


def test_own_volume_on_a_new_host_is_mounted() -> None:
    assert plan(DATA, device(OWN)).actions == ("unit", "mount")


def test_own_volume_that_is_not_mounted_is_mounted() -> None:
    assert plan(DATA, device(OWN), MountPoint(unit=UNIT, enabled=True)).actions == ("mount",)


def test_outdated_unit_is_rewritten() -> None:
    point = MountPoint(number="254:16", unit=UNIT.replace("noatime,", ""), enabled=True)
    assert plan(DATA, device(OWN, mounted_at=("/srv/images",)), point).actions == ("unit",)
    point = MountPoint(number="254:16", unit=UNIT, enabled=False)
    assert plan(DATA, device(OWN, mounted_at=("/srv/images",)), point).actions == ("unit",)


def test_grown_device_grows_the_file_system() -> None:
    found = device(OWN, file_system_bytes=8 * GIB, mounted_at=("/srv/images",))
    made = plan(DATA, found, MOUNTED)
    assert made.actions == ("grow",) and "8 GiB" in made.before and "10 GiB" in made.after


def test_rest_that_the_file_system_cannot_use_does_not_grow_it() -> None:
    found = device(OWN, file_system_bytes=10 * GIB - MIB, mounted_at=("/srv/images",))
    assert plan(DATA, found, MOUNTED).actions == ()


@pytest.mark.parametrize(
    "found",
    [
        device(Signature("xfs", model.LABEL_WHILE_FORMATTING, UUID)),
        device(Signature("ext4", model.LABEL_WHILE_FORMATTING, UUID)),
        device(begun=True),
        Device(path="/dev/vdb", number="254:16", size_bytes=10 * GIB, begun=True),
    ],
)
def test_format_that_was_cut_is_redone(found: Device) -> None:
    assert plan(DATA, found).actions == ("format", "unit", "mount")


def test_note_of_a_begun_format_gives_no_right_to_what_others_made_since() -> None:
    assert "old-data" in plan(DATA, device(Signature("ext4", "old-data", UUID), begun=True)).refusal


REFUSALS = [
    (
        "the message of the style guide",
        DATA,
        device(Signature("ext4", "old-data", UUID)),
        MountPoint(),
        "storage: volume data of primary (device /dev/disk/by-id/virtio-data): holds an ext4 file system labelled "
        "'old-data' that this site did not make; nothing was written. Mount it by hand, choose another volume, or "
        "name it in wipe_signature: ext4:old-data.",
    ),
    (
        "no label",
        DATA,
        device(Signature("xfs", "", UUID)),
        MountPoint(),
        f"an xfs file system without a label (UUID {UUID})",
    ),
    ("LVM", DATA, device(Signature("LVM2_member", "", "x")), MountPoint(), "holds an LVM physical volume"),
    ("RAID", DATA, device(Signature("linux_raid_member", "host:0", "x")), MountPoint(), "a member of a RAID array"),
    ("LUKS", DATA, device(Signature("crypto_LUKS", "", "x")), MountPoint(), "an encrypted (LUKS) volume"),
    ("GPT", DATA, device(Signature("gpt", "", "x")), MountPoint(), "a GPT partition table"),
    (
        "several",
        DATA,
        device(Signature("ext4", "a", "x"), Signature("swap", "", "y")),
        MountPoint(),
        "wipe_signature: ext4:a+swap:y.",
    ),
    ("own and something else", DATA, device(OWN, Signature("swap", "", "y")), MountPoint(), "and a swap area"),
    ("no signature", DATA, device(), MountPoint(), "data without a known signature"),
    (
        "not exactly named",
        Volume("data", "/d", "/srv/images", wipe_signature="ext4"),
        device(Signature("ext4", "old-data", UUID)),
        MountPoint(),
        "wipe_signature: ext4:old-data (not ext4).",
    ),
    (
        "swapped",
        DATA,
        device(Signature("xfs", "ir-db", UUID)),
        MountPoint(),
        "holds the volume labelled 'ir-db', not 'ir-data'; nothing was written. Are two devices swapped?",
    ),
    (
        "other file system",
        Volume("data", "/d", "/srv/images", "ext4"),
        device(OWN),
        MountPoint(),
        "Write file_system: xfs",
    ),
    ("missing", DATA, Device(problem="does not exist"), MountPoint(), "does not exist"),
    ("detached", DATA, Device(number="7:1", path="/dev/loop1"), MountPoint(), "has no size"),
    ("tiny", DATA, Device(number="7:1", size_bytes=100 * MIB), MountPoint(), "has 100 MiB, too small for xfs"),
    (
        "smaller than said",
        Volume("data", "/d", "/srv/images", gib=11),
        BLANK,
        MountPoint(),
        "has 10 GiB, the site says 11 GiB",
    ),
    ("shrunk", DATA, device(OWN, file_system_bytes=20 * GIB), MountPoint(), "it was shrunk"),
    ("read-only device", DATA, Device(number="7:1", size_bytes=GIB, read_only=True), MountPoint(), "is read-only"),
    (
        "read-only mount",
        DATA,
        device(OWN, mounted_at=("/srv/images",)),
        MountPoint(number="254:16", read_only=True, unit=UNIT, enabled=True),
        "is read-only",
    ),
    ("held", DATA, Device(number="7:1", size_bytes=GIB, in_use=True), MountPoint(), "is in use by something else"),
    (
        "mounted elsewhere",
        DATA,
        device(OWN, in_use=True, mounted_at=("/mnt",)),
        MountPoint(),
        "is mounted at /mnt, the site says",
    ),
    ("mount point taken", DATA, BLANK, MountPoint(number="8:1"), "another file system is mounted at /srv/images"),
    ("mount point unusable", DATA, BLANK, MountPoint(problem="cannot be mounted: a link"), "cannot be mounted: a link"),
    ("mount point full", DATA, BLANK, MountPoint(empty=False), "would hide what is in /srv/images"),
    ("own, mount point full", DATA, device(OWN), MountPoint(empty=False, unit=UNIT, enabled=True), "would hide"),
    ("unit of others", DATA, BLANK, MountPoint(unit="[Mount]\n"), "is a mount unit that this site did not write"),
    ("unit of another volume", DATA, BLANK, MountPoint(unit=UNIT.replace("Volume=data", "Volume=db")), "of volume db"),
    (
        "other data volume",
        DATA,
        device(Signature("xfs", "ir-data", OTHER_UUID)),
        MountPoint(unit=UNIT, enabled=True),
        "is not the one that was mounted here before",
    ),
    ("emptied", DATA, BLANK, MountPoint(unit=UNIT, enabled=True), "but a device that is blank"),
]


@pytest.mark.parametrize(
    ("volume", "found", "point", "words"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_refusals(volume: Volume, found: Device, point: MountPoint, words: str) -> None:
    made = plan(volume, found, point)
    assert words in made.refusal and made.refusal.startswith("storage: volume data of primary (device ")
    assert made.refusal.endswith(".") and made.actions == ()


@pytest.mark.parametrize("name", ["ext4:old-data", f"ext4:{UUID}"])
def test_exactly_named_content_is_wiped(name: str) -> None:
    volume = Volume("data", "/d", "/srv/images", wipe_signature=name)
    assert plan(volume, device(Signature("ext4", "old-data", UUID))).actions == ("wipe", "format", "unit", "mount")


def test_unknown_content_is_named_by_its_checksum() -> None:
    name = probes.edges_name(b"x", b"")
    volume = Volume("data", "/d", "/srv/images", wipe_signature=name)
    assert plan(volume, device(edges=name)).actions[0] == "wipe"
    assert plan(volume, device(edges=probes.edges_name(b"y", b""))).refusal


def test_own_volume_is_never_wiped() -> None:
    volume = Volume("data", "/d", "/srv/images", wipe_signature="xfs:ir-data")
    assert plan(volume, device(OWN)).actions == ("unit", "mount")


signatures = st.builds(
    Signature,
    st.sampled_from(["xfs", "ext4", "swap", "gpt", "LVM2_member"]),
    st.sampled_from(["", "ir-data", "ir-db", "old", model.LABEL_WHILE_FORMATTING]),
    st.sampled_from(["", UUID, OTHER_UUID]),
)
devices = st.builds(
    Device,
    path=st.just("/dev/vdb"),
    number=st.just("254:16"),
    size_bytes=st.sampled_from([0, MIB, 10 * GIB]),
    read_only=st.booleans(),
    in_use=st.booleans(),
    mounted_at=st.sampled_from([(), ("/srv/images",), ("/mnt",)]),
    signatures=st.lists(signatures, max_size=2).map(tuple),
    edges=st.sampled_from(["", "unknown:0123456789ab"]),
    begun=st.booleans(),
    file_system_bytes=st.sampled_from([0, GIB, 10 * GIB, 20 * GIB]),
)
points = st.builds(
    MountPoint,
    number=st.sampled_from(["", "254:16", "8:1"]),
    read_only=st.booleans(),
    empty=st.booleans(),
    unit=st.sampled_from(["", UNIT, "[Mount]\n"]),
    enabled=st.booleans(),
)
wipes = st.sampled_from(["", "ext4:old", "xfs:ir-db", "unknown:0123456789ab", "gpt"])


@given(devices, points, wipes)
def test_only_what_is_blank_unfinished_or_named_is_formatted(found: Device, point: MountPoint, wipe: str) -> None:
    volume = Volume("data", "/d", "/srv/images", wipe_signature=wipe)
    made = plan(volume, found, point)
    assert bool(made.refusal) + bool(made.actions) <= 1
    if "format" in made.actions:
        foreign = [entry for entry in found.signatures if entry.label != model.LABEL_WHILE_FORMATTING]
        blank = not found.signatures and (not found.edges or found.begun)
        assert blank or not foreign or wipe in model.wipe_names(found)
        assert planning.content_of(volume, found) != "own"
        assert not found.in_use or point.number == found.number
        assert not found.read_only and found.size_bytes

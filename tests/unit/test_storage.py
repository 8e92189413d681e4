# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of storage_volumes: what was found goes in, actions or a refusal come out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils.storage import model, units
from plugins.module_utils.storage import plan as planning
from plugins.module_utils.storage import signatures as probes
from plugins.module_utils.storage.host import device_paths
from plugins.module_utils.storage.model import GIB, MIB, Device, MountPoint, Signature, Volume

UUID = "5cc0bfc4-6b1d-417c-a7c6-76d2bb5e9701"
OTHER_UUID = "11111111-6b1d-417c-a7c6-76d2bb5e9701"
DATA = Volume("data", "/dev/disk/by-id/virtio-data", "/srv/images")
BLANK = Device(path="/dev/vdb", number="254:16", size_bytes=10 * GIB)
OWN = Signature("xfs", "ir-data", UUID)
UNIT = units.unit_text(DATA, UUID, True)
MOUNTED = MountPoint(number="254:16", unit=UNIT, enabled=True)


def device(*signatures: Signature, **values) -> Device:
    """A device that holds something."""
    return Device(
        **{
            "path": "/dev/vdb",
            "number": "254:16",
            "size_bytes": 10 * GIB,
            "edges": "unknown:0123456789ab",
            "signatures": signatures,
            "file_system_bytes": 10 * GIB,
            **values,
        }
    )


def plan(volume: Volume, found: Device, point: MountPoint | None = None) -> model.Plan:
    """The plan on a host with udev."""
    return planning.plan(volume, found, point or MountPoint(), True, "primary")


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
file_systems = st.sampled_from(sorted(model.LABEL_LENGTHS))


@given(names, file_systems)
def test_labels_fit_and_are_never_the_label_while_formatting(name: str, file_system: str) -> None:
    label = model.label_of(name, file_system)
    assert len(label) <= model.LABEL_LENGTHS[file_system]
    assert label.startswith("ir-") and label == model.label_of(name, file_system)
    assert not label.startswith(model.LABEL_WHILE_FORMATTING)


@given(st.sets(names, min_size=2, max_size=2), file_systems)
def test_volumes_that_begin_alike_have_different_labels(pair: set[str], file_system: str) -> None:
    first, second = pair
    assert model.label_of(first, file_system) != model.label_of(second, file_system)


def test_labels_stay_what_they_are() -> None:
    assert model.label_of("data", "xfs") == model.label_of("data", "ext4") == "ir-data"
    assert model.label_of("thumbnails", "ext4") == "ir-thumbnails"
    assert model.label_of("thumbnails", "xfs") == "ir-thum~abfb"


@pytest.mark.parametrize(
    ("mount", "unit"),
    [
        ("/srv/images", "srv-images.mount"),
        ("/var/lib/postgresql", "var-lib-postgresql.mount"),
        ("/srv/my-data", r"srv-my\x2ddata.mount"),
        ("/.hidden/a b", r"\x2ehidden-a\x20b.mount"),
        ("/srv/größe", r"srv-gr\xc3\xb6\xc3\x9fe.mount"),
    ],
)
def test_unit_names_are_those_of_systemd(mount: str, unit: str) -> None:
    assert units.unit_name(mount) == unit
    if shutil.which("systemd-escape"):
        command = ["systemd-escape", "--path", "--suffix=mount", mount]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == unit


def test_unit_names_its_volume_and_uuid_with_and_without_udev() -> None:
    for has_udev in (True, False):
        assert units.parse_unit(units.unit_text(DATA, UUID, has_udev)) == {"volume": "data", "uuid": UUID}
    assert "What=/dev/disk/by-uuid/" in units.unit_text(DATA, UUID, True)
    assert "Requires=" not in units.unit_text(DATA, UUID, True)
    assert f"Requires=imaging-repository-volume@{UUID}.service\n" in units.unit_text(DATA, UUID, False)
    assert "volume" not in units.parse_unit("[Mount]\nWhat=/dev/sdb1\n")


def test_unit_does_not_hold_up_a_boot() -> None:
    lines = UNIT.splitlines()
    assert "DefaultDependencies=no" in lines and "WantedBy=multi-user.target" in lines
    assert not [line for line in lines if "local-fs.target" in line]


def wipefs(*signatures: dict) -> str:
    """Output of wipefs --json."""
    return json.dumps(
        {
            "signatures": [
                {"device": "vdb", "offset": "0x0", "uuid": None, "label": None, **entry} for entry in signatures
            ]
        }
    )


def test_signatures_of_blkid_and_wipefs_are_joined() -> None:
    blkid = f"DEVNAME=/dev/vdb\nLABEL=old\\ data\nUUID={UUID}\nBLOCK_SIZE=4096\nTYPE=ext4\nUSAGE=filesystem\n"
    known = {"type": "ext4", "uuid": UUID, "label": "old data"}
    assert probes.parse_signatures(blkid, wipefs(known)) == (Signature("ext4", "old data", UUID),)
    assert probes.parse_signatures("", wipefs(known, {"type": "swap"})) == (
        Signature("ext4", "old data", UUID),
        Signature("swap"),
    )
    assert probes.parse_signatures("", "") == ()


def test_gpt_is_one_signature_with_its_identifier() -> None:
    listed = wipefs({"type": "gpt"}, {"type": "gpt"}, {"type": "PMBR"})
    found = probes.parse_signatures(f"PTTYPE=gpt\nPTUUID={UUID}\n", listed)
    assert found == (Signature("gpt", "", UUID),)


def test_two_file_systems_of_one_kind_are_both_seen() -> None:
    found = probes.parse_signatures("", wipefs({"type": "xfs", "label": "a"}, {"type": "xfs", "label": "b"}))
    assert len(found) == 2


def test_superblocks_state_their_size() -> None:
    xfs = bytearray(MIB)
    xfs[0:16] = b"XFSB" + (4096).to_bytes(4, "big") + (262144).to_bytes(8, "big")
    assert probes.file_system_bytes(bytes(xfs)) == GIB
    ext4 = bytearray(MIB)
    ext4[1024 + 4 : 1024 + 8] = (262144).to_bytes(4, "little")
    ext4[1024 + 24] = 2
    ext4[1024 + 56 : 1024 + 58] = b"\x53\xef"
    assert probes.file_system_bytes(bytes(ext4)) == GIB
    ext4[1024 + 96], ext4[1024 + 336] = 0x80, 1
    assert probes.file_system_bytes(bytes(ext4)) == GIB + (4096 << 32)
    assert probes.file_system_bytes(bytes(MIB)) == 0
    assert probes.file_system_bytes(b"") == 0


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


def test_problems_before_any_device() -> None:
    assert planning.problems([DATA, Volume("db", "/dev/b", "/srv/b")]) == []
    twice = Volume("db", "/dev/b", "/")
    found = planning.problems([Volume("Data", "vdb", "/srv/../images/"), twice, twice])
    assert len(found) == 8 and any("volumes db and db have one name: db" in line for line in found)


def test_two_paths_to_one_device() -> None:
    db = Volume("db", "/dev/disk/by-path/b", "/srv/db")
    found = planning.shared_devices([DATA, db], {"data": BLANK, "db": BLANK})
    assert "volumes data and db are on one device" in found[0]
    gone = Device(problem="does not exist")
    assert planning.shared_devices([DATA, db], {"data": gone, "db": gone}) == []


def test_mount_points_inside_others_come_later() -> None:
    inner, outer, sibling = (Volume("v", "/d", mount) for mount in ("/srv/x/y", "/srv/x", "/srv/x-y"))
    order = planning.in_order([inner, sibling, outer])
    assert order.index(outer) < order.index(inner)


def test_a_pattern_means_disks_and_not_their_partitions(tmp_path: Path) -> None:
    for name in ("vdb", "vdb1", "vdc"):
        (tmp_path / name).touch()
    links = {
        "virtio-3f2a0c5e-aaaa-4bbb-8": "vdb",
        "scsi-0QEMU_3f2a0c5e-aaaa-4bbb-8ccc": "vdb",
        "virtio-3f2a0c5e-aaaa-4bbb-8-part1": "vdb1",
        "virtio-77777777-aaaa-4bbb-8": "vdc",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    assert device_paths(f"{tmp_path}/*3f2a0c5e-aaaa-4bbb-8*") == [f"{tmp_path}/vdb"]
    # Who names a partition means it.
    assert device_paths(f"{tmp_path}/virtio-3f2a0c5e-aaaa-4bbb-8-part1") == [f"{tmp_path}/vdb1"]
    assert device_paths(f"{tmp_path}/*88888888*") == []

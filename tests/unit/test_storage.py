# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What storage_volumes knows before it plans: labels, units, signatures, and what the site says of several volumes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_samples import BLANK, DATA, UNIT, UUID

from plugins.module_utils.storage import model, units
from plugins.module_utils.storage import plan as planning
from plugins.module_utils.storage import signatures as probes
from plugins.module_utils.storage.host import device_paths
from plugins.module_utils.storage.model import GIB, MIB, Device, Signature, Volume

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

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How devices become larger, by what /sys says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from storage_samples import BLANK, DATA, plan

from plugins.module_utils.storage import model, sizes


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A machine with a SCSI disk that has a partition, a virtual disk, an NVMe disk and a logical volume."""
    devices, blocks = tmp_path / "devices", tmp_path / "class/block"
    blocks.mkdir(parents=True)
    for name, file in (("sda", "device/rescan"), ("vda", "size"), ("nvme0n1", "device/rescan_controller")):
        (devices / name / file).parent.mkdir(parents=True)
        (devices / name / file).write_text("")
        (blocks / name).symlink_to(devices / name)
    (devices / "sda/sda1").mkdir()
    (devices / "sda/sda1/partition").write_text("1\n")
    (blocks / "sda1").symlink_to(devices / "sda/sda1")
    (blocks / "dm-0/dm").mkdir(parents=True)
    (blocks / "dm-0/dm/uuid").write_text("LVM-abc\n")
    return tmp_path


def test_the_kernel_is_asked_again_where_it_can_be(sys):
    assert sizes.rescan("/dev/sda", str(sys)) and (sys / "devices/sda/device/rescan").read_text() == "1"
    assert sizes.rescan("/dev/nvme0n1", str(sys))
    assert (sys / "devices/nvme0n1/device/rescan_controller").read_text() == "1"
    assert not sizes.rescan("/dev/vda", str(sys)) and not sizes.rescan("/dev/gone", str(sys))


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("sda", "Enlarge it at the provider"),
        (
            "sda1",
            "It is a partition: enlarge the disk at the provider, then the partition (growpart /dev/sda 1, package",
        ),
        ("dm-0", "It is a logical volume: enlarge it (lvextend --size 20g /dev/dm-0)"),
        ("vda", "Enlarge it at the provider; where that is done, reboot the host so that its kernel sees it"),
    ],
)
def test_each_kind_of_device_has_its_way(sys, device, sentence):
    assert sizes.enlarge(f"/dev/{device}", 20, str(sys)).startswith(sentence)


def test_the_way_stands_in_the_refusal():
    volume = model.Volume(DATA.name, DATA.device, DATA.mount, gib=20)
    found = model.Device(**{**BLANK.__dict__, "enlarge": "It is a logical volume: enlarge it (lvextend ...)"})
    assert (
        "has 10 GiB, the site says 20 GiB. It is a logical volume: enlarge it (lvextend ...), or correct the size"
        in (plan(volume, found).refusal)
    )

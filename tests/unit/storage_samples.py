# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A volume, devices that hold something, and the plan between the two, for the tests of storage."""

from __future__ import annotations

from plugins.module_utils.storage import model, units
from plugins.module_utils.storage import plan as planning
from plugins.module_utils.storage.model import GIB, Device, MountPoint, Signature, Volume

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

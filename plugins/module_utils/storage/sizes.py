# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How a device becomes larger: by the provider, by a partition table, by LVM; and a kernel that must be told.

Reads and writes below /sys only (https://docs.kernel.org/admin-guide/abi-stable-files.html).
"""

from __future__ import annotations

import contextlib
import os

SYS = "/sys"


def rescan(path: str, sys: str = SYS) -> bool:
    """Let the kernel ask a disk again how large it is; return whether there was a way to.

    A provider that enlarges a disk tells the kernel by itself for virtio, not for SCSI and not always for NVMe.
    """
    name = os.path.basename(path)
    for file in ("device/rescan", "device/rescan_controller"):
        target = f"{sys}/class/block/{name}/{file}"
        if os.path.exists(target):
            with contextlib.suppress(OSError), open(target, "w", encoding="ascii") as knob:
                knob.write("1")
            return True
    return False


def enlarge(path: str, gib: int, sys: str = SYS) -> str:
    """Return how this device is made larger, as the beginning of a sentence."""
    name = os.path.basename(path)
    here = f"{sys}/class/block/{name}"
    partition = _text(f"{here}/partition")
    if partition:
        disk = os.path.basename(os.path.dirname(os.path.realpath(here)))
        return (
            f"It is a partition: enlarge the disk at the provider, then the partition (growpart /dev/{disk} {partition}, "
            "package cloud-guest-utils)"
        )
    if _text(f"{here}/dm/uuid").startswith("LVM-"):
        return f"It is a logical volume: enlarge it (lvextend --size {gib}g {path})"
    if os.path.exists(f"{here}/device/rescan"):
        return "Enlarge it at the provider"
    return "Enlarge it at the provider; where that is done, reboot the host so that its kernel sees it"


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""

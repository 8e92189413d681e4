# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The file systems of a host: its root and its volumes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from .lines import CheckFailed
from .run import run


def findmnt(mount: str, remedy: str) -> dict[str, Any]:
    """Return findmnt's entry for a mount point, sizes in bytes, or raise CheckFailed."""
    try:
        text = run(
            ["findmnt", "--json", "--bytes", "--output=FSTYPE,OPTIONS,SIZE,AVAIL", "--mountpoint", mount], remedy
        )
    except CheckFailed as failure:
        detail = f"{mount} is not mounted" if failure.detail == "exit status 1" else failure.detail
        raise CheckFailed(detail, remedy) from None
    entry: dict[str, Any] = json.loads(text)["filesystems"][0]
    return entry


def check_root(path: str = "/") -> str:
    """Return how much room is on the host's own file system."""
    status = os.statvfs(path)
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    room = f"{free / 2**30:.1f} of {size / 2**30:.1f} GiB free"
    if free < size // 50:
        raise CheckFailed(
            f"{path} is full: {room}", f"see what fills it: du --one-file-system --max-depth=3 {path} | sort -n"
        )
    return f"{path}, {room}"


def check_volume(host: str, volume: Mapping[str, Any]) -> str:
    """Return how a volume of the host is mounted."""
    remedy = f"findmnt and systemctl list-units --type=mount on {host}, then run configure.yml"
    mount, wanted = volume["mount"], volume.get("file_system", "xfs")
    mounted = findmnt(mount, remedy)
    if mounted["fstype"] != wanted:
        raise CheckFailed(f"{mount} is {mounted['fstype']}, not {wanted}", remedy)
    if "rw" not in mounted["options"].split(","):
        raise CheckFailed(f"{mount} is mounted read-only", f"see the kernel's messages on {host}")
    # While the volume is busy some kernels count in other units; None is rare and no reason to fail.
    free, size = int(mounted["avail"] or 0), int(mounted["size"] or 1)
    if free < size // 50:
        raise CheckFailed(f"{mount} is full: {free / 2**20:.0f} MiB free", "raise the volume's gib and run site.yml")
    return f"{mount}, {mounted['fstype']}, {free / 2**30:.1f} of {size / 2**30:.1f} GiB free"

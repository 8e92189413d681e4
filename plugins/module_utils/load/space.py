# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Is there room for the images on the volume that they go to?"""

from __future__ import annotations

import contextlib
import os

from .report import LoadError

MIB = 1 << 20


def require(directory: str, needed: int) -> None:
    """Raise LoadError where the volume of `directory` has no room for so many bytes more."""
    if needed <= 0 or not os.path.isdir(directory):
        return
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise LoadError(
            f"{directory}: {needed // MIB + 1} MiB are needed for the images and {free // MIB} MiB are free; "
            "enlarge the volume (gib in the site file) and provision again, or load less; nothing was imported"
        )


def used(directory: str) -> int:
    """Return the bytes of all files below a directory."""
    found = 0
    for parent, _directories, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(parent, name)).st_size
    return found

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Volumes of containers: sparse files, loop devices, links that name the devices, and the folders that hold them."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
from pathlib import Path

from .plan import Volume

PRIVATE = 0o700


class SiteError(Exception):
    """A sentence for the user: what is wrong and what to do."""


def private_directory(path: Path) -> None:
    """Make a folder that only its owner enters, and those above it that are missing; others stay as they are.

    mkdir(parents=True, mode=) gives its mode to the last folder only, and an old folder keeps what it had.
    """
    for parent in reversed([path, *path.parents]):
        if not parent.exists():
            parent.mkdir(mode=PRIVATE)
            parent.chmod(PRIVATE)
    path.chmod(PRIVATE)


def losetup(*arguments: str) -> str:
    """Return the output of losetup(8), the one tool that works on loop devices by their file."""
    done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteError(
            f"losetup {' '.join(arguments)} failed: {done.stderr.strip()}; "
            "run as root on a machine whose kernel has loop devices"
        )
    return done.stdout


def loops() -> dict[str, str]:
    """Return the attached loop devices: file -> device."""
    listed = json.loads(losetup("--json", "--list", "--output", "NAME,BACK-FILE") or '{"loopdevices": []}')
    return {entry["back-file"]: entry["name"] for entry in listed["loopdevices"] if entry["back-file"]}


def make_volume(volume: Volume) -> None:
    """Make file, loop device and the link that names it; each step only where it is missing."""
    file, link = Path(volume["file"]), Path(volume["link"])
    for parent in (file.parent, link.parent):
        private_directory(parent)
    with open(file, "ab") as handle:
        if os.fstat(handle.fileno()).st_size < volume["bytes"]:
            handle.truncate(volume["bytes"])
    file.chmod(0o600)
    device = loops().get(str(file))
    if device is None:
        device = losetup("--find", "--show", str(file)).strip()
    elif device_bytes(device) < volume["bytes"]:
        losetup("--set-capacity", device)
    point(link, device)


def device_bytes(device: str) -> int:
    """Return the size of a block device: ioctl BLKGETSIZE64 of <linux/fs.h>."""
    with open(device, "rb") as handle:
        (size,) = struct.unpack("Q", fcntl.ioctl(handle, 0x80081272, bytes(8)))
    return int(size)


def point(link: Path, device: str) -> None:
    """Point a link to a device. Docker follows it when a container starts: after a reboot the number may be another."""
    if not link.is_symlink() or os.readlink(link) != device:
        new = link.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.symlink_to(device)
        new.rename(link)

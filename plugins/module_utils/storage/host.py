# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Look at the devices, mounts and units of this host. Nothing here writes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import stat
import struct
import tempfile
from typing import Protocol

from . import model, sizes, units
from .signatures import edges_name, file_system_bytes, parse_signatures

UNIT_DIRECTORY = "/etc/systemd/system"
FINDER_FILE = f"{UNIT_DIRECTORY}/{units.FINDER}.service"
WANTS_DIRECTORY = f"{UNIT_DIRECTORY}/multi-user.target.wants"
# On the volume itself: of which site it is. A label has no room for that.
MARKER = ".imaging-repository-volume"
# Shows what is on a file system without writing to it, not even what its journal holds.
READ_ONLY = {"xfs": "ro,norecovery,nouuid", "ext4": "ro,noload"}
NOTES_DIRECTORY = "/var/lib/imaging-repository/storage"
# linux/fs.h, xfs_fs.h
BLKGETSIZE64 = 0x80081272
BLKROGET = 0x125E
XFS_IOC_FSGEOMETRY_V1 = 0x80705864


class Commands(Protocol):
    """What is used of AnsibleModule."""

    def get_bin_path(self, arg: str) -> str | None: ...

    def run_command(self, args: list[str]) -> tuple[int, str, str]: ...


class Failed(Exception):
    """A step that did not work, as a sentence for the operator."""


def run(module: Commands, *command: str, accept: tuple[int, ...] = (0,)) -> str:
    """Standard output of a command; raises Failed with its last words where it ends otherwise than accepted."""
    path = module.get_bin_path(command[0])
    if path is None:
        raise Failed(f"{command[0]} is not installed; the role storage installs xfsprogs and e2fsprogs")
    code, output, error = module.run_command([path, *command[1:]])
    if code not in accept:
        words = " ".join((error.strip() or output.strip()).split()) or f"it ended with status {code}"
        raise Failed(f"'{' '.join(command)}' failed: {words}")
    return output


def device_paths(pattern: str) -> list[str]:
    """The devices behind a path or pattern, links resolved; a pattern means whole disks, a path what it names."""
    return sorted(
        {os.path.realpath(path) for path in glob.glob(pattern) if path == pattern or not re.search(r"-part\d+$", path)}
    )


def mount_table() -> list[dict[str, str]]:
    """Whole file systems mounted in this mount namespace, as in proc_pid_mountinfo(5), oldest first."""
    entries = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            values = line.split()
            where = values[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
            if values[3] == "/":
                entries.append({"number": values[2], "where": where, "options": values[5] + "," + values[-1]})
    return entries


def mounted_bytes(mount: str, file_system: str) -> int:
    """Size in bytes of a mounted xfs as its kernel knows it, 0 for others: the superblock on disk lags behind."""
    if file_system != "xfs":
        return 0
    handle = os.open(mount, os.O_RDONLY)
    try:
        geometry = fcntl.ioctl(handle, XFS_IOC_FSGEOMETRY_V1, bytes(112))
    finally:
        os.close(handle)
    block_bytes, blocks = struct.unpack_from("=I", geometry)[0], struct.unpack_from("=Q", geometry, 32)[0]
    return int(block_bytes * blocks)


def note_path(volume: model.Volume) -> str:
    """The file that says that a format of this volume has begun."""
    return f"{NOTES_DIRECTORY}/{volume.name}.formatting"


def note_of(volume: model.Volume, size_bytes: int) -> dict[str, object]:
    """What the note of a begun format says about the device."""
    return {"device": volume.device, "size_bytes": size_bytes}


def read_note(volume: model.Volume) -> dict[str, object]:
    """The note of a begun format, empty where there is none."""
    try:
        with open(note_path(volume), encoding="utf-8") as note:
            content = json.load(note)
            return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def held_by_others(path: str) -> bool:
    """Whether a mount, LVM, RAID or swap of any namespace of this kernel holds a device."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return False


def _size_bytes(path: str) -> int:
    """The size of a device as its kernel knows it."""
    with open(path, "rb", buffering=0) as device:
        return int(struct.unpack("=Q", fcntl.ioctl(device, BLKGETSIZE64, bytes(8)))[0])


def read_marker(
    module: Commands, path: str, signatures: tuple[model.Signature, ...], mounted_at: tuple[str, ...]
) -> str:
    """The text of the marker on a device, "" where there is none or the file system cannot be looked at."""
    if mounted_at:
        return text_of(f"{mounted_at[-1]}/{MARKER}")
    if len(signatures) != 1 or signatures[0].type not in READ_ONLY:
        return ""
    kind = signatures[0].type
    with tempfile.TemporaryDirectory(prefix="imaging-repository-", dir="/run") as directory:
        # In a mount namespace of its own: nobody else sees it, and it ends with the command.
        look = 'mount -t "$1" -o "$2" "$3" "$4" && cat "$4/$5"'
        arguments = (kind, f"{READ_ONLY[kind]},noexec,nosuid,nodev", path, directory, MARKER)
        try:
            return run(module, "unshare", "--mount", "sh", "-c", look, "sh", *arguments)
        except Failed:
            return ""


def examine_device(module: Commands, volume: model.Volume) -> model.Device:
    """Everything that the plan needs to know about a device; reads only."""
    paths = device_paths(volume.device)
    if not paths:
        return model.Device(problem="does not exist. Attach the volume, or correct the device in the site file")
    if len(paths) > 1:
        return model.Device(problem=f"is not one device but {len(paths)}: {', '.join(paths)}. Name one of them")
    path = paths[0]
    try:
        status = os.stat(path)
        if not stat.S_ISBLK(status.st_mode):
            return model.Device(problem="is not a block device. Correct the device in the site file")
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        if _size_bytes(path) < volume.gib * model.GIB:
            # It may have grown at the provider without the knowledge of the kernel.
            sizes.rescan(path)
        size_bytes = _size_bytes(path)
        with open(path, "rb", buffering=0) as device:
            (read_only,) = struct.unpack("=i", fcntl.ioctl(device, BLKROGET, bytes(4)))
            head = os.pread(device.fileno(), model.MIB, 0)
            tail = os.pread(device.fileno(), model.MIB, max(0, size_bytes - model.MIB))
        in_use = held_by_others(path)
        signatures: tuple[model.Signature, ...] = ()
        if size_bytes:
            # 2: nothing found; 8: several at once, which wipefs lists.
            probed = run(module, "blkid", "--probe", "--output", "export", path, accept=(0, 2, 8))
            signatures = parse_signatures(probed, run(module, "wipefs", "--no-act", "--json", path))
    except (OSError, Failed, ValueError) as error:
        return model.Device(problem=f"cannot be examined: {error}")

    mounted_at = tuple(entry["where"] for entry in mount_table() if entry["number"] == number)
    ours = bool(volume.site) and any(entry.label.startswith(model.LABEL_PREFIX) for entry in signatures)
    held_bytes = mounted_bytes(volume.mount, signatures[0].type) if volume.mount in mounted_at and signatures else 0
    return model.Device(
        path=path,
        number=number,
        size_bytes=size_bytes,
        read_only=bool(read_only),
        in_use=in_use,
        mounted_at=mounted_at,
        signatures=signatures,
        edges=edges_name(head, tail),
        begun=read_note(volume) == note_of(volume, size_bytes),
        file_system_bytes=held_bytes or file_system_bytes(head),
        enlarge=sizes.enlarge(path, volume.gib),
        marker=read_marker(module, path, signatures, mounted_at) if ours else "",
    )


def text_of(path: str) -> str:
    """The text of a file, empty where there is none."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return file.read()
    return ""


def examine_mount_point(volume: model.Volume) -> model.MountPoint:
    """Everything that the plan needs to know about a mount point; reads only."""
    mount, unit = volume.mount, units.unit_name(volume.mount)
    if os.path.realpath(mount) != mount:
        return model.MountPoint(
            problem=f"cannot be mounted: {mount} leads through a symbolic link to "
            f"{os.path.realpath(mount)}. Use that as the mount point"
        )
    if os.path.lexists(mount) and not os.path.isdir(mount):
        return model.MountPoint(problem=f"cannot be mounted: {mount} is not a directory. Choose another mount point")
    here = [entry for entry in mount_table() if entry["where"] == mount]
    return model.MountPoint(
        number=here[-1]["number"] if here else "",
        read_only=bool(here) and "ro" in here[-1]["options"].split(","),
        empty=bool(here) or not os.path.isdir(mount) or not os.listdir(mount),
        unit=text_of(f"{UNIT_DIRECTORY}/{unit}"),
        finder=text_of(FINDER_FILE),
        enabled=os.path.islink(f"{WANTS_DIRECTORY}/{unit}"),
    )

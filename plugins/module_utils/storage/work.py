# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Carry out the plan of a volume on this host."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import uuid
from collections.abc import Iterator

from .. import files
from . import host, model, units

LOCK_FILE = "/run/imaging-repository-storage.lock"


def write_durably(path: str, text: str) -> None:
    """Replace a file at once and for good, whatever happens to the machine meanwhile."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, text, durable=True)


def make_file_system(module: host.Commands, plan: model.Plan, device: model.Device) -> str:
    """Formats a device and returns the UUID of its file system.

    Discarding is left out: it takes minutes on a fresh volume of a cloud and frees nothing there.
    """
    volume, identifier = plan.volume, str(uuid.uuid4())
    # Only what was recognised or named is overwritten by force; mkfs looks at a blank device once more by itself.
    force = "wipe" in plan.actions or device.signatures or device.edges
    write_durably(host.note_path(volume), json.dumps(host.note_of(volume, device.size_bytes)))
    if "wipe" in plan.actions:
        host.run(module, "wipefs", "--all", "--quiet", device.path)
    temporary = ("-L", model.LABEL_WHILE_FORMATTING)
    if volume.file_system == "xfs":
        host.run(
            module,
            "mkfs.xfs",
            *(("-f",) if force else ()),
            "-q",
            "-K",
            "-m",
            f"uuid={identifier}",
            *temporary,
            device.path,
        )
        host.run(module, "xfs_admin", "-L", plan.label, device.path)
    else:
        host.run(
            module,
            "mkfs.ext4",
            *(("-F",) if force else ()),
            "-q",
            "-E",
            "nodiscard",
            "-m",
            "0",
            "-U",
            identifier,
            *temporary,
            device.path,
        )
        host.run(module, "tune2fs", "-L", plan.label, device.path)
    return identifier


def write_units(module: host.Commands, volume: model.Volume, text: str, has_udev: bool) -> None:
    """Writes and enables the mount unit of a volume, and without udev the unit that finds it.

    systemd loads a unit that is new to it by itself; reading all units again takes longer than formatting 100 GiB.
    """
    unit = units.unit_name(volume.mount)
    path = f"{host.UNIT_DIRECTORY}/{unit}"
    if not has_udev:
        write_durably(host.FINDER_FILE, units.FINDER_TEXT)
    write_durably(path, text)
    os.makedirs(host.WANTS_DIRECTORY, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(path, f"{host.WANTS_DIRECTORY}/{unit}")
    loaded = host.run(module, "systemctl", "show", "--property=FragmentPath,NeedDaemonReload", unit).split()
    if sorted(loaded) != [f"FragmentPath={path}", "NeedDaemonReload=no"]:
        host.run(module, "systemctl", "daemon-reload")


def mount_volume(module: host.Commands, plan: model.Plan, device: model.Device) -> None:
    """Mounts a volume by its unit; a new file system takes over owner and mode of the directory below it."""
    volume, unit = plan.volume, units.unit_name(plan.volume.mount)
    os.makedirs(volume.mount, mode=0o755, exist_ok=True)
    below = os.stat(volume.mount)
    try:
        host.run(module, "systemctl", "start", unit)
    except host.Failed as error:
        of = (f"--unit={unit}", f"--unit={units.FINDER}*")
        journal = host.run(module, "journalctl", "--quiet", "--output=cat", "--lines=8", *of, accept=(0, 1))
        raise host.Failed(f"{error} Last messages of {unit}: {' '.join(journal.split())}") from error
    mounted = [entry["number"] for entry in host.mount_table() if entry["where"] == volume.mount]
    if not mounted or mounted[-1] != device.number:
        raise host.Failed(
            f"{volume.mount} shows another device than {device.path}: a copy of this volume, with the same "
            "UUID, seems to be attached too. Detach it and run again"
        )
    if "format" in plan.actions:
        os.chown(volume.mount, below.st_uid, below.st_gid)
        os.chmod(volume.mount, stat.S_IMODE(below.st_mode))


def grow(module: host.Commands, volume: model.Volume, device: model.Device) -> None:
    """Grows a mounted file system over the whole of its device."""
    if volume.file_system == "xfs":
        host.run(module, "xfs_growfs", "-d", volume.mount)
        return
    try:
        host.run(module, "resize2fs", device.path)
    except host.Failed as error:
        if "Permission denied" in str(error):
            raise host.Failed(
                "ext4 cannot grow online here: the kernel demands CAP_SYS_RESOURCE, which this container "
                "does not have. Use xfs, or grow it on a machine that has it"
            ) from error
        raise


def apply(module: host.Commands, plan: model.Plan, device: model.Device, has_udev: bool) -> model.Plan:
    """Carries out the plan of one volume and returns it with what was really done."""
    volume, actions, identifier = plan.volume, list(plan.actions), plan.uuid
    unit = units.unit_name(volume.mount)
    if "format" in actions:
        identifier = make_file_system(module, plan, device)
    if device.begun or "format" in actions:
        os.unlink(host.note_path(volume))
    if "unit" in actions:
        write_units(module, volume, units.unit_text(volume, identifier, has_udev), has_udev)
    if "mount" in actions:
        mount_volume(module, plan, device)
    elif "unit" in actions:
        host.run(module, "systemctl", "reload", unit)
    if (
        "grow" not in actions
        and "mount" in actions
        and model.grows(device.size_bytes, host.mounted_bytes(volume.mount, volume.file_system))
    ):
        actions.append("grow")
    if "mark" in actions:
        write_durably(f"{volume.mount}/{host.MARKER}", volume.marker)
    if "grow" in actions:
        grow(module, volume, device)
    return model.Plan(volume, "", tuple(actions), plan.label, identifier)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Only one run at a time may write to devices."""
    with open(LOCK_FILE, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise host.Failed("another run is at work on the volumes of this host; wait for it") from error
        yield

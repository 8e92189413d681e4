#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_volumes
short_description: Format, mount and grow the volumes of a host
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Makes every volume of a host a mounted file system, from the device to the systemd mount unit, in one call.
  - A device is formatted only when it is blank, which means that neither C(blkid --probe) nor C(wipefs) knows a
    signature on it and that its first and last MiB are zero. Anything else is refused and not one byte of it is
    changed, unless I(volumes.wipe_signature) names exactly what is there.
  - All volumes are examined and all refusals reported before the first write to any of them.
  - A format that was cut, by a crash or a kill, is recognised and redone. The final label, C(ir-<name>), is written
    last; until then the file system is labelled C(ir~format) and the host keeps a note in
    C(/var/lib/imaging-repository/storage).
  - The mount units are not required by C(local-fs.target), so a missing volume never holds up a boot. Bind a service to
    its volume with C(RequiresMountsFor=), then it does not start on the empty directory below.
  - A file system grows online when its device has grown. Nothing ever shrinks, and volumes that are no longer listed
    are left as they are.
options:
  volumes:
    description: The volumes of this host, such as C(host_volumes) of the inventory.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the volume. It becomes the label of the file system, by which a volume is known again on another
            host. C(ir-) and the name are cut to 12 characters for xfs and 16 for ext4; a longer one ends in four digits
            of a checksum.
        type: str
        required: true
      device:
        description:
          - Path of the device by identity, such as a link in C(/dev/disk/by-id). The path may be a pattern if exactly
            one device matches; links of partitions, C(*-part<N>), do not count then.
        type: path
        required: true
      mount:
        description: Where to mount it. A directory that does not exist is made; one that is not empty is refused.
        type: str
        required: true
      file_system:
        description: The file system to make. A volume that has the other one is refused.
        type: str
        choices: [xfs, ext4]
        default: xfs
      gib:
        description: The least size of the device in GiB. A smaller device is refused, a larger one used in full.
        type: int
        default: 0
      wipe_signature:
        description:
          - Exactly what is on the device and may be destroyed, in the words of the refusal, which are C(type:label),
            C(type:UUID) or C(type) where there is neither, joined by C(+) where there are several;
            C(unknown:checksum) is data without a known signature.
          - It has no effect on a volume that is already the site's own, so it may stay.
        type: str
        default: ''
  host:
    description: Name of this host in messages.
    type: str
    default: ''
  device_timeout_seconds:
    description: How long to wait for a device that was attached a moment ago.
    type: int
    default: 20
attributes:
  check_mode:
    description: Reports what would be done and writes nothing. The tools that make file systems need not be there.
    support: full
  diff_mode:
    description: One line for each volume, before and after.
    support: full
requirements:
  - systemd
  - util-linux
  - xfsprogs for xfs
  - e2fsprogs for ext4
"""

EXAMPLES = r"""
- name: Mount the volumes of this host
  imaging.repository.storage_volumes:
    volumes: "{{ host_volumes }}"
    host: "{{ host_name }}"

- name: Mount one volume, and destroy the file system that a former owner left on it
  imaging.repository.storage_volumes:
    volumes:
      - name: data
        device: /dev/disk/by-id/virtio-3f2a8c1e-77b0-4a52-b
        mount: /srv/images
        gib: 1500
        wipe_signature: ext4:old-data
"""

RETURN = r"""
volumes:
  description: What became of each volume, in the order of the call.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the volume., type: str, sample: data}
    device: {description: The device itself, type: str, sample: /dev/vdb}
    uuid: {description: UUID of the file system; empty before it is made., type: str}
    file_system: {description: The file system., type: str, sample: xfs}
    label: {description: Label of the file system., type: str, sample: ir-data}
    mount: {description: The mount point., type: str, sample: /srv/images}
    unit: {description: The systemd unit that mounts it., type: str, sample: srv-images.mount}
    size_bytes: {description: Size of the device in bytes., type: int, sample: 107374182400}
    actions:
      description: What was done, or would be done in check mode; any of C(wipe), C(format), C(unit), C(mount), C(grow).
      type: list
      elements: str
      sample: [format, unit, mount]
"""

import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import stat
import struct
import time
import uuid
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import storage

UNIT_DIRECTORY = "/etc/systemd/system"
FINDER_FILE = f"{UNIT_DIRECTORY}/{storage.FINDER}.service"
WANTS_DIRECTORY = f"{UNIT_DIRECTORY}/multi-user.target.wants"
NOTES_DIRECTORY = "/var/lib/imaging-repository/storage"
LOCK_FILE = "/run/imaging-repository-storage.lock"

# linux/fs.h, xfs_fs.h
BLKGETSIZE64 = 0x80081272
BLKROGET = 0x125E
XFS_IOC_FSGEOMETRY_V1 = 0x80705864


class Failed(Exception):
    """A step that did not work, as a sentence for the operator."""


def run(module: AnsibleModule, *command: str, accept: tuple[int, ...] = (0,)) -> str:
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
    return block_bytes * blocks


def note_path(volume: storage.Volume) -> str:
    """The file that says that a format of this volume has begun."""
    return f"{NOTES_DIRECTORY}/{volume.name}.formatting"


def note_of(volume: storage.Volume, size_bytes: int) -> dict[str, object]:
    """What the note of a begun format says about the device."""
    return {"device": volume.device, "size_bytes": size_bytes}


def read_note(volume: storage.Volume) -> dict[str, object]:
    """The note of a begun format, empty where there is none."""
    try:
        with open(note_path(volume), encoding="utf-8") as note:
            return json.load(note)
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


def examine_device(module: AnsibleModule, volume: storage.Volume) -> storage.Device:
    """Everything that the plan needs to know about a device; reads only."""
    paths = device_paths(volume.device)
    if not paths:
        return storage.Device(problem="does not exist. Attach the volume, or correct the device in the site file")
    if len(paths) > 1:
        return storage.Device(problem=f"is not one device but {len(paths)}: {', '.join(paths)}. Name one of them")
    path = paths[0]
    try:
        status = os.stat(path)
        if not stat.S_ISBLK(status.st_mode):
            return storage.Device(problem="is not a block device. Correct the device in the site file")
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        with open(path, "rb", buffering=0) as device:
            (size_bytes,) = struct.unpack("=Q", fcntl.ioctl(device, BLKGETSIZE64, bytes(8)))
            (read_only,) = struct.unpack("=i", fcntl.ioctl(device, BLKROGET, bytes(4)))
            head = os.pread(device.fileno(), storage.MIB, 0)
            tail = os.pread(device.fileno(), storage.MIB, max(0, size_bytes - storage.MIB))
        in_use = held_by_others(path)
        signatures = ()
        if size_bytes:
            # 2: nothing found; 8: several at once, which wipefs lists.
            probed = run(module, "blkid", "--probe", "--output", "export", path, accept=(0, 2, 8))
            signatures = storage.parse_signatures(probed, run(module, "wipefs", "--no-act", "--json", path))
    except (OSError, Failed, ValueError) as error:
        return storage.Device(problem=f"cannot be examined: {error}")

    mounted_at = tuple(entry["where"] for entry in mount_table() if entry["number"] == number)
    held_bytes = mounted_bytes(volume.mount, signatures[0].type) if volume.mount in mounted_at and signatures else 0
    return storage.Device(
        path=path,
        number=number,
        size_bytes=size_bytes,
        read_only=bool(read_only),
        in_use=in_use,
        mounted_at=mounted_at,
        signatures=signatures,
        edges=storage.edges_name(head, tail),
        begun=read_note(volume) == note_of(volume, size_bytes),
        file_system_bytes=held_bytes or storage.file_system_bytes(head),
    )


def text_of(path: str) -> str:
    """The text of a file, empty where there is none."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return file.read()
    return ""


def examine_mount_point(volume: storage.Volume) -> storage.MountPoint:
    """Everything that the plan needs to know about a mount point; reads only."""
    mount, unit = volume.mount, storage.unit_name(volume.mount)
    if os.path.realpath(mount) != mount:
        return storage.MountPoint(
            problem=f"cannot be mounted: {mount} leads through a symbolic link to "
            f"{os.path.realpath(mount)}. Use that as the mount point"
        )
    if os.path.lexists(mount) and not os.path.isdir(mount):
        return storage.MountPoint(problem=f"cannot be mounted: {mount} is not a directory. Choose another mount point")
    here = [entry for entry in mount_table() if entry["where"] == mount]
    return storage.MountPoint(
        number=here[-1]["number"] if here else "",
        read_only=bool(here) and "ro" in here[-1]["options"].split(","),
        empty=bool(here) or not os.path.isdir(mount) or not os.listdir(mount),
        unit=text_of(f"{UNIT_DIRECTORY}/{unit}"),
        finder=text_of(FINDER_FILE),
        enabled=os.path.islink(f"{WANTS_DIRECTORY}/{unit}"),
    )


def write_file(path: str, text: str) -> None:
    """Replaces a file at once and for good, whatever happens to the machine meanwhile."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def make_file_system(module: AnsibleModule, plan: storage.Plan, device: storage.Device) -> str:
    """Formats a device and returns the UUID of its file system.

    Discarding is left out: it takes minutes on a fresh volume of a cloud and frees nothing there.
    """
    volume, identifier = plan.volume, str(uuid.uuid4())
    # Only what was recognised or named is overwritten by force; mkfs looks at a blank device once more by itself.
    force = "wipe" in plan.actions or device.signatures or device.edges
    write_file(note_path(volume), json.dumps(note_of(volume, device.size_bytes)))
    if "wipe" in plan.actions:
        run(module, "wipefs", "--all", "--quiet", device.path)
    temporary = ("-L", storage.LABEL_WHILE_FORMATTING)
    if volume.file_system == "xfs":
        run(
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
        run(module, "xfs_admin", "-L", plan.label, device.path)
    else:
        run(
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
        run(module, "tune2fs", "-L", plan.label, device.path)
    return identifier


def write_units(module: AnsibleModule, volume: storage.Volume, text: str, has_udev: bool) -> None:
    """Writes and enables the mount unit of a volume, and without udev the unit that finds it.

    systemd loads a unit that is new to it by itself; reading all units again takes longer than formatting 100 GiB.
    """
    unit = storage.unit_name(volume.mount)
    path = f"{UNIT_DIRECTORY}/{unit}"
    if not has_udev:
        write_file(FINDER_FILE, storage.FINDER_TEXT)
    write_file(path, text)
    os.makedirs(WANTS_DIRECTORY, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(path, f"{WANTS_DIRECTORY}/{unit}")
    loaded = run(module, "systemctl", "show", "--property=FragmentPath,NeedDaemonReload", unit).split()
    if sorted(loaded) != [f"FragmentPath={path}", "NeedDaemonReload=no"]:
        run(module, "systemctl", "daemon-reload")


def mount_volume(module: AnsibleModule, plan: storage.Plan, device: storage.Device) -> None:
    """Mounts a volume by its unit; a new file system takes over owner and mode of the directory below it."""
    volume, unit = plan.volume, storage.unit_name(plan.volume.mount)
    os.makedirs(volume.mount, mode=0o755, exist_ok=True)
    below = os.stat(volume.mount)
    try:
        run(module, "systemctl", "start", unit)
    except Failed as error:
        units = (f"--unit={unit}", f"--unit={storage.FINDER}*")
        journal = run(module, "journalctl", "--quiet", "--output=cat", "--lines=3", *units, accept=(0, 1))
        raise Failed(f"{error} Last messages of {unit}: {' '.join(journal.split())}") from error
    mounted = [entry["number"] for entry in mount_table() if entry["where"] == volume.mount]
    if not mounted or mounted[-1] != device.number:
        raise Failed(
            f"{volume.mount} shows another device than {device.path}: a copy of this volume, with the same "
            "UUID, seems to be attached too. Detach it and run again"
        )
    if "format" in plan.actions:
        os.chown(volume.mount, below.st_uid, below.st_gid)
        os.chmod(volume.mount, stat.S_IMODE(below.st_mode))


def grow(module: AnsibleModule, volume: storage.Volume, device: storage.Device) -> None:
    """Grows a mounted file system over the whole of its device."""
    if volume.file_system == "xfs":
        run(module, "xfs_growfs", "-d", volume.mount)
        return
    try:
        run(module, "resize2fs", device.path)
    except Failed as error:
        if "Permission denied" in str(error):
            raise Failed(
                "ext4 cannot grow online here: the kernel demands CAP_SYS_RESOURCE, which this container "
                "does not have. Use xfs, or grow it on a machine that has it"
            ) from error
        raise


def apply(module: AnsibleModule, plan: storage.Plan, device: storage.Device, has_udev: bool) -> storage.Plan:
    """Carries out the plan of one volume and returns it with what was really done."""
    volume, actions, identifier = plan.volume, list(plan.actions), plan.uuid
    unit = storage.unit_name(volume.mount)
    if "format" in actions:
        identifier = make_file_system(module, plan, device)
    if device.begun or "format" in actions:
        os.unlink(note_path(volume))
    if "unit" in actions:
        write_units(module, volume, storage.unit_text(volume, identifier, has_udev), has_udev)
    if "mount" in actions:
        mount_volume(module, plan, device)
    elif "unit" in actions:
        run(module, "systemctl", "reload", unit)
    if (
        "grow" not in actions
        and "mount" in actions
        and storage.grows(device.size_bytes, mounted_bytes(volume.mount, volume.file_system))
    ):
        actions.append("grow")
    if "grow" in actions:
        grow(module, volume, device)
    return storage.Plan(volume, "", tuple(actions), plan.label, identifier)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Only one run at a time may write to devices."""
    with open(LOCK_FILE, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed("another run is at work on the volumes of this host; wait for it") from error
        yield


def result_of(plan: storage.Plan, device: storage.Device) -> dict[str, object]:
    """A volume as the module returns it."""
    return {
        "name": plan.volume.name,
        "device": device.path,
        "uuid": plan.uuid,
        "file_system": plan.volume.file_system,
        "label": plan.label,
        "mount": plan.volume.mount,
        "unit": storage.unit_name(plan.volume.mount),
        "size_bytes": device.size_bytes,
        "actions": list(plan.actions),
    }


def manage(module: AnsibleModule) -> dict[str, object]:
    """Examines all volumes, then changes what has to change; raises Failed with one line for each refusal."""
    host = module.params["host"]
    volumes = [
        storage.Volume(**{key: value for key, value in entry.items() if value is not None})
        for entry in module.params["volumes"]
    ]
    if found := storage.problems(volumes):
        raise Failed("\n".join(found))
    deadline = time.monotonic() + module.params["device_timeout_seconds"]
    while not all(device_paths(volume.device) for volume in volumes) and time.monotonic() < deadline:
        time.sleep(0.5)

    has_udev = os.path.exists("/run/udev/control")
    devices = {volume.name: examine_device(module, volume) for volume in volumes}
    plans = {
        volume.name: storage.plan(volume, devices[volume.name], examine_mount_point(volume), has_udev, host)
        for volume in volumes
    }
    refusals = storage.shared_devices(volumes, devices) + [plan.refusal for plan in plans.values() if plan.refusal]
    if refusals:
        raise Failed("\n".join(refusals))

    changed = any(plan.actions for plan in plans.values())
    diff = {key: "".join(f"{getattr(plan, key)}\n" for plan in plans.values()) for key in ("before", "after")}
    if changed and not module.check_mode:
        if not os.path.isdir("/run/systemd/system"):
            raise Failed("storage: volumes are mounted by systemd, which does not run on this host.")
        for volume in storage.in_order(volumes):
            try:
                plans[volume.name] = apply(module, plans[volume.name], devices[volume.name], has_udev)
            except (Failed, OSError) as error:
                subject = f"storage: volume {volume.name}{' of ' + host if host else ''} (device {volume.device})"
                raise Failed(f"{subject}: {error}. Run again when the cause is gone.") from error
    return {
        "changed": changed,
        "diff": diff,
        "volumes": [result_of(plans[volume.name], devices[volume.name]) for volume in volumes],
    }


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "volumes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "device": {"type": "path", "required": True},
                    "mount": {"type": "str", "required": True},
                    "file_system": {"type": "str", "choices": ["xfs", "ext4"], "default": "xfs"},
                    "gib": {"type": "int", "default": 0},
                    "wipe_signature": {"type": "str", "default": ""},
                },
            },
            "host": {"type": "str", "default": ""},
            "device_timeout_seconds": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANGUAGE": "C", "LC_ALL": "C"}
    try:
        with contextlib.nullcontext() if module.check_mode else locked():
            result = manage(module)
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

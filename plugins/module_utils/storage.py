# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Decide what happens to the volumes of a host.

Pure logic without Ansible and without input or output: what was found on the devices goes in, a plan or a refusal
comes out. Everything that reads or writes a device is in the module storage_volumes.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MIB = 1024**2
GIB = 1024**3

# Longest label of each file system in characters (xfs(5), ext4(5)).
LABEL_LENGTHS = {"xfs": 12, "ext4": 16}
# mkfs.xfs refuses less than 300 MiB; a smaller ext4 has no room for a journal.
SMALLEST_BYTES = {"xfs": 300 * MIB, "ext4": 16 * MIB}
LABEL_PREFIX = "ir-"
# Begins unlike the label of any volume; within the 12 characters of xfs.
LABEL_WHILE_FORMATTING = "ir~format"
# Both file systems may leave the last, incomplete allocation group unused: less than this is not worth growing.
GROW_FROM_BYTES = 16 * MIB

# Root may not be written by device files or set-user-id programs that somebody left on a volume.
MOUNT_OPTIONS = "noatime,nodev,nosuid"
UNIT_SECTION = "X-ImagingRepository"

# Without udev nobody makes /dev/disk/by-uuid, which systemd looks for since release 256. This unit makes the one link that
# a volume needs, anew before each mount, from what is really on the devices: another disk in the place of a volume has
# another UUID and is not mounted.
FINDER = "imaging-repository-volume@"
FINDER_TEXT = """\
# Written by imaging.repository.storage_volumes; changes are overwritten.
[Unit]
Description=Find the volume with UUID %i
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'rm -f /dev/disk/by-uuid/%i; set -- $$(blkid --cache-file /dev/null --match-token UUID=%i --output device); \\
    [ $$# = 1 ] || { echo "The volume with UUID %i is on $$# devices; it is not mounted." >&2; exit 1; }; \\
    mkdir -p /dev/disk/by-uuid && ln -s "$$1" /dev/disk/by-uuid/%i'
"""

KINDS = {
    "LVM2_member": "an LVM physical volume",
    "LVM1_member": "an LVM physical volume",
    "crypto_LUKS": "an encrypted (LUKS) volume",
    "linux_raid_member": "a member of a RAID array",
    "swap": "a swap area",
    "gpt": "a GPT partition table",
    "dos": "a DOS partition table",
    "PMBR": "a protective partition table",
    "zfs_member": "a member of a ZFS pool",
    "ceph_bluestore": "a Ceph storage daemon",
}


@dataclass(frozen=True)
class Volume:
    """What the site wants: `gib` is the least size of the device in GiB, 0 when any will do."""

    name: str
    device: str
    mount: str
    file_system: str = "xfs"
    gib: int = 0
    wipe_signature: str = ""


@dataclass(frozen=True)
class Signature:
    """One signature that blkid or wipefs knows; `label` and `uuid` are empty where the format has none."""

    type: str
    label: str = ""
    uuid: str = ""

    @property
    def names(self) -> list[str]:
        """The exact names of this signature for wipe_signature, the best one first."""
        names = [f"{self.type}:{value}" for value in (self.label, self.uuid) if value]
        return names or [self.type]

    def __str__(self) -> str:
        known = KINDS.get(self.type)
        what = known or f"{'an' if self.type[:1] in 'aeioux' else 'a'} {self.type} file system"
        if self.label:
            return f"{what} labelled '{self.label}'"
        if known is None:
            return f"{what} without a label (UUID {self.uuid or 'unknown'})"
        return what


@dataclass(frozen=True)
class Device:
    """What was found behind a volume's device.

    `problem` says why it could not be examined; nothing else holds then. `number` is major:minor, `edges` names the
    content of the first and last MiB and is empty when all bytes are zero, `begun` says that this host noted the start
    of a format of exactly this device and not its end, `file_system_bytes` is 0 when unknown.
    """

    problem: str = ""
    path: str = ""
    number: str = ""
    size_bytes: int = 0
    read_only: bool = False
    in_use: bool = False
    mounted_at: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()
    edges: str = ""
    begun: bool = False
    file_system_bytes: int = 0


@dataclass(frozen=True)
class MountPoint:
    """What was found at a volume's mount point: `number` is the major:minor of what is mounted there, '' for nothing.

    `unit` is the text of the mount unit in /etc/systemd/system, `finder` that of the unit which finds a volume by its UUID;
    both are '' when there is none.
    """

    problem: str = ""
    number: str = ""
    read_only: bool = False
    empty: bool = True
    unit: str = ""
    enabled: bool = False
    finder: str = ""


@dataclass(frozen=True)
class Plan:
    """What to do with one volume: `refusal` is a sentence or '', `actions` is in the order of doing."""

    volume: Volume
    refusal: str = ""
    actions: tuple[str, ...] = ()
    label: str = ""
    uuid: str = ""
    before: str = ""
    after: str = field(default="", compare=False)


def label_of(name: str, file_system: str) -> str:
    """The label of a volume: `ir-<name>`, shortened with a checksum where the file system has no room for it."""
    label = LABEL_PREFIX + name
    longest = LABEL_LENGTHS[file_system]
    if len(label) <= longest:
        return label
    checksum = hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{label[: longest - 5]}~{checksum}"


def escape_path(path: str) -> str:
    """A path as systemd writes it in unit names (systemd.unit(5), "String escaping for inclusion in unit names")."""
    text = "/".join(part for part in path.split("/") if part) or "/"
    if text == "/":
        return "-"
    escaped = ""
    for position, byte in enumerate(text.encode()):
        character = chr(byte)
        if character == "/":
            escaped += "-"
        elif re.match(r"[A-Za-z0-9:_.]", character) and not (position == 0 and character == "."):
            escaped += character
        else:
            escaped += f"\\x{byte:02x}"
    return escaped


def unit_name(mount: str) -> str:
    """The name of the mount unit of a mount point: systemd demands that it follows from the path."""
    return f"{escape_path(mount)}.mount"


def unit_text(volume: Volume, uuid: str, has_udev: bool) -> str:
    """The systemd mount unit of a volume.

    Nothing that the boot needs requires or waits for it: without default dependencies it is not ordered before
    local-fs.target and a missing device fails this unit alone, and what names the mount in RequiresMountsFor.
    """
    finder = "" if has_udev else f"Requires={FINDER}{uuid}.service\nAfter={FINDER}{uuid}.service\n"
    return f"""\
# Written by imaging.repository.storage_volumes; changes are overwritten.
[Unit]
Description=Volume {volume.name}
DefaultDependencies=no
After=local-fs-pre.target
Conflicts=umount.target
Before=umount.target
JobTimeoutSec=400
{finder}
[Mount]
What=/dev/disk/by-uuid/{uuid}
Where={volume.mount}
Type={volume.file_system}
Options={MOUNT_OPTIONS}
TimeoutSec=300

[Install]
WantedBy=multi-user.target

[{UNIT_SECTION}]
Volume={volume.name}
"""


def parse_unit(text: str) -> dict[str, str]:
    """Volume and UUID in the text of a mount unit; without `volume` it is not one of ours."""
    found = {}
    if match := re.search(rf"^\[{UNIT_SECTION}\]\nVolume=(.*)$", text, re.MULTILINE):
        found["volume"] = match[1].strip()
    if match := re.search(r"^What=(?:UUID=|/dev/disk/by-uuid/)(\S+)$", text, re.MULTILINE):
        found["uuid"] = match[1].lower()
    return found


def parse_signatures(blkid: str, wipefs: str) -> tuple[Signature, ...]:
    """The signatures in the output of `blkid --probe --output export` and of `wipefs --no-act --json`, each once."""
    entries = json.loads(wipefs or "{}").get("signatures", [])
    found = [Signature(entry["type"], entry.get("label") or "", entry.get("uuid") or "") for entry in entries]
    values = dict(line.split("=", 1) for line in blkid.splitlines() if "=" in line)
    for type_key, label_key, uuid_key in (("TYPE", "LABEL", "UUID"), ("PTTYPE", "PTLABEL", "PTUUID")):
        if type_key in values:
            # blkid -o export escapes what a shell would split.
            label = re.sub(r"\\(.)", r"\1", values.get(label_key, ""))
            probed = Signature(values[type_key], label, values.get(uuid_key, ""))
            found = [probed] + [entry for entry in found if entry.type != probed.type]
    unique = list(dict.fromkeys(found))
    if any(entry.type == "gpt" for entry in unique):
        unique = [entry for entry in unique if entry.type != "PMBR"]
    return tuple(sorted(unique, key=lambda entry: (entry.type, entry.label, entry.uuid)))


def file_system_bytes(head: bytes) -> int:
    """The size in bytes that the superblock of an xfs or ext4 in the first MiB of a device states, 0 for others.

    Layouts: xfs_format.h (struct xfs_dsb, big endian), Documentation/filesystems/ext4 (super block, at byte 1024).
    """
    if head[:4] == b"XFSB":
        block_bytes, blocks = struct.unpack_from(">IQ", head, 4)
        return block_bytes * blocks
    if head[1024 + 56 : 1024 + 58] == b"\x53\xef":
        (blocks,) = struct.unpack_from("<I", head, 1024 + 4)
        (shift,) = struct.unpack_from("<I", head, 1024 + 24)
        (incompatible,) = struct.unpack_from("<I", head, 1024 + 96)
        if incompatible & 0x80:
            blocks += struct.unpack_from("<I", head, 1024 + 336)[0] << 32
        return blocks << (10 + shift) if shift < 7 else 0
    return 0


def edges_name(head: bytes, tail: bytes) -> str:
    """'' when both ends of a device are zero, else a name for what is there."""
    if not any(head) and not any(tail):
        return ""
    return "unknown:" + hashlib.sha256(head + tail).hexdigest()[:12]


def wipe_names(device: Device) -> list[str]:
    """Every exact name of what a device holds; several signatures are joined by '+'."""
    if not device.signatures:
        return [device.edges] if device.edges else []
    if len(device.signatures) == 1:
        return device.signatures[0].names
    return ["+".join(entry.names[0] for entry in device.signatures)]


def size_text(size_bytes: int) -> str:
    """A size in GiB for people, in MiB where it is smaller than one."""
    if size_bytes < GIB:
        return f"{size_bytes / MIB:.4g} MiB"
    return f"{size_bytes / GIB:.4g} GiB"


def grows(device_bytes: int, held_bytes: int) -> bool:
    """Whether a file system leaves so much of its device unused that growing it is worth a write."""
    return 0 < held_bytes <= device_bytes - GROW_FROM_BYTES


def content_of(volume: Volume, device: Device) -> str:
    """What a device holds for a volume: blank, own, unfinished (a format of ours that was cut) or foreign."""
    labels = {(kind, label_of(volume.name, kind)) for kind in LABEL_LENGTHS}
    found = device.signatures
    if len(found) == 1 and (found[0].type, found[0].label) in labels and found[0].uuid:
        return "own"
    if len(found) == 1 and found[0].type in LABEL_LENGTHS and found[0].label == LABEL_WHILE_FORMATTING:
        return "unfinished"
    if not found and not device.edges:
        return "blank"
    if not found and device.begun:
        return "unfinished"
    return "foreign"


def _content_refusal(volume: Volume, device: Device) -> str:
    """Why a device that is not blank, own or unfinished is left alone; names what is there and what to do."""
    names = wipe_names(device)
    others = [entry for entry in device.signatures if entry.label.startswith(LABEL_PREFIX)]
    if len(device.signatures) == 1 and others:
        return (
            f"holds the volume labelled '{others[0].label}', not '{label_of(volume.name, volume.file_system)}'; "
            "nothing was written. Are two devices swapped? Correct the device in the site file, or name it in "
            f"wipe_signature ({names[0]})"
        )
    if device.signatures:
        what = " and ".join(str(entry) for entry in device.signatures)
    else:
        what = "data without a known signature (its first and last MiB are not zero)"
    wipe = f" (not {volume.wipe_signature})" if volume.wipe_signature else ""
    return (
        f"holds {what} that this site did not make; nothing was written. Mount it by hand, choose another volume, "
        f"or name it in wipe_signature: {names[0]}{wipe}"
    )


def _refusal(volume: Volume, device: Device, point: MountPoint, content: str) -> str:
    """The first reason not to touch a volume, without its subject; '' when there is none."""
    unit = f"/etc/systemd/system/{unit_name(volume.mount)}"
    recorded = parse_unit(point.unit)
    smallest = SMALLEST_BYTES[volume.file_system]
    mounted_here = point.number != "" and point.number == device.number
    own = device.signatures[0] if content == "own" else None
    if device.problem:
        return device.problem
    if device.size_bytes == 0:
        return "has no size: nothing is attached to it. Attach the volume and run again"
    if point.problem:
        return point.problem
    if point.number and not mounted_here:
        return (
            f"cannot be mounted: another file system is mounted at {volume.mount}. Unmount that, or choose another "
            "mount point"
        )
    if device.mounted_at and not mounted_here:
        return (
            f"is mounted at {', '.join(device.mounted_at)}, the site says {volume.mount}. Stop what uses it and "
            "unmount it (systemctl disable --now of its mount unit), or correct the mount point"
        )
    if device.in_use and not mounted_here:
        return (
            "is in use by something else: mounted elsewhere, or part of an LVM, RAID or swap. Release it, or "
            "choose another volume"
        )
    if content == "foreign" and volume.wipe_signature not in wipe_names(device):
        return _content_refusal(volume, device)
    if own and own.type != volume.file_system:
        return (
            f"holds the {own.type} of this volume, but file_system says {volume.file_system}; nothing was written. "
            f"Write file_system: {own.type}"
        )
    if point.unit and recorded.get("volume") != volume.name:
        owner = f"of volume {recorded['volume']}" if "volume" in recorded else "that this site did not write"
        return f"cannot be mounted: {unit} is a mount unit {owner}. Remove it, or choose another mount point"
    if content != "foreign" and recorded.get("uuid") and recorded["uuid"] != (own.uuid.lower() if own else ""):
        there = f"UUID {own.uuid}" if own else f"a device that is {content}"
        return (
            f"is not the one that was mounted here before (UUID {recorded['uuid']}) but {there}; nothing was "
            f"written. Attach the former one, or remove {unit} if this one replaces it"
        )
    if device.read_only or (mounted_here and point.read_only):
        return (
            "is read-only. Attach it writable; a file system that turned read-only after errors says why in the "
            "kernel's log"
        )
    if device.size_bytes < smallest:
        return (
            f"has {size_text(device.size_bytes)}, too small for {volume.file_system}, which needs "
            f"{size_text(smallest)}. Attach a larger one"
        )
    if device.size_bytes < volume.gib * GIB:
        return (
            f"has {size_text(device.size_bytes)}, the site says {volume.gib} GiB. Enlarge it at the provider, or "
            "correct the size; volumes never shrink"
        )
    if own and device.file_system_bytes > device.size_bytes:
        return (
            f"has {size_text(device.size_bytes)}, but the file system on it {size_text(device.file_system_bytes)}: "
            "it was shrunk. Give it its former size back before anything writes to it"
        )
    if not mounted_here and not point.empty:
        return (
            f"would hide what is in {volume.mount}; nothing was written. Move the content away, then run again "
            "and move it back"
        )
    return ""


def _has_units(volume: Volume, uuid: str, point: MountPoint, has_udev: bool) -> bool:
    """Whether the units of a volume are as they should be."""
    finds = has_udev or point.finder == FINDER_TEXT
    return finds and point.enabled and point.unit == unit_text(volume, uuid, has_udev)


def plan(volume: Volume, device: Device, point: MountPoint, has_udev: bool, host: str = "") -> Plan:
    """The plan for one volume: idempotent, and without an action that writes unless the content allows it."""
    content = content_of(volume, device)
    subject = f"storage: volume {volume.name}{' of ' + host if host else ''} (device {volume.device})"
    label = label_of(volume.name, volume.file_system)
    if reason := _refusal(volume, device, point, content):
        return Plan(volume, refusal=f"{subject}: {reason}.")

    actions = []
    uuid = device.signatures[0].uuid if content == "own" else ""
    if content == "foreign":
        actions.append("wipe")
    if content != "own":
        actions.append("format")
    if not uuid or not _has_units(volume, uuid, point, has_udev):
        actions.append("unit")
    if point.number != device.number:
        actions.append("mount")
    if content == "own" and grows(device.size_bytes, device.file_system_bytes):
        actions.append("grow")

    size = size_text(device.size_bytes)
    by = f"by {unit_name(volume.mount)}"
    wanted = f"{volume.name}: {volume.file_system} {label}, {size}, mounted at {volume.mount} {by}"
    held = {
        "blank": "blank",
        "unfinished": "a format of ours that was cut",
        "foreign": " and ".join(str(entry) for entry in device.signatures) or "data without a known signature",
        "own": f"{volume.file_system} {label}, {size_text(device.file_system_bytes) if 'grow' in actions else size}",
    }[content]
    mounted = "not mounted"
    if "mount" not in actions:
        outdated = "by an outdated unit" if point.unit else "without a unit"
        mounted = f"mounted at {volume.mount} {outdated if 'unit' in actions else by}"
    before = f"{volume.name}: {held}, {mounted}"
    return Plan(volume, "", tuple(actions), label, uuid, before, wanted)


def problems(volumes: Sequence[Volume]) -> list[str]:
    """What is wrong with the volumes of a host before any device is looked at."""
    found = []
    for volume in volumes:
        subject = f"storage: volume {volume.name}"
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", volume.name):
            found.append(f"{subject}: the name may have lower-case letters, digits and dashes only.")
        if not volume.device.startswith("/"):
            found.append(f"{subject}: device '{volume.device}' is not an absolute path.")
        path = volume.mount
        if (
            not path.startswith("/")
            or path == "/"
            or path != "/" + "/".join(p for p in path.split("/") if p)
            or ({".", ".."} & set(path.split("/")))
        ):
            found.append(f"{subject}: mount '{path}' is not an absolute path without '.', '..' and a last '/'.")
    for what, key in (("name", "name"), ("device", "device"), ("mount point", "mount")):
        by_value: dict[str, list[str]] = {}
        for volume in volumes:
            by_value.setdefault(getattr(volume, key), []).append(volume.name)
        found += [
            f"storage: volumes {' and '.join(names)} have one {what}: {value}."
            for value, names in by_value.items()
            if len(names) > 1
        ]
    return found


def shared_devices(volumes: Sequence[Volume], devices: Mapping[str, Device]) -> list[str]:
    """Refusals for volumes whose different paths lead to one device; `devices` is by volume name."""
    by_number: dict[str, list[Volume]] = {}
    for volume in volumes:
        if number := devices[volume.name].number:
            by_number.setdefault(number, []).append(volume)
    return [
        f"storage: volumes {' and '.join(v.name for v in shared)} are on one device "
        f"({' and '.join(v.device for v in shared)}); nothing was written. Give each its own."
        for shared in by_number.values()
        if len(shared) > 1
    ]


def in_order(volumes: Sequence[Volume]) -> list[Volume]:
    """Volumes in the order of mounting: a mount point inside another comes after it."""
    return sorted(volumes, key=lambda volume: volume.mount.split("/"))

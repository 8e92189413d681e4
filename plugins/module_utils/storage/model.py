# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a site wants of a volume, what was found, and what is planned."""

from __future__ import annotations

import hashlib
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
    # The site that it is for; the one that it may be taken from; and whether it was copied from one of another site.
    site: str = ""
    adopt: str = ""
    copy: bool = False

    @property
    def marker(self) -> str:
        """The text of the file that says whose volume it is."""
        return f"site={self.site}\nvolume={self.name}\n" if self.site else ""


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
    # How a device of this kind is made larger, as the beginning of a sentence.
    enlarge: str = "Enlarge it at the provider"
    # The text of the marker, "" where there is none: volumes of older releases have none.
    marker: str = ""

    @property
    def site(self) -> str:
        """The site of which it is, "" where nothing says so."""
        return next((line[5:] for line in self.marker.splitlines() if line.startswith("site=")), "")


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

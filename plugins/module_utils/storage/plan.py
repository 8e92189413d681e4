# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Decide what happens to the volumes of a host: what was found goes in, a plan or a refusal comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .model import (
    GIB,
    LABEL_LENGTHS,
    LABEL_PREFIX,
    LABEL_WHILE_FORMATTING,
    SMALLEST_BYTES,
    Device,
    MountPoint,
    Plan,
    Volume,
    grows,
    label_of,
    size_text,
    wipe_names,
)
from .units import FINDER_TEXT, parse_unit, unit_name, unit_text


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
    if own and volume.site and device.site not in ("", volume.site, volume.adopt) and not volume.copy:
        return (
            f"is the volume {volume.name} of the site {device.site}; nothing was written. Attach that of {volume.site}, or "
            f"take this one over on purpose: adopt: {device.site} beside its name in the site file"
        )
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
            f"has {size_text(device.size_bytes)}, the site says {volume.gib} GiB. {device.enlarge}, or correct "
            "the size; volumes never shrink"
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
    if volume.marker != device.marker and volume.site:
        actions.append("mark")
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
    if device.site not in ("", volume.site):
        held += f" of the site {device.site}"
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

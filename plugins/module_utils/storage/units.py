# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The units of systemd that find and mount volumes."""

from __future__ import annotations

import re

from .model import Volume

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

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Read what blkid, wipefs and the ends of a device say."""

from __future__ import annotations

import hashlib
import json
import re
import struct

from .model import Signature


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
        return int(block_bytes * blocks)
    if head[1024 + 56 : 1024 + 58] == b"\x53\xef":
        (blocks,) = struct.unpack_from("<I", head, 1024 + 4)
        (shift,) = struct.unpack_from("<I", head, 1024 + 24)
        (incompatible,) = struct.unpack_from("<I", head, 1024 + 96)
        if incompatible & 0x80:
            blocks += struct.unpack_from("<I", head, 1024 + 336)[0] << 32
        return int(blocks << (10 + shift)) if shift < 7 else 0
    return 0


def edges_name(head: bytes, tail: bytes) -> str:
    """'' when both ends of a device are zero, else a name for what is there."""
    if not any(head) and not any(tail):
        return ""
    return "unknown:" + hashlib.sha256(head + tail).hexdigest()[:12]

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The files in which nginx keeps a zone: proxy_cache_path with levels=1:2.

Sources: nginx 1.22.1, which 1.26.3 follows here: src/http/ngx_http_cache.h (ngx_http_file_cache_header_t, version 5) and
src/http/ngx_http_file_cache.c (ngx_http_file_cache_read: what nginx checks before it answers from a file).
"""

from __future__ import annotations

import os
import random
import re
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from .keys import Key

# Of ngx_http_file_cache_header_t on 64 bits: version, valid_sec, header_start, body_start, vary_len.
HEADER = struct.Struct("=Qq38xHH129xB")
VERSION = 5
HEADER_BYTES = 336
# Between header and key; a line feed ends the key.
KEY_MARK = b"\nKEY: "
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r", re.IGNORECASE).search
# Enough for the header, the key of most pages and the image server's own headers: one read.
_READ_BYTES = 1024
# The two levels: the last hexadecimal digit of the name, then the two before it.
LEAVES = 16 * 256
_NAME_LENGTH = 32


# Times of nginx's configuration (src/core/ngx_parse.c), in seconds.
_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "M": 30 * 86400, "y": 365 * 86400}


def valid_seconds(text: str) -> float:
    """Return a time of nginx's configuration, such as 365d or 1h30m, in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) *(ms|[smhdwMy]|)", text))


class Zone(NamedTuple):
    """One zone as nginx has it: its directory and its bound (max_size)."""

    name: str
    directory: str
    max_size_bytes: int


def cached(zone: Zone, key: Key) -> bool:
    """Return whether nginx has a fresh answer of this key, by its file: False where in doubt (then ask nginx).

    Beyond what nginx checks itself, the body must be as long as its header says: a crash of the host may cut it off,
    and nginx would serve that. Raises OSError where the file is there and may not be read.
    """
    digest = key.digest
    try:
        descriptor = os.open(f"{zone.directory}/{leaf_of(digest)}/{digest}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        data = os.read(descriptor, _READ_BYTES)
        if len(data) < HEADER_BYTES:
            return False
        version, valid_seconds, header_start, body_start, vary_length = HEADER.unpack_from(data)
        # One page in several variants (vary_length) does not come from the role's configuration.
        if version != VERSION or valid_seconds < time.time() or vary_length:
            return False
        if body_start > len(data):
            data += os.read(descriptor, body_start - len(data))
        key_line = b"%b%b\n" % (KEY_MARK, key.text.encode("utf-8", "surrogateescape"))
        if header_start != HEADER_BYTES + len(key_line) or not data.startswith(key_line, HEADER_BYTES):
            return False
        length = _CONTENT_LENGTH(data, header_start, body_start)
        # Cheaper than fstat, which makes an object of all it knows.
        size = os.lseek(descriptor, 0, os.SEEK_END)
        return bool(size == body_start + int(length[1]) if length else size >= body_start)
    finally:
        os.close(descriptor)


class Usage(NamedTuple):
    """What a zone holds: bytes as nginx counts them, and files."""

    size_bytes: int
    files: int


def usage(directory: str, *, leaves: int = LEAVES, files: int | None = None) -> Usage | None:
    """Return what a zone holds, in blocks of its file system; None where its directory does not exist.

    Looks into the 4,096 directories at random until it has looked into so many `leaves`, or seen so many `files`, and
    extrapolates: MD5 spreads files evenly. Raises PermissionError where this user may not look.
    """
    try:
        block = _block_bytes(directory)
        os.scandir(directory).close()
    except FileNotFoundError:
        return None
    names = list(leaf_names())
    random.shuffle(names)
    looked = seen = size_bytes = 0
    for name in names[:leaves]:
        looked += 1
        found, found_bytes = _leaf(f"{directory}/{name}", block)
        seen += found
        size_bytes += found_bytes
        if files is not None and seen >= files:
            break
    return Usage(size_bytes * LEAVES // looked, seen * LEAVES // looked)


def usage_bytes(zone: Zone, leaves: int = LEAVES) -> int:
    """Return how large nginx counts the zone, 0 where it has no directory; see `usage`."""
    found = usage(zone.directory, leaves=leaves)
    return found.size_bytes if found else 0


def leaf_names() -> Iterator[str]:
    """Yield the directories in which a zone keeps its files, below its own."""
    return (f"{first:x}/{second:02x}" for first in range(16) for second in range(256))


def leaf_of(digest: str) -> str:
    """Return the directory of a key's file, by the MD5 of the key."""
    return f"{digest[31]}/{digest[29:31]}"


def is_entry(name: str) -> bool:
    """Return whether a file of this name is an entry; longer names are answers that are being received."""
    return len(name) == _NAME_LENGTH


def blocks(size_bytes: int, block_bytes: int) -> int:
    """Return a size in bytes as whole blocks, in bytes."""
    return -(-size_bytes // block_bytes) * block_bytes


def _block_bytes(directory: str) -> int:
    """Return the unit in which nginx counts (src/os/unix/ngx_files.c, ngx_fs_bsize)."""
    size = os.statvfs(directory).f_bsize
    return 512 if size % 512 or size > os.sysconf("SC_PAGESIZE") else size


def _leaf(directory: str, block: int) -> tuple[int, int]:
    """Return how many files a directory has, and their bytes."""
    number = total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_entry(entry.name):
                    number += 1
                    total += blocks(_file_bytes(entry), block)
    except FileNotFoundError:
        # A directory appears with its first file, and a file may be evicted meanwhile.
        pass
    return number, total


def _file_bytes(entry: os.DirEntry[str]) -> int:
    """Return a file's size as nginx takes it (src/os/unix/ngx_files.h, ngx_file_fs_size): with what xfs keeps ready."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    on_disk = status.st_blocks * 512
    return on_disk if status.st_size < on_disk < status.st_size + 8 * status.st_blksize else status.st_size

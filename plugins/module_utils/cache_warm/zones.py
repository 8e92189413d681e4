# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The files in which nginx 1.26 keeps a zone: proxy_cache_path with levels=1:2.

Sources: nginx 1.22.1, src/http/ngx_http_cache.h (ngx_http_file_cache_header_t, version 5) and
src/http/ngx_http_file_cache.c (ngx_http_file_cache_read: what nginx checks before it answers from a file).
"""

from __future__ import annotations

import os
import random
import re
import struct
import time
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
_LEAVES = 16 * 256
_NAME_LENGTH = 32


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
        descriptor = os.open(f"{zone.directory}/{digest[31]}/{digest[29:31]}/{digest}", os.O_RDONLY | os.O_CLOEXEC)
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
        return size == body_start + int(length[1]) if length else size >= body_start
    finally:
        os.close(descriptor)


def usage_bytes(zone: Zone, leaves: int | None = None) -> int:
    """Return how large nginx counts the zone: what its files take on disk, in blocks of the file system.

    `leaves`: look into so many of the 4,096 directories, chosen at random, and extrapolate: MD5 spreads files evenly.
    """
    try:
        block = _block_bytes(zone.directory)
    except FileNotFoundError:
        return 0
    names = [f"{zone.directory}/{first:x}/{second:02x}" for first in range(16) for second in range(256)]
    chosen = names if leaves is None else random.sample(names, min(leaves, _LEAVES))
    return sum(_leaf_bytes(name, block) for name in chosen) * _LEAVES // len(chosen)


def _block_bytes(directory: str) -> int:
    """Return the unit in which nginx counts (src/os/unix/ngx_files.c, ngx_fs_bsize)."""
    size = os.statvfs(directory).f_bsize
    return 512 if size % 512 or size > os.sysconf("SC_PAGESIZE") else size


def _leaf_bytes(directory: str, block: int) -> int:
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                # Longer names are answers that are being received.
                if len(entry.name) == _NAME_LENGTH:
                    total += -(-_file_bytes(entry) // block) * block
    except FileNotFoundError:
        # A directory appears with its first file, and a file may be evicted meanwhile.
        pass
    return total


def _file_bytes(entry: os.DirEntry) -> int:
    """Return a file's size as nginx takes it (src/os/unix/ngx_files.h, ngx_file_fs_size): with what xfs keeps ready."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    on_disk = status.st_blocks * 512
    return on_disk if status.st_size < on_disk < status.st_size + 8 * status.st_blksize else status.st_size

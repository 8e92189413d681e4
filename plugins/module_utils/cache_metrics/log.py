# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What visitors asked the cache for: lines of nginx's access log, also across its rotation."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO


def requests(lines: Iterable[bytes], routes: Mapping[str, str], ports: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Yield what visitors asked the cache for: the fields of log_format json in nginx.conf, parsed.

    `routes`: the zone of each route. `ports`: the public ones. A line that is cut or no JSON is skipped.
    """
    ports = frozenset(ports)
    for line in lines:
        try:
            entry = json.loads(line.decode("utf-8", "replace"))
            if entry["cache"] and entry["port"] in ports and entry["route"] in routes:
                yield entry
        except (ValueError, KeyError, TypeError):
            continue


def fingerprint(stream: BinaryIO) -> str | None:
    """Return a name for a log file that stays while it grows and is renamed; None while it has no whole line.

    The number of its inode alone is given to another file some day; its first line holds a time.
    """
    stream.seek(0)
    first = stream.readline(65536)
    if not first.endswith(b"\n"):
        return None
    status = os.fstat(stream.fileno())
    return f"{status.st_dev}:{status.st_ino}:{hashlib.sha256(first).hexdigest()[:16]}"


def new_lines(paths: Iterable[str], offsets: dict[str, int]) -> Iterator[bytes]:
    """Yield the whole lines of log files that were not yielded before, and remember in `offsets` how far each was read.

    `offsets`: by fingerprint, so that a file is known again after logrotate has renamed it; changed in place, files
    that are gone are dropped. A file that has become shorter is read from its beginning.
    """
    known = dict(offsets)
    offsets.clear()
    for path in paths:
        try:
            stream = open(path, "rb")
        except FileNotFoundError:
            continue
        with stream:
            name = fingerprint(stream)
            if name is None:
                continue
            offset = known.get(name, 0)
            if offset > os.fstat(stream.fileno()).st_size:
                offset = 0
            stream.seek(offset)
            for line in stream:
                # nginx has not written the rest yet.
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                yield line
            offsets[name] = offset


def log_lines(log: str, since: datetime) -> Iterator[bytes]:
    """Yield the lines of the log and of its rotated files that were written to after a time."""
    directory, name = os.path.split(log)
    for path in sorted(Path(directory).glob(f"{name}*"), key=lambda path: path.stat().st_mtime):
        if path.stat().st_mtime >= since.timestamp():
            with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
                yield from stream

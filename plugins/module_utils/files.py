# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Files that are replaced at once: a reader sees the old content or the new one, never a half."""

from __future__ import annotations

import contextlib
import os
import tempfile


def write(
    path: str | os.PathLike[str],
    content: str | bytes,
    *,
    mode: int = 0o644,
    owner: int = -1,
    group: int = -1,
    durable: bool = False,
) -> None:
    """Replace the file at `path` by `content`, with exactly this mode, whatever the umask is.

    A text is written as UTF-8; bytes of a file name that are no UTF-8 (surrogateescape) come out as they were.
    Until the file has its name, only its owner can read it. `owner` and `group` are numbers; -1 means those of this
    process. `durable`: a crash of the machine also leaves the old or the new content.
    The directory must exist. Raises OSError; the file is then as it was.
    """
    path = os.fspath(path)
    directory, name = os.path.split(path)
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    # A name may be 255 bytes long, and the temporary one is longer than the final one.
    handle, temporary = tempfile.mkstemp(prefix=f".{name[:50]}-", dir=directory or ".")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            if (owner, group) != (-1, -1):
                os.fchown(handle, owner, group)
            os.fchmod(handle, mode)
            if durable:
                file.flush()
                os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(directory or ".")


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory outlive a crash of the machine."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Only one load runs on a host, and only where its volume is mounted."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from .report import LoadError


def make_directory(path: str) -> None:
    """Make the directory, but not the ones above it: they are on a volume that should be mounted."""
    if os.path.isdir(path):
        return
    if not os.path.isdir(os.path.dirname(path)):
        raise LoadError(
            f"{path}: {os.path.dirname(path)} does not exist; mount the volume of the images "
            "(playbooks/configure.yml), or choose another directory"
        )
    os.mkdir(path, 0o700)


@contextlib.contextmanager
def lock(directory: str) -> Iterator[None]:
    """Let only one load run on this host; the lock goes with the process, however that ends."""
    with open(os.path.join(directory, "lock"), "a+", encoding="utf-8") as stream:
        stream.seek(0)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = stream.read().strip()
            raise LoadError(
                f"{directory}/lock: another load is at work on this host (process {process}); wait until it is done"
            ) from None
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What dpkg and apt say about packages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

LISTS = "/var/lib/apt/lists"
LOCK_PAUSE_SECONDS = 2


def missing(names: Iterable[str], known: str) -> list[str]:
    """Return those of the packages that are not installed; `known` has lines `<package> <status>` of dpkg-query.

    A name may choose a version, as for apt: `nginx=1.26.3-3`. Another version that is installed stays.
    """
    installed = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    return sorted({name for name in names if name.partition("=")[0] not in installed})


def apt_problem(out: str, error: str) -> str:
    """Return what apt-get says is wrong as one sentence, without its prefixes."""
    lines = [line[3:].strip() for line in error.splitlines() if line.startswith("E: ")]
    if not lines:
        lines = [line.strip() for line in (error or out).splitlines() if line.strip()][-3:]
    # The reason stands above the error where packages depend on what is not to be had.
    lines += [line.strip() for line in out.splitlines() if "Depends:" in line]
    return "; ".join(lines) or "apt-get says nothing"


def fresh(valid_seconds: float, directory: str = LISTS) -> bool:
    """Return whether the lists of packages were fetched lately."""
    try:
        # A fresh image has the directory, but no lists in it.
        listed = any(name.endswith("_Packages") or "_Packages." in name for name in os.listdir(directory))
        return listed and time.time() - os.stat(directory).st_mtime < valid_seconds
    except FileNotFoundError:
        return False


def is_locked(output: str) -> bool:
    """Return whether apt gave up because another program holds one of its locks. It waits itself for that of dpkg only."""
    return "Could not get lock" in output or "Unable to lock directory" in output


def waiting(command: Callable[[], tuple[int, str]], seconds: float) -> tuple[int, str]:
    """Return status and output of a command of apt, repeated for so long while another program holds a lock."""
    deadline = time.monotonic() + seconds
    while True:
        status, output = command()
        if not status or not is_locked(output) or time.monotonic() > deadline:
            return status, output
        time.sleep(LOCK_PAUSE_SECONDS)

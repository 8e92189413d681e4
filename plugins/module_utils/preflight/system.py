# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What every host needs of its system: systemd, memory, room for packages, a clock that is right."""

from __future__ import annotations

import datetime
import os
import re

from .reading import text

# Certificates and logins fail by less.
CLOCK_SECONDS = 60
# Where packages are unpacked, and where what runs writes.
WRITTEN = ("/usr", "/var", "/tmp")
MIB = 1024**2


def problems(
    least_memory_mib: int = 0, least_space_mib: int = 0, now: datetime.datetime | None = None, root: str = ""
) -> list[str]:
    """Return what of the system is not enough. `now` is the time of the controller; 0 and None are not looked at."""
    found = []
    if not os.path.isdir(f"{root}/run/systemd/system"):
        found.append("does not run systemd; install a system that does, or boot it with systemd")
    if least_memory_mib:
        found += memory(text(f"{root}/proc/meminfo"), least_memory_mib)
    if least_space_mib:
        found += space(
            {path: _free_mib(root + path) for path in WRITTEN if os.path.isdir(root + path)}, least_space_mib
        )
    if now:
        found += clock(datetime.datetime.now(datetime.UTC), now)
    # https://docs.kernel.org/admin-guide/LSM/SELinux.html
    if text(f"{root}/sys/fs/selinux/enforce").strip() == "1":
        found.append(
            "enforces SELinux, for which the roles bring no rules; let it only warn (setenforce 0, and SELINUX=permissive "
            "in /etc/selinux/config)"
        )
    return found


def memory(meminfo: str, least_mib: int) -> list[str]:
    """Return whether the host has too little memory; `meminfo` is the text of /proc/meminfo."""
    total = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo, re.MULTILINE)
    mib = int(total[1]) // 1024 if total else least_mib
    return [f"has {mib} MiB of memory, less than any service needs; give it {least_mib} or more"] * (mib < least_mib)


def space(free_mib: dict[str, int], least_mib: int) -> list[str]:
    """Return which directories are on file systems without room for packages."""
    return [
        f"{path} has {free} MiB left, too little to install packages; free {least_mib} MiB there"
        for path, free in free_mib.items()
        if free < (100 if path == "/tmp" else least_mib)
    ]


def clock(here: datetime.datetime, controller: datetime.datetime) -> list[str]:
    """Return whether the clock of the host differs from that of the controller."""
    seconds = round((here - controller).total_seconds())
    if abs(seconds) <= CLOCK_SECONDS:
        return []
    side = "ahead of" if seconds > 0 else "behind"
    return [
        f"its clock is {datetime.timedelta(seconds=abs(seconds))} {side} that of this machine; set both by NTP "
        "(systemctl enable --now systemd-timesyncd), or certificates and logins fail"
    ]


def _free_mib(path: str) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // MIB

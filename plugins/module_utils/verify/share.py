# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The files of the primary on a host that must only read them."""

from __future__ import annotations

from .lines import CheckFailed
from .run import run
from .volumes import findmnt


def check_share(host: str, mount: str, site: str) -> str:
    """Return how the share is mounted; its file .imaging-repository holds the name of its site."""
    remedy = f"see journalctl -u '*.mount' on {host}; is the primary up?"
    mounted = findmnt(mount, remedy)
    # A share whose other side is gone hangs: cat is killed, this program is not.
    found = run(["timeout", "--signal=KILL", "3", "cat", f"{mount}/.imaging-repository"], remedy).strip()
    if found != site:
        raise CheckFailed(f"{mount} belongs to site {found or '(no name)'}, not {site}", remedy)
    if "ro" not in mounted["options"].split(","):
        raise CheckFailed(f"{mount} is mounted writable", "run configure.yml: a replica must only read")
    return f"{mount}, {mounted['fstype']}, read-only"

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The release of a host's operating system."""

from __future__ import annotations

import shlex


def problems(os_release: str, wanted: str, remedy: str = "") -> list[str]:
    """Return why a host with this /etc/os-release is refused; `wanted` is the number of a Debian release."""
    found = values(os_release)
    if found.get("ID") == "debian" and found.get("VERSION_ID") == wanted:
        return []
    name = found.get("PRETTY_NAME") or "no known system"
    return [f"runs {name}, but this release needs Debian {wanted}; {remedy or f'install Debian {wanted} on it'}"]


def values(text: str) -> dict[str, str]:
    """Return what an os-release file says."""
    found = {}
    for line in text.splitlines():
        name, mark, value = line.partition("=")
        if mark and not name.startswith("#"):
            try:
                found[name.strip()] = "".join(shlex.split(value))
            except ValueError:
                continue
    return found

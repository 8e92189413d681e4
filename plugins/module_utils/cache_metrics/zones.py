# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What each zone holds and may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..nginx_cache.sizes import KEYS_PER_MIB
from ..nginx_cache.zone_files import usage


@dataclass(frozen=True)
class ZoneUse:
    """A zone with its bounds, and with what is in it where that is known."""

    name: str
    max_bytes: int
    max_entries: int
    size_bytes: int | None = None
    entries: int | None = None

    def warning(self) -> str:
        """Return what to do about a zone that has nearly as many entries as keys, or nothing."""
        if self.entries is None or self.entries < 0.9 * self.max_entries:
            return ""
        return (
            f"zone {self.name}: {self.entries:,} entries fill its {self.max_entries:,} keys, so nginx evicts "
            f"although there may be space; set cache_keys_size_mib.{self.name} to "
            f"{2 * self.max_entries // KEYS_PER_MIB}"
        )


def measure(zone: Mapping[str, Any], files: int) -> ZoneUse:
    """Return a zone with what it holds, extrapolated from so many of its files.

    Of a zone that is not made yet, or that this user may not look into, only the bounds.
    """
    bounds = zone["name"], zone["max_size_mib"] << 20, zone["keys_size_mib"] * KEYS_PER_MIB
    try:
        found = usage(zone["directory"], files=files)
    except PermissionError:
        return ZoneUse(*bounds)
    return ZoneUse(*bounds, found.size_bytes, found.files) if found else ZoneUse(*bounds)

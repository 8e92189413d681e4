# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How large nginx makes each zone of the cache, and whether what is expected fits in.

A policy's zone has ``name``, ``max_size_mib``, ``mean_size_kib`` (what one entry takes on the volume, as a mean; rather
too small) and ``inactive``. Where the size of the volume is known, the sizes of the policy are only weights: the zones
together fill the allowed part of the volume, in their proportion.

What nginx keeps of an entry in memory: 1 MiB of keys_zone holds about 8,000 keys
(https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_path). With fewer keys than entries it evicts
entries although there is space. Memory of keys_zone is only taken when a key is written there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEYS_PER_MIB = 8000
DIRECTORY = "/var/cache/nginx"


def cache_zones(
    policy_zones: Sequence[Mapping[str, Any]],
    volume_gib: int = 0,
    volume_percent: int = 85,
    expected_entries: Mapping[str, int] | None = None,
    keys_size_mib: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Return the zones as nginx gets them, in the policy's order.

    `volume_gib`: size of the volume, 0 where it is not known: the sizes are the policy's then. `volume_percent`: how
    much of it the zones fill. `expected_entries`: how many entries a zone will have, by name, where the site knows it.
    `keys_size_mib`: sizes that somebody chose instead of the computed ones, by name.

    Each is ``{name, directory, max_size_mib, mean_size_kib, entries, keys_size_mib, inactive, min_free_mib}``;
    ``entries`` is how many it is expected to hold when it is full: the known number, at least as many as its size
    holds.
    """
    volume_mib = int(volume_gib) * 1024
    weights = sum(zone["max_size_mib"] for zone in policy_zones)
    zones = []
    for zone in policy_zones:
        size_mib = zone["max_size_mib"]
        if volume_mib:
            size_mib = max(volume_mib * int(volume_percent) // 100 * size_mib // weights, 1)
        entries = max(size_mib * 1024 // zone["mean_size_kib"], (expected_entries or {}).get(zone["name"], 0))
        zones.append(
            {
                "name": zone["name"],
                "directory": f"{DIRECTORY}/{zone['name']}",
                "max_size_mib": size_mib,
                "mean_size_kib": zone["mean_size_kib"],
                "entries": entries,
                "keys_size_mib": (keys_size_mib or {}).get(zone["name"]) or needed_keys_mib(entries),
                "inactive": zone["inactive"],
                # Below this nginx evicts as well: a file system that is nearly full is slow, and others may write to it.
                "min_free_mib": max(volume_mib // 20, 64),
            }
        )
    return zones


def needed_keys_mib(entries: int) -> int:
    """Return how many MiB the keys of so many entries take."""
    return max(-(-entries // KEYS_PER_MIB), 1)


def zone_problems(
    zones: Sequence[Mapping[str, Any]],
    expected_entries: Mapping[str, int] | None = None,
    keys_size_mib: Mapping[str, int] | None = None,
) -> list[str]:
    """Return what is wrong with the keys of the zones, or with what was said about them; one sentence each."""
    names = [zone["name"] for zone in zones]
    problems = [
        f"{variable}.{name}: the policy has no such zone; write one of {', '.join(names)}"
        for variable, values in (("cache_expected_entries", expected_entries), ("cache_keys_size_mib", keys_size_mib))
        for name in (values or {})
        if name not in names
    ]
    for zone in zones:
        holds, needed = zone["keys_size_mib"] * KEYS_PER_MIB, needed_keys_mib(zone["entries"])
        if zone["keys_size_mib"] < needed:
            problems.append(
                f"cache_keys_size_mib.{zone['name']}: {zone['keys_size_mib']} MiB hold {holds:,} keys, but "
                f"{zone['entries']:,} entries are expected ({zone['max_size_mib']:,} MiB of {zone['mean_size_kib']} KiB each, "
                f"or as cache_expected_entries says); set {needed}, or leave it out"
            )
    return problems


def zone_warnings(
    zones: Sequence[Mapping[str, Any]],
    expected_entries: Mapping[str, int] | None = None,
    volume_gib: int = 0,
) -> list[str]:
    """Return which zones are too small for the entries that the site expects, and which size is not; one sentence each.

    Such a site works; what does not fit is evicted and rendered again.
    """
    warnings = []
    for zone in zones:
        expected = (expected_entries or {}).get(zone["name"], 0)
        needed_mib = -(-expected * zone["mean_size_kib"] // 1024)
        if needed_mib > zone["max_size_mib"]:
            remedy = (
                f"a volume of {-(-int(volume_gib) * needed_mib // zone['max_size_mib'])} GiB would hold them"
                if volume_gib
                else f"set its max_size_mib in the policy to {needed_mib}"
            )
            warnings.append(
                f"zone {zone['name']}: {expected:,} entries of {zone['mean_size_kib']} KiB are expected, its "
                f"{zone['max_size_mib']:,} MiB hold {zone['max_size_mib'] * 1024 // zone['mean_size_kib']:,}; {remedy}"
            )
    return warnings

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""One policy of all drivers of a site: what the roles cache, cache_warm and verify read as `cache_policy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What is a list of entries in each policy.
_LISTS = ("routes", "warm_sources", "study_members")


def merged(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the policy of a site; `policies` by driver, in the order of the site file.

    It has the keys of the first driver's policy, and
    - `drivers`: all policies as they are, by driver,
    - `routes`, `warm_sources`, `study_members`: those of all drivers, routes and members with their `driver`; one whose
      name another driver has already used is named `<driver>_<name>`,
    - `zones`: those of all drivers; two of one name are one, as large as both, with the smaller mean size and the longer
      time,
    - `forbidden_paths` and `cannot_draw`: those of all drivers.
    """
    if not policies:
        return {}
    first = next(iter(policies.values()))
    return {
        **first,
        "drivers": dict(policies),
        **{key: _entries(policies, key) for key in _LISTS},
        "zones": _zones(zone for policy in policies.values() for zone in policy["zones"]),
        "forbidden_paths": list(
            dict.fromkeys(path for policy in policies.values() for path in policy.get("forbidden_paths", ()))
        ),
        "cannot_draw": sorted({status for policy in policies.values() for status in policy.get("cannot_draw", ())}),
    }


def _entries(policies: Mapping[str, Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for driver, policy in policies.items():
        taken = {entry.get("name") for entry in found}
        own = {} if key == "warm_sources" else {"driver": driver}
        found += [{**entry, **own, **_name(entry, driver, taken)} for entry in policy.get(key, ())]
    return found


def _name(entry: Mapping[str, Any], driver: str, taken: set[Any]) -> dict[str, Any]:
    return {"name": f"{driver}_{entry['name']}"} if "name" in entry and entry["name"] in taken else {}


def _zones(zones: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for zone in zones:
        same = found.get(zone["name"])
        if same is None:
            found[zone["name"]] = dict(zone)
            continue
        same["max_size_mib"] += zone["max_size_mib"]
        same["mean_size_kib"] = min(same["mean_size_kib"], zone["mean_size_kib"])
        same["inactive"] = max(same["inactive"], zone["inactive"], key=seconds)
    return list(found.values())


def seconds(time: str) -> int:
    """Return the seconds of a time as nginx writes one with one unit, e.g. 365d."""
    return int(time[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[time[-1]]


def gallery_data(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what each driver's script in the gallery reads of its policy."""
    return {
        driver: {"pages": policy.get("pages", {}), "cannot_draw": policy.get("cannot_draw", [])}
        for driver, policy in policies.items()
    }


def gallery_sources(policies: Mapping[str, Mapping[str, Any]], roles_directory: str) -> list[dict[str, str]]:
    """Return where each driver's script is, and below which directory of the gallery it is laid; for file_tree."""
    return [
        {"path": f"{roles_directory}/image_server_{driver}/files/gallery", "below": f"drivers/{driver}"}
        for driver in policies
    ]

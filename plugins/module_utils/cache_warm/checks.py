# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What may stand in the configuration of a warm."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .. import checked
from .source_rules import problems as source_problems
from .transport import MAX_IN_FLIGHT

_REQUIRED = ("probe", "routes", "sources")
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


def problems(content: Any, known: Iterable[str]) -> list[str]:
    """Return what is wrong in the content of a configuration file, as `key: what is wrong; what to do`.

    `known`: the names of all settings.
    """
    if not isinstance(content, dict):
        return ['the whole file: no JSON object; write {"url": ..., "sources": [...]}']
    names = list(known)
    found = [f"{key}: {checked.unknown(key, names)}" for key in content if key not in names]
    for key in _REQUIRED:
        if not content.get(key):
            found.append(f"{key}: missing; take it from the image server's cache policy")
    for key, value in content.items():
        if key in _CHECKS and (value or key not in _REQUIRED):
            found.extend(f"{key}{problem}" for problem in _CHECKS[key](value))
    return found or _contradictions(content)


def _contradictions(content: dict[str, Any]) -> list[str]:
    """Return what does not fit together in a configuration whose parts are right."""
    found: list[str] = []
    routes = {route["name"] for route in content["routes"]}
    zones = {zone["name"] for zone in content.get("zones", ())}
    found.extend(
        f"route_concurrency.{name}: there is no such route; write one of {', '.join(sorted(routes))}"
        for name in content.get("route_concurrency", {})
        if name not in routes
    )
    if zones:
        found.extend(
            f"routes.{route['name']}.zone: {route['zone']!r} is not among zones; add it there"
            for route in content["routes"]
            if route["zone"] not in zones
        )
    names = [entry["name"] for entry in content["sources"]]
    found.extend(
        f"sources: two are named {name!r}; name each differently"
        for name in sorted(set(names))
        if names.count(name) > 1
    )
    if content.get("visitors_p95_limit_seconds") and not content.get("visitors_log"):
        found.append("visitors_log: missing; name nginx's access log, or set visitors_p95_limit_seconds to 0")
    if not content.get("readers"):
        found.extend(
            f"sources.{entry['name']}.readers: there are no readers; fill readers or remove this source"
            for entry in content["sources"]
            if entry.get("readers")
        )
    return found


def _route(entry: dict[str, Any]) -> list[str]:
    try:
        re.compile(entry["match"])
    except re.error as error:
        return [f".match: no regular expression ({error}); correct the cache policy"]
    return []


def _zone(entry: dict[str, Any]) -> list[str]:
    return [f".directory{problem}" for problem in checked.absolute(entry["directory"])] + [
        f".max_size_mib{problem}" for problem in checked.number(1)(entry["max_size_mib"])
    ]


def _source(entry: dict[str, Any]) -> list[str]:
    # What is done with a source is ours, what it is, its kind's.
    found = [f".{problem}" for problem in source_problems({k: v for k, v in entry.items() if k != "readers"})]
    return found + [f".readers{problem}" for problem in checked.boolean(entry.get("readers", False))]


def _reader(entry: dict[str, Any]) -> list[str]:
    headers = entry.get("headers", {})
    right = isinstance(headers, dict) and all(isinstance(value, str) for value in headers.values())
    return [f".url{problem}" for problem in checked.url(entry["url"])] + (
        [] if right else [f".headers: {headers!r} does not do; write {{name: text}}"]
    )


def _statuses(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return [f": {value!r} is no list; write e.g. [422]"]
    check = checked.number(400, 499, whole=True)
    return [f"[{index}]{problem}" for index, status in enumerate(value) for problem in check(status)]


def _windows(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return [f': {value!r} is no list; write ["22:30-06:00"]']
    return [
        f'[{index}]: {window!r} is no time window; write e.g. "22:30-06:00"'
        for index, window in enumerate(value)
        if not (isinstance(window, str) and _WINDOW.fullmatch(window))
    ]


def _share(value: Any) -> list[str]:
    if not isinstance(value, dict) or set(value) != {"index", "count"}:
        return [f': {value!r} does not do; write {{"index": 0, "count": 1}}']
    found = [
        f".{key}{problem}"
        for key, low in (("index", 0), ("count", 1))
        for problem in checked.number(low, whole=True)(value[key])
    ]
    if not found and value["index"] >= value["count"]:
        found = [f".index: {value['index']} is not below count; count from 0"]
    return found


_CHECKS: dict[str, checked.Check] = {
    "url": checked.url,
    "refresh_url": checked.url,
    "probe": checked.absolute,
    "routes": checked.entries({"name": str, "match": str, "zone": str}, _route),
    "zones": checked.entries({"name": str, "directory": str, "max_size_mib": object}, _zone),
    "sources": checked.entries({"name": str}, _source),
    "cannot_draw": _statuses,
    "concurrency": checked.number(1, MAX_IN_FLIGHT, whole=True),
    "processes": checked.number(1, 64, whole=True),
    "attempts": checked.number(1, whole=True),
    "timeout_seconds": checked.number(0.1),
    "route_concurrency": checked.numbers_by_name(checked.number(1, whole=True)),
    "windows": _windows,
    "visitors_log": checked.absolute_or_empty,
    "visitors_p95_limit_seconds": checked.number(0),
    "minimum_coverage": checked.number(0, 1),
    "sample_fraction": checked.number(0, 1),
    "sample_minimum": checked.number(0, whole=True),
    "share": _share,
    "readers": checked.entries({"url": str}, _reader),
    "skip_cached": checked.boolean,
    "state_directory": checked.absolute,
    "runtime_directory": checked.absolute,
    "metrics_file": checked.absolute_or_empty,
}

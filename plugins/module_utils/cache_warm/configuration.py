# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the warm is told: one JSON file, written by role cache_warm, checked as a whole before anything is done."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import urllib.parse

from . import sources as source_kinds
from .transport import MAX_IN_FLIGHT

DEFAULT_PATH = "/etc/imaging-repository/cache-warm.json"
_REQUIRED = ("probe", "routes", "sources")
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


class ConfigurationError(Exception):
    """The configuration cannot be used; the text has a line per problem: the key, what is wrong, what to do."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """The settings of a warm. Times in seconds, sizes in MiB, paths absolute; see docs/warm.md."""

    # Where nginx answers on its own host, and where it fetches an answer anew.
    url: str = "http://127.0.0.1:8081"
    refresh_url: str = "http://127.0.0.1:8082"
    # Path that answers 200, not from the cache, only while the image servers and their database are well.
    probe: str = ""
    # The cache policy's routes: {name, match, zone, valid, arguments, ...}, and the zones as nginx has them:
    # {name, directory, max_size_mib, min_free_mib}.
    routes: tuple[dict, ...] = ()
    zones: tuple[dict, ...] = ()
    # See sources.py. `readers: true` in one of them: its URLs are asked of every reader and not of the cache.
    sources: tuple[dict, ...] = ()
    # Statuses by which the image servers say that a page exists but cannot be drawn. They are believed only while the
    # probe finds the image servers well.
    cannot_draw: tuple[int, ...] = ()
    concurrency: int = 8
    processes: int = 1
    attempts: int = 6
    timeout_seconds: float = 60.0
    # How many requests of a route may be in flight, by the route's name.
    route_concurrency: dict = dataclasses.field(default_factory=dict)
    # Local times of day, "22:30-06:00", in which requests may be made; none means always.
    windows: tuple[str, ...] = ()
    # nginx's access log in JSON, and the visitors' 95th percentile above which the warm pauses; 0 does not look.
    visitors_log: str = ""
    visitors_p95_limit_seconds: float = 0.0
    minimum_coverage: float = 0.99
    sample_fraction: float = 0.01
    sample_minimum: int = 1000
    # This host warms the pages whose key, as a number, modulo `count` is `index`.
    share: dict = dataclasses.field(default_factory=lambda: {"index": 0, "count": 1})
    # Image servers that keep a cache of their own: {url, headers (optional, by name)}.
    readers: tuple[dict, ...] = ()
    skip_cached: bool = True
    state_directory: str = "/var/lib/cache-warm"
    runtime_directory: str = "/run/cache-warm"
    # For Prometheus' textfile collector; empty writes none.
    metrics_file: str = ""

    @property
    def status_path(self) -> str:
        return os.path.join(self.runtime_directory, "status.json")

    @property
    def report_path(self) -> str:
        return os.path.join(self.state_directory, "report.json")

    @property
    def lock_path(self) -> str:
        return os.path.join(self.state_directory, "lock")

    @property
    def unfinished_path(self) -> str:
        return os.path.join(self.state_directory, "unfinished")

    @property
    def sample_path(self) -> str:
        return os.path.join(self.state_directory, "sample")


def load(path: str) -> Configuration:
    """Read and check the file at `path`; raise ConfigurationError with every problem at once."""
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; run warm.yml, which writes it") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: no JSON ({error}); run warm.yml, which writes it") from None
    found = problems(content)
    if found:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in found))
    return Configuration(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})


def problems(content) -> list[str]:
    """Return what is wrong in the content of a configuration file, as `key: what is wrong; what to do`."""
    if not isinstance(content, dict):
        return ['the whole file: no JSON object; write {"url": ..., "sources": [...]}']
    known = [field.name for field in dataclasses.fields(Configuration)]
    found = []
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            found.append(f"{key}: there is no such setting; " + (f"write {near[0]}" if near else "remove it"))
    for key in _REQUIRED:
        if not content.get(key):
            found.append(f"{key}: missing; take it from the image server's cache policy")
    for key, value in content.items():
        if key in _CHECKS and (value or key not in _REQUIRED):
            found.extend(f"{key}{problem}" for problem in _CHECKS[key](value))
    if not found:
        found = _contradictions(content)
    return found


def _contradictions(content: dict) -> list[str]:
    """Return what does not fit together in a configuration whose parts are right."""
    found = []
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


def _number(low: float, high: float | None = None, whole: bool = False):
    def check(value) -> list[str]:
        kinds = int if whole else (int, float)
        wanted = f"write a {'whole ' if whole else ''}number " + (
            f"from {low:g} to {high:g}" if high is not None else f"of at least {low:g}"
        )
        right = isinstance(value, kinds) and not isinstance(value, bool) and value >= low
        return [] if right and (high is None or value <= high) else [f": {value!r} does not do; {wanted}"]

    return check


def _url(value) -> list[str]:
    try:
        parts = urllib.parse.urlsplit(value) if isinstance(value, str) else None
        right = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    return [] if right else [f": {value!r} is no URL; write e.g. http://127.0.0.1:8081"]


def _path(value) -> list[str]:
    right = isinstance(value, str) and value.startswith("/")
    return [] if right else [f": {value!r} is no absolute path; begin with /"]


def _path_or_empty(value) -> list[str]:
    return [] if value == "" else _path(value)


def _boolean(value) -> list[str]:
    return [] if isinstance(value, bool) else [f": {value!r} does not do; write true or false"]


def _entries(keys: dict[str, type], more=None):
    """Return a check of a list of objects that must have `keys` of these types; `more` checks an entry further."""

    def check(value) -> list[str]:
        if not isinstance(value, (list, tuple)):
            return [f": {value!r} is no list; write [...]"]
        found = []
        for index, entry in enumerate(value):
            if not isinstance(entry, dict):
                found.append(f"[{index}]: {entry!r} is no object; write {{{', '.join(keys)}}}")
                continue
            wrong = [
                f"[{index}].{key}: {entry.get(key)!r} does not do; write a {kind.__name__}"
                for key, kind in keys.items()
                if not isinstance(entry.get(key), kind)
            ]
            found.extend(wrong or [f"[{index}]{problem}" for problem in (more(entry) if more else ())])
        return found

    return check


def _route(entry: dict) -> list[str]:
    try:
        re.compile(entry["match"])
    except re.error as error:
        return [f".match: no regular expression ({error}); correct the cache policy"]
    return []


def _zone(entry: dict) -> list[str]:
    return [f".directory{problem}" for problem in _path(entry["directory"])] + [
        f".max_size_mib{problem}" for problem in _number(1)(entry["max_size_mib"])
    ]


def _source(entry: dict) -> list[str]:
    # What is done with a source is ours, what it is, its kind's.
    found = source_kinds.problems({key: value for key, value in entry.items() if key != "readers"})
    if not isinstance(entry.get("readers", False), bool):
        found.append(f"readers: {entry['readers']!r} does not do; write true or false")
    return [f".{problem}" for problem in found]


def _reader(entry: dict) -> list[str]:
    headers = entry.get("headers", {})
    right = isinstance(headers, dict) and all(isinstance(value, str) for value in headers.values())
    return [f".url{problem}" for problem in _url(entry["url"])] + (
        [] if right else [f".headers: {headers!r} does not do; write {{name: text}}"]
    )


def _statuses(value) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return [f": {value!r} is no list; write e.g. [422]"]
    return [f"[{index}]{problem}" for index, status in enumerate(value) for problem in _number(400, 499, True)(status)]


def _windows(value) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return [f': {value!r} is no list; write ["22:30-06:00"]']
    return [
        f'[{index}]: {window!r} is no time window; write e.g. "22:30-06:00"'
        for index, window in enumerate(value)
        if not (isinstance(window, str) and _WINDOW.fullmatch(window))
    ]


def _route_concurrency(value) -> list[str]:
    if not isinstance(value, dict):
        return [f": {value!r} is no object; write {{route: number}}"]
    return [f".{name}{problem}" for name, number in value.items() for problem in _number(1, whole=True)(number)]


def _share(value) -> list[str]:
    if not isinstance(value, dict) or set(value) != {"index", "count"}:
        return [f': {value!r} does not do; write {{"index": 0, "count": 1}}']
    found = [
        f".{key}{problem}"
        for key, low in (("index", 0), ("count", 1))
        for problem in _number(low, whole=True)(value[key])
    ]
    if not found and value["index"] >= value["count"]:
        found = [f".index: {value['index']} is not below count; count from 0"]
    return found


_CHECKS = {
    "url": _url,
    "refresh_url": _url,
    "probe": _path,
    "routes": _entries({"name": str, "match": str, "zone": str}, _route),
    "zones": _entries({"name": str, "directory": str, "max_size_mib": object}, _zone),
    "sources": _entries({"name": str}, _source),
    "cannot_draw": _statuses,
    "concurrency": _number(1, MAX_IN_FLIGHT, whole=True),
    "processes": _number(1, 64, whole=True),
    "attempts": _number(1, whole=True),
    "timeout_seconds": _number(0.1),
    "route_concurrency": _route_concurrency,
    "windows": _windows,
    "visitors_log": _path_or_empty,
    "visitors_p95_limit_seconds": _number(0),
    "minimum_coverage": _number(0, 1),
    "sample_fraction": _number(0, 1),
    "sample_minimum": _number(0, whole=True),
    "share": _share,
    "readers": _entries({"url": str}, _reader),
    "skip_cached": _boolean,
    "state_directory": _path,
    "runtime_directory": _path,
    "metrics_file": _path_or_empty,
}

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the warm is told: one JSON file, written by role cache_warm, checked as a whole before anything is done."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from .addresses import Addresses
from .checks import problems
from .feed import Pages, Reader
from .pace import Pressure
from .proof import SampleSize
from .share import Share

DEFAULT_PATH = "/etc/imaging-repository/cache-warm.json"


class ConfigurationError(Exception):
    """The configuration cannot be used; the text has a line per problem: the key, what is wrong, what to do."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """The settings of a warm as the file has them. Times in seconds, sizes in MiB, paths absolute; see docs/warm.md.

    Each part of the program gets its own part of them, by the properties.
    """

    # Where nginx answers on its own host, and where it fetches an answer anew.
    url: str = "http://127.0.0.1:8081"
    refresh_url: str = "http://127.0.0.1:8082"
    # Path that answers 200, not from the cache, only while the image servers and their database are well.
    probe: str = ""
    # The cache policy's routes: {name, match, zone, valid, arguments, ...}, and the zones as nginx has them:
    # {name, directory, max_size_mib, min_free_mib}.
    routes: tuple[Mapping[str, Any], ...] = ()
    zones: tuple[Mapping[str, Any], ...] = ()
    # See sources.py. `readers: true` in one of them: its URLs are asked of every reader and not of the cache.
    sources: tuple[Mapping[str, Any], ...] = ()
    # Statuses by which the image servers say that a page exists but cannot be drawn. They are believed only while the
    # probe finds the image servers well.
    cannot_draw: tuple[int, ...] = ()
    concurrency: int = 8
    processes: int = 1
    attempts: int = 6
    timeout_seconds: float = 60.0
    # How many requests of a route may be in flight, by the route's name.
    route_concurrency: Mapping[str, int] = dataclasses.field(default_factory=dict)
    # Local times of day, "22:30-06:00", in which requests may be made; none means always.
    windows: tuple[str, ...] = ()
    # nginx's access log in JSON, and the visitors' 95th percentile above which the warm pauses; 0 does not look.
    visitors_log: str = ""
    visitors_p95_limit_seconds: float = 0.0
    minimum_coverage: float = 0.99
    sample_fraction: float = 0.01
    sample_minimum: int = 1000
    # This host warms the pages whose key, as a number, modulo `count` is `index`.
    share: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"index": 0, "count": 1})
    # Image servers that keep a cache of their own: {url, headers (optional, by name)}.
    readers: tuple[Mapping[str, Any], ...] = ()
    skip_cached: bool = True
    state_directory: str = "/var/lib/cache-warm"
    runtime_directory: str = "/run/cache-warm"
    # For Prometheus' textfile collector; empty writes none.
    metrics_file: str = ""

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.url.rstrip("/"), self.refresh_url.rstrip("/"), self.probe)

    @property
    def pressure(self) -> Pressure:
        return Pressure(
            self.concurrency,
            dict(self.route_concurrency),
            self.windows,
            self.visitors_log,
            self.visitors_p95_limit_seconds,
        )

    @property
    def sample_size(self) -> SampleSize:
        return SampleSize(self.sample_fraction, self.sample_minimum)

    def pages(self, refresh: bool) -> Pages:
        """Return what is to be warmed; `refresh`: all of it anew."""
        readers = tuple(
            Reader(
                reader["url"].rstrip("/"),
                tuple(f"{name}: {value}" for name, value in reader.get("headers", {}).items()),
            )
            for reader in self.readers
        )
        return Pages(self.sources, Share(**self.share), readers, self.skip_cached, refresh)

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
    found = problems(content, [field.name for field in dataclasses.fields(Configuration)])
    if found:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in found))
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
    }
    return Configuration(**settings)

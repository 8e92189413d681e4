"""The files in which nginx 1.22 keeps a zone (proxy_cache_path levels=1:2)."""
from __future__ import annotations

from typing import NamedTuple

from .keys import Key


class Zone(NamedTuple):
    """One zone as nginx has it: its directory and its bound (max_size)."""

    name: str
    directory: str
    max_size_bytes: int


def cache_file(zone: Zone, key: Key) -> str:
    """Return the path of the file in which nginx keeps the answer of a key."""
    raise NotImplementedError


def cached(zone: Zone, key: Key) -> bool:
    """Return whether nginx has a fresh answer of this key, by its file: False where in doubt (then ask nginx)."""
    raise NotImplementedError


def usage_bytes(zone: Zone, leaves: int | None = None) -> int:
    """Return how large nginx counts the zone: sizes of its files, each rounded up to the file system's blocks.

    `leaves`: look into so many of the 4,096 directories, chosen at random, and extrapolate: MD5 spreads the files evenly.
    """
    raise NotImplementedError

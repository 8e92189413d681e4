# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The paths that a site file names: files of the controller, relative to the repository unless they are absolute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .fields import Field


def paths(field: Field, value: Any, path: str) -> Iterator[tuple[str, Field, str]]:
    """Yield each path of a sound value with its field and the key where it stands."""
    if field.kind == "path":
        yield path, field, value
    elif field.kind == "mapping":
        for key, inner in value.items():
            yield from paths(field.keys[key], inner, f"{path}.{key}")
    elif field.kind == "list":
        for index, inner in enumerate(value):
            yield from paths(field.entry, inner, f"{path}[{index}]")


def absolute(value: str, directory: str) -> str:
    """Return a path of a site file: absolute, of the user's own folder (~), or from the directory."""
    return os.path.join(directory, os.path.expanduser(value))


def resolved_paths(field: Field, value: Any, directory: str) -> Any:
    """Return a sound value with all paths absolute."""
    if field.kind == "path":
        return absolute(value, directory)
    if field.kind == "mapping":
        return {key: resolved_paths(field.keys[key], inner, directory) for key, inner in value.items()}
    if field.kind == "list":
        return [resolved_paths(field.entry, inner, directory) for inner in value]
    return value

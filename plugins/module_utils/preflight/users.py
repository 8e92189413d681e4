# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Fixed numbers of users and groups: kept volumes name their owners by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A user or a group that a host knows."""

    name: str
    number: int


def problems(wanted: Mapping[str, int], users: Iterable[Entry], groups: Iterable[Entry]) -> list[str]:
    """Return which of the wanted names and numbers a host uses otherwise."""
    found = []
    for kind, entries in (("user", list(users)), ("group", list(groups))):
        for name, number in wanted.items():
            for entry in entries:
                if entry.number == number and entry.name != name:
                    found.append(
                        f"the number {number} belongs to {kind} {entry.name}, and the files of {name} on kept volumes "
                        f"have it; give {entry.name} another number"
                    )
                elif entry.name == name and entry.number != number:
                    found.append(
                        f"{kind} {name} has the number {entry.number}, and its files on kept volumes have {number}; "
                        f"remove the package that made it, or give it the number {number}"
                    )
    return found

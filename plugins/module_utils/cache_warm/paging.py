# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How a list of ids is asked for in pages, as the source says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def list_page(entry: Mapping[str, Any], offset: int, count: int) -> str:
    """Return the path of the page of a list that begins after `offset` ids and has at most `count` of them.

    The entry says how: {offset} and {count} in `list`, or the names of query arguments in `page`, {offset: ...,
    count: ...}. Where it says nothing, the list has one page, its own path.
    """
    address = str(entry["list"])
    if is_paged(entry) and "page" not in entry:
        return address.replace("{offset}", str(offset)).replace("{count}", str(count))
    if "page" not in entry:
        return address
    names = entry["page"]
    return f"{address}{'&' if '?' in address else '?'}{names['offset']}={offset}&{names['count']}={count}"


def is_paged(entry: Mapping[str, Any]) -> bool:
    """Return whether a list is asked for in pages."""
    return "page" in entry or "{offset}" in entry["list"]

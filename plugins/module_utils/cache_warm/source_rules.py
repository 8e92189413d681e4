# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What an entry of `sources` may hold, by its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..checked import (
    ADDRESS,
    PATH,
    PATHS,
    POSITIVE,
    TEXT,
    TEXTS,
    TRUTH,
    WHOLE,
    Check,
    is_path,
    list_of,
    mapping_problems,
    must,
)
from .paging import is_paged

_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]+").fullmatch
_URLS = must(
    lambda value: isinstance(value, list) and all(is_path(url) and "{id}" in url for url in value),
    "must be a list of paths that begin with / and hold {id}",
)
_CHILD_LIST = must(lambda value: is_path(value) and "{id}" in value, "must be a path that begins with / and holds {id}")
_CHILDREN = must(list_of(lambda value: isinstance(value, dict)), "must be a list of entries with list and urls")
_PAGE = must(
    lambda value: (
        isinstance(value, dict)
        and set(value) == {"offset", "count"}
        and all(isinstance(name, str) and _ARGUMENT(name) for name in value.values())
    ),
    "must be {offset: <name of the query argument>, count: <name of the query argument>}",
)
_COMMON: dict[str, Check] = {"name": TEXT, "kind": TEXT, "priority": WHOLE, "refresh": TRUTH, "readers": TRUTH}
_OF_AN_ID: dict[str, Check] = {"urls": _URLS, "optional_urls": _URLS, "field": TEXT}
_CHILD_RULES: dict[str, Check] = {"list": _CHILD_LIST, **_OF_AN_ID}
_CHILD_NEEDS = (("list",), ("urls", "optional_urls"))
# Two places for the same thing: one of them would be ignored.
_EXCLUSIVE = (("path", "url"), ("ids", "file"))


class Kind(NamedTuple):
    """A kind of source: its keys, and those that it needs, one of each group."""

    rules: Mapping[str, Check]
    needs: Sequence[Sequence[str]]


KINDS = {
    "list": Kind(
        {"list": PATH, "page": _PAGE, "page_size": POSITIVE, **_OF_AN_ID}, (("list",), ("urls", "optional_urls"))
    ),
    "catalogue": Kind({"path": PATH, "fields": TEXTS}, (("path",),)),
    "urls": Kind({"file": PATH}, (("file",),)),
    "sitemap": Kind({"path": PATH, "url": ADDRESS}, (("path", "url"),)),
    "access_log": Kind({"files": PATHS, "days": POSITIVE}, (("files",),)),
    "studies": Kind(
        {"ids": TEXTS, "file": PATH, "children": _CHILDREN, **_OF_AN_ID},
        (("ids", "file"), ("urls", "optional_urls", "children")),
    ),
}


def kind_of(entry: Mapping[str, Any]) -> Any:
    """Return the kind of an entry; a driver's own lists need not say so."""
    return entry.get("kind", "list")


def problems(entry: object) -> list[str]:
    """Return what is wrong with an entry of `sources`, as `key: what; what to do`, without the place of the entry."""
    if not isinstance(entry, dict):
        return [f"{entry!r} is no entry with name and kind; write one"]
    name = kind_of(entry)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return [f"kind: there is no kind {name!r}; write one of {', '.join(KINDS)}"]
    found = mapping_problems(entry, {**_COMMON, **kind.rules}, (("name",), *kind.needs), _EXCLUSIVE)
    if found:
        return found
    if name == "list":
        found = _page_problems(entry)
    for index, child in enumerate(entry.get("children", ())):
        found += mapping_problems(child, _CHILD_RULES, _CHILD_NEEDS, prefix=f"children[{index}].")
    return found


def _page_problems(entry: Mapping[str, Any]) -> list[str]:
    """Return what does not fit together in how a list is asked for in pages."""
    marks = [mark for mark in ("{offset}", "{count}") if mark in entry["list"]]
    if "page" in entry and marks:
        return [f"page: stands beside {marks[0]} in list; give one of them"]
    if len(marks) == 1:
        return [f"list: holds {marks[0]} alone; write both {{offset}} and {{count}}"]
    if is_paged(entry) and "page_size" not in entry:
        return ["page_size: is missing; say how many ids a page has"]
    if not is_paged(entry) and "page_size" in entry:
        return [
            "page_size: nothing says how a page is asked for; give page, or write {offset} and {count} in list, "
            "or leave it out for a list of one page"
        ]
    return []

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The entries of the warm's sources: their order, and what is said about mistakes in them."""

from __future__ import annotations

import pytest
from cache_warm_source_samples import LIST, STUDIES
from hypothesis import given, strategies

from plugins.module_utils.cache_warm import source_rules
from plugins.module_utils.cache_warm.source_rules import problems
from plugins.module_utils.cache_warm.sources import in_order


def test_order_is_priority_then_place():
    entries = [
        {"name": "a"},
        {"name": "b", "priority": 5},
        {"name": "c", "priority": 100},
        {"name": "d", "priority": -1},
    ]
    assert [entry["name"] for entry in in_order(entries)] == ["d", "b", "a", "c"]


GOOD = [
    LIST,
    STUDIES | {"ids": ["a"], "priority": 3, "refresh": True},
    {"name": "a", "kind": "catalogue", "path": "/x"},
    {"name": "a", "kind": "urls", "file": "/x"},
    {"name": "a", "kind": "sitemap", "url": "https://h/x"},
    {"name": "a", "kind": "sitemap", "path": "/x"},
    {"name": "a", "kind": "access_log", "files": ["/x*"], "days": 7},
]


@pytest.mark.parametrize("entry", GOOD)
def test_good_entries_have_no_problems(entry: dict):
    assert not problems(entry)


@pytest.mark.parametrize(
    "entry, found",
    [
        ("text", ["'text' is no entry"]),
        ({"name": "a", "kind": "sitmap"}, ["kind: there is no kind 'sitmap'; write one of list, "]),
        ({"kind": 7}, ["kind: there is no kind 7"]),
        (
            {},
            [
                "name: is missing",
                "list: is missing",
                "urls: is missing; give urls or optional_urls",
            ],
        ),
        ({"name": "l", "list": "/l", "urls": [], "page_size": 3}, ["page_size: nothing says how a page is asked for"]),
        ({"name": "l", "list": "/l?o={offset}&c={count}", "urls": []}, ["page_size: is missing"]),
        ({"name": "l", "list": "/l?o={offset}", "urls": [], "page_size": 3}, ["list: holds {offset} alone"]),
        (LIST | {"list": "/l?o={offset}&c={count}"}, ["page: stands beside {offset} in list"]),
        (LIST | {"page": {"offset": "since"}}, ["page: {'offset': 'since'} must be {offset: "]),
        (LIST | {"page": {"offset": "a&b", "count": "c"}}, ["page: "]),
        (LIST | {"url": []}, ["url: is unknown; did you mean urls?"]),
        (LIST | {"zzz": 1}, ["zzz: is unknown; known are name, kind, "]),
        (
            LIST | {"urls": ["/no/id"]},
            ["urls: ['/no/id'] must be a list of paths that begin with / and hold {id}; correct it"],
        ),
        (
            LIST | {"page_size": True, "refresh": "yes", "name": ""},
            ["page_size: True must be", "refresh: 'yes'", "name: ''"],
        ),
        (STUDIES, ["ids: is missing; give ids or file"]),
        (STUDIES | {"ids": ["a"], "file": "/x"}, ["file: stands beside ids; give one of them"]),
        (
            STUDIES | {"ids": ["a"], "children": [{"list": "/x"}]},
            ["children[0].list: '/x' must be a path that begins with / and holds {id}", "children[0].urls: is missing"],
        ),
        (STUDIES | {"ids": ["a"], "children": ["x"]}, ["children: ['x'] must be"]),
        ({"name": "a", "kind": "access_log", "files": "/x", "days": 0}, ["files: '/x' must be", "days: 0 must be"]),
    ],
)
def test_problems_of_entries(entry: object, found: list[str]):
    told = problems(entry)
    assert len(told) == len(found), told
    assert all(sentence.startswith(begin) for sentence, begin in zip(sorted(told), sorted(found), strict=False)), told


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=8),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(["name", "kind", "urls", "list", "ids", "children", "file", "files", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
    strategies.sampled_from([*source_rules.KINDS, None]),
)
def test_problems_never_stumble(entry: object, kind: str | None):
    if isinstance(entry, dict) and kind:
        entry["kind"] = kind
    assert all(isinstance(sentence, str) for sentence in problems(entry))

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import pytest

from plugins.module_utils import checked

RULES = {"name": checked.TEXT, "size": checked.number(1, 9, whole=True), "path": checked.PATH, "url": checked.ADDRESS}


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"name": "a", "size": 3, "path": "/x"}, []),
        ({"nam": "a", "path": "/x"}, ["nam: is unknown; did you mean name?", "name: is missing; give name"]),
        ({"zzz": 1, "name": "a", "path": "/x"}, ["zzz: is unknown; known are name, size, path, url"]),
        ({"name": "", "path": "x"}, ["name: '' must be a text; correct it", "path: 'x' must be a path that begins"]),
        ({"name": "a", "size": 10, "url": "http://h/"}, ["size: 10 does not do; write a whole number from 1 to 9"]),
        ({"name": "a", "size": True, "url": "/x"}, ["size: True does not do; write a whole number from 1 to 9"]),
        ({"name": "a", "path": "/x", "url": "/x"}, ["url: stands beside path; give one of them"]),
        ({"name": "a"}, ["path: is missing; give path or url"]),
    ],
)
def test_all_problems_of_a_mapping_at_once(entry, found):
    told = checked.mapping_problems(entry, RULES, (("name",), ("path", "url")), (("path", "url"),))
    assert len(told) == len(found), told
    assert all(sentence.startswith(begin) for sentence, begin in zip(told, found, strict=True)), told


def test_the_place_of_a_problem_is_told():
    check = checked.entries({"name": str}, lambda entry: checked.number(1)(entry.get("size", 1)))
    assert check([{"name": "a"}]) == []
    assert check("a") == [": 'a' is no list; write [...]"]
    assert check(["a", {"name": 1}, {"name": "a", "size": 0}]) == [
        "[0]: 'a' is no object; write {name}",
        "[1].name: 1 does not do; write a str",
        "[2]: 0 does not do; write a number of at least 1",
    ]

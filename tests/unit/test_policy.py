# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The policies of drivers: mistakes are named with their place, routes of two drivers never meet, all make one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils.policy.merge import gallery_data, merged
from plugins.module_utils.policy.prefixes import begins, may_meet
from plugins.module_utils.policy.schema import policies_problems

PROJECT = Path(__file__).parents[2]
SHIPPED = {
    path.parents[1].name.removeprefix("image_server_"): yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(PROJECT.glob("roles/image_server_*/meta/policy.yml"))
}


def policy() -> dict[str, Any]:
    """A small sound policy."""
    return {
        "port": 8090,
        "health_path": "/plates/list.json",
        "test_list": "/plates/list.json",
        "cannot_draw": [422],
        "examples": {"id": "p1"},
        "zones": [{"name": "tiles", "max_size_mib": 100, "mean_size_kib": 8, "inactive": "2h"}],
        "routes": [
            {
                "name": name,
                "match": match,
                "zone": "tiles",
                "valid": "365d",
                "arguments": arguments,
                "argument_patterns": dict.fromkeys(arguments, "[0-9]{1,4}"),
                "request_headers": {},
                "public": public,
            }
            for name, match, arguments, public in (
                ("plate", r"^/plates/[a-z0-9]+\.jpg$", [], True),
                ("list", r"^/plates/list\.json$", ["from", "limit"], False),
            )
        ],
        "pages": {"picture": "/plates/{id}.jpg"},
        "warm_sources": [
            {
                "name": "plates",
                "kind": "list",
                "list": "/plates/list.json",
                "urls": ["/plates/{id}.jpg"],
            }
        ],
        "forbidden_paths": ["/plates/secret"],
    }


@pytest.mark.parametrize("driver", SHIPPED)
def test_shipped_policies_are_sound(driver: str) -> None:
    assert policies_problems({driver: SHIPPED[driver]}) == []


def test_a_small_policy_is_sound() -> None:
    assert policies_problems({"plates": policy()}) == []


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda p: p.pop("port"), "port: is missing"),
        (lambda p: p.update(prot=1), "prot: is unknown; did you mean port?"),
        (lambda p: p.update(port="8090"), "port: '8090' must be the port"),
        (lambda p: p.update(cannot_draw=[200]), "cannot_draw: [200] must be a list of statuses"),
        (lambda p: p.update(health_path="system"), "health_path: 'system' must be a path"),
        (lambda p: p["zones"][0].update(inactive="1 day"), "zones[0].inactive: '1 day' must be a time"),
        (lambda p: p["routes"][0].update(zone="tile"), "routes[0] (plate).zone: there is no zone tile; did you mean tiles?"),
        (lambda p: p["routes"][0].update(match="^/plates/["), "routes[0].match: '^/plates/[' must be a regular expression"),
        (lambda p: p["routes"][0].update(match="/plates/x"), "must begin with ^/ and end with $"),
        (lambda p: p["routes"][0].update(match="^/drivers/.*$"), "could match /drivers/, where the site's own pages are"),
        (lambda p: p["routes"][0].update(argument_patterns={"w": "1"}), "argument_patterns: must give"),
        (lambda p: p["routes"][0].update(valid="forever"), "routes[0].valid: 'forever' must be a time"),
        (lambda p: p["routes"][0].update(name="list"), "routes: the name list stands there twice"),
        (lambda p: p["warm_sources"][0].update(page_siez=1), "warm_sources[0].page_siez: is unknown; did you mean page_size?"),
        (lambda p: p["warm_sources"][0].update(urls=["/plate/{id}"]), "/plate/{id} is matched by no route"),
        (lambda p: p["warm_sources"][0].update(list="/plates/list.json?from=a"), "has a value of from"),
        (lambda p: p["pages"].update(large="/plates/{id}.jpg?w=1"), "has arguments that route plate does not have"),
        (lambda p: p["pages"].update(list="/plates/list.json"), "pages.list: /plates/list.json is matched by route list, which is not public"),
        (lambda p: p["pages"].update(large="/plates/{plate}.jpg"), "has {plate}, of which `examples` gives none"),
        (lambda p: p["pages"].update(other="/plates/x{id}.jpg"), "no warm source fetches /plates/x{id}.jpg"),
        (lambda p: p["forbidden_paths"].append("/plates/a.jpg"), "/plates/a.jpg is public by route plate"),
        (lambda p: p.update(study_members=[{"path": "/x"}]), "study_members[0].field: is missing"),
        (lambda p: p.update(verify={"studies": "plate"}), "verify.studies: there is no warm source plate; did you mean plates?"),
        (lambda p: p.update(verify={"tiles": "/"}), "verify.tiles: is unknown; did you mean tile?"),
        (lambda p: p.update(verify={"metadata": "/nothing"}), "verify.metadata: /nothing is matched by no route"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(change: Change, problem: str) -> None:
    wrong = policy()
    change(wrong)
    found = policies_problems({"plates": wrong})
    assert any(sentence.startswith("policy of driver plates.") and problem in sentence for sentence in found), found


def test_all_mistakes_are_named_at_once() -> None:
    wrong = policy() | {"port": 0, "health_path": "x"}
    assert len(policies_problems({"plates": wrong, "other": None})) == 3


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("^/wells$", {"/wells$"}),
        ("^/(plates|wells)/[0-9]+$", {"/plates/", "/wells/"}),
        (r"^/a\.b/x*$", {"/a.b/"}),
        ("^/(?:a|b)?c$", {"/"}),
        ("^/(?:a|b)c$", {"/ac$", "/bc$"}),
        ("^/(a/[0-9]+|b)/(x|y)$", {"/a/", "/b/x$", "/b/y$"}),
        ("^/(?=a)b$", {"/"}),
        ("^/a[^]/]b|c$", {""}),
        ("^/a[^]/]b$", {"/a"}),
        (r"^/([\]|x]a|b)$", {"/", "/b$"}),
        (r"^/([^\]|]a|b)$", {"/", "/b$"}),
        (r"^/([a\]|]a|b)$", {"/", "/b$"}),
        ("^/a", {"/a"}),
        ("^/([0-9]|a)b$", {"/", "/ab$"}),
        ("^/a{2}$", {"/"}),
        ("^/a(b(c|d))$", {"/abc$", "/abd$"}),
        ("^/a|/b$", {""}),
        ("^/[a|b]x$", {"/"}),
        ("/a$", {""}),
        (r"^/\d+$", {"/"}),
    ],
)
def test_how_paths_begin(pattern: str, expected: set[str]) -> None:
    assert {text + "$" * whole for text, whole in begins(pattern)} == expected


def test_two_drivers_whose_routes_could_meet_are_refused() -> None:
    other = policy()
    assert not may_meet("^/plates/[0-9]+$", "^/wells/[0-9]+$") and may_meet("^/p", "^/plates$")
    assert may_meet("^/[a-z]+/x$", "^/plates$") and not may_meet("^/tests/[0-9]$", "^/test$")
    assert may_meet("^/a$", "^/(a|b)$") and not may_meet("^/a$", "^/ab$")
    [*problems] = policies_problems({"plates": policy(), "other": other})
    assert "route plate of plates (^/plates/[a-z0-9]+\\.jpg$) and route plate of other" in problems[0]
    moved = yaml.safe_load(yaml.safe_dump(other).replace("/plates/", "/other/"))
    assert policies_problems({"plates": policy(), "other": moved}) == []


def test_policies_of_several_drivers_make_one() -> None:
    first, second = policy(), policy()
    second["zones"] = [
        {"name": "tiles", "max_size_mib": 50, "mean_size_kib": 4, "inactive": "365d"},
        {"name": "lists", "max_size_mib": 1, "mean_size_kib": 4, "inactive": "1h"},
    ]
    second["cannot_draw"] = [418]
    before = copy.deepcopy((first, second))
    both = merged({"one": first, "two": second})
    assert (first, second) == before
    assert [(route["name"], route["driver"]) for route in both["routes"]] == [
        ("plate", "one"),
        ("list", "one"),
        ("two_plate", "two"),
        ("two_list", "two"),
    ]
    assert [source["name"] for source in both["warm_sources"]] == ["plates", "two_plates"]
    assert [route["name"] for route in both["drivers"]["two"]["routes"]] == ["plate", "list"]
    assert both["zones"] == [
        {"name": "tiles", "max_size_mib": 150, "mean_size_kib": 4, "inactive": "365d"},
        second["zones"][1],
    ]
    assert both["cannot_draw"] == [418, 422] and both["forbidden_paths"] == ["/plates/secret"]
    assert gallery_data({"one": first}) == {"one": {"pages": first["pages"], "cannot_draw": [422]}}

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The routes of the cache policies against paths that visitors and attackers ask for.

nginx matches a path that it has decoded and tidied up, so only such paths are asked here; molecule/cache asks the
real nginx for the others.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.cache_warm.paging import list_page

PROJECT = Path(__file__).parents[2]
POLICY = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text(encoding="utf-8"))
ID = "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af"


def route_of(path: str) -> dict | None:
    """The first route that matches, as nginx finds it: the role appends an end that no line break passes."""
    return next((route for route in POLICY["routes"] if re.search(f"(?:{route['match']})\\Z", path)), None)


@pytest.mark.parametrize(
    "path, name, zone",
    [
        (f"/instances/{ID}/rendered", "thumbnail", "thumbnails"),
        (f"/instances/{ID}/preview", "preview", "pictures"),
        (f"/wsi/tiles/{ID}/3/12/7", "tile", "tiles"),
        (f"/wsi/pyramids/{ID}", "pyramid", "metadata"),
        (f"/instances/{ID}", "instance", "metadata"),
        (f"/instances/{ID}/simplified-tags", "instance", "metadata"),
        (f"/series/{ID}", "group", "metadata"),
        (f"/studies/{ID}", "group", "metadata"),
        (f"/studies/{ID}/series", "children", "lists"),
        (f"/series/{ID}/instances", "children", "lists"),
        ("/studies", "list", "lists"),
        ("/instances", "list", "lists"),
    ],
)
def test_served_paths_have_their_route(path: str, name: str, zone: str) -> None:
    route = route_of(path)
    assert route is not None and (route["name"], route["zone"]) == (name, zone)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/system",
        "/statistics",
        "/changes",
        "/patients",
        "/tools/find",
        "/instances/",
        f"/Instances/{ID}",
        f"/instances/{ID}/",
        f"/instances/{ID}/file",
        f"/instances/{ID}/preview/x",
        f"/instances/{ID}\n",
        f"/instances/{ID}/preview\n",
        f"/instances/{ID}/rendered\r\n",
        f"/x/instances/{ID}",
        f"/instances/{ID[:-1]}",
        f"/instances/{ID}0",
        f"/instances/{ID.upper()}",
        f"/instances/{ID}/content",
        f"/studies/{ID}/archive",
        f"/studies/{ID}/media",
        f"/series/{ID}/studies",
        f"/wsi/tiles/{ID}/3/12",
        f"/wsi/tiles/{ID}/-1/0/0",
        f"/wsi/tiles/{ID}/3/123456/7",
        "/wsi/app/viewer.html",
        "/dicom-web/studies",
        f"/patients/{ID}",
    ],
)
def test_other_paths_have_none(path: str) -> None:
    assert route_of(path) is None


def test_forbidden_paths_have_no_public_route() -> None:
    for path in POLICY["forbidden_paths"]:
        route = route_of(re.sub(r"\{\w+\}", ID, path))
        assert route is None or not route["public"], path


def test_what_is_warmed_and_tested_is_what_is_served() -> None:
    urls = [
        url
        for source in POLICY["warm_sources"]
        for url in [list_page(source, 0, source["page_size"]), *source["urls"], *source["optional_urls"]]
    ]
    for url in [*urls, POLICY["test_list"]]:
        path, _, query = url.replace("{id}", ID).partition("?")
        route = route_of(path)
        assert route is not None, url
        given = [argument.split("=") for argument in query.split("&") if argument]
        assert [name for name, _ in given] == [name for name in route["arguments"] if name in dict(given)], url
        for name, value in given:
            assert re.fullmatch(route["argument_patterns"][name], value), url


@pytest.mark.parametrize(
    "name, argument, good, bad",
    [
        ("thumbnail", "width", ["256", "512", "1024"], ["", "255", "256 ", "0256", "99999", "256|512"]),
        ("children", "expand", ["", "1", "true"], ["2", "false", "true&x"]),
        ("list", "since", ["0", "123456789"], ["", "-1", "1e3", "1234567890"]),
        ("list", "limit", ["1", "1000"], ["", "10000", "all"]),
    ],
)
def test_values_of_arguments(name: str, argument: str, good: list[str], bad: list[str]) -> None:
    route = next(route for route in POLICY["routes"] if route["name"] == name)
    pattern = route["argument_patterns"][argument]
    assert [value for value in good + bad if re.fullmatch(pattern, value)] == good


def test_policy_is_whole() -> None:
    zones = {zone["name"] for zone in POLICY["zones"]}
    names = [route["name"] for route in POLICY["routes"]]
    assert len(names) == len(set(names))
    for route in POLICY["routes"]:
        # Names become nginx variables; patterns stand in single quotes.
        assert re.fullmatch("[a-z_]+", route["name"])
        assert route["zone"] in zones
        assert route["match"].startswith("^/") and route["match"].endswith("$") and "'" not in route["match"]
        assert set(route["arguments"]) == set(route["argument_patterns"])

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What verify can tell without a site: the table, the sample and the catalogue."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.verify.lines import CheckFailed, check, host_lines, no_answer, summary, table
from plugins.module_utils.verify.policy import (
    cached_fraction,
    catalogue_problem,
    fill,
    identifiers,
    missing_headers,
    read_json,
    sample_offsets,
    source,
    studies_of,
)
from plugins.module_utils.verify.volumes import check_root

POLICY = yaml.safe_load((Path(__file__).parents[2] / "roles/image_server_orthanc/meta/policy.yml").read_text())
ID = "0123abcd-4567abcd-89abcdef-01234567-89abcdef"
GOOD = {"name": "home page", "ok": True, "detail": "200", "remedy": ""}
BAD = {"name": "replica1: share", "ok": False, "detail": "/srv/images is not mounted", "remedy": "run configure.yml"}


def fail():
    raise CheckFailed("found", "do this")


def test_check():
    assert check("a", lambda: "fine") == {"name": "a", "ok": True, "detail": "fine", "remedy": ""}
    assert check("a", fail) == {"name": "a", "ok": False, "detail": "found", "remedy": "do this"}
    assert check("a", lambda: {}["x"], (KeyError,), "look")["detail"] == "KeyError: 'x'"
    with pytest.raises(ZeroDivisionError):
        check("a", lambda: 1 / 0, (KeyError,))


def test_table_is_aligned_and_has_remedies_only_where_one_is_needed():
    assert table([GOOD, BAD]).splitlines() == [
        "ok      home page        200",
        "FAILED  replica1: share  /srv/images is not mounted",
        "                         -> run configure.yml",
    ]
    assert table([]) == ""


def test_summary():
    assert summary([GOOD] * 27) == "verified: 27 checks passed"
    assert summary([GOOD, BAD]) == "not verified: 1 of 2 checks failed"


@pytest.mark.parametrize("path", POLICY["forbidden_paths"])
def test_no_route_serves_a_forbidden_path(path):
    path = fill(path, instance=ID, study=ID)
    assert not any(re.search(route["match"], path) for route in POLICY["routes"])


def test_routes_serve_what_is_warmed_and_verified():
    wanted = [fill(url, id=ID) for source in POLICY["warm_sources"] for url in source["urls"] + source["optional_urls"]]
    wanted += [
        fill(url, instance=ID, study=ID, series=ID)
        for url in [*POLICY["verify"]["uncached"], *(POLICY["verify"][name] for name in ("metadata", "tile"))]
    ]
    for path in wanted:
        assert any(re.search(route["match"], path.partition("?")[0]) for route in POLICY["routes"]), path


def test_sizes_that_verify_asks_for_are_not_warmed():
    warmed = {fill(url, id=ID) for source in POLICY["warm_sources"] for url in source["urls"]}
    assert not warmed & {fill(url, instance=ID) for url in POLICY["verify"]["uncached"]}


def test_sample():
    assert sample_offsets(0, 10, 100) == [0]
    assert sample_offsets(345, 10, 100) == [0, 100, 200, 300]
    offsets = sample_offsets(1_000_000, 10, 100)
    assert len(set(offsets)) == 10 and all(0 <= offset < 1_000_000 and offset % 100 == 0 for offset in offsets)


@pytest.mark.parametrize(
    ("cached", "missing", "unsupported", "fraction"),
    [
        (90, 10, 0, 0.9),
        (90, 0, 10, 1.0),
        (0, 0, 10, 1.0),
        (0, 0, 0, 0.0),
    ],
)
def test_cached_fraction(cached, missing, unsupported, fraction):
    assert cached_fraction(cached, missing, unsupported) == fraction


@pytest.mark.parametrize(
    ("catalogue", "problem"),
    [
        ({"studies": [{"id": "a"}, {"id": "b"}]}, ""),
        ({"studies": [{"id": "a"}]}, "1 of 2 studies are not in the gallery, e.g. b"),
        ({"studies": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}, "1 studies of the gallery do not exist, e.g. c"),
        ({}, "catalogue.json has no list of studies"),
        ([], "catalogue.json has no list of studies"),
    ],
)
def test_catalogue(catalogue, problem):
    assert catalogue_problem(catalogue, {"orthanc": ["a", "b"]}) == problem


def test_catalogue_of_several_drivers():
    """The study is in the catalogue, but another driver would draw it."""
    studies = {"orthanc": ["a"], "zarr": ["b"]}
    of = [{"id": "a", "driver": "orthanc"}, {"id": "b", "driver": "zarr"}]
    assert catalogue_problem({"studies": of}, studies) == ""
    of[1]["driver"] = "orthanc"
    assert catalogue_problem({"studies": of}, studies) == (
        "1 of 2 studies are not in the gallery, e.g. b; 1 studies of the gallery do not exist, e.g. b"
    )
    assert [study["id"] for study in studies_of({"studies": of}, "orthanc")] == ["a", "b"]
    assert studies_of({"studies": [{"id": "a"}, 7, {}]}, "zarr") == [{"id": "a"}]
    assert studies_of([], "zarr") == []


def test_lists_of_a_policy():
    assert source(POLICY, "instances")["list"] == "/instances"
    assert source({"warm_sources": []}, "instances") is None
    assert identifiers(["a", {"ID": "b"}], "/l", "ID") == ["a", "b"]
    for answer in ({}, [7], [{"Other": "a"}]):
        with pytest.raises(CheckFailed, match="/l answers no list of ids"):
            identifiers(answer, "/l", "ID")


def test_security_headers():
    good = {
        "content-security-policy": "default-src 'none'; img-src 'self'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin",
    }
    assert missing_headers(good) == []
    assert missing_headers({**good, "content-security-policy": "default-src *"}) == ["content-security-policy"]
    assert missing_headers({}) == list(good)


def test_text_that_is_no_json():
    assert read_json("[1]", "the list", "") == [1]
    with pytest.raises(CheckFailed, match="the list is no JSON"):
        read_json("<html>", "the list", "")


def test_hosts_that_were_not_asked_are_lines_too():
    lines = host_lines({"primary": [GOOD], "replica2": "", "proxy": [no_answer("proxy", "Host is paused")]})
    assert [(line["name"], line["ok"], line["detail"]) for line in lines] == [
        ("home page", True, "200"),
        ("replica2: answers", False, "was not asked"),
        ("proxy: answers", False, "Host is paused"),
    ]


def test_a_host_that_has_nothing_to_say_was_asked():
    """A dedicated bastion made verify, site and switch fail."""
    assert host_lines({"bastion": []}) == []


def test_a_line_whose_author_left_something_out():
    assert host_lines({"greeter": [{"name": "greeter: greets"}]}) == [
        {"name": "greeter: greets", "ok": False, "detail": "", "remedy": ""}
    ]


def test_room_on_the_root(tmp_path, monkeypatch):
    assert re.fullmatch(r"/, [0-9.]+ of [0-9.]+ GiB free", check_root("/"))
    full = os.statvfs_result((4096, 4096, 1000, 19, 19, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    with pytest.raises(CheckFailed, match="/ is full"):
        check_root("/")

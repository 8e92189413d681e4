# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest of a load: every mistake is found at once, and says what to do."""

from __future__ import annotations

import os

import pytest
import yaml

from plugins.module_utils.load import manifest

GOOD = {"path": "a", "title": "A", "licence": "CC0-1.0", "source": "https://example.org"}


def test_a_good_manifest_has_no_problems():
    assert manifest.problems({"studies": [GOOD, {**GOOD, "path": "b", "description": "long\ntext"}]}, "m") == []


def test_the_sample_manifest_is_good():
    path = os.path.join(os.path.dirname(__file__), "../../samples/manifest.yml")
    with open(path, encoding="utf-8") as stream:
        assert manifest.problems(yaml.safe_load(stream), "samples/manifest.yml") == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, "m: is empty, not a mapping; begin with 'studies:', see docs/load.md"),
        ([GOOD], "m: is a list, not a mapping; begin with 'studies:', see docs/load.md"),
        ("text", "m: is text, not a mapping; begin with 'studies:', see docs/load.md"),
        ({}, "m: studies: is empty; write a list with at least one study"),
        ({"studies": []}, "m: studies: is empty; write a list with at least one study"),
        ({"studies": {"a": 1}}, "m: studies: is a mapping; write a list with at least one study"),
        ({"studys": [], "studies": [GOOD]}, "m: 'studys' is unknown; did you mean studies?"),
        ({1: 2, "studies": [GOOD]}, "m: 1 is unknown; known are images, made_by, studies"),
        (
            {"images": "remote", "studies": [GOOD]},
            "m: images: 'remote' is unknown; write controller (paths beside the manifest) or host",
        ),
        (
            {"images": ["host"], "studies": [GOOD]},
            "m: images: ['host'] is unknown; write controller (paths beside the manifest) or host",
        ),
        ({"made_by": 3, "studies": [GOOD]}, "m: made_by: is a number; write the command that makes the images"),
        ({"studies": ["a"]}, "m: studies[0]: is text, not a mapping; write path, title, licence and source"),
        ({"studies": [{**GOOD, "license": "x"}]}, "m: studies[0]: 'license' is unknown; did you mean licence?"),
        ({"studies": [{**GOOD, "url": "x"}]}, "m: studies[0]: 'url' is unknown; did you mean source?"),
        (
            {"studies": [{**GOOD, "zzz": "x"}]},
            "m: studies[0]: 'zzz' is unknown; known are path, title, description, licence, source, driver",
        ),
        (
            {"studies": [{k: v for k, v in GOOD.items() if k != "licence"}]},
            "m: studies[0].licence: is missing; write its SPDX name, such as CC0-1.0, or words",
        ),
        (
            {"studies": [{**GOOD, "title": 3}]},
            "m: studies[0].title: is a number; write what visitors read above the images",
        ),
        (
            {"studies": [{**GOOD, "title": " "}]},
            "m: studies[0].title: is text; write what visitors read above the images",
        ),
        (
            {"studies": [{**GOOD, "title": "x" * 201}]},
            "m: studies[0].title: is no single line of at most 200 characters; say more in description",
        ),
        ({"studies": [{**GOOD, "description": None}]}, "m: studies[0].description: is empty; write text"),
        (
            {"studies": [{**GOOD, "path": ["a"]}]},
            "m: studies[0].path: is a list; write the file or directory with the images",
        ),
        (
            {"studies": [GOOD, {**GOOD, "path": "./a/"}]},
            "m: studies[1].path: ./a/ is also that of studies[0]; remove one",
        ),
        (
            {"images": "host", "studies": [GOOD]},
            "m: studies[0].path: a is not absolute; with images: host, write the whole path on the primary",
        ),
    ],
)
def test_a_mistake_is_named(document, expected):
    assert manifest.problems(document, "m") == [expected]


def test_all_mistakes_at_once():
    document = {"image": "host", "studies": [{"title": 3}, None, {**GOOD, "licens": "x"}]}
    assert len(manifest.problems(document, "m")) == 7


def test_paths_that_are_not_there_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").write_text("")
    document = {"studies": [{**GOOD, "path": "none"}, {**GOOD, "path": "empty"}], "made_by": "samples/build"}
    assert manifest.path_problems(document, "m", str(tmp_path)) == [
        f"m: studies[0].path: {tmp_path}/none does not exist; run samples/build",
        f"m: studies[1].path: {tmp_path}/empty holds no files; put images there or remove the study",
    ]


def test_files_are_listed_in_one_order_without_index_and_hidden_files(tmp_path):
    for name in ("b/2", "b/1", "a", "DICOMDIR", ".x", ".git/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = manifest.files_of(str(tmp_path))
    assert [file.path for file in files] == ["a", "b/1", "b/2"]
    assert [file.size for file in files] == [1, 3, 3]
    assert manifest.root_of(str(tmp_path)) == str(tmp_path)


def test_a_single_file(tmp_path):
    (tmp_path / "a.tif").write_text("x")
    assert [file.path for file in manifest.files_of(str(tmp_path / "a.tif"))] == ["a.tif"]
    assert manifest.root_of(str(tmp_path / "a.tif")) == str(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        manifest.File("b", 1, 2),
        manifest.File("a", 2, 2),
        manifest.File("a", 1, 3),
    ],
)
def test_the_digest_tells_name_size_and_time(other):
    assert manifest.digest([manifest.File("a", 1, 2)]) != manifest.digest([other])
    assert manifest.digest([manifest.File("a", 1, 2)]) == manifest.digest([manifest.File("a", 1, 2)])


def test_a_driver_that_this_host_lacks_is_named():
    study = {**GOOD, "driver": "static_image"}
    assert manifest.problems({"studies": [study]}, "m", ["other", "static_images"]) == [
        "m: studies[0].driver: 'static_image' is no image server of this host; did you mean static_images?"
    ]
    assert manifest.problems({"studies": [{**GOOD, "driver": "zzz"}]}, "m", ["other"]) == [
        "m: studies[0].driver: 'zzz' is no image server of this host; it has other"
    ]
    assert manifest.problems({"studies": [{**GOOD, "driver": "other"}]}, "m", ["other"]) == []

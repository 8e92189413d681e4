# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What Orthanc's importer says of a study: its pictures, its tiles and its words."""

from __future__ import annotations

import json
import re

import pytest
from fake_orthanc import PAGES, Client, describe


class Pages(Client):
    """Answers of an Orthanc with two studies, one of them a slide; the first picture cannot be drawn."""

    def __init__(self):
        super().__init__("http://localhost", "", "")
        self.undrawable = {"p1"}
        self.without_database: set[str] = set()
        self.tags = {"PhotometricInterpretation": "MONOCHROME2", "BitsStored": "12", "WindowCenter": "40"}
        self.asked: list[str] = []
        tags = {"MainDicomTags": {}}
        self.contents = {
            "/studies/S1": {"ID": "S1", "MainDicomTags": {"StudyDescription": "fallback"}},
            "/studies/S2": {"ID": "S2", **tags},
            "/studies/S1/metadata?expand": {"LastUpdate": "x"},
            "/studies/S2/metadata?expand": {"Title": "A slide", "Licence": "CC0"},
            "/studies/S1/series": [
                {"ID": "b", "Instances": ["p3"], "MainDicomTags": {"SeriesNumber": "10", "Modality": "MR"}},
                {"ID": "a", "Instances": ["p1", "p2"], "MainDicomTags": {"SeriesNumber": "9", "Modality": "CT"}},
            ],
            "/studies/S2/series": [{"ID": "c", "Instances": ["q1", "q2"], "MainDicomTags": {"Modality": "SM"}}],
            "/wsi/pyramids/c": {"ID": "c", "TilesCount": [[16, 16], [8, 8], [2, 1]]},
            "/instances/q1/metadata?expand": {"SopClassUid": "1.2.840.10008.5.1.4.1.1.77.1.6"},
            "/series/a/instances": [
                {"ID": "p2", "MainDicomTags": {"InstanceNumber": "2"}},
                {"ID": "p1", "MainDicomTags": {"InstanceNumber": "1"}},
            ],
            "/series/c/instances": [
                {"ID": "q1", "MainDicomTags": {"NumberOfFrames": "16", "InstanceNumber": "1"}},
                {"ID": "q2", "MainDicomTags": {"NumberOfFrames": "1", "InstanceNumber": "2"}},
            ],
        }

    def request(self, method, path, body=None, *, file=None, headers=None):
        self.asked.append(path)
        if path.endswith("/simplified-tags"):
            return 200, json.dumps(self.tags).encode()
        if re.fullmatch("/instances/[a-z0-9]+", path):
            self.undrawable -= self.without_database
            return 200, b"{}"
        if path.endswith(("/rendered?width=256", "/preview")):
            return (415 if path.split("/")[2] in self.undrawable else 200), b""
        return 200, json.dumps(self.contents[path]).encode()


def catalogue(pages):
    return [describe.describe(pages, study, PAGES) for study in ("S2", "S1")]


def test_every_slide_is_opened_once_on_the_primary():
    pages = Pages()
    catalogue(pages)
    assert pages.asked.count("/wsi/pyramids/c") == 1


@pytest.mark.parametrize(
    ("tags", "picture"),
    [
        ({"WindowCenter": ""}, "preview"),
        ({"BitsStored": "8", "WindowCenter": ""}, "rendered?width=256"),
        ({"PhotometricInterpretation": "RGB", "WindowCenter": ""}, "rendered?width=256"),
        ({}, "rendered?width=256"),
    ],
)
def test_a_picture_that_would_be_black_is_the_preview(tags, picture):
    pages = Pages()
    pages.tags |= tags
    assert [study["thumbnail"] for study in catalogue(pages)] == [
        f"/instances/q2/{picture}",
        f"/instances/p2/{picture}",
    ]


def test_series_whose_small_pictures_are_black_are_named():
    pages = Pages()
    assert [study["stretched"] for study in catalogue(pages)] == [[], []]
    pages.tags["WindowCenter"] = ""
    assert [study["stretched"] for study in catalogue(pages)] == [["c"], ["a", "b"]]


def test_tiles_of_the_small_levels_are_named_the_smallest_first():
    slide, other = catalogue(Pages())
    assert other["pages"] == []
    assert slide["pages"][:3] == ["/wsi/tiles/c/2/0/0", "/wsi/tiles/c/2/1/0", "/wsi/tiles/c/1/0/0"]
    assert len(slide["pages"]) == 2 + 64 and slide["pages"][-1] == "/wsi/tiles/c/1/7/7"


def test_a_picture_that_only_the_absent_database_kept_from_being_drawn_is_asked_for_again():
    pages = Pages()
    pages.undrawable = pages.without_database = {"p1", "p2", "q2"}
    assert [study["thumbnail"].split("/")[2] for study in catalogue(pages)] == ["q2", "p1"]


def test_the_descriptions_are_read_from_orthanc():
    studies = catalogue(Pages())
    assert [len(study.pop("pages")) for study in studies] == [66, 0]
    assert studies == [
        {
            "id": "S2",
            "title": "A slide",
            "description": "",
            "licence": "CC0",
            "source": "",
            "thumbnail": "/instances/q2/rendered?width=256",
            "series": 1,
            "instances": 2,
            "modalities": ["SM"],
            "whole_slide": True,
            "stretched": [],
        },
        {
            "id": "S1",
            "title": "fallback",
            "description": "",
            "licence": "",
            "source": "",
            "thumbnail": "/instances/p2/rendered?width=256",
            "series": 2,
            "instances": 3,
            "modalities": ["CT", "MR"],
            "whole_slide": False,
            "stretched": [],
        },
    ]

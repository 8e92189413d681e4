# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Orthanc's importer in the engine of load, against an Orthanc made of a dictionary: what is imported, retried, refused."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import os
import re
import sys
import threading
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.load import manifest
from plugins.module_utils.load.engine import Loader
from plugins.module_utils.load.importer import Driver, Refused, ServerError, Words, open_driver
from plugins.module_utils.load.staging import Study

IMPORTER = Path(__file__).parents[3] / "roles/image_server_orthanc/files/importer"
PAGES = yaml.safe_load((IMPORTER.parents[1] / "meta/policy.yml").read_text(encoding="utf-8"))["pages"]
SETTINGS = {"pages": PAGES, "url": "http://127.0.0.1:1", "user": "operator", "password": "secret"}
VERSION = open_driver("orthanc", str(IMPORTER), SETTINGS).version
package = sys.modules["imaging_repository_importers_orthanc"]
Client, Importer = package.Client, package.Orthanc
describe, slides = (sys.modules[f"{package.__name__}.{name}"] for name in ("describe", "slides"))

WORDS = Words("Zellen", "", "CC0-1.0", "Köln")
KEPT = {"Title": "Zellen", "Licence": "CC0-1.0", "Source": "Köln"}
DICOM = b"\0" * 128 + b"DICM"


def write(path, text):
    """Write a file that looks like DICOM."""
    path.write_bytes(DICOM + text.encode())


class Orthanc:
    """Files are text: `study series instance content`; the first three are the ids."""

    def __init__(self):
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.changes: list[tuple[str, str]] = []
        self.release = "1"
        self.requests: list[str] = []
        self.answers: list[int] = []  # statuses of the next uploads instead of what would be
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        self.requests.append(f"{method} {path}")
        parts = path.partition("?")[0].strip("/").split("/")
        if method == "POST":
            if self.answers:
                return self.answers.pop(0), {"Message": "told so"}
            words = body.removeprefix(DICOM).decode("utf-8", "replace").split()
            if len(words) != 4:
                return 400, {"Details": "Cannot parse an invalid DICOM file"}
            study, series, instance, _ = words
            status = "AlreadyStored" if instance in self.files else "Success"
            if status == "Success":
                there = [(s, r) for s, r, _ in self.files.values()]
                if study not in {s for s, _ in there}:
                    self.changes.append(("NewStudy", study))
                if series not in {r for _, r in there}:
                    self.changes.append(("NewSeries", series))
                self.changes.append(("NewInstance", instance))
            self.files.setdefault(instance, (study, series, body))
            return 200, {"ID": instance, "ParentStudy": study, "ParentSeries": series, "Status": status}
        if path == "/changes?last":
            return 200, {"Last": len(self.changes)}
        if parts == ["changes"]:
            since = int(path.partition("since=")[2].partition("&")[0])
            page = [
                {"Seq": number, "ChangeType": kind, "ID": identifier}
                for number, (kind, identifier) in enumerate(self.changes, 1)
                if number > since
            ][:4]
            last = page[-1]["Seq"] if page else since
            return 200, {"Changes": page, "Last": last, "Done": last == len(self.changes)}
        if path == "/system":
            return 200, {"Version": self.release}
        if parts == ["statistics"]:
            files = self.files.values()
            studies, series = {study for study, _, _ in files}, {one for _, one, _ in files}
            return 200, {"CountStudies": len(studies), "CountSeries": len(series), "CountInstances": len(files)}
        if parts == ["studies"]:
            return 200, sorted({study for study, _, _ in self.files.values()})
        if parts[-1] == "md5":
            return 200, hashlib.md5(self.files[parts[1]][2]).hexdigest()
        if parts[-1] == "statistics":
            count = len(self.of_study(parts[1]))
            return (200, {"CountInstances": count}) if count else (404, "")
        if parts[0] == "series" and method == "DELETE":
            self.files = {i: file for i, file in self.files.items() if file[1] != parts[1]}
            return 200, {}
        if parts[0] == "instances":
            return (200, {"ID": self.files[parts[1]][0]}) if parts[1] in self.files else (404, "")
        if parts[0] == "studies" and method == "GET" and len(parts) == 2:
            return (200, {"MainDicomTags": {}}) if self.of_study(parts[1]) else (404, "")
        if parts[0] == "studies" and parts[-1] == "series":
            return 200, [
                {"ID": one, "Instances": [i for i in self.files if self.files[i][1] == one], "MainDicomTags": {}}
                for one in {series for series, _ in self.of_study(parts[1])}
            ]
        if parts[0] == "series" and parts[-1] == "instances":
            return 200, []
        if parts[0] == "series":
            ids = [i for i, (_, series, _) in self.files.items() if series == parts[1]]
            return (200, {"Instances": ids}) if ids else (404, "")
        if parts[-1] == "metadata":
            return 200, self.metadata.get(parts[1], {})
        if method == "PUT":
            self.changes.append(("UpdatedMetadata", parts[1]))
            self.metadata.setdefault(parts[1], {})[parts[3]] = body.decode()
            return 200, ""
        if method == "DELETE":
            del self.metadata[parts[1]][parts[3]]
            return 200, ""
        raise AssertionError(path)

    def of_study(self, study: str) -> list[tuple[str, str]]:
        """Return the (series, instance) of a study."""
        return [(series, i) for i, (its, series, _) in self.files.items() if its == study]

    def handler(self):
        orthanc = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = orthanc.answer(self.command, self.path, body)
                if status == 0:
                    self.close_connection = True
                    return
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do

            def log_message(self, *arguments):
                pass

        return Handler


@pytest.fixture
def orthanc():
    server = Orthanc()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def images(tmp_path):
    directory = tmp_path / "images"
    directory.mkdir()
    for number in range(10):
        write(directory / f"{number}.dcm", f"study series{number % 2} i{number} pixels")
    return directory


@pytest.fixture
def load(orthanc, tmp_path):
    """Return a function that loads a directory and returns the report."""
    state = tmp_path / "load"
    state.mkdir()

    def run(*directories, check=False, words=WORDS, studies=None, **options):
        client = Client(orthanc.url, "operator", "secret", sleep=lambda seconds: None, **options)
        named = [Study(os.path.basename(str(d)), str(d), words, path=str(d)) for d in directories]
        driver = Driver("orthanc", Importer(client, PAGES), VERSION)
        return Loader([driver], str(state), check=check).run(studies or named)

    return run


def test_a_second_load_asks_the_same_few_questions_however_many_studies_there_are(orthanc, images, load, tmp_path):
    asked = []
    for count in (2, 20):
        for number in range(count):
            write(images / f"more{number}.dcm", f"study{number} one{number} x{number} pixels")
        load(images)
        load(images)
        orthanc.requests.clear()
        report = load(images)
        assert len(report.catalogue) == count + 1
        asked.append(list(orthanc.requests))
    assert asked[0] == asked[1]
    assert len(asked[0]) <= 6


def test_what_changed_by_other_hands_is_described_anew(orthanc, images, load):
    write(images / "b.dcm", "study2 s2 j pixels")
    load(images)
    orthanc.metadata["study"]["Title"] = "By hand"
    orthanc.changes.append(("UpdatedMetadata", "study"))
    orthanc.answer("POST", "/instances", DICOM + b"study2 s3 j2 pixels")
    orthanc.requests.clear()
    report = load(images, words=dataclasses.replace(WORDS, title="By hand"))
    assert {entry["id"]: (entry["title"], entry["instances"]) for entry in report.catalogue} == {
        "study": ("By hand", 10),
        "study2": ("By hand", 2),
    }
    orthanc.files = {i: file for i, file in orthanc.files.items() if file[0] != "study2"}
    (images / "b.dcm").unlink()
    assert [entry["id"] for entry in load(images, words=dataclasses.replace(WORDS, title="By hand")).catalogue] == [
        "study"
    ]


def test_another_release_of_orthanc_describes_all_anew(orthanc, images, load):
    load(images)
    orthanc.requests.clear()
    orthanc.release = "2"
    load(images)
    assert "GET /studies/study" in orthanc.requests


def test_only_what_changed_is_described(orthanc, images, load):
    load(images)
    write(images / "new.dcm", "study2 series9 i99 pixels")
    orthanc.requests.clear()
    report = load(images)
    assert [entry["id"] for entry in report.catalogue] == ["study", "study2"]
    assert "GET /studies/study" not in orthanc.requests and "GET /studies/study2" in orthanc.requests


def test_another_converter_replaces_a_slide_that_is_not_whole_and_no_other(orthanc, load, tmp_path, monkeypatch):
    directory = tmp_path / "slides"
    directory.mkdir()
    (directory / "a.tif").write_bytes(b"II*\0")
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setattr(slides, "convert", lambda *_: sorted(str(path) for path in made.iterdir()))
    for number in range(3):
        write(made / f"{number}.dcm", f"slide pyramid level{number} old")
    load(directory)
    for number in range(3):
        write(made / f"{number}.dcm", f"slide pyramid level{number} new")
    (directory / "a.tif").touch()
    report = load(directory)
    assert (report.imported, report.failures) == (0, [])
    assert orthanc.files["level1"][2].endswith(b"old")
    del orthanc.files["level2"]
    report = load(directory)
    assert (report.imported, report.failures) == (3, [])
    assert {content[-3:] for _, _, content in orthanc.files.values()} == {b"new"}


def test_a_file_that_is_no_image_is_refused_by_name(images, load):
    (images / "notes.txt").write_text("no image")
    assert load(images).failures == [
        f"{images}: notes.txt: is neither DICOM nor TIFF, which Orthanc takes; is it whole? Replace it or take it out"
    ]


def uploads(orthanc):
    return sum(request.startswith("POST") for request in orthanc.requests)


def test_everything_is_imported_with_metadata_and_then_nothing(orthanc, images, load):
    report = load(images)
    assert (report.imported, report.instances, report.studies, report.failures) == (10, 10, 1, [])
    assert orthanc.metadata == {"study": KEPT}
    orthanc.requests.clear()
    report = load(images)
    assert (report.imported, report.to_import, report.metadata_changed) == (0, 0, 0)
    assert orthanc.requests == ["GET /changes?last", "GET /statistics", "GET /system"] * 2


def test_changed_words_are_set_and_empty_ones_removed(orthanc, images, load):
    load(images, words=dataclasses.replace(WORDS, description="old"))
    assert load(images, words=dataclasses.replace(WORDS, title="new")).metadata_changed == 1
    assert orthanc.metadata["study"] == {"Title": "new", "Licence": "CC0-1.0", "Source": "Köln"}


def test_a_study_whose_files_were_replaced_keeps_its_words(orthanc, images, load):
    load(images)
    for file in images.iterdir():
        file.unlink()
    write(images / "new.dcm", "other series9 i99 content")
    load(images, words=dataclasses.replace(WORDS, title="new"))
    assert (orthanc.metadata["study"]["Title"], orthanc.metadata["other"]["Title"]) == ("Zellen", "new")


def test_check_changes_nothing(orthanc, images, load, tmp_path):
    report = load(images, check=True)
    assert report.to_import == 10
    assert not orthanc.files and not os.listdir(tmp_path / "load")


def test_a_damaged_file_stops_no_other_and_is_tried_again_when_mended(orthanc, images, load):
    write(images / "3.dcm", "half")
    report = load(images)
    assert report.imported == 9
    assert report.failures == [
        f"{images}: 3.dcm: Orthanc refuses it (400 Cannot parse an invalid DICOM file); is it a whole DICOM or TIFF "
        "file? Replace it or take it out"
    ]
    assert load(images).failures == report.failures
    write(images / "3.dcm", "study series1 i3 mended")
    assert load(images).imported == 1


def test_a_server_that_is_busy_or_breaks_the_connection_is_asked_again(orthanc, images, load):
    orthanc.answers = [503, 0, 502, 503, 0]
    report = load(images)
    assert (report.imported, report.failures) == (10, [])


def test_a_server_that_stays_away_ends_it_and_what_was_done_is_kept(orthanc, images, load):
    orthanc.answers = [200, *[503] * 1000]
    orthanc.answers.pop(0)
    with pytest.raises(ServerError, match="answers 503 for 0 s; look at 'systemctl status orthanc'"):
        load(images, retry_seconds=0)
    orthanc.answers = []
    assert load(images).instances == 10


def test_many_internal_errors_end_it(orthanc, images, load):
    for number in range(40):
        write(images / f"x{number}", f"study series y{number} p")
    orthanc.answers = [500] * 50
    with pytest.raises(ServerError, match="20 times an internal error, last: 500 told so; is its volume full"):
        load(images)


@pytest.mark.parametrize(("status", "words"), [(401, "refuses user operator"), (507, "its storage is full")])
def test_a_refused_login_and_a_full_storage_are_named(orthanc, images, load, status, words):
    orthanc.answers = [status]
    with pytest.raises(ServerError, match=words):
        load(images)


def test_another_image_of_the_same_identity_is_refused(orthanc, images, load):
    write(images / "twin.dcm", "study series1 i3 other")
    report = load(images)
    assert report.imported == 10 and len(report.failures) == 1
    assert "Orthanc holds another image under the same identifiers (i3)" in report.failures[0]


def test_what_was_deleted_from_orthanc_is_imported_again(orthanc, images, load):
    load(images)
    del orthanc.files["i4"]
    before = uploads(orthanc)
    report = load(images)
    assert (report.to_import, report.imported, uploads(orthanc) - before) == (1, 1, 1)


def test_a_new_file_is_the_only_one_imported(orthanc, images, load):
    load(images)
    write(images / "new.dcm", "study2 series9 i99 pixels")
    before = uploads(orthanc)
    report = load(images)
    assert (report.imported, report.studies, uploads(orthanc) - before) == (1, 2, 1)


def test_a_lost_journal_costs_time_and_changes_nothing(orthanc, images, load, tmp_path):
    load(images)
    os.unlink(tmp_path / "load" / "images.journal")
    report = load(images)
    assert (report.imported, report.instances, report.failures) == (0, 10, [])


@pytest.mark.parametrize("cut", [2, 40, 200])
def test_a_journal_that_a_kill_cut_is_read_as_far_as_it_goes(orthanc, images, load, tmp_path, cut):
    load(images)
    journal = tmp_path / "load" / "images.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1])[:-cut])
    report = load(images)
    assert (report.imported, report.instances, report.failures) == (0, 10, [])
    assert 1 <= report.to_import < 10
    assert load(images).to_import == 0


def test_the_same_study_described_twice_is_refused(orthanc, images, load, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write(other / "z", "study series7 z pixels")
    load(images)
    studies = [
        Study("images", "A", WORDS, path=str(images)),
        Study("other", "B", dataclasses.replace(WORDS, title="x"), path=str(other)),
    ]
    report = load(studies=studies)
    assert report.failures == [
        "B: holds images of the study that A describes otherwise; write the same title, "
        "description, licence and source for both"
    ]


def test_images_of_the_controller_are_asked_for_and_cleared_away(orthanc, images, load, tmp_path):
    state = tmp_path / "load"
    files = manifest.files_of(str(images))
    study = Study("key", "name", WORDS, digest=manifest.digest(files), count=10, size=300)
    assert load(studies=[study]).unstaged == ["key"]
    (state / "key").mkdir()
    images.rename(state / "key" / "files")
    listing = {"digest": study.digest, "files": [[f.path, f.size, f.changed] for f in files]}
    (state / "key" / "listing.json").write_text(json.dumps(listing))
    report = load(studies=[study])
    assert (report.unstaged, report.imported, report.failures) == ([], 10, [])
    assert not (state / "key").exists()
    assert load(studies=[study]).unstaged == []
    del orthanc.files["i0"]
    assert load(studies=[study]).unstaged == ["key"]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"II*\0" + bytes(200), True),
        (b"MM\0*" + bytes(200), True),
        (b"II+\0", True),
        (b"MM\0+", True),
        (b"\0" * 128 + b"DICM", False),
        (b"II*\0" + bytes(124) + b"DICM", False),
        (b"", False),
        (b"text", False),
    ],
)
def test_tiff_is_told_from_dicom(tmp_path, head, expected):
    (tmp_path / "x").write_bytes(head)
    assert slides.is_tiff(str(tmp_path / "x")) is expected


def test_a_slide_keeps_its_identity():
    assert slides.dataset("ab" * 32, "T" * 100, "a.tif") == slides.dataset("ab" * 32, "T" * 100, "a.tif")
    assert slides.dataset("ab" * 32, "T" * 100, "a.tif")["StudyDescription"] == "T" * 64
    assert slides.dataset("cd" * 32, "", "") != slides.dataset("ab" * 32, "", "")
    assert len(slides.uid("x")) <= 64


def test_the_spacing_of_pixels_is_that_of_rows_first():
    assert slides.pixel_spacing((0.5, 0.125), 2000, 1000) == ["0.000125", "0.00025"]


def test_a_missing_converter_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(Refused, match=r"vips is not installed; run playbooks/load.yml"):
        slides.convert(str(tmp_path / "a.tif"), str(tmp_path / "out"), "T")


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

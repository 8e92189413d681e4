# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Orthanc's importer in the engine of load, against an Orthanc made of a dictionary: what is imported, retried, refused."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from fake_orthanc import DICOM, KEPT, WORDS, write

from plugins.module_utils.load import manifest
from plugins.module_utils.load.importer import ServerError
from plugins.module_utils.load.staging import Study


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

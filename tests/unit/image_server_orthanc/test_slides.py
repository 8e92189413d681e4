# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The slides of Orthanc's importer: what is one, what becomes of it, and when it is converted anew."""

from __future__ import annotations

import pytest
from fake_orthanc import slides, write

from plugins.module_utils.load.importer import Refused


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

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Whole-slide images: a TIFF becomes a pyramid (libvips) and that a DICOM series (OrthancWSIDicomizer).

The same file always becomes the same DICOM files, byte by byte, so that an import that was cut can simply be repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess

from imaging_repository_load import Refused

TILE_PIXELS = 512
JPEG_QUALITY = 90
# Identifiers that OrthancWSIDicomizer makes up (DCMTK's root), and times: the only differences between two runs.
GENERATED_ROOT = "1.2.276.0.7230010.3.1."
TIMES = ("SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "AcquisitionDateTime")
# A resolution below this (pixels per mm) is that of a screen or a printer, which programs write where they know none.
SLIDE_PIXELS_PER_MM = 40
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(path: str) -> bool:
    """Return whether the file is a TIFF or BigTIFF (which OME-TIFF is) and not also DICOM."""
    with open(path, "rb") as stream:
        head = stream.read(132)
    return head[:4] in TIFF_MAGIC and head[128:] != b"DICM"


def uid(text: str) -> str:
    """Return the DICOM identifier that belongs to `text`: root 2.25 (PS3.5 B.2) and 128 bits of its checksum."""
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def dataset(checksum: str, title: str, name: str) -> dict:
    """Return the DICOM tags of the slide with this SHA-256: the same image is the same study, wherever it lies."""
    return {
        "PatientID": f"slide-{checksum[:16]}",
        "PatientName": "",
        "StudyInstanceUID": uid(f"study/{checksum}"),
        "SeriesInstanceUID": uid(f"series/{checksum}"),
        "StudyDescription": title[:64],
        "SeriesDescription": name[:64],
        "SeriesNumber": "1",
        "StudyDate": "",
        "StudyTime": "",
        "ImageType": "DERIVED\\PRIMARY\\VOLUME\\NONE",
        "SpecificCharacterSet": "ISO_IR 192",
    }


def convert(source: str, target: str, title: str) -> list[str]:
    """Return the paths of the DICOM files made from the TIFF `source` in the directory `target`; both are kept.

    A finished directory is used as it is; one that was cut is made again. Raises Refused, or OSError.
    """
    if not os.path.isdir(target):
        partial = f"{target}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        pyramid, tags = os.path.join(partial, "pyramid.tif"), os.path.join(partial, "dataset.json")
        with open(tags, "w", encoding="utf-8") as stream:
            json.dump(dataset(_sha256(source), title, os.path.basename(source)), stream)
        _run(
            [
                "vips",
                "tiffsave",
                source,
                pyramid,
                "--pyramid",
                "--compression",
                "jpeg",
                "--Q",
                str(JPEG_QUALITY),
                "--tile",
                "--tile-width",
                str(TILE_PIXELS),
                "--tile-height",
                str(TILE_PIXELS),
            ],
            partial,
        )
        size_mm = _size_mm(source, partial)
        physical = ["--imaged-width", f"{size_mm[0]:.6f}", "--imaged-height", f"{size_mm[1]:.6f}"] if size_mm else []
        # To files, because a password among the arguments would show in the list of processes.
        _run(
            [
                "OrthancWSIDicomizer",
                pyramid,
                "--dataset",
                tags,
                "--folder",
                partial,
                "--folder-pattern",
                "%06d.dcm",
                *physical,
            ],
            partial,
        )
        os.unlink(pyramid)
        os.unlink(tags)
        _normalise(_dicom_files(partial), size_mm)
        os.rename(partial, target)
    return _dicom_files(target)


def _size_mm(source: str, directory: str) -> tuple[float, float] | None:
    """Return width and height of what the TIFF shows, None where it does not say."""
    fields = {}
    for field in ("width", "height", "xres", "yres"):
        fields[field] = float(_run(["vipsheader", "-f", field, source], directory))
    if min(fields["xres"], fields["yres"]) < SLIDE_PIXELS_PER_MM:
        return None
    return fields["width"] / fields["xres"], fields["height"] / fields["yres"]


def pixel_spacing(size_mm: tuple[float, float], columns: int, rows: int) -> list[str]:
    """Return the distances of rows and of columns in mm, as DICOM writes them."""
    width, height = size_mm
    return [f"{height / rows:.10g}", f"{width / columns:.10g}"]


def _set_spacing(content, size_mm: tuple[float, float] | None) -> None:
    """Correct the spacing of pixels: the converter swaps the axes, and takes 15 mm where it knows no size."""
    for groups in content.get("SharedFunctionalGroupsSequence", []):
        for measures in groups.get("PixelMeasuresSequence", []):
            if size_mm:
                columns, rows = content.TotalPixelMatrixColumns, content.TotalPixelMatrixRows
                measures.PixelSpacing = pixel_spacing(size_mm, columns, rows)
            elif "PixelSpacing" in measures:
                # A scale that is made up is worse than none.
                del measures.PixelSpacing


def _normalise(paths: list[str], size_mm: tuple[float, float] | None) -> None:
    """Replace what OrthancWSIDicomizer made up by values that depend on nothing but the image."""
    import pydicom

    replacements: dict[str, str] = {}

    def replace(_dataset, element) -> None:
        if element.VR == "UI" and element.VM == 1 and str(element.value).startswith(GENERATED_ROOT):
            element.value = replacements.setdefault(str(element.value), uid(f"{series}/{len(replacements)}"))

    for path in paths:
        content = pydicom.dcmread(path)
        series = content.SeriesInstanceUID
        content.walk(replace)
        content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID
        for keyword in TIMES:
            if keyword in content:
                setattr(content, keyword, "")
        _set_spacing(content, size_mm)
        content.save_as(path)


def _dicom_files(directory: str) -> list[str]:
    return sorted(os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".dcm"))


def _run(command: list[str], directory: str) -> str:
    """Return what the command prints. Raises Refused where it fails."""
    environment = {**os.environ, "TMPDIR": directory, "LC_ALL": "C.UTF-8"}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    except FileNotFoundError:
        raise Refused(f"{command[0]} is not installed; run playbooks/load.yml, which installs it") from None
    if answer.returncode:
        lines = (answer.stderr.strip() or answer.stdout.strip() or f"exit status {answer.returncode}").splitlines()
        raise Refused(f"{command[0]} cannot convert it ({lines[-1].strip()[-200:]}); is it a whole TIFF?")
    return answer.stdout


def _sha256(path: str) -> str:
    checksum = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest of a load: which images, under which title, licence and source. Pure: no Ansible, reads no image.

A manifest is YAML; docs/load.md describes it. problems() reports everything that is wrong with one at once, each line
as `path: what; what to do`.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
from collections.abc import Sequence
from typing import Any, TypeGuard

IMAGES_CHOICES = ("controller", "host")
MANIFEST_KEYS = ("images", "made_by", "studies")
STUDY_KEYS = ("path", "title", "description", "licence", "source", "driver")
REQUIRED_STUDY_KEYS = ("path", "title", "licence", "source")
TITLE_LENGTH = 200
# Index files of media, and what desktops leave behind: no images, and no mistake of the user.
IGNORED_NAMES = ("DICOMDIR", "Thumbs.db")


@dataclasses.dataclass(frozen=True)
class File:
    """A file below a study's path: its path relative to that (the name, where it is a file), bytes, time of change."""

    path: str
    size: int
    changed: int  # nanoseconds since 1970


def problems(document: Any, name: str, drivers: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with the manifest `document` (as YAML loads it), which is called `name` in the messages.

    `drivers` are the image servers that a study may name; without any, every name will do.
    """
    if not isinstance(document, dict):
        return [f"{name}: is {_kind(document)}, not a mapping; begin with 'studies:', see docs/load.md"]
    found = [_unknown(name, key, MANIFEST_KEYS) for key in document if key not in MANIFEST_KEYS]
    images = document.get("images", "controller")
    if images not in IMAGES_CHOICES:
        found.append(f"{name}: images: {images!r} is unknown; write controller (paths beside the manifest) or host")
    if "made_by" in document and not _is_text(document["made_by"]):
        found.append(f"{name}: made_by: is {_kind(document['made_by'])}; write the command that makes the images")
    studies = document.get("studies")
    if not isinstance(studies, list) or not studies:
        return [*found, f"{name}: studies: is {_kind(studies)}; write a list with at least one study"]
    seen: dict[str, int] = {}
    for index, study in enumerate(studies):
        where = f"{name}: studies[{index}]"
        if not isinstance(study, dict):
            found.append(f"{where}: is {_kind(study)}, not a mapping; write path, title, licence and source")
            continue
        found += _study_problems(study, where, images, drivers)
        path = study.get("path")
        if _is_text(path):
            normal = os.path.normpath(path)
            if normal in seen:
                found.append(f"{where}.path: {path} is also that of studies[{seen[normal]}]; remove one")
            seen.setdefault(normal, index)
    return found


def path_problems(document: dict[str, Any], name: str, directory: str) -> list[str]:
    """Return which paths of a valid manifest, taken relative to `directory`, hold nothing that can be read."""
    found = []
    for index, study in enumerate(document["studies"]):
        path = os.path.join(directory, study["path"])
        where = f"{name}: studies[{index}].path"
        if not os.path.exists(path):
            made_by = document.get("made_by")
            remedy = f"run {made_by}" if made_by else "correct the path or copy the images there"
            found.append(f"{where}: {path} does not exist; {remedy}")
        elif not os.access(path, os.R_OK):
            found.append(f"{where}: {path} cannot be read; give its user the right to")
        elif not files_of(path):
            found.append(f"{where}: {path} holds no files; put images there or remove the study")
    return found


def files_of(path: str) -> list[File]:
    """Return the files at or below `path`, in a fixed order, without hidden ones and IGNORED_NAMES.

    A file that vanishes meanwhile or that cannot be examined raises OSError.
    """
    if not os.path.isdir(path):
        status = os.stat(path)
        return [File(os.path.basename(path), status.st_size, status.st_mtime_ns)]
    found = []
    for directory, directories, names in os.walk(path):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        for name in names:
            if name.startswith(".") or name in IGNORED_NAMES:
                continue
            full = os.path.join(directory, name)
            status = os.stat(full)
            found.append(File(os.path.relpath(full, path), status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda file: file.path)


def root_of(path: str) -> str:
    """Return the directory that the files of files_of(path) are relative to."""
    return path if os.path.isdir(path) else os.path.dirname(path)


def digest(files: list[File]) -> str:
    """Return a checksum of names, sizes and times: another one means that there is something to load."""
    checksum = hashlib.sha256()
    for file in files:
        checksum.update(f"{file.path}\0{file.size}\0{file.changed}\n".encode("utf-8", "surrogateescape"))
    return checksum.hexdigest()


def key_of(name: str, path: str) -> str:
    """Return a short name for the study at `path` of the manifest `name`, for files that belong to it."""
    return hashlib.sha256(f"{name}\0{os.path.normpath(path)}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _study_problems(study: dict[str, Any], where: str, images: Any, drivers: Sequence[str]) -> list[str]:
    found = [_unknown(where, key, STUDY_KEYS) for key in study if key not in STUDY_KEYS]
    for key in REQUIRED_STUDY_KEYS:
        if key not in study:
            found.append(f"{where}.{key}: is missing; {_REMEDIES[key]}")
    for key in STUDY_KEYS:
        if key in study and not _is_text(study[key]):
            found.append(f"{where}.{key}: is {_kind(study[key])}; {_REMEDIES[key]}")
    title, path = study.get("title"), study.get("path")
    if _is_text(title) and (len(title) > TITLE_LENGTH or "\n" in title.strip()):
        found.append(f"{where}.title: is no single line of at most {TITLE_LENGTH} characters; say more in description")
    if _is_text(path) and images == "host" and not os.path.isabs(path):
        found.append(f"{where}.path: {path} is not absolute; with images: host, write the whole path on the primary")
    driver = study.get("driver")
    if _is_text(driver) and drivers and driver not in drivers:
        near = difflib.get_close_matches(driver.lower()[:100], drivers, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"it has {', '.join(drivers)}"
        found.append(f"{where}.driver: {driver!r} is no image server of this host; {remedy}")
    return found


_REMEDIES = {
    "path": "write the file or directory with the images",
    "title": "write what visitors read above the images",
    "description": "write text",
    "licence": "write its SPDX name, such as CC0-1.0, or words",
    "source": "write a URL or where the images come from",
    "driver": "write the image server that is to take the images, or leave it out",
}


def _unknown(where: str, key: Any, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(key).lower()[:100], known, n=1)
    near = near or [{"license": "licence", "name": "title", "url": "source"}.get(str(key).lower(), "")]
    remedy = f"did you mean {near[0]}?" if near[0] in known else f"known are {', '.join(known)}"
    return f"{where}: {key!r} is unknown; {remedy}"


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _kind(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "empty"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")

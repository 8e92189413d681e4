# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""JPEG files into a folder that nginx serves: a study is what the manifest gives one title."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from imaging_repository_load import Description, Image, Importer, Refused, Stored, Words

JPEG_MAGIC = b"\xff\xd8\xff"


class StaticImages(Importer):
    """An Image is (study, image). studies/<id> and metadata/<id> are JSON, images/<id> are the pictures."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._writing = threading.Lock()

    def accepts(self, path: str) -> str:
        with open(path, "rb") as stream:
            return "" if stream.read(3) == JPEG_MAGIC else "is no JPEG"

    def store(self, path: str, workspace: str, words: Words) -> Stored:
        content = Path(path).read_bytes()
        if not content.endswith(b"\xff\xd9"):
            raise Refused("is a JPEG that ends too early; copy it again")
        study = _id(words.title.encode())
        image = _id(study.encode() + content)
        with self._writing:
            target = self._file("images", image)
            new = not target.exists()
            if new:
                self._write("metadata", image, {"Name": os.path.basename(path), "Bytes": len(content), "Study": study})
                beside = target.with_suffix(".new")
                shutil.copyfile(path, beside)
                os.replace(beside, target)
            about = self._about(study) or {"id": study, "title": words.title, "images": []}
            if image not in about["images"]:
                self._write("studies", study, {**about, "images": sorted([*about["images"], image])})
            self._list()
        return Stored([(study, image)], int(new))

    def missing(self, images: Collection[Image]) -> set[Image]:
        return {image for image in images if not self._file("images", image[-1]).exists()}

    def studies(self) -> list[str]:
        return sorted(path.name for path in (self._directory / "studies").glob("*"))

    def describe(self, study: str, words: Words) -> Description | None:
        about = self._about(study)
        if about is None:
            return None
        return {
            "id": study,
            "title": about["title"],
            "description": words.description,
            "licence": words.licence,
            "source": words.source,
            "thumbnail": f"/pictures/images/{about['images'][0]}",
            "series": 1,
            "instances": len(about["images"]),
            "modalities": [],
            "whole_slide": False,
        }

    def _about(self, study: str) -> dict[str, Any] | None:
        path = self._file("studies", study)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def _list(self) -> None:
        for kind in ("studies", "images"):
            names = sorted(path.name for path in (self._directory / kind).glob("*") if not path.suffix)
            self._replace(self._directory / f"{kind}.json", names)

    def _file(self, kind: str, name: str) -> Path:
        return self._directory / kind / name

    def _write(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        self._replace(self._file(kind, name), content)

    def _replace(self, path: Path, content: Any) -> None:
        """Write a file at once; nginx reads as a member of the directory's group."""
        for directory in (self._directory / kind for kind in ("studies", "metadata", "images")):
            directory.mkdir(mode=0o750, exist_ok=True)
        text = json.dumps(content)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            beside = path.with_suffix(".new")
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)


def _id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def importer(settings: Mapping[str, Any]) -> Importer:
    return StaticImages(settings["directory"])

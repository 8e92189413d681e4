# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which files of a study are loaded and verified: one journal per study, a line per file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

from .. import files as files_util
from .importer import Image
from .manifest import File


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What became of a file: the images that the driver made of it."""

    driver: str
    images: tuple[Image, ...]


class Journal:
    """JSON lines, appended; a line that a kill cut is ignored. Believed only as far as the image server has the images.

    `driver` is that of lines that name none: they were written when a site had but one.
    """

    def __init__(self, path: str, driver: str = "") -> None:
        self.path = path
        self.files: dict[File, Loaded] = {}
        self.complete = ""
        self._driver = driver
        # What a kill cut off must not be joined to the next line.
        self._cut = False
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as stream:
            by_path: dict[str, File] = {}
            for line in stream:
                self._cut = not line.endswith("\n")
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self._read(json.loads(line), by_path)

    def _read(self, line: dict[str, Any], by_path: dict[str, File]) -> None:
        if "complete" in line:
            self.complete = line["complete"]
            return
        file = File(line["path"], line["size"], line["changed"])
        images = line["images"] if "images" in line else line["instances"]
        loaded = Loaded(line.get("driver", self._driver), tuple(tuple(ids) for ids in images))
        self.files.pop(by_path.get(file.path, file), None)
        by_path[file.path] = file
        self.files[file] = loaded

    def images(self) -> set[tuple[str, Image]]:
        """Return all images with their driver."""
        return {(loaded.driver, image) for loaded in self.files.values() for image in loaded.images}

    def add(self, file: File, loaded: Loaded) -> None:
        """Note that all images of the file are loaded and verified."""
        self.files[file] = loaded
        with open(self.path, "a", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(("\n" if self._cut else "") + self._line(file) + "\n")
        self._cut = False

    def rewrite(self, complete: str = "") -> None:
        """Replace the journal by what is known now; `complete` is the digest of the listing that is all loaded."""
        self.complete = complete
        lines = [self._line(file) + "\n" for file in self.files]
        if complete:
            lines.append(json.dumps({"complete": complete}) + "\n")
        files_util.write(self.path, "".join(lines), mode=0o600)

    def _line(self, file: File) -> str:
        loaded = self.files[file]
        return json.dumps({**dataclasses.asdict(file), "driver": loaded.driver, "images": loaded.images})

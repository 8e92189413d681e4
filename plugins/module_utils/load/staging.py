# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is to be done for each study, and where its files are on this host.

Files of the controller are brought by receive.py to `<directory>/<key>/files`, with a listing beside them when all are
there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os

from . import manifest, space
from .importer import Words
from .journal import Journal


@dataclasses.dataclass(frozen=True)
class Study:
    """An entry of a manifest. `path` is empty where the images come from the controller; then `digest`, `count` and
    `size` (bytes) describe them there. `driver` is '' where the files say which one takes them."""

    key: str
    name: str
    words: Words
    path: str = ""
    digest: str = ""
    count: int = 0
    size: int = 0
    driver: str = ""


class Plan:
    """What is to be done for one study. `driver` is that of journals that name none."""

    def __init__(self, study: Study, directory: str, driver: str = "") -> None:
        self.study = study
        self.journal = Journal(os.path.join(directory, f"{study.key}.journal"), study.driver or driver)
        self.workspace = os.path.join(directory, study.key)
        self.digest = study.digest
        self.files: list[manifest.File] | None = None  # None: known to the controller only
        self.failed = 0
        if study.path:
            self.root = manifest.root_of(study.path)
            self.files = manifest.files_of(study.path)
            self.digest = manifest.digest(self.files)
        else:
            self.root = os.path.join(self.workspace, "files")
            with (
                contextlib.suppress(FileNotFoundError, ValueError),
                open(os.path.join(self.workspace, "listing.json"), encoding="utf-8") as stream,
            ):
                listing = json.load(stream)
                if listing["digest"] == study.digest:
                    self.files = [manifest.File(*file) for file in listing["files"]]

    @property
    def complete(self) -> bool:
        """Whether all files of the study, as they are now, are loaded."""
        return self.journal.complete == self.digest

    @property
    def unstaged(self) -> bool:
        """Whether the controller has to bring files first."""
        return not self.complete and self.files is None

    def to_do(self) -> list[manifest.File]:
        """Return the files that are not loaded yet, as far as they are on this host."""
        return [] if self.complete else [file for file in self.files or [] if file not in self.journal.files]

    def to_do_count(self) -> int:
        """Return how many files are not loaded yet, wherever they are."""
        if self.complete:
            return 0
        return len(self.to_do()) if not self.unstaged else max(1, self.study.count - len(self.journal.files))

    def to_do_size(self) -> int:
        """Return the bytes that are still needed on this host: twice where they are to be copied here first."""
        if not self.unstaged:
            return sum(file.size for file in self.to_do())
        left = max(0, self.study.size - sum(file.size for file in self.journal.files))
        return left + max(0, left - space.used(self.workspace))

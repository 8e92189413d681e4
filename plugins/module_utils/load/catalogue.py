# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The catalogue of the public pages: what the image servers say of their studies, asked for only where it changed.

What a driver said is remembered beside the journals, with the mark of the server's state at that time.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from .. import files
from .importer import Changes, Description, Driver, Image, Words
from .parallel import in_parallel


class Catalogue:
    """What is known of the studies of one driver."""

    def __init__(self, driver: Driver, directory: str, workers: int = 4) -> None:
        self.driver = driver
        self._path = os.path.join(directory, f"catalogue-{driver.name}.json")
        self._workers = workers
        content = self._read()
        self.words: dict[str, Words] = {study: Words(**words) for study, words in content.get("words", {}).items()}
        self._mark: Any = None
        self._studies: dict[str, Description] = {}
        self._renamed: set[str] = set()
        # Another importer may describe the same study otherwise.
        if content.get("version") == driver.version:
            self._mark = content.get("mark")
            self._studies = content.get("studies", {})

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._path, encoding="utf-8") as stream:
                content: dict[str, Any] = json.load(stream)
                return content
        except (FileNotFoundError, ValueError):
            return {}

    def changes(self, images: set[tuple[str, Image]]) -> Changes:
        """Return what changed on the server since the catalogue was remembered; `images` are those of the journals."""
        own = {image[-1]: image[0] for driver, image in images if driver == self.driver.name}
        return self.driver.importer.changes(self._mark, own)

    def remember(self, study: str, words: Words) -> None:
        """Note the words of a study, which the server may not keep."""
        if self.words.get(study) != words:
            self.words[study] = words
            self._renamed.add(study)

    def refresh(self, images: set[tuple[str, Image]]) -> None:
        """Ask for what changed."""
        importer = self.driver.importer
        changes = self.changes(images)
        # The mark was taken before: what changes meanwhile is seen next time.
        if changes.studies is None:
            wanted = frozenset(importer.studies())
            self._studies = {}
        else:
            wanted = changes.studies | self._renamed
        for study, description in in_parallel(
            lambda study: importer.describe(study, self.words.get(study, Words())), sorted(wanted), self._workers
        ):
            self._studies.pop(study, None)
            if description is not None:
                self._studies[study] = {**description, "driver": self.driver.name}
        self._mark = changes.mark

    def save(self) -> None:
        """Remember it for the next load."""
        content = {
            "version": self.driver.version,
            "mark": self._mark,
            "words": {study: dataclasses.asdict(words) for study, words in sorted(self.words.items())},
            "studies": self._studies,
        }
        files.write(self._path, json.dumps(content), mode=0o600)

    def descriptions(self) -> list[Description]:
        """Return the descriptions of all studies."""
        return list(self._studies.values())


def merged(catalogues: list[Catalogue]) -> list[Description]:
    """Return the descriptions of several image servers, by title."""
    found = [description for catalogue in catalogues for description in catalogue.descriptions()]
    return sorted(found, key=lambda entry: (str(entry["title"]).casefold(), str(entry["id"])))

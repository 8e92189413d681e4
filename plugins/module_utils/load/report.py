# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a load did, and how it is said."""

from __future__ import annotations

import dataclasses

from .importer import Description

SHOWN_FAILURES = 50


class LoadError(Exception):
    """Nothing was imported, or not everything could be tried; the message says what to do."""


@dataclasses.dataclass
class Report:
    """Counts of a load. `to_import` and `failures` are of files, `metadata_changed` of studies, `imported` and
    `instances` of images. `unstaged` are the keys of studies whose files the controller must bring first."""

    unstaged: list[str] = dataclasses.field(default_factory=list)
    files: int = 0
    to_import: int = 0
    imported: int = 0
    instances: int = 0
    studies: int = 0
    metadata_changed: int = 0
    seconds: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)
    catalogue: list[Description] = dataclasses.field(default_factory=list)

    def counts(self) -> dict[str, int | float]:
        """Return the numbers."""
        names = ("files", "to_import", "imported", "instances", "studies", "metadata_changed", "seconds")
        return {name: getattr(self, name) for name in names}

    def changed(self, check: bool) -> bool:
        """Return whether the load changed anything, in check mode whether it would."""
        return bool((self.to_import if check else self.imported) or self.metadata_changed)

    def summary(self, check: bool) -> str:
        """Return the report in one line."""
        if check:
            return f"{self.to_import} of {self.files} files would be imported"
        rate = f", {self.imported / self.seconds:.0f}/s" if self.imported and self.seconds else ""
        return (
            f"{self.instances} instances in {self.studies} studies, {self.imported} imported now in "
            f"{self.seconds} s{rate}, {len(self.failures)} of {self.files} files failed"
        )

    def failure_text(self) -> str:
        """Return which files failed and why, '' where none did."""
        if not self.failures:
            return ""
        shown = sorted(self.failures)[:SHOWN_FAILURES]
        more = len(self.failures) - len(shown)
        return "\n".join(
            [
                f"load: {len(self.failures)} of {self.files} files were not imported, all others are:",
                *shown,
                *([f"and {more} more, see failures"] if more else []),
            ]
        )

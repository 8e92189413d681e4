# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which of the warmed pages are asked for again in the end: a file, so that a run that was cut loses none of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator


class Sample:
    """Lines of `kept_at route path`, appended; a line that a kill has cut has no end and is left out."""

    def __init__(self, path: str, resumed: bool) -> None:
        self.path = path
        self._lines: list[str] = []
        # Where an earlier run was cut, its last line may be half; what follows must not be appended to that half.
        self._stream = open(path, "a+b" if resumed else "w+b")
        if resumed and self._stream.tell():
            self._stream.seek(-1, os.SEEK_END)
            if self._stream.read(1) != b"\n":
                self._stream.write(b"\n")

    def add(self, path: str, route: str) -> None:
        """Take a page into the sample, kept now (time of the day, by which nginx knows how long it is fresh)."""
        self._lines.append(f"{int(time.time())} {route} {path}\n")

    def flush(self) -> None:
        """Write what was added; raises OSError."""
        if self._lines:
            self._stream.write("".join(self._lines).encode("utf-8", "surrogateescape"))
            self._lines.clear()
        self._stream.flush()

    def read(self) -> Iterator[tuple[float, str, str]]:
        """Yield (kept_at, route, path), each path once."""
        self.flush()
        seen: set[str] = set()
        with open(self.path, "rb") as stream:
            for line in stream:
                kept_at, _, rest = line.decode("utf-8", "surrogateescape").rstrip("\n").partition(" ")
                route, _, path = rest.partition(" ")
                if path and kept_at.isdigit() and path not in seen:
                    seen.add(path)
                    yield float(kept_at), route, path

    def close(self) -> None:
        """Close the file, which the next job empties."""
        self._stream.close()

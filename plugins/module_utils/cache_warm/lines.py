# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Files that are read line by line, packed by gzip or not."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from .stream import SourceError

READ_BYTES = 1 << 16
_LONGEST_LINE_BYTES = 1 << 16
GZIP_MAGIC = b"\x1f\x8b"
GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)


def opened(path: str) -> BinaryIO:
    """Open a file for its bytes, unpacked where it is packed by gzip."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        return cast(BinaryIO, gzip.open(path)) if packed else open(path, "rb")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; correct the path, or let this user read it") from None


class LineReader:
    """The lines of a file, packed by gzip or not, from a byte of it on; a line that is too long comes as None."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = opened(path)
        status = os.fstat(self._file.fileno())
        # By this a cursor knows whether it is of this file.
        self.identity = [status.st_size, status.st_mtime_ns]
        self.offset = 0
        self.number = 0

    def line_count(self) -> int | None:
        """Return how many lines there are; None where the file cannot be read to its end."""
        try:
            with opened(self.path) as file:
                return sum(data.count(b"\n") for data in iter(lambda: file.read(READ_BYTES), b""))
        except (SourceError, OSError, *GZIP_ERRORS):
            return None

    def lines(self, offset: int = 0, number: int = 0) -> Iterator[bytes | None]:
        """Yield the lines; `offset` and `number` are then where the line begins and how many came before it."""
        readline = self._file.readline
        length = 0
        try:
            with self._file:
                self._file.seek(offset)
                self.offset, self.number = offset, number - 1
                while line := readline(_LONGEST_LINE_BYTES):
                    self.offset += length
                    self.number += 1
                    length = len(line)
                    if length == _LONGEST_LINE_BYTES and not line.endswith(b"\n"):
                        while line and not line.endswith(b"\n"):
                            line = readline(_LONGEST_LINE_BYTES)
                            length += len(line)
                        yield None
                    else:
                        yield line
        except (OSError, *GZIP_ERRORS) as error:
            raise SourceError(f"{self.path}: cannot be read to its end ({error}); is it complete?") from None

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The controller's half of bringing files to the load volume: in pieces, over whatever connection a host has.

Nothing is written on the controller, and on the host only the files themselves. A transfer that was cut goes on at the
piece that it was cut in; many small files travel in one piece.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .manifest import File

# Large enough for few round trips, small enough to be held in memory and to be sent again after a cut.
PIECE_BYTES = 32 << 20
# A name, its numbers and a new file cost about as much as so many bytes.
FILE_BYTES = 4096
PROGRAM = Path(__file__).with_name("receive.py")

# Runs a shell command on the host with bytes on its standard input and returns what it prints.
Run = Callable[[str, bytes], str]


class SendError(Exception):
    """A file cannot be sent; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """Bytes of a file."""

    file: File
    offset: int
    length: int


def in_batches(files: list[tuple[File, int]], limit: int) -> Iterator[list[Piece]]:
    """Yield what is sent at a time of files, each from an offset on: at least one piece, at most about `limit` bytes."""
    batch: list[Piece] = []
    filled = 0
    for file, offset in files:
        while True:
            length = min(file.size - offset, limit - filled)
            if length > 0 or file.size == offset:
                batch.append(Piece(file, offset, length))
                filled += length + FILE_BYTES
                offset += length
            if filled >= limit:
                yield batch
                batch, filled = [], 0
            if offset >= file.size:
                break
    if batch:
        yield batch


def payload(root: str, batch: list[Piece]) -> bytes:
    """Return a batch as the host wants it. Raises SendError where a file is no longer what it was."""
    parts: list[bytes] = []
    checksum = hashlib.sha256()
    for piece in batch:
        path = os.path.join(root, piece.file.path)
        with open(path, "rb") as stream:
            stream.seek(piece.offset)
            content = stream.read(piece.length)
            status = os.fstat(stream.fileno())
        if len(content) != piece.length or (status.st_size, status.st_mtime_ns) != (
            piece.file.size,
            piece.file.changed,
        ):
            raise SendError(f"{path}: was changed while it was sent; run the same again when nobody writes it")
        checksum.update(content)
        parts.append(content)
    head = {
        "sha256": checksum.hexdigest(),
        "pieces": [[*dataclasses.astuple(piece.file), piece.offset, piece.length] for piece in batch],
    }
    return b"".join([json.dumps(head).encode() + b"\n", *parts])


class Sender:
    """Brings the files of a study below `root` to `workspace` on the host.

    `say(sent, total, bytes per second)` is called after each batch.
    """

    def __init__(
        self,
        run: Run,
        workspace: str,
        *,
        say: Callable[[int, int, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._workspace = workspace
        self._say = say
        self._clock = clock
        self._program = PROGRAM.read_text(encoding="utf-8")

    def send(self, root: str, files: list[File], digest: str) -> None:
        """Send what is not there, and in the end the listing of all files. Raises SendError or OSError."""
        listing = [list(dataclasses.astuple(file)) for file in files]
        answer = json.loads(self._ask("begin", json.dumps(listing).encode()))
        wanted = [(files[number], offset) for number, offset in answer]
        total = sum(file.size for file, _ in wanted)
        sent = there = sum(offset for _, offset in wanted)
        started = self._clock()
        batches = in_batches(wanted, PIECE_BYTES)
        # The next batch is read while one travels.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            batch = next(batches, None)
            ready = pool.submit(payload, root, batch) if batch else None
            while batch and ready:
                content = ready.result()
                following = next(batches, None)
                ready = pool.submit(payload, root, following) if following else None
                self._ask("put", content)
                sent += sum(piece.length for piece in batch)
                if self._say:
                    self._say(sent, total, (sent - there) / max(self._clock() - started, 0.001))
                batch = following
        self._ask("finish", json.dumps({"digest": digest, "files": listing}).encode())

    def _ask(self, verb: str, content: bytes) -> str:
        program = shlex.quote(self._program)
        return self._run(f"python3 -c {program} {verb} {shlex.quote(self._workspace)}", content)

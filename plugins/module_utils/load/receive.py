# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The host's half of bringing files to the load volume: a program that the controller runs as `python3 -c`.

    begin WORKSPACE    takes the files that are wanted, answers which of them are still to be sent and from where on
    put WORKSPACE      takes pieces of files, verifies them and writes them
    finish WORKSPACE   takes the listing by which the load knows that all files are there

Files lie below WORKSPACE/files, what has come of one that is not whole below WORKSPACE/parts. Whenever this is killed,
each file is either whole or can be gone on with. It uses the standard library of Python 3.9 and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any, BinaryIO


def part_name(path: str, size: int, changed: int) -> str:
    """Return the name of what has come of a file: a file that was changed meanwhile is another one."""
    return hashlib.sha256(f"{path}\0{size}\0{changed}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def loaded(journal: str) -> set[tuple[str, int, int]]:
    """Return the files that the journal knows."""
    found: dict[str, tuple[str, int, int]] = {}
    try:
        with open(journal, encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                    found[entry["path"]] = (entry["path"], entry["size"], entry["changed"])
                except (ValueError, TypeError, KeyError):
                    continue
    except FileNotFoundError:
        pass
    return set(found.values())


def begin(workspace: str, stream: BinaryIO) -> None:
    """Print the [number in the list, offset] of each wanted file that is not whole here; clear away all others."""
    wanted = [(path, size, changed) for path, size, changed in json.load(stream)]
    files, parts = os.path.join(workspace, "files"), os.path.join(workspace, "parts")
    for directory in (workspace, files, parts):
        os.makedirs(directory, exist_ok=True)
    known = loaded(f"{workspace}.journal")
    paths = {path for path, _, _ in wanted}
    for parent, _, names in os.walk(files):
        for name in names:
            full = os.path.join(parent, name)
            if os.path.relpath(full, files) not in paths:
                os.unlink(full)
    answer, names_of_parts = [], set()
    for number, (path, size, changed) in enumerate(wanted):
        if (path, size, changed) in known:
            continue
        try:
            status = os.stat(os.path.join(files, path))
            if (status.st_size, status.st_mtime_ns) == (size, changed):
                continue
        except OSError:
            pass
        name = part_name(path, size, changed)
        names_of_parts.add(name)
        try:
            offset = os.stat(os.path.join(parts, name)).st_size
        except FileNotFoundError:
            offset = 0
        answer.append([number, min(offset, size)])
    for name in os.listdir(parts):
        if name not in names_of_parts:
            os.unlink(os.path.join(parts, name))
    print(json.dumps(answer))


def put(workspace: str, stream: BinaryIO) -> None:
    """Write pieces: a line of JSON with their places and the SHA-256 of the bytes that follow, then these."""
    head = json.loads(stream.readline())
    content = memoryview(stream.read())
    if hashlib.sha256(content).hexdigest() != head["sha256"]:
        sys.exit("the bytes that arrived are not those that were sent")
    for path, size, changed, offset, length in head["pieces"]:
        write(workspace, path, size, changed, offset, content[:length])
        content = content[length:]


def write(workspace: str, path: str, size: int, changed: int, offset: int, content: memoryview) -> None:
    """Write one piece of a file; the last one gives the file its place and its time of change."""
    target = os.path.join(workspace, "files", path)
    part = os.path.join(workspace, "parts", part_name(path, size, changed))
    with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if os.fstat(file.fileno()).st_size < offset:
            sys.exit(f"{path}: bytes before {offset} are missing")
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        whole = offset + len(content) == size
        if not whole or offset:
            file.flush()
            os.fsync(file.fileno())
    if whole:
        os.utime(part, ns=(changed, changed))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(part, target)


def finish(workspace: str, stream: BinaryIO) -> None:
    """Write the listing after all files are safe on the disk."""
    listing: Any = json.load(stream)
    shutil.rmtree(os.path.join(workspace, "parts"), ignore_errors=True)
    subprocess.run(["sync", "--file-system", workspace], check=True)
    path = os.path.join(workspace, "listing.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(listing, file)
    os.replace(path + ".new", path)


def main(verb: str, workspace: str) -> None:
    """Do what the controller asks for; what is wrong is said in one line."""
    os.umask(0o077)
    try:
        {"begin": begin, "put": put, "finish": finish}[verb](workspace, sys.stdin.buffer)
    except OSError as error:
        sys.exit(f"{error.filename or workspace}: {error.strerror or error}")


if __name__ == "__main__":
    main(*sys.argv[1:])

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Files that only their owner may read: secrets and keys of a site on the controller."""

from __future__ import annotations

import os
import stat

from . import files

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


def read(path: str) -> str:
    """Return the text of a file, '' where there is none; raises OSError where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def write(path: str, text: str) -> None:
    """Replace the file at once: no other user can read it at any moment, and a crash leaves the old or the new text.

    Raises OSError; the file is then as it was.
    """
    files.write(path, text, mode=FILE_MODE, durable=True)


def loose(path: str) -> bool:
    """Return True if a file or directory exists and has another mode than a private one."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return stat.S_IMODE(mode) != (DIRECTORY_MODE if stat.S_ISDIR(mode) else FILE_MODE)

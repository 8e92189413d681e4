# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How the tests of machines run commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run(*command: str, check: bool = True) -> str:
    """The output of a command."""
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, check=False, stdin=subprocess.DEVNULL
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout[-8000:]}{done.stderr[-2000:]}"
    return done.stdout

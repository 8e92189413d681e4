# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What role cache says about its log and its zones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_PATH = "/etc/imaging-repository/cache-metrics.json"


class Problem(Exception):
    """Something that the user has to mend; the text is one sentence."""


@dataclass(frozen=True)
class Configuration:
    """The log, the public ports, the zone of each route, and the zones as nginx has them."""

    log: str
    ports: Sequence[int]
    routes: Mapping[str, str]
    zones: Sequence[Mapping[str, Any]]
    state_directory: str


def load(path: str) -> Configuration:
    """Return the configuration that role cache wrote."""
    try:
        return Configuration(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise Problem(f"{path}: cannot be read ({error}); run playbooks/configure.yml") from error

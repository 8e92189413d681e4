# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is warmed: one page of the site."""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """One URL to warm: its path with query as it is sent to nginx, and the name of the source it is from.

    `optional`: its absence (404, or a status of cannot_draw) is ordinary. `refresh`: fetched anew even where it is cached. `route`: the name
    of the policy's route that serves it, once known (see keys.Routes).
    """

    path: str
    source: str
    optional: bool = False
    refresh: bool = False
    route: str = ""

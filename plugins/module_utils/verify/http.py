# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A service that answers HTTP."""

from __future__ import annotations

from .lines import CheckFailed
from .run import fetch


def check_http(
    url: str, user: str | None, password: str | None, status: int, detail: str, remedy: str, timeout_seconds: float
) -> str:
    """Return `detail` if the URL answers with this status."""
    answered, body = fetch(url, user, password, timeout_seconds=timeout_seconds)
    if answered != status:
        found = f"{url} answers {answered}" if answered else f"{url}: {body.decode(errors='replace')}"
        raise CheckFailed(found, remedy)
    return detail

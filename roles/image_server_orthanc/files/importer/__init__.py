# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Orthanc's importer: docs/drivers.md says what the verb load asks of it. It runs on the primary."""

from __future__ import annotations

from typing import Any

from .client import Client
from .orthanc import Orthanc


def importer(settings: dict[str, Any]) -> Orthanc:
    """Return the importer of the Orthanc at `url`, as `user` with `password`, who is waited for `retry_seconds`.

    `pages` is the policy's table of the addresses that the gallery asks for.
    """
    client = Client(
        settings["url"], settings["user"], settings["password"], retry_seconds=settings.get("retry_seconds", 120)
    )
    return Orthanc(client, settings["pages"], int(settings.get("workers", 4)))

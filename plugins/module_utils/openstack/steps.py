# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The steps that the plans of all kinds share."""

from __future__ import annotations

from ..plan import Step, step
from .found import is_ours
from .shapes import Found, Resource, Want


def simple(kind: str, name: str, exists: Resource | None, refusal: str, detail: str) -> Step:
    if refusal:
        return step(kind, name, "refuse", refusal)
    return step(kind, name, "keep" if exists else "create", detail)


def adoption(kind: str, resource: Resource, want: Want, found: Found) -> list[str]:
    return [] if is_ours(kind, resource, want, found.project) else ["adopt it, as asked"]


def changed(kind: str, name: str, changes: list[str], otherwise: str) -> Step:
    return step(kind, name, "change" if changes else "keep", ", ".join(changes) or otherwise)

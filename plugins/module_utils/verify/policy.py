# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the policy of an image server tells a check. Nothing here knows an image server."""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from .lines import CheckFailed

# Security headers of every page, and a word that must be in each.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "origin",
}


def fill(path: str, **ids: str) -> str:
    """Return the path with `{instance}`, `{study}`, ... replaced by ids."""
    for name, value in ids.items():
        path = path.replace("{" + name + "}", urllib.parse.quote(value, safe=""))
    return path


def source(policy: Mapping[str, Any], what: str) -> Mapping[str, Any] | None:
    """Return the warm source that lists `what`, studies or instances, as the policy's `verify` names it."""
    name = policy.get("verify", {}).get(what)
    return next((entry for entry in policy["warm_sources"] if entry["name"] == name), None)


def identifiers(answer: Any, path: str, field: str) -> list[str]:
    """Return the ids that a list answers: texts, or objects that hold their id in a field."""
    found = (
        [entry.get(field) if isinstance(entry, dict) else entry for entry in answer] if isinstance(answer, list) else 0
    )
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise CheckFailed(f"{path} answers no list of ids", "correct the policy of the image server")
    return found


def sample_offsets(total: int, pages: int, page_size: int) -> list[int]:
    """Return where to read `pages` random pages of a list of `total` ids; all of them if it is short."""
    starts = range(0, max(total, 1), page_size)
    return sorted(random.sample(starts, min(pages, len(starts))))


def cached_fraction(cached: int, missing: int, unsupported: int) -> float:
    """Return the fraction of images that are cached among those that can be; 1.0 if there are none."""
    possible = cached + missing
    return cached / possible if possible else 1.0 if unsupported else 0.0


def studies_of(catalogue: Any, driver: str) -> list[dict[str, Any]]:
    """Return the studies of the catalogue that a driver draws; those that name no driver belong to each."""
    studies = catalogue.get("studies") if isinstance(catalogue, dict) else None
    return [
        study
        for study in (studies if isinstance(studies, list) else [])
        if isinstance(study, dict) and study.get("id") and study.get("driver", driver) == driver
    ]


def catalogue_problem(catalogue: Any, studies: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with the gallery's catalogue, given the ids of all studies by driver, or ''."""
    if not isinstance(catalogue, dict) or not isinstance(catalogue.get("studies"), list):
        return "catalogue.json has no list of studies"
    wanted = {(driver, study) for driver, ids in studies.items() for study in ids}
    # Before several drivers there was no word of one.
    only = next(iter(studies), "")
    listed = {
        (str(study.get("driver", only)), str(study.get("id")))
        for study in catalogue["studies"]
        if isinstance(study, dict)
    }
    missing, unknown = wanted - listed, listed - wanted
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(wanted)} studies are not in the gallery, e.g. {min(missing)[1]}")
    if unknown:
        parts.append(f"{len(unknown)} studies of the gallery do not exist, e.g. {min(unknown)[1]}")
    return "; ".join(parts)


def missing_headers(headers: Mapping[str, str]) -> list[str]:
    """Return the security headers that are absent or weaker than they must be; `headers` by lower-case name."""
    return [name for name, word in SECURITY_HEADERS.items() if word not in headers.get(name, "")]


def read_json(text: str | bytes, what: str, remedy: str) -> Any:
    """Return the parsed text or raise CheckFailed."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise CheckFailed(f"{what} is no JSON: {error}", remedy) from None

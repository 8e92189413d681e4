# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the modules of the verb verify share: results of checks, the table, and what the cache policy tells."""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Callable, Iterable

# Security headers of every page, and a word that must be in each.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "origin",
}


class CheckFailed(Exception):
    """Raised by a check: what was found, and what to do."""

    def __init__(self, detail: str, remedy: str):
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


def check(name: str, function: Callable[[], str], also: tuple[type[Exception], ...] = (), remedy: str = "") -> dict:
    """Run one check and return {name, ok, detail, remedy}.

    `function` returns the detail, or raises CheckFailed, or one of `also`, whose text is the detail beside `remedy`.
    """
    try:
        return {"name": name, "ok": True, "detail": function(), "remedy": ""}
    except CheckFailed as failure:
        return {"name": name, "ok": False, "detail": failure.detail, "remedy": failure.remedy}
    except also as error:
        return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}".rstrip(": "), "remedy": remedy}


def table(checks: Iterable[dict]) -> str:
    """Return the checks as aligned lines, one each, with the remedy of a failed one below it."""
    checks = list(checks)
    width = max((len(entry["name"]) for entry in checks), default=0)
    lines = []
    for entry in checks:
        result = "ok" if entry["ok"] else "FAILED"
        lines.append(f"{result:<6}  {entry['name']:<{width}}  {entry['detail']}".rstrip())
        if not entry["ok"] and entry["remedy"]:
            lines.append(f"{'':6}  {'':{width}}  -> {entry['remedy']}")
    return "\n".join(lines)


def summary(checks: Iterable[dict]) -> str:
    """Return e.g. `verified: 27 checks passed` or `not verified: 2 of 27 checks failed`."""
    checks = list(checks)
    failed = sum(not entry["ok"] for entry in checks)
    if failed:
        return f"not verified: {failed} of {len(checks)} checks failed"
    return f"verified: {len(checks)} checks passed"


def fill(path: str, **ids: str) -> str:
    """Return the path with `{instance}`, `{study}`, ... replaced by ids."""
    for name, value in ids.items():
        path = path.replace("{" + name + "}", urllib.parse.quote(value, safe=""))
    return path


def sample_offsets(total: int, pages: int, page_size: int) -> list[int]:
    """Return where to read `pages` random pages of a list of `total` ids; all of them if it is short."""
    starts = range(0, max(total, 1), page_size)
    return sorted(random.sample(starts, min(pages, len(starts))))


def cached_fraction(cached: int, missing: int, unsupported: int) -> float:
    """Return the fraction of images that are cached among those that can be; 1.0 if there are none."""
    possible = cached + missing
    return cached / possible if possible else 1.0 if unsupported else 0.0


def catalogue_problem(catalogue: object, studies: list[str]) -> str:
    """Return what is wrong with the gallery's catalogue, given the ids of all studies of the image server, or ''."""
    if not isinstance(catalogue, dict) or not isinstance(catalogue.get("studies"), list):
        return "catalogue.json has no list of studies"
    listed = {study.get("id") for study in catalogue["studies"] if isinstance(study, dict)}
    missing, unknown = set(studies) - listed, listed - set(studies)
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(studies)} studies are not in the gallery, e.g. {min(missing)}")
    if unknown:
        parts.append(f"{len(unknown)} studies of the gallery do not exist, e.g. {min(map(str, unknown))}")
    return "; ".join(parts)


def missing_headers(headers: dict[str, str]) -> list[str]:
    """Return the security headers that are absent or weaker than they must be; `headers` by lower-case name."""
    return [name for name, word in SECURITY_HEADERS.items() if word not in headers.get(name, "")]


def read_json(text: str | bytes, what: str, remedy: str) -> object:
    """Return the parsed text or raise CheckFailed."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise CheckFailed(f"{what} is no JSON: {error}", remedy) from None

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What tells the right answer of a route from another that also has status 200."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .answer import Answer

# X-Cache-Status of an answer that nginx keeps from now on (or, REVALIDATED, has kept), and what the page came to.
KEPT = {"HIT": "hit", "REVALIDATED": "hit", "MISS": "miss", "EXPIRED": "miss", "BYPASS": "refreshed"}
# Beginnings of images; an error page under their content type begins otherwise.
MAGIC = {
    "image/jpeg": (b"\xff\xd8",),
    "image/png": (b"\x89PNG",),
    "image/gif": (b"GIF8",),
    "image/webp": (b"RIFF",),
    "image/tiff": (b"II", b"MM"),
}
# So many content types of routes are remembered, in case every answer invents its own.
_MOST_KNOWN = 1000


class Judge:
    """Tells the right answer of a route from another that also has status 200."""

    def __init__(self, routes: Iterable[Mapping[str, Any]]) -> None:
        self._accepts: dict[str, str] = {
            route["name"]: next(
                (value for name, value in route.get("request_headers", {}).items() if name.lower() == "accept"), ""
            )
            for route in routes
        }
        # What was found, by route and Content-Type: the cause of a failure and the beginnings that are right.
        self._known: dict[tuple[str, str], tuple[str, tuple[bytes, ...]]] = {}

    def wrong(self, route: str, answer: Answer) -> str:
        """Return why an answer with status 200 is not the page, or an empty string."""
        known = self._known.get((route, answer.content_type))
        if known is None:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            known = self._known[route, answer.content_type] = self._look(route, answer.content_type)
        cause, beginnings = known
        if cause:
            return cause
        if not answer.size_bytes:
            return "an empty answer"
        if beginnings and not answer.start.startswith(beginnings):
            return "an answer that says it is an image and is none"
        if not beginnings and answer.start[:1] == b"<" and "json" in answer.content_type:
            return "an answer that says it is JSON and is none"
        return ""

    def _look(self, route: str, content_type: str) -> tuple[str, tuple[bytes, ...]]:
        kind = content_type.partition(";")[0].strip().lower()
        wanted = [part.partition(";")[0].strip().lower() for part in self._accepts.get(route, "").split(",")]
        if wanted == [""] or any(
            want in ("*/*", kind) or (want.endswith("/*") and kind.startswith(want[:-1])) for want in wanted
        ):
            return "", MAGIC.get(kind, ())
        return f"{kind or 'no content type'} instead of {self._accepts[route]}", ()

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Lines of the table that the verb verify prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict


class Line(TypedDict):
    """One result: what was looked at, whether it is well, what was found, and what to do where it is not well."""

    name: str
    ok: bool
    detail: str
    remedy: str


class CheckFailed(Exception):
    """Raised by a check: what was found, and what to do."""

    def __init__(self, detail: str, remedy: str):
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


def check(name: str, function: Callable[[], str], also: tuple[type[Exception], ...] = (), remedy: str = "") -> Line:
    """Run one check and return its line.

    `function` returns the detail, or raises CheckFailed, or one of `also`, whose text is the detail beside `remedy`.
    """
    try:
        return {"name": name, "ok": True, "detail": function(), "remedy": ""}
    except CheckFailed as failure:
        return {"name": name, "ok": False, "detail": failure.detail, "remedy": failure.remedy}
    except also as error:
        return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}".rstrip(": "), "remedy": remedy}


def table(lines: Iterable[Line]) -> str:
    """Return aligned lines, one each, with the remedy of a failed one below it."""
    lines = list(lines)
    width = max((len(line["name"]) for line in lines), default=0)
    text = []
    for line in lines:
        result = "ok" if line["ok"] else "FAILED"
        text.append(f"{result:<6}  {line['name']:<{width}}  {line['detail']}".rstrip())
        if not line["ok"] and line["remedy"]:
            text.append(f"{'':6}  {'':{width}}  -> {line['remedy']}")
    return "\n".join(text)


def summary(lines: Iterable[Line]) -> str:
    """Return e.g. `verified: 27 checks passed` or `not verified: 2 of 27 checks failed`."""
    lines = list(lines)
    failed = sum(not line["ok"] for line in lines)
    if failed:
        return f"not verified: {failed} of {len(lines)} checks failed"
    return f"verified: {len(lines)} checks passed"


def no_answer(host: str, detail: str) -> Line:
    """Return the line of a host that did not answer."""
    return {"name": f"{host}: answers", "ok": False, "detail": detail, "remedy": "is the host up? run site.yml"}


def host_lines(hosts: Mapping[str, Any]) -> list[Line]:
    """Return the lines of all hosts, given by name.

    A host with an empty list was asked and has nothing to say. What is no list is that of a host that was not asked.
    """
    found: list[Line] = []
    for name, lines in hosts.items():
        found += [completed(line) for line in lines] if isinstance(lines, list) else [no_answer(name, "was not asked")]
    return found


def completed(line: Mapping[str, Any]) -> Line:
    """Return the line of a feature, whose author may have left something out."""
    return {
        "name": str(line.get("name", "a check without a name")),
        "ok": line.get("ok") is True,
        "detail": str(line.get("detail", "")),
        "remedy": str(line.get("remedy", "")),
    }

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A small grammar for settings: checks of values, and what is wrong said as sentences, all at once.

A check takes a value and returns a list of problems. A problem begins with the path below the value, which may be
empty, then `: what is wrong; what to do`. The site file has a richer grammar of its own (site/fields.py): it also makes
documents, defaults and merges.
"""

from __future__ import annotations

import difflib
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Check = Callable[[Any], list[str]]
_HTTP = re.compile(r"https?://[^/?#]+", re.IGNORECASE).match


def must(holds: Callable[[Any], bool], words: str) -> Check:
    """Return the check of a value for which `holds` is true; `words`: must be ..."""
    return lambda value: [] if holds(value) else [f": {value!r} {words}; correct it"]


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Return whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_path(value: Any) -> bool:
    """Return whether a value is a path that begins with /."""
    return isinstance(value, str) and value.startswith("/")


def is_address(value: Any) -> bool:
    """Return whether a value is a path that begins with /, or an http or https URL."""
    return isinstance(value, str) and bool(value.startswith("/") or _HTTP(value))


def list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the test of a list that is not empty, and of which each value passes a test."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(holds, value))


TEXT = must(is_text, "must be a text")
PATH = must(is_path, "must be a path that begins with /")
ADDRESS = must(is_address, "must be a path or an http or https URL")
WHOLE = must(is_whole, "must be a whole number")
POSITIVE = must(lambda value: is_whole(value) and value > 0, "must be a whole number above 0")
TRUTH = must(lambda value: isinstance(value, bool), "must be true or false")
TEXTS = must(list_of(is_text), "must be a list of texts")
PATHS = must(list_of(is_path), "must be a list of paths that begin with /")


def boolean(value: Any) -> list[str]:
    """Check for true or false."""
    return [] if isinstance(value, bool) else [f": {value!r} does not do; write true or false"]


def number(low: float, high: float | None = None, whole: bool = False) -> Check:
    """Return the check of a number between two others."""

    def check(value: Any) -> list[str]:
        kinds = int if whole else (int, float)
        wanted = f"write a {'whole ' if whole else ''}number " + (
            f"from {low:g} to {high:g}" if high is not None else f"of at least {low:g}"
        )
        right = isinstance(value, kinds) and not isinstance(value, bool) and value >= low
        return [] if right and (high is None or value <= high) else [f": {value!r} does not do; {wanted}"]

    return check


def url(value: Any) -> list[str]:
    """Check for an http or https URL."""
    try:
        parts = urllib.parse.urlsplit(value) if isinstance(value, str) else None
        right = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    return [] if right else [f": {value!r} is no URL; write e.g. http://127.0.0.1:8081"]


def absolute(value: Any) -> list[str]:
    """Check for an absolute path."""
    return [] if is_path(value) else [f": {value!r} is no absolute path; begin with /"]


def absolute_or_empty(value: Any) -> list[str]:
    """Check for an absolute path, or nothing."""
    return [] if value == "" else absolute(value)


def entries(keys: Mapping[str, type], more: Check | None = None) -> Check:
    """Return the check of a list of objects that must have `keys` of these types; `more` checks an entry further."""

    def check(value: Any) -> list[str]:
        if not isinstance(value, (list, tuple)):
            return [f": {value!r} is no list; write [...]"]
        found = []
        for index, entry in enumerate(value):
            if not isinstance(entry, dict):
                found.append(f"[{index}]: {entry!r} is no object; write {{{', '.join(keys)}}}")
                continue
            wrong = [
                f"[{index}].{key}: {entry.get(key)!r} does not do; write a {kind.__name__}"
                for key, kind in keys.items()
                if not isinstance(entry.get(key), kind)
            ]
            found.extend(wrong or [f"[{index}]{problem}" for problem in (more(entry) if more else ())])
        return found

    return check


def numbers_by_name(check: Check) -> Check:
    """Return the check of an object whose values are checked; its names are anybody's."""

    def checked(value: Any) -> list[str]:
        if not isinstance(value, dict):
            return [f": {value!r} is no object; write {{name: number}}"]
        return [f".{name}{problem}" for name, number in value.items() for problem in check(number)]

    return checked


def unknown(key: Any, known: Iterable[str]) -> str:
    """Return what to do about a key that does not exist."""
    names = list(known)
    close = difflib.get_close_matches(str(key), names, 1)
    return "is unknown; " + (f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}")


def mapping_problems(
    entry: Mapping[Any, Any],
    rules: Mapping[str, Check],
    needs: Iterable[Sequence[str]] = (),
    exclusive: Iterable[Sequence[str]] = (),
    prefix: str = "",
) -> list[str]:
    """Return what is wrong with the keys of an object and with their values.

    `needs`: groups of keys, one of each must be there; of the groups of `exclusive`, only one may.
    """
    found = []
    alone = {tuple(group) for group in exclusive}
    for key, value in entry.items():
        if key not in rules:
            found.append(f"{prefix}{key}: {unknown(key, rules)}")
        else:
            found += [f"{prefix}{key}{problem}" for problem in rules[key](value)]
    for group in needs:
        given = [key for key in group if key in entry]
        if not given:
            found.append(f"{prefix}{group[0]}: is missing; give {' or '.join(group)}")
        elif len(given) > 1 and tuple(group) in alone:
            found.append(f"{prefix}{given[1]}: stands beside {given[0]}; give one of them")
    return found

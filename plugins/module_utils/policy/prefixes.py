# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How the paths that a regular expression matches begin: enough to say that two routes never match one path."""

from __future__ import annotations

from typing import NamedTuple

_MAX_BEGINS = 64
# What makes the part before it optional or repeated.
_REPEATS = frozenset("*+?{")


class Begin(NamedTuple):
    """A text with which a path begins; `whole` where such a path is just this text."""

    text: str
    whole: bool


def begins(pattern: str) -> set[Begin]:
    """Return texts of which each path that `pattern` matches begins with one.

    Letters and groups are followed, e.g. ^/(plates|wells)/[0-9]+$ gives /plates/ and /wells/. Reading ends at the
    first part of another kind, so that a text may be shorter than it could be, never longer. A pattern that does not
    begin with ^, or has alternatives outside of groups, may match anywhere: its only text is empty.
    """
    if not pattern.startswith("^"):
        return {Begin("", False)}
    alternatives, _ = _read(pattern, 1)
    if len(alternatives) != 1:
        return {Begin("", False)}
    return {Begin(text, whole and pattern.endswith("$")) for text, whole in alternatives[0]}


def may_meet(one: str, other: str) -> bool:
    """Return whether two patterns could match one path. Where it is not known, they could."""
    return any(_meet(mine, others) for mine in begins(one) for others in begins(other))


def _meet(one: Begin, other: Begin) -> bool:
    if one.whole and other.whole:
        return one.text == other.text
    if one.whole:
        return one.text.startswith(other.text)
    return other.text.startswith(one.text) or (not other.whole and one.text.startswith(other.text))


def _read(pattern: str, position: int) -> tuple[list[list[Begin]], int]:
    """Return the beginnings of each alternative from a place on, and the place of the bracket that ends them."""
    alternatives = [[Begin("", True)]]
    while position < len(pattern) and pattern[position] != ")":
        if pattern[position] == "|":
            alternatives.append([Begin("", True)])
            position += 1
            continue
        part, position = _part(pattern, position)
        repeated = position < len(pattern) and pattern[position] in _REPEATS
        while position < len(pattern) and pattern[position] in _REPEATS:
            position = pattern.find("}", position) + 1 if pattern[position] == "{" else position + 1
        alternatives[-1] = _followed(alternatives[-1], None if repeated else part)
    return alternatives, position


def _followed(found: list[Begin], part: list[Begin] | None) -> list[Begin]:
    """Return the beginnings with a part behind them; None is a part that nobody follows."""
    if part is None or len(found) * len(part) > _MAX_BEGINS:
        return [Begin(text, False) for text, _ in found]
    longer = [Begin(text + more, whole) for text, open_ in found if open_ for more, whole in part]
    return [begin for begin in found if not begin.whole] + longer


def _part(pattern: str, position: int) -> tuple[list[Begin] | None, int]:
    """Return what one letter, class or group of a pattern matches, and the place behind it."""
    character = pattern[position]
    if character == "\\":
        escaped = pattern[position + 1 : position + 2]
        return (None if escaped.isalnum() else [Begin(escaped, True)]), position + 2
    if character == "[":
        # A bracket that comes first in a class is one of its letters.
        position += 3 if pattern[position + 1] == "^" else 2
        if pattern[position - 1] == "\\":
            position += 1
        while pattern[position] != "]":
            position += 2 if pattern[position] == "\\" else 1
        return None, position + 1
    if character == "(":
        known = pattern[position + 1] != "?" or pattern.startswith("(?:", position)
        inner, end = _read(pattern, position + (3 if pattern.startswith("(?:", position) else 1))
        return ([begin for alternative in inner for begin in alternative] if known else None), end + 1
    if character == "$":
        return [Begin("", True)], position + 1
    return (None if character in ".^" else [Begin(character, True)]), position + 1

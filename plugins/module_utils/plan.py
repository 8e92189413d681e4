# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the providers' plans have in common: their steps, and the table in which people read them.

A plan is a list of steps; the actions are

=========  ==================================================================
keep       exists as the site file says
create     does not exist yet
change     exists and is adapted in place, without any loss
refuse     exists, and adapting it would destroy something: the user decides
unknown    belongs to the site, but the site file does not name it
recreate   failed when it was made, and the user asked by name to make it anew
remove     only in the plan of a removal
=========  ==================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

WRITING = frozenset({"create", "change", "recreate", "remove"})


class Step(TypedDict):
    """One line of a plan: what is done with the resource of that kind and name, and why."""

    kind: str
    name: str
    action: str
    detail: str


def step(kind: str, name: str, action: str, detail: str = "") -> Step:
    """Return one line of a plan."""
    return {"kind": kind, "name": name, "action": action, "detail": detail}


def writes(steps: Sequence[Step]) -> bool:
    """Return whether applying the plan changes anything."""
    return any(entry["action"] in WRITING for entry in steps)


def table(steps: Sequence[Step]) -> str:
    """Return the plan for people, one aligned line per step, for --diff and for destroy.yml."""
    if not steps:
        return "nothing\n"
    rows = [(entry["action"], entry["kind"], entry["name"], entry["detail"]) for entry in steps]
    action, kind, name = (max(len(row[column]) for row in rows) for column in range(3))
    return "".join(f"{row[0]:{action}}  {row[1]:{kind}}  {row[2]:{name}}  {row[3]}".rstrip() + "\n" for row in rows)

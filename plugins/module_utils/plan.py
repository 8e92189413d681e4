# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the providers' plans have in common: their steps, and the table in which people read them.

A plan is a list of steps ``{"kind", "name", "action", "detail"}``; the actions are

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

WRITING = frozenset({"create", "change", "recreate", "remove"})


def step(kind: str, name: str, action: str, detail: str = "") -> dict:
    """One line of a plan."""
    return {"kind": kind, "name": name, "action": action, "detail": detail}


def writes(steps: list[dict]) -> bool:
    """Whether applying the plan changes anything."""
    return any(entry["action"] in WRITING for entry in steps)


def table(steps: list[dict]) -> str:
    """The plan for people, one aligned line per step, for --diff and for destroy.yml."""
    if not steps:
        return "nothing\n"
    widths = [max(len(entry[key]) for entry in steps) for key in ("action", "kind", "name")]
    return "".join(
        f"{entry['action']:{widths[0]}}  {entry['kind']:{widths[1]}}  {entry['name']:{widths[2]}}  {entry['detail']}".rstrip()
        + "\n"
        for entry in steps
    )

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the callback plugin progress says: the words, without anything of Ansible."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils.cache_warm.status import duration

COLLECTION = "imaging.repository."
INDENT = " " * 8
# More names than these are counted.
NAMED_HOSTS = 3


@dataclass
class Step:
    """A task while it runs: on which hosts it ended, and on which of them it changed something."""

    name: str
    started: float
    ended: float = 0.0
    hosts: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    # A check, or a step that only asks what another one would do.
    planned: bool = False

    @property
    def role(self) -> str:
        """The role of the step without its collection, or nothing."""
        return self.name.rpartition(" : ")[0].removeprefix(COLLECTION)

    @property
    def title(self) -> str:
        """What people read, e.g. `cache: Install nginx`."""
        return f"{self.role}: {self.name.rpartition(' : ')[2]}" if self.role else self.name

    @property
    def effect(self) -> str:
        """Where it changed something, or would, as the end of a line; empty where nowhere."""
        return f" - {'would change' if self.planned else 'changed'} {hosts(self.changed)}" if self.changed else ""


def together(steps: Iterable[Step]) -> list[Step]:
    """Return the steps with those of one name in one: hosts that go on by themselves have a task each."""
    found: dict[str, Step] = {}
    for step in steps:
        one = found.setdefault(step.name, step)
        if one is not step:
            one.started, one.ended = min(one.started, step.started), max(one.ended, step.ended)
            one.hosts += step.hosts
            one.changed += step.changed
    return list(found.values())


def hosts(names: Sequence[str]) -> str:
    """Return the names, or how many there are."""
    names = sorted(set(names))
    return ", ".join(names) if len(names) <= NAMED_HOSTS else f"{len(names)} hosts"


def line(seconds: float, text: str) -> str:
    """Return a line of the report; its seconds stand in a column."""
    return f"{seconds:4.0f} s  {text}"


def slow_step(step: Step, seconds: float) -> str:
    """Return the line of a step that took long."""
    return line(seconds, step.title + step.effect)


def quick_changes(steps: Sequence[Step]) -> str:
    """Return the line of quick steps of one role that changed something."""
    seconds = sum(step.ended - step.started for step in steps)
    if len(steps) == 1:
        return line(seconds, steps[0].title + steps[0].effect)
    all_of_them = Step("", 0, changed=[host for step in steps for host in step.changed], planned=steps[0].planned)
    first, last = (step.name.rpartition(" : ")[2] for step in (steps[0], steps[-1]))
    role = f"{steps[0].role}: " if steps[0].role else ""
    return line(seconds, f'{role}{len(steps)} changes, from "{first}" to "{last}"{all_of_them.effect}')


def play_end(steps: int, seconds: float) -> str:
    """Return the line of a play's quick steps that changed nothing; none where that took no time."""
    return line(seconds, f"{steps} steps without a change") if seconds >= 1 else ""


def message(result: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    """Return what a debug task says; `text` returns a value that is neither text nor a list of texts."""
    if "msg" in result:
        said = result["msg"]
    else:
        said = {
            key: value for key, value in result.items() if key not in ("changed", "failed") and not key.startswith("_")
        }
    if isinstance(said, str):
        return said.rstrip("\n")
    if isinstance(said, Sequence) and all(isinstance(one, str) for one in said):
        return "\n".join(one.rstrip("\n") for one in said)
    return text(said).strip("\n")


def failure(step: Step, host: str, result: Mapping[str, Any], path: str) -> str:
    """Return a failure whole: where, the sentences of its message, and what a command printed."""
    parts = [str(result.get("msg") or result.get("censored") or "it failed without a message")]
    for key in ("stderr", "stdout", "module_stderr", "module_stdout"):
        shown = str(result.get(key) or "").strip()
        if shown and shown not in "\n".join(parts):
            parts.append(shown)
    body = textwrap.indent("\n".join(part.strip("\n") for part in parts), INDENT)
    return f"FAILED  {step.title} ({host})\n{body}\n{INDENT}at {path}"


def done(seconds: float, names: Sequence[str], failed: Sequence[str], changed: int, check: bool, address: str) -> str:
    """Return the last line: how the run ended, how long it took, and where the site is."""
    changes = f"changed={changed}" + (" (only planned: this was a check)" if check else "")
    if failed:
        return f"\nstopped after {duration(seconds)}, failed on {', '.join(failed)}, {changes}"
    count = len([name for name in names if name != "localhost"])
    where = f" on {count} host{'' if count == 1 else 's'}" if count else ""
    return f"\ndone in {duration(seconds)}{where}, {changes}" + (f"\n{address}/" if address else "")

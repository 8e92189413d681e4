# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Decide whether a unit of systemd is older than the files that it reads, and what is to be done then.

Pure logic: what was found goes in, a plan comes out. The module service asks the host and does what the plan says.

A stamp says what a run of a unit has read: the run by systemd's invocation, each file by its SHA-256. Where the stamp is
of another run, because somebody else or a boot has started the unit since, the time of each file's last change decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

# The states in which a unit has read its files: activating is also one that fails and starts again and again.
RUNNING = ("active", "activating", "reloading", "refreshing")
ENABLED = {True: "enabled", False: "disabled"}
LIBRARY = re.compile(r"^\S+ \S+ \S+ \S+ \S+ +(/usr/\S+|/lib\S+) \(deleted\)$", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """A unit as systemd knows it: `started` is the time at which its start began, in seconds since 1970, 0 for never."""

    known: bool = False
    state: str = "inactive"
    enabled: str = ""
    invocation: str = ""
    needs_daemon_reload: bool = False
    started: float = 0.0
    files: tuple[str, ...] = ()
    consists_of: tuple[str, ...] = ()
    process: int = 0


@dataclass(frozen=True)
class File:
    """A file that a unit reads: SHA-256 and the time of the last change, in seconds since 1970."""

    digest: str
    changed: float


@dataclass(frozen=True)
class Stamp:
    """What the run `invocation` of a unit has read: SHA-256 by path."""

    invocation: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """What a role wants of a unit; None leaves as it is what the unit has."""

    state: str | None = "started"
    enabled: bool | None = None


@dataclass(frozen=True)
class Plan:
    """Steps in the order of doing, and why: the files that are newer than what runs, or a sentence."""

    steps: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def newer(unit: Unit, stamp: Stamp, files: Mapping[str, File]) -> list[str]:
    """Return the paths of the files that changed after the unit has read them."""
    same_run = unit.invocation != "" and stamp.invocation == unit.invocation
    found = []
    for path, file in files.items():
        if same_run and path in stamp.digests:
            if file.digest != stamp.digests[path]:
                found.append(path)
        elif file.changed > unit.started:
            found.append(path)
    return found


def gone(unit: Unit, stamp: Stamp, missing: Collection[str]) -> list[str]:
    """Return those of the missing files that this run of the unit has read."""
    return sorted(set(stamp.digests) & set(missing)) if stamp.invocation == unit.invocation else []


def replaced_libraries(maps: str) -> list[str]:
    """Return the programs and libraries in a /proc/<pid>/maps of which the disk by now has others."""
    return sorted(set(LIBRARY.findall(maps)))


def plan(unit: Unit, wish: Wish, restart_for: Sequence[str], reload_for: Sequence[str]) -> Plan:
    """Return what brings the unit to the wish: `restart_for` and `reload_for` say what of its files is newer."""
    steps: list[str] = []
    reasons: Sequence[str] = ()
    if unit.needs_daemon_reload:
        steps.append("daemon-reload")
    if wish.enabled is not None and unit.enabled in {"", "enabled", "disabled"} - {ENABLED[wish.enabled]}:
        steps.append("enable" if wish.enabled else "disable")
    if wish.state == "stopped" and unit.state in RUNNING:
        steps.append("stop")
    elif wish.state == "started" and unit.state in RUNNING and restart_for:
        steps.append("restart")
        reasons = restart_for
    elif wish.state == "started" and unit.state in ("active", "reloading", "refreshing") and reload_for:
        steps.append("reload")
        reasons = reload_for
    elif wish.state == "started" and unit.state not in ("active", "reloading", "refreshing"):
        steps.append("start")
    return Plan(tuple(steps), tuple(reasons))


def parse_time(text: str) -> float:
    """Return a time that `systemctl show --timestamp=us+utc` writes, in seconds since 1970; 0 for never."""
    if not text:
        return 0.0
    return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()


def parse_unit(show: str) -> Unit:
    """Return the unit in the output of `systemctl show --timestamp=us+utc`."""
    values = dict(line.split("=", 1) for line in show.splitlines() if "=" in line)
    fragment = values.get("FragmentPath", "")
    return Unit(
        known=values.get("LoadState") == "loaded",
        state=values.get("ActiveState", "inactive"),
        enabled=values.get("UnitFileState", ""),
        invocation=values.get("InvocationID", ""),
        needs_daemon_reload=values.get("NeedDaemonReload") == "yes",
        started=parse_time(values.get("InactiveExitTimestamp", "")),
        files=tuple(path for path in (fragment, *values.get("DropInPaths", "").split()) if path),
        consists_of=tuple(values.get("ConsistsOf", "").split()),
        process=int(values.get("MainPID") or 0),
    )

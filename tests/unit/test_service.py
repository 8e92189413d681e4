# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""When a unit is older than what it reads. What systemd really says is in molecule/base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.module_utils import service

RUNS = service.Unit(known=True, state="active", enabled="enabled", invocation="one", started=1000.0)
STARTED = service.Wish("started", True)
STAMP = service.Stamp("one", {"/etc/a": "old"})


def file(digest: str = "old", changed: float = 500.0) -> dict[str, service.File]:
    return {"/etc/a": service.File(digest, changed)}


@pytest.mark.parametrize(
    ("unit", "stamp", "files", "found"),
    [
        (RUNS, STAMP, file(), []),
        (RUNS, STAMP, file("new"), ["/etc/a"]),
        # Written again with the same content, or only its mode changed.
        (RUNS, STAMP, file("old", 2000.0), []),
        # Nobody has noted what this run has read: the time decides.
        (RUNS, service.Stamp(), file("new"), []),
        (RUNS, service.Stamp(), file("new", 2000.0), ["/etc/a"]),
        # Started by hand or by a boot after the change: it has read it.
        (replace(RUNS, invocation="two", started=3000.0), STAMP, file("new", 2000.0), []),
        # Started by hand before the change.
        (replace(RUNS, invocation="two", started=1500.0), STAMP, file("new", 2000.0), ["/etc/a"]),
        # A file that is new among those that count.
        (RUNS, service.Stamp("one", {}), file("new", 2000.0), ["/etc/a"]),
        (RUNS, service.Stamp("one", {}), file("new"), []),
    ],
)
def test_a_unit_is_older_than_what_changed_after_it_was_read(unit, stamp, files, found):
    assert service.newer(unit, stamp, files) == found


def test_a_file_that_is_gone_counts_for_the_run_that_has_read_it():
    assert service.gone(RUNS, STAMP, {"/etc/a", "/etc/b"}) == ["/etc/a"]
    assert service.gone(replace(RUNS, invocation="two"), STAMP, {"/etc/a"}) == []


@pytest.mark.parametrize(
    ("unit", "wish", "restart_for", "reload_for", "steps"),
    [
        (RUNS, STARTED, [], [], ()),
        (RUNS, STARTED, ["/etc/a"], [], ("restart",)),
        (RUNS, STARTED, [], ["/etc/a"], ("reload",)),
        (RUNS, STARTED, ["/etc/a"], ["/etc/b"], ("restart",)),
        (replace(RUNS, needs_daemon_reload=True), STARTED, ["/etc/a"], [], ("daemon-reload", "restart")),
        (replace(RUNS, state="inactive", enabled="disabled"), STARTED, ["/etc/a"], [], ("enable", "start")),
        (replace(RUNS, state="failed"), STARTED, [], ["/etc/a"], ("start",)),
        # It fails and starts again and again: a start waits, and a restart brings what is new.
        (replace(RUNS, state="activating"), STARTED, [], [], ("start",)),
        (replace(RUNS, state="activating"), STARTED, ["/etc/a"], [], ("restart",)),
        (RUNS, service.Wish("stopped", False), ["/etc/a"], [], ("disable", "stop")),
        (RUNS, service.Wish(None, None), ["/etc/a"], ["/etc/b"], ()),
        (replace(RUNS, enabled="static"), STARTED, [], [], ()),
        (service.Unit(), STARTED, [], [], ("enable", "start")),
    ],
)
def test_the_steps_are_the_fewest_that_bring_the_unit_to_the_wish(unit, wish, restart_for, reload_for, steps):
    assert service.plan(unit, wish, restart_for, reload_for).steps == steps


def test_a_program_or_library_that_was_replaced_is_seen_and_no_other_deleted_file():
    maps = """\
55d0c0000000-55d0c0100000 r-xp 00000000 08:01 1 /usr/sbin/nginx
7f0000000000-7f0000100000 r-xp 00000000 08:01 2                          /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f0000100000-7f0000200000 rw-p 00000000 08:01 2                          /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f0000200000-7f0000300000 rw-s 00000000 00:01 3                          /dev/zero (deleted)
7f0000300000-7f0000400000 rw-s 00000000 00:19 4                          /dev/shm/PostgreSQL.1 (deleted)
"""
    assert service.replaced_libraries(maps) == ["/usr/lib/x86_64-linux-gnu/libssl.so.3"]
    assert service.replaced_libraries("") == []


def test_systemd_is_read():
    show = """\
LoadState=loaded
ActiveState=active
UnitFileState=enabled
InvocationID=abc
NeedDaemonReload=no
InactiveExitTimestamp=Thu 1970-01-01 00:16:30.250000 UTC
FragmentPath=/etc/systemd/system/pictures.service
DropInPaths=/a.conf /b.conf
ConsistsOf=
MainPID=17
"""
    unit = service.parse_unit(show)
    assert unit.started == 990.25
    assert unit.files == ("/etc/systemd/system/pictures.service", "/a.conf", "/b.conf")
    assert (unit.known, unit.state, unit.process, unit.consists_of) == (True, "active", 17, ())
    assert service.parse_unit("LoadState=not-found\nInactiveExitTimestamp=\n") == service.Unit()

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What every host needs of its system."""

from __future__ import annotations

import datetime

from plugins.module_utils.preflight import system

NOON = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)


def test_a_clock_that_is_off_is_said_with_its_side():
    assert system.clock(NOON + datetime.timedelta(seconds=59), NOON) == []
    (ahead,) = system.clock(NOON + datetime.timedelta(hours=3, seconds=5), NOON)
    assert ahead.startswith("its clock is 3:00:05 ahead of that of this machine; set both by NTP")
    (behind,) = system.clock(NOON - datetime.timedelta(days=400), NOON)
    assert behind.startswith("its clock is 400 days, 0:00:00 behind that of this machine")


def test_memory_and_room_that_do_not_suffice():
    assert system.memory("MemTotal:         262144 kB\n", 400) == [
        "has 256 MiB of memory, less than any service needs; give it 400 or more"
    ]
    assert system.memory("MemTotal:         524288 kB\n", 400) == system.memory("", 400) == []
    assert system.space({"/usr": 499, "/var": 9000, "/tmp": 120}, 500) == [
        "/usr has 499 MiB left, too little to install packages; free 500 MiB there"
    ]


def test_the_system_itself(tmp_path):
    assert system.problems(root=str(tmp_path)) == [
        "does not run systemd; install a system that does, or boot it with systemd"
    ]
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert system.problems(least_memory_mib=400, least_space_mib=1, root=str(tmp_path)) == []
    selinux = tmp_path / "sys/fs/selinux"
    selinux.mkdir(parents=True)
    (selinux / "enforce").write_text("1")
    (line,) = system.problems(root=str(tmp_path))
    assert line.startswith("enforces SELinux")

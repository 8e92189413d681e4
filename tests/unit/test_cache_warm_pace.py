# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How hard the warm presses: concurrency, windows, visitors, room."""

from __future__ import annotations

import json
import math
import os
import time

import pytest

from plugins.module_utils.cache_warm.pace import Concurrency, Room, Visitors, Windows
from plugins.module_utils.nginx_cache.zone_files import Zone
from plugins.module_utils.percentile import percentile

MIB = 2**20


class Servers:
    """Image servers with `cores`: more requests than that wait for each other."""

    def __init__(self, limit: int, cores: int, seconds: float = 0.1):
        self.concurrency = Concurrency(limit)
        self.cores = cores
        self.seconds = seconds
        self.now = 0.0

    def work(self, rounds: int, failing: float = 0.0) -> int:
        """Let `rounds` rounds of answers come in; return how many requests are allowed then."""
        for _ in range(rounds):
            allowed = self.concurrency.allowed
            latency = self.seconds * max(1.0, allowed / self.cores)
            self.now += max(latency, 0.3)
            for _ in range(allowed):
                self.concurrency.made("tile", latency)
            self.concurrency.note(allowed, math.ceil(failing * allowed), 0, self.now)
        return self.concurrency.allowed


def test_grows_to_the_limit_where_servers_have_room():
    assert Servers(16, cores=100).concurrency.allowed == 8
    assert Servers(16, cores=100).work(100) == 16


def test_stays_where_more_would_only_wait():
    # Alone, an answer takes 0.1 s; at 64 in flight it would take 1.6 s.
    servers = Servers(64, cores=4)
    servers.concurrency._allowed = 4.0
    reached = [servers.work(1) for _ in range(300)]
    assert 4 <= max(reached[100:]) <= 24 and min(reached[100:]) >= 3


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_failures_halve(share):
    servers = Servers(32, cores=100)
    servers.work(50)
    assert servers.work(1, failing=share) == 16
    assert servers.work(3, failing=share) == 2
    assert servers.work(10, failing=share) == 1
    assert servers.work(100) == 32


def test_single_images_that_cannot_be_drawn_do_not():
    servers = Servers(32, cores=100)
    servers.work(50)
    assert servers.work(50, failing=0.05) == 32


def test_slower_for_good_is_the_new_ordinary():
    servers = Servers(16, cores=100)
    servers.work(50)
    servers.seconds = 2.0
    assert servers.work(10) < 8
    assert servers.work(600) == 16


def test_does_not_grow_unused():
    concurrency = Concurrency(32)
    for now in range(100):
        concurrency.note(8, 0, 0, float(now))
        assert concurrency.allowed == 16


def test_hits_are_no_measure_of_the_image_servers():
    concurrency = Concurrency(8)
    for now in range(50):
        # Nothing made: no latency.
        concurrency.note(8, 0, 0, float(now))
    assert concurrency.allowed == 8


def at(hours: int, minutes: int):
    return lambda: time.struct_time((2026, 1, 1, hours, minutes, 0, 0, 1, 0))


@pytest.mark.parametrize(
    ("windows", "clock", "opens"),
    [
        ([], (12, 0), ""),
        (["22:30-06:00"], (22, 29), "22:30"),
        (["22:30-06:00"], (22, 30), ""),
        (["22:30-06:00"], (0, 0), ""),
        (["22:30-06:00"], (5, 59), ""),
        (["22:30-06:00"], (6, 0), "22:30"),
        (["22:30-06:00", "12:00-13:00"], (7, 0), "12:00"),
        (["22:30-06:00", "12:00-13:00"], (13, 0), "22:30"),
        (["08:00-08:00"], (3, 0), ""),
    ],
)
def test_windows(windows, clock, opens):
    assert Windows(windows, at(*clock)).opens() == opens


class Log:
    """An access log and somebody who reads its end."""

    def __init__(self, path):
        self.path = path
        self.now = 0.0
        path.touch()
        self.visitors = Visitors(str(path), 1.0, lambda: self.now)

    def write(self, seconds: float, number: int = 20, agent: str = "Mozilla") -> None:
        with open(self.path, "a", encoding="utf-8") as stream:
            for _ in range(number):
                stream.write(json.dumps({"seconds": seconds, "agent": agent, "path": "/"}) + "\n")


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "access.log")


def test_pauses_while_visitors_wait(log):
    assert not log.visitors.waiting()
    log.write(0.1)
    assert not log.visitors.waiting()
    # Two of 22 are more than 5 %.
    log.write(3.0, 2)
    assert log.visitors.waiting()
    log.now = 31.0
    assert not log.visitors.waiting()


def test_few_visitors_say_nothing(log):
    log.write(3.0, 9)
    assert not log.visitors.waiting()
    log.write(3.0, 1)
    assert log.visitors.waiting()


def test_we_are_no_visitors(log):
    log.write(3.0, agent="imaging.repository-warm")
    assert not log.visitors.waiting()


def test_what_was_there_before_is_old(tmp_path):
    before = Log(tmp_path / "access.log")
    before.write(3.0)
    assert not Visitors(str(before.path), 1.0).waiting()


def test_rotation_and_truncation_are_followed(log):
    log.write(0.1)
    assert not log.visitors.waiting()
    # nginx goes on writing into the renamed file until it is told.
    os.rename(log.path, f"{log.path}.1")
    assert not log.visitors.waiting()
    with open(f"{log.path}.1", "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"seconds": 3.0, "agent": "Mozilla"}) + "\n")
    log.write(3.0, 5)
    assert log.visitors.waiting()
    log.now = 60.0
    assert not log.visitors.waiting()
    log.path.write_text("")
    assert not log.visitors.waiting()
    log.write(3.0, 10)
    assert log.visitors.waiting()


def test_half_lines_and_rubbish(log):
    with open(log.path, "a", encoding="utf-8") as stream:
        stream.write('rubbish\n{"seconds": "soon", "agent": "x"}\n[1]\n{"seconds": 3, "agent": null}\n')
        stream.write(json.dumps({"seconds": 3.0, "agent": "Mozilla"})[:12])
        stream.flush()
        assert not log.visitors.waiting()
        stream.write(json.dumps({"seconds": 3.0, "agent": "Mozilla"})[12:] + "\n")
    log.write(3.0, 9)
    assert log.visitors.waiting()


def test_without_a_log_or_a_limit_nobody_waits(tmp_path):
    assert not Visitors("", 1.0).waiting()
    assert not Visitors(str(tmp_path / "absent"), 1.0).waiting()
    assert not Visitors(str(tmp_path / "absent"), 0.0).waiting()


@pytest.mark.parametrize(
    ("values", "fraction", "want"),
    [([1.0], 0.95, 1.0), (list(range(1, 101)), 0.95, 95), ([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0] * 19 + [9.0], 0.95, 1.0)],
)
def test_percentile(values, fraction, want):
    assert percentile(values, fraction) == want


class Measured:
    """A zone whose files are a number."""

    def __init__(self, used_mib: int):
        self.used = used_mib * MIB
        self.looks = []

    def __call__(self, zone, leaves=None):
        self.looks.append(leaves)
        return self.used


def test_room_is_measured_once_and_then_counted(tmp_path):
    measured = Measured(0)
    room = Room([Zone("tiles", str(tmp_path), 100 * MIB)], measure=measured)
    for _ in range(80):
        assert not room.stored("tiles", MIB - 1000)
        measured.used += MIB
        room.look({})
    assert measured.looks == [Room.leaves] and not room.full
    for _ in range(20):
        room.stored("tiles", MIB - 1000)
        measured.used += MIB
        room.look({"tiles": 1000})
    assert list(room.full) == ["tiles"]
    # 1,000 pages of 1 MiB, and the margin.
    assert "its 1,000 pages need about 1,030 MiB: raise its max_size_mib" in room.full["tiles"]


def test_room_believes_the_files_and_not_the_sum(tmp_path):
    measured = Measured(10)
    room = Room([Zone("tiles", str(tmp_path), 100 * MIB)], measure=measured)
    # nginx replaced what was there: the zone has not grown.
    for _ in range(200):
        room.stored("tiles", MIB)
        room.look({})
    assert not room.full and len(measured.looks) < 10


def test_a_full_disk_is_no_room(tmp_path):
    free = os.statvfs(tmp_path)
    too_much = free.f_bavail * free.f_frsize + 2**40
    room = Room([Zone("tiles", str(tmp_path), 100 * MIB)], {"tiles": too_much}, measure=Measured(0))
    room.look({})
    assert "is full" in room.full["tiles"] and str(tmp_path) in room.full["tiles"]


def test_share_of_a_zone_where_nothing_else_is_known(tmp_path):
    measured = Measured(99)
    room = Room([Zone("a", str(tmp_path), 100 * MIB), Zone("b", str(tmp_path), 10**6 * MIB)], measure=measured)
    for _ in range(10):
        room.stored("a", MIB - 1000)
        room.stored("b", 100)
    room.look({}, total=400)
    # Half of what was stored is of zone a, so half of all pages.
    assert "its 200 pages need" in room.full["a"] and "b" not in room.full

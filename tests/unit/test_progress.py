# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import json
import threading
import time
import types

import pytest

from plugins.action import cache_warm
from plugins.module_utils.progress import Progress
from plugins.plugin_utils import progress as action_progress
from plugins.plugin_utils.progress import ActionBase, ProgressAction, duration, progress_line


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (10.4, "10 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (11520, "3 h 12 min"),
        (86400 * 2 + 4 * 3600, "2 d 4 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_line_as_in_the_documentation():
    progress = {"done": 120, "total": 345, "rate_per_second": 22.4, "eta_seconds": 10, "failed": 0, "text": ""}
    assert progress_line("load", progress) == "load: 120 of 345, 22/s, 10 s left, 0 failed"


def test_line_without_total_and_with_text():
    progress = {"done": 7, "total": None, "rate_per_second": 0.5, "eta_seconds": None, "failed": 2, "text": "5 MISS"}
    assert progress_line("warm", progress) == "warm: 7, 0.5/s, 2 failed, 5 MISS"


def test_rate_and_time_left_follow_the_last_window(tmp_path):
    clock = Clock()
    progress = Progress(str(tmp_path / "p.json"), total=1000, window_seconds=10, clock=clock)
    for second in range(1, 31):
        clock.now += 1
        progress.update(done=second * 2 if second <= 15 else 30 + (second - 15) * 10, failed=1)
    written = json.loads((tmp_path / "p.json").read_text())
    assert written == {"done": 180, "total": 1000, "rate_per_second": 10.0, "eta_seconds": 82, "failed": 1, "text": ""}


def test_writes_are_throttled_and_the_file_goes(tmp_path):
    clock = Clock()
    path = tmp_path / "p.json"
    with Progress(str(path), total=10, clock=clock) as progress:
        progress.update(done=1)
        assert json.loads(path.read_text())["done"] == 0
        clock.now += 1
        progress.update(done=2)
        assert json.loads(path.read_text())["done"] == 2
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_missing_harms_nobody():
    with Progress("/nonexistent/p.json", total=1) as progress:
        progress.update(done=1)


def test_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "p.json"
    progress = Progress(str(path), interval_seconds=0.0)
    progress.update(0)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            progress.update(number, text="x" * (number % 5000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(500):
            json.loads(path.read_text())
    finally:
        stop.set()
        writer.join()
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


class Action(ProgressAction):
    verb = "load"
    interval_seconds = 0.02
    interval_growth = 1


def make_action(monkeypatch, execute, poll, kind=Action):
    """An action of `kind` whose module is `execute` and whose host answers polls with `poll`; returns (action, lines)."""
    lines = []
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.setattr(
        action_progress,
        "display",
        types.SimpleNamespace(display=lines.append, vv=lambda text: None, vvv=lambda text: None),
    )
    action = kind.__new__(kind)
    action.interval_seconds, action.interval_growth = Action.interval_seconds, Action.interval_growth
    action._task = types.SimpleNamespace(args={"manifest": "m"})
    action._connection = types.SimpleNamespace(become=None)
    action._execute_module = execute
    action._low_level_execute_command = poll
    return action, lines


def test_lines_are_printed_while_the_module_runs(monkeypatch):
    seen = {}

    def execute(module_args, task_vars):
        seen.update(module_args)
        time.sleep(0.2)
        return {"changed": True, "summary": "3 loaded"}

    def poll(command):
        assert command == f"cat {seen['progress_file']}"
        return {"rc": 0, "stdout": json.dumps({"done": 1, "total": 3, "failed": 0})}

    action, lines = make_action(monkeypatch, execute, poll)
    result = action.run(task_vars={"inventory_hostname": "demo-primary"})
    assert result == {"changed": True, "summary": "3 loaded"}
    assert seen["manifest"] == "m"
    assert lines == ["load: 1 of 3, 0 failed (demo-primary)", "load: 3 loaded (demo-primary)"]


def test_what_a_service_writes_is_printed_until_it_has_ended(monkeypatch):
    states = iter(["done", "counting", "warming"])
    polled = []

    def poll(command):
        polled.append(command)
        state = next(states, "done")
        return {"rc": 0, "stdout": json.dumps({"state": state, "done": 1, "total": 3, "failed": 0, "text": state})}

    def execute(module_args, task_vars):
        assert "progress_file" not in module_args
        time.sleep(0.2)
        return {"changed": True, "summary": "3 pages done"}

    action, lines = make_action(monkeypatch, execute, poll, cache_warm.ActionModule)
    action.run(task_vars={})
    assert set(polled) == {"cat /run/cache-warm/status.json"}
    # Not what an earlier run has left, and not the end, which the summary tells.
    assert lines == ["warm: 1 of 3, 0 failed, counting", "warm: 1 of 3, 0 failed, warming", "warm: 3 pages done"]


@pytest.mark.parametrize(
    "answer",
    [
        {"rc": 1, "stdout": ""},
        {"rc": 0, "stdout": "{"},
        {"rc": 0, "stdout": "{}"},
        {"rc": 0, "stdout": "[]"},
        {},
        None,
    ],
)
def test_polls_that_fail_do_not_touch_the_result(monkeypatch, answer):
    def execute(module_args, task_vars):
        time.sleep(0.1)
        return {"changed": False}

    action, lines = make_action(monkeypatch, execute, lambda command: answer)
    assert action.run(task_vars={}) == {"changed": False}
    assert not lines


def test_an_exception_of_the_module_passes(monkeypatch):
    def execute(module_args, task_vars):
        raise RuntimeError("connection lost")

    action, _lines = make_action(monkeypatch, execute, lambda command: None)
    with pytest.raises(RuntimeError, match="connection lost"):
        action.run(task_vars={})


def test_a_connection_that_cannot_be_copied_costs_only_the_lines(monkeypatch):
    class Stubborn:
        become = None

        def __copy__(self):
            raise TypeError("no copies")

    action, _lines = make_action(monkeypatch, lambda module_args, task_vars: {"changed": True}, None)
    action._connection = Stubborn()
    assert action.run(task_vars={}) == {"changed": True}

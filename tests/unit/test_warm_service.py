# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Starting and following the service; systemctl and journalctl are what they print, molecule has the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.cache_warm import source_rules, sources
from plugins.module_utils.warm_service import (
    PROGRAM,
    Service,
    ServiceError,
    State,
    parse_state,
    read_order,
    write_order,
)

PROJECT = Path(__file__).parents[2]
ENDED = {
    "ActiveState": "inactive",
    "ExecMainCode": 1,
    "ExecMainPID": 77,
    "ExecMainStatus": 0,
    "InvocationID": "abc",
    "NRestarts": 0,
    "Result": "success",
}
RUNNING = {**ENDED, "ActiveState": "active", "ExecMainCode": 0}
RESTARTING = {**ENDED, "ActiveState": "activating", "ExecMainCode": 2, "ExecMainStatus": 9, "Result": "signal"}
REPORT = {"miss": 3, "summary": "3 of 3 pages done"}


class Host:
    """Answers commands: `states` are those of the unit, one per question, the last one for ever."""

    def __init__(self, *states: dict, status: dict | None = None, start: tuple = (0, "", "")):
        self.states = list(states)
        self.start = start
        self.status = status or {"pid": 77, "exit_status": 0}
        self.commands = []

    def __call__(self, words: list[str]) -> tuple[int, str, str]:
        self.commands.append(words)
        if words[:2] == ["systemctl", "show"]:
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return 0, "".join(f"{key}={value}\n" for key, value in state.items()), ""
        if words[0] == "journalctl":
            return 0, "the disk is full;\n  make room\n", ""
        return {
            ("systemctl", "start"): self.start,
            (PROGRAM, "status"): (0, json.dumps(self.status), ""),
            (PROGRAM, "report"): (0, json.dumps(REPORT), ""),
            (PROGRAM, "count"): (2, "", "config: probe: missing; take it from the policy\n"),
        }.get(tuple(words[:2]), (0, "", ""))

    def asked(self, *words: str) -> bool:
        return any(command[: len(words)] == list(words) for command in self.commands)


def service(host: Host, tmp_path) -> Service:
    return Service(host, directory=str(tmp_path / "state"), sleep=lambda seconds: None)


def test_state_of_a_unit_that_never_ran():
    state = parse_state("ActiveState=inactive\nExecMainCode=0\nExecMainPID=0\nExecMainStatus=0\nInvocationID=\n")
    assert state == State("inactive")
    assert not state.running and not state.exited


def test_a_warm_is_started_and_followed_over_a_kill(tmp_path):
    host = Host({**ENDED, "ExecMainCode": 0}, RUNNING, RESTARTING, RUNNING, ENDED)
    warm = service(host, tmp_path)
    assert warm.begin(refresh=False)
    assert host.asked("systemctl", "start", "cache-warm.service")
    assert warm.report(warm.follow()) == REPORT
    assert not host.states[1:]


def test_a_warm_that_runs_is_followed(tmp_path):
    host = Host(RUNNING, RUNNING, ENDED)
    warm = service(host, tmp_path)
    assert not warm.begin(refresh=False)
    assert not host.asked("systemctl", "start")
    assert warm.report(warm.follow()) == REPORT


def test_a_refresh_is_refused_while_another_warm_runs(tmp_path):
    with pytest.raises(ServiceError, match="a warm is running that is no refresh; wait for its end"):
        service(Host(RUNNING), tmp_path).begin(refresh=True)


def test_a_refresh_that_runs_is_followed(tmp_path):
    write_order(True, str(tmp_path / "state"))
    assert not service(Host(RUNNING), tmp_path).begin(refresh=True)


def test_orders(tmp_path):
    directory = str(tmp_path / "state")
    assert read_order(directory) is None
    write_order(False, directory)
    assert read_order(directory) is False
    write_order(True, directory)
    # A refresh that was cut goes on as one.
    write_order(False, directory)
    assert read_order(directory) is True
    assert os.listdir(directory) == ["unfinished"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}"])
def test_an_order_that_cannot_be_read_is_an_ordinary_warm(tmp_path, content):
    (tmp_path / "unfinished").write_text(content)
    assert read_order(str(tmp_path)) is False


def test_an_order_follows_no_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "unfinished").symlink_to(tmp_path / "precious")
    write_order(True, str(tmp_path))
    assert (tmp_path / "precious").read_text() == "precious"
    assert read_order(str(tmp_path)) is True


@pytest.mark.parametrize(
    ("state", "status", "message"),
    [
        (
            {**ENDED, "ActiveState": "failed", "ExecMainStatus": 2, "Result": "exit-code"},
            {"pid": 77},
            "cache-warm ended with status 2; its last words: the disk is full; make room",
        ),
        (
            {
                **ENDED,
                "ActiveState": "failed",
                "ExecMainCode": 2,
                "ExecMainStatus": 9,
                "Result": "start-limit-hit",
                "NRestarts": 29,
            },
            {"pid": 77},
            "cache-warm was killed again and again, 30 times (start-limit-hit): is the memory of the cache host too small? What "
            "is cached stays; its last words: the disk is full; make room",
        ),
        # An earlier run's.
        (
            {**ENDED, "ExecMainStatus": 1},
            {"pid": 76, "exit_status": 1},
            "cache-warm ended without a report; its last words: the disk is full; make room",
        ),
        # It crashed on its way.
        (
            {**ENDED, "ExecMainStatus": 1},
            {"pid": 77, "exit_status": None},
            "cache-warm ended without a report; its last words: the disk is full; make room",
        ),
    ],
)
def test_a_warm_without_a_report_is_a_failure_with_its_last_words(tmp_path, state, status, message):
    host = Host(state, status=status)
    warm = service(host, tmp_path)
    with pytest.raises(ServiceError) as error:
        warm.report(warm.follow())
    assert str(error.value) == message
    assert any("_SYSTEMD_INVOCATION_ID=abc" in words for words in host.commands)


def test_a_service_that_does_not_start(tmp_path):
    host = Host({**ENDED, "InvocationID": ""}, start=(1, "", "Job failed.\n"))
    with pytest.raises(ServiceError, match=r"cache-warm does not start: Job failed.; its last words: the disk is full"):
        service(host, tmp_path).begin(refresh=False)


def test_counting_that_fails_says_why(tmp_path):
    with pytest.raises(ServiceError, match="cache-warm count` fails: config: probe: missing"):
        service(Host(ENDED), tmp_path).count()


@pytest.mark.parametrize("path", sorted(PROJECT.glob("roles/image_server_*/meta/policy.yml")), ids=str)
def test_sources_of_a_driver_are_known_to_the_program(path):
    policy = yaml.safe_load(path.read_text())
    entries = [*policy["warm_sources"], {"name": "readers", **policy["reader"]["source"]}]
    assert [source_rules.problems(entry) for entry in entries] == [[]] * len(entries)
    # What a visitor sees first: pictures, then what stands beside them.
    assert next(entry["name"] for entry in sources.in_order(policy["warm_sources"])) == "thumbnails"

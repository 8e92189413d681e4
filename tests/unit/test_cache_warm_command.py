# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The commands of cache-warm and its settings."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing

import pytest

from plugins.module_utils.cache_warm import checks, command
from plugins.module_utils.cache_warm.configuration import Configuration, ConfigurationError, load
from plugins.module_utils.cache_warm.report import Report

ROUTE = {
    "name": "tile",
    "match": "^/tiles/[0-9]+$",
    "zone": "tiles",
    "valid": "365d",
    "arguments": [],
    "argument_patterns": {},
    "request_headers": {"Accept": "image/jpeg"},
}


def settings(tmp_path=None, **more) -> dict:
    found = {"probe": "/well", "routes": [ROUTE], "sources": [{"name": "urls", "kind": "urls", "file": "/urls"}]}
    if tmp_path is not None:
        (tmp_path / "run").mkdir(exist_ok=True)
        found |= {
            "state_directory": str(tmp_path),
            "runtime_directory": str(tmp_path / "run"),
            "url": "http://127.0.0.1:9",
            "refresh_url": "http://127.0.0.1:9",
            "attempts": 1,
        }
    return found | more


def written(tmp_path, content) -> str:
    path = tmp_path / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def problems(content) -> list[str]:
    """Return what is wrong with the content of a configuration file."""
    return checks.problems(content, [field.name for field in dataclasses.fields(Configuration)])


def test_right_settings(tmp_path):
    assert problems(settings()) == []
    loaded = load(written(tmp_path, settings(windows=["22:30-06:00"], share={"index": 1, "count": 2})))
    assert (loaded.windows, loaded.share["index"], loaded.concurrency) == (("22:30-06:00",), 1, 8)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"concurency": 3}, "concurency: is unknown; did you mean concurrency?"),
        ({"probe": ""}, "probe: missing; take it from the image server's cache policy"),
        ({"url": "127.0.0.1:8081"}, "url: '127.0.0.1:8081' is no URL; write e.g. http://127.0.0.1:8081"),
        ({"url": "http://[1"}, "url: 'http://[1' is no URL; write e.g. http://127.0.0.1:8081"),
        ({"concurrency": 0}, "concurrency: 0 does not do; write a whole number from 1 to 900"),
        ({"concurrency": 10**6}, "concurrency: 1000000 does not do; write a whole number from 1 to 900"),
        ({"concurrency": True}, "concurrency: True does not do; write a whole number from 1 to 900"),
        ({"attempts": 1.5}, "attempts: 1.5 does not do; write a whole number of at least 1"),
        ({"minimum_coverage": 99}, "minimum_coverage: 99 does not do; write a number from 0 to 1"),
        ({"windows": ["22-6"]}, "windows[0]: '22-6' is no time window; write e.g. \"22:30-06:00\""),
        ({"windows": ["24:00-06:00"]}, "windows[0]: '24:00-06:00' is no time window; write e.g. \"22:30-06:00\""),
        ({"route_concurrency": {"tiles": 3}}, "route_concurrency.tiles: there is no such route; write one of tile"),
        (
            {"route_concurrency": {"tile": 0}},
            "route_concurrency.tile: 0 does not do; write a whole number of at least 1",
        ),
        (
            {"zones": [{"name": "tiles", "directory": "tiles", "max_size_mib": 1}]},
            "zones[0].directory: 'tiles' is no absolute path; begin with /",
        ),
        (
            {"zones": [{"name": "other", "directory": "/a", "max_size_mib": 1}]},
            "routes.tile.zone: 'tiles' is not among zones; add it there",
        ),
        ({"share": {"index": 2, "count": 2}}, "share.index: 2 is not below count; count from 0"),
        ({"share": 2}, 'share: 2 does not do; write {"index": 0, "count": 1}'),
        (
            {"visitors_p95_limit_seconds": 1},
            "visitors_log: missing; name nginx's access log, or set visitors_p95_limit_seconds to 0",
        ),
        ({"routes": [{**ROUTE, "match": "("}]}, "routes[0].match: no regular expression"),
        ({"routes": {}}, "routes: missing"),
        ({"sources": ["urls"]}, "sources[0]: 'urls' is no object; write {name}"),
        (
            {"sources": [{"name": "a", "kind": "urls", "file": "/a", "readers": True}]},
            "sources.a.readers: there are no readers; fill readers or remove this source",
        ),
        (
            {"sources": [{"name": "a", "kind": "urls", "file": "/a", "readers": 1}]},
            "sources[0].readers: 1 does not do; write true or false",
        ),
        (
            {"sources": [{"name": "a", "kind": "urls", "file": "/a"}] * 2},
            "sources: two are named 'a'; name each differently",
        ),
        (
            {"readers": [{"url": "http://a", "headers": ["x"]}]},
            "readers[0].headers: ['x'] does not do; write {name: text}",
        ),
        ({"metrics_file": "x"}, "metrics_file: 'x' is no absolute path; begin with /"),
        ({"skip_cached": "yes"}, "skip_cached: 'yes' does not do; write true or false"),
    ],
)
def test_problems_say_what_to_do(changes, problem):
    found = problems(settings(**changes))
    assert len(found) == 1 and found[0].startswith(problem), found


def test_every_problem_at_once(tmp_path, capsys):
    path = written(tmp_path, settings(concurrency=0, windows=["x"], uurl="http://a"))
    assert command.main(["--config", path, "run"]) == command.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith(f"{path}: ") for line in lines)


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_file_that_is_none(tmp_path, content):
    with pytest.raises(ConfigurationError):
        load(written(tmp_path, content))
    with pytest.raises(ConfigurationError, match=r"run warm.yml"):
        load(str(tmp_path / "absent"))


def test_before_the_first_run(tmp_path, capsys):
    path = written(tmp_path, settings(tmp_path))
    assert command.main(["--config", path, "status"]) == 1
    assert "start one by: systemctl start cache-warm" in capsys.readouterr().err
    assert command.main(["--config", path, "report"]) == 1
    assert "no warm has ended" in capsys.readouterr().err


def test_directories_are_missing(tmp_path, capsys):
    path = written(tmp_path, settings(tmp_path, state_directory=str(tmp_path / "absent")))
    assert command.main(["--config", path, "run"]) == command.USAGE
    assert f"{tmp_path}/absent: is no directory that this user may write to" in capsys.readouterr().err


def test_a_source_that_cannot_be_read_stops_with_a_report(tmp_path, capsys):
    path = written(tmp_path, settings(tmp_path))
    assert command.main(["--config", path, "run"]) == command.STOPPED
    assert "/urls: No such file" in capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["exit_status"] == command.STOPPED and "/urls" in report["stopped"]
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "stopped"
    # It ended by itself.
    assert not (tmp_path / "unfinished").exists()
    assert command.main(["--config", path, "count"]) == command.STOPPED


def test_count(tmp_path, capsys):
    (tmp_path / "urls").write_text("".join(f"/tiles/{number}\n" for number in range(1234)))
    source = {"name": "urls", "kind": "urls", "file": str(tmp_path / "urls")}
    # Nobody shall wait until the window opens.
    path = written(tmp_path, settings(tmp_path, sources=[source], windows=["00:00-00:01"]))
    assert command.main(["--config", path, "count"]) == 0
    assert json.loads(capsys.readouterr().out) == {"total": 1234}


def _hold(path, held, done):
    with command.lock(path):
        held.set()
        done.wait(30)


def test_lock_is_one_process(tmp_path):
    path = str(tmp_path / "lock")
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, held, done))
    process.start()
    assert held.wait(30)
    with pytest.raises(command.AlreadyRunning, match=f"process {process.pid}"), command.lock(path):
        pass
    process.kill()
    process.join()
    # The kernel has let go.
    with command.lock(path):
        pass


@pytest.mark.parametrize(
    ("stopped", "interrupted", "outcomes", "sampled", "exit_status"),
    [
        ("", False, {"miss": 100}, "HIT", 0),
        ("", False, {"miss": 90, "failed": 10}, "HIT", 1),
        ("", False, {"miss": 100}, "MISS", 1),
        ("why", False, {"miss": 100}, "HIT", 4),
        ("why", False, {"miss": 10}, "MISS", 4),
        ("why", True, {"miss": 10}, "HIT", 5),
        # The signal came when all was done.
        ("", True, {"miss": 100}, "HIT", 0),
    ],
)
def test_exit_status(stopped, interrupted, outcomes, sampled, exit_status):
    report = Report(100)
    report.outcomes.update(outcomes)
    report.stopped = stopped
    report.sampled("/a", sampled)
    status, message = command.judge(report, 0.99, interrupted)
    assert status == exit_status and bool(message) == bool(status)
    assert stopped in message


@pytest.mark.parametrize(
    ("content", "refresh"),
    [('{"refresh": true}', True), ('{"refresh": false}', False), ("", False), ("[]", False), ("{}", False)],
)
def test_order(tmp_path, content, refresh):
    (tmp_path / "unfinished").write_text(content)
    assert command.ordered_refresh(str(tmp_path / "unfinished")) is refresh
    assert command.ordered_refresh(str(tmp_path / "absent")) is False


def test_paths_are_below_the_directories():
    default = Configuration()
    assert default.report_path == "/var/lib/cache-warm/report.json"
    assert default.status_path == "/run/cache-warm/status.json"

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The pages that an access log names: the most visited first, and what is passed over."""

from __future__ import annotations

import datetime
import gzip
import json
import os

from cache_warm_source_samples import no_fetch, paths

from plugins.module_utils.cache_warm import access_log as access_log_module
from plugins.module_utils.cache_warm.items import Item
from plugins.module_utils.cache_warm.sources import open_source

TODAY = datetime.date.today()


def line(path: str, days_ago: int = 0, **fields: object) -> str:
    day = TODAY - datetime.timedelta(days=days_ago)
    return (
        json.dumps(
            {
                "time": f"{day}T12:00:00+00:00",
                "client": "192.0.2.1",
                "method": "GET",
                "path": path,
                "status": 200,
                "route": "thumbnail",
                "cache": "HIT",
                "agent": "Firefox",
                **fields,
            }
        )
        + "\n"
    )


def access_log(*files: str, **keys: object):
    return open_source({"name": "visits", "kind": "access_log", "files": list(files), **keys}, no_fetch)


def test_access_log_yields_the_most_visited_first(tmp_path):
    (tmp_path / "access.log").write_text(line("/rare") + line("/often") * 3 + line("/some") * 2)
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress((line("/some") * 5).encode()))
    stream = access_log(f"{tmp_path}/access.log*")
    assert paths(stream) == ["/some", "/often", "/rare"]
    assert stream.approximate_total == 3


def test_access_log_counts_visits_alone(tmp_path):
    (tmp_path / "access.log").write_text(
        "".join(
            [
                line("/static", route=""),
                line("/gone", status=404),
                line("/posted", method="POST"),
                line("/own", agent="imaging.repository-warm"),
                line("/old", days_ago=9),
                line("/seen", status=304),
            ]
        )
    )
    assert paths(access_log(f"{tmp_path}/access.log", days=7)) == ["/seen"]


def test_access_log_passes_over_files_that_are_too_old(tmp_path):
    file = tmp_path / "access.log.9"
    file.write_text(line("/a"))
    os.utime(file, (0, 0))
    assert not list(access_log(str(file), days=7))
    assert paths(access_log(str(file))) == ["/a"]


def test_access_log_of_another_site(tmp_path):
    day = TODAY.strftime("%d/%b/%Y")
    (tmp_path / "access.log").write_text(
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 17 "-" "Firefox"\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 17\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /own HTTP/1.1" 200 17 "-" "imaging.repository-warm"\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "HEAD /b HTTP/1.1" 200 0 "-" "Firefox"\n'
        '192.0.2.1 - - [01/Jan/2020:10:00:00 +0000] "GET /old HTTP/1.1" 200 17 "-" "Firefox"\n'
    )
    assert paths(access_log(f"{tmp_path}/access.log", days=2)) == ["/a?x=1"]


def test_access_log_reports_rubbish(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(
        b'{"time":\nnothing\n{}\n'
        + line("/a").encode()
        + b"\x00\xff" * 10
        + b"\n"
        + line("no path").encode()
        + b"x" * 100000
        + b"\n"
        + line("/b").encode()
    )
    stream = access_log(str(file), f"{tmp_path}/none*")
    assert sorted(stream, key=lambda item: item.path) == [Item("/a", "visits"), Item("/b", "visits")]
    found = [sentence.removeprefix(f"{file} line ").split(":")[0] for sentence in stream.problems]
    assert found == ["1", "2", "3", "5", "6", "7", f"{tmp_path}/none*"]


def test_access_log_counts_in_bounded_memory_and_keeps_the_most_visited(tmp_path, monkeypatch):
    monkeypatch.setattr(access_log_module, "LOG_COUNTERS", 50)
    file = tmp_path / "access.log"
    # 20 pages with 30 visits each among 2,000 with one: more than one in 50 of the visits, or nearly.
    visits = [f"/once/{number}" for number in range(2000)]
    for number in range(20):
        visits[number::67] = [f"/often/{number:02}"] * len(visits[number::67])
    file.write_text("".join(map(line, visits)))
    found = paths(access_log(str(file)))
    assert len(found) <= 100
    assert sorted(found[:20]) == [f"/often/{number:02}" for number in range(20)]

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The program that counts hits and latency in the log of the cache, on real files and with the real logrotate."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from plugins.module_utils.cache_metrics.zones import measure
from plugins.module_utils.percentile import percentile

ROUTES = {"thumbnail": "thumbnails", "tile": "tiles", "list": "lists"}


def run(configuration: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run the command as it is installed: as a module of a package."""
    command = [sys.executable, "-B", "-m", "module_utils.cache_metrics", "--config", configuration, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "plugins")}
    return subprocess.run(command, text=True, capture_output=True, env=environment, **options)


def line(
    route: str = "thumbnail",
    cache: str = "HIT",
    seconds: float = 0.001,
    port: int = 443,
    path: str = "/a",
    sent: int = 100,
    when: datetime | None = None,
) -> bytes:
    """One line as nginx writes it."""
    when = when or datetime.now().astimezone()
    return (
        f'{{"time":"{when.isoformat(timespec="seconds")}","client":"1.2.3.4","method":"GET","path":"{path}",'
        f'"status":200,"bytes":{sent},"seconds":{seconds:.3f},"route":"{route}","cache":"{cache}","port":{port}}}\n'
    ).encode()


@pytest.fixture
def site(tmp_path: Path) -> dict:
    """The configuration of a host with an empty log and empty zones."""
    zones = [
        {"name": name, "directory": str(tmp_path / name), "max_size_mib": 4, "keys_size_mib": 1}
        for name in ROUTES.values()
    ]
    for zone in zones:
        Path(zone["directory"]).mkdir()
    (tmp_path / "log").mkdir()
    (tmp_path / "log/access.log").touch()
    configuration = {
        "log": str(tmp_path / "log/access.log"),
        "routes": ROUTES,
        "zones": zones,
        "ports": [443],
        "state_directory": str(tmp_path),
    }
    (tmp_path / "configuration.json").write_text(json.dumps(configuration))
    return configuration


def append(site: dict, *lines: bytes) -> None:
    with open(site["log"], "ab") as stream:
        stream.writelines(lines)


def metrics(site: dict) -> dict[str, float]:
    """Collect, and return what is in the file for Prometheus."""
    run(Path(site["state_directory"], "configuration.json"), "collect", check=True)
    text = Path(site["state_directory"], "cache.prom").read_text()
    return {name: float(value) for name, value in re.findall(r"^imaging_repository_(\S+) (\S+)$", text, re.MULTILINE)}


def counted(site: dict, status: str = "HIT") -> float:
    """How many thumbnails have had a status until now."""
    labels = f'route="thumbnail",status="{status}",zone="thumbnails"'
    return metrics(site).get(f"cache_requests_total{{{labels}}}", 0)


def test_metrics_count_visitors_by_zone_route_and_status(site) -> None:
    append(
        site,
        line(),
        line(cache="MISS", seconds=0.3),
        line("tile", "MISS", 20.0),
        line(seconds=0.005),
        line(port=8082, cache="BYPASS"),
        line(port=8081, cache="MISS"),
        line(route="", cache=""),
        line(route="gone"),
    )
    found = metrics(site)
    hit = 'route="thumbnail",status="HIT",zone="thumbnails"'
    miss = hit.replace("HIT", "MISS")
    assert found[f"cache_requests_total{{{hit}}}"] == 2
    assert found[f"cache_requests_total{{{miss}}}"] == 1
    assert found[f"cache_sent_bytes_total{{{hit}}}"] == 200
    assert found[f'cache_request_seconds_bucket{{le="0.005",{hit}}}'] == 2
    slow = [found[f'cache_request_seconds_bucket{{le="{le}",{miss}}}'] for le in ("0.25", "0.5", "+Inf")]
    assert slow == [0, 1, 1]
    tile = 'route="tile",status="MISS",zone="tiles"'
    assert [found[f'cache_request_seconds_bucket{{le="{le}",{tile}}}'] for le in ("10.0", "+Inf")] == [0, 1]
    assert found[f"cache_request_seconds_sum{{{tile}}}"] == 20
    assert not [name for name in found if "BYPASS" in name or "gone" in name or 'route=""' in name]


def test_second_run_counts_only_what_is_new(site) -> None:
    assert counted(site) == 0
    append(site, line(), line())
    assert [counted(site), counted(site)] == [2, 2]
    append(site, line())
    assert counted(site) == 3


def test_a_line_that_is_not_whole_is_counted_when_it_is(site) -> None:
    whole = line()
    append(site, whole, whole[:40])
    assert counted(site) == 1
    append(site, whole[40:])
    assert counted(site) == 2


@pytest.mark.parametrize(
    "rubbish", [b"\n", b'{"a": 1}\n', b"[]\n", b"\xff\xfe\x00\n", b'{"cache":"HIT","route":[]}\n', b"7\n"]
)
def test_rubbish_is_skipped(site, rubbish) -> None:
    append(site, line(), rubbish, line())
    assert counted(site) == 2


def test_rotation_loses_nothing_and_counts_nothing_twice(site, tmp_path) -> None:
    if not shutil.which("logrotate", path="/usr/sbin:/usr/bin"):
        pytest.skip("needs logrotate")
    rules = tmp_path / "rules"
    # As Debian's file for nginx, but for the signal and the owner.
    rules.write_text(
        f"{site['log']} {{\n daily\n rotate 3\n missingok\n compress\n delaycompress\n notifempty\n create 0640\n}}\n"
    )
    expected = 0
    for number in range(5):
        append(site, line(), line())
        expected += 2
        if number % 2:
            assert counted(site) == expected
        late = open(site["log"], "ab")
        subprocess.run(
            ["logrotate", "--force", "--state", tmp_path / "state", rules],
            check=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        append(site, line())
        expected += 1
        assert counted(site) == expected
        # nginx goes on with the renamed file until it is told.
        with late:
            late.write(line())
        expected += 1
        assert counted(site) == expected
    assert sorted(path.name for path in Path(site["log"]).parent.iterdir()) == [
        "access.log",
        "access.log.1",
        "access.log.2.gz",
        "access.log.3.gz",
    ]


def test_a_log_that_was_emptied_is_read_from_its_beginning(site) -> None:
    append(site, line(), line())
    assert counted(site) == 2
    first = Path(site["log"]).read_bytes().splitlines(keepends=True)[0]
    # The same first line and inode.
    with open(site["log"], "r+b") as stream:
        stream.truncate(len(first))
    assert counted(site) == 3


def test_killed_between_the_two_files_counts_nothing_twice(site) -> None:
    append(site, line())
    counted(site)
    Path(site["state_directory"], "cache.prom").unlink()
    assert counted(site) == 1


def test_a_broken_state_is_told_and_begun_anew(site) -> None:
    append(site, line())
    Path(site["state_directory"], "state.json").write_text('{"offsets"')
    assert counted(site) == 1


def fill(zone: dict, entries: int) -> None:
    """Write files of one block each where nginx would."""
    for number in range(entries):
        directory = Path(zone["directory"], f"{number % 16:x}", f"{number // 16 % 256:02x}")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number:032x}").write_bytes(b"x" * 4096)


def test_zones_are_measured(site) -> None:
    fill(site["zones"][0], 300)
    found = metrics(site)
    assert found['cache_zone_entries{zone="thumbnails"}'] == 300
    assert found['cache_zone_bytes{zone="thumbnails"}'] == 300 * 4096
    assert found['cache_zone_max_bytes{zone="thumbnails"}'] == 4 << 20
    assert found['cache_zone_max_entries{zone="thumbnails"}'] == 8000
    assert found['cache_zone_entries{zone="tiles"}'] == 0


def test_large_zones_are_extrapolated(site) -> None:
    fill(site["zones"][0], 9000)
    assert abs(measure(site["zones"][0], files=2000).entries - 9000) < 1000


def stats(site: dict, *arguments: str) -> str:
    configuration = Path(site["state_directory"], "configuration.json")
    return run(configuration, "stats", *arguments, check=True).stdout


def test_statistics_are_of_the_last_day_in_all_files_of_the_log(site) -> None:
    now = datetime.now().astimezone()
    append(site, line(), line(), line(cache="STALE"), line(cache="MISS", seconds=0.4, path="/missed"))
    log = Path(site["log"])
    log.with_name("access.log.1").write_bytes(line("tile", "EXPIRED") + line("tile", "MISS", path="/missed"))
    with gzip.open(log.with_name("access.log.2.gz"), "wb") as stream:
        stream.write(line(when=now - timedelta(days=2)))
        stream.write(line(cache="MISS", path="/yesterday", when=now - timedelta(hours=23)))
    old = log.with_name("access.log.3.gz")
    old.write_bytes(b"not even a file of gzip")
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    report = json.loads(stats(site, "--json"))
    zones = {zone["name"]: zone for zone in report["zones"]}
    assert {name: (zone["requests"], zone["hit_ratio"]) for name, zone in zones.items()} == {
        "thumbnails": (5, 0.6),
        "tiles": (2, 0.0),
        "lists": (0, None),
    }
    assert (zones["thumbnails"]["median_seconds"], zones["thumbnails"]["p99_seconds"]) == (0.001, 0.4)
    assert sorted(report["missed"]) == [["/a", 1], ["/missed", 2], ["/yesterday", 1]] and report["missed"][0][1] == 2
    assert report["warnings"] == []


def test_table_is_for_people(site) -> None:
    append(site, line(), line(cache="MISS", seconds=0.4, path="/missed"))
    fill(site["zones"][0], 7500)
    text = stats(site)
    row = r"^thumbnails +2  50\.0 %  +1 ms  +400 ms +200 B +29\.3 MiB  4 MiB +7,500  8,000$"
    assert re.search(row, text, re.MULTILINE)
    assert re.search(r"^ +thumbnail +2 ", text, re.MULTILINE)
    assert re.search(r"^ +1  /missed$", text, re.MULTILINE)
    assert text.endswith(
        "zone thumbnails: 7,500 entries fill its 8,000 keys, so nginx evicts although there may be "
        "space; set cache_keys_size_mib.thumbnails to 2\n"
    )


def test_without_configuration_it_says_what_to_do(tmp_path) -> None:
    done = run(tmp_path / "none.json", "collect")
    assert done.returncode == 1 and "run playbooks/configure.yml" in done.stderr and "Traceback" not in done.stderr


def test_percentiles() -> None:
    counts = Counter({1: 98, 5: 1, 9: 1})
    assert [percentile(counts, fraction) for fraction in (0.5, 0.98, 0.99, 1)] == [1, 1, 5, 9]
    assert percentile(Counter(), 0.5) == 0

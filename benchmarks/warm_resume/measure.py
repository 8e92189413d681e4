# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Measures how cache-warm goes on where it was; see benchmarks/warm_resume.sh."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

PROJECT = Path(__file__).parents[2]
POLICY = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text(encoding="utf-8"))
PICTURE = b"\xff\xd8\xff\xe0" + b"x" * 500
# The zone's job is smaller: a million files would measure the disk.
ZONE_SHARE = 10
CONFIGURATION = b"""
worker_processes 1;
pid %(directory)b/nginx.pid;
error_log %(directory)b/error.log warn;
%(user)b
events { worker_connections 512; }
http {
    client_body_temp_path %(directory)b/temporary; proxy_temp_path %(directory)b/temporary;
    fastcgi_temp_path %(directory)b/temporary; uwsgi_temp_path %(directory)b/temporary;
    scgi_temp_path %(directory)b/temporary;
    access_log off;
    log_format path '$request_uri';
    keepalive_requests 100000000;
    upstream pictures { server 127.0.0.1:%(port)d; keepalive 32; }
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_cache_path %(directory)b/zone levels=1:2 keys_zone=thumbnails:32m max_size=8g inactive=365d;
    # Has everything.
    server {
        listen 127.0.0.1:%(port)d;
        access_log %(directory)b/asked.log path buffer=64k flush=1s;
        default_type image/jpeg;
        add_header X-Cache-Status HIT;
        location / { return 200 '%(picture)b'; }
    }
    # Keeps what it fetches there.
    server {
        listen 127.0.0.1:%(cache_port)d;
        add_header X-Cache-Status $upstream_cache_status;
        location / {
            proxy_pass http://pictures;
            proxy_cache thumbnails;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 365d;
        }
    }
}
"""


class Run(NamedTuple):
    """How long a run took, what it took of a processor, its peak memory, and its report."""

    seconds: float
    processor_seconds: float
    peak_mib: float
    report: dict


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the two servers; yields their ports."""
    port, cache_port = free_ports()
    configuration = directory / "nginx.conf"
    (directory / "temporary").mkdir()
    configuration.write_bytes(
        CONFIGURATION
        % {
            b"directory": bytes(directory),
            b"port": port,
            b"cache_port": cache_port,
            b"picture": PICTURE,
            b"user": b"user root;" if os.geteuid() == 0 else b"",
        }
    )
    # In the foreground it is our own child, and ends with us.
    process = subprocess.Popen(
        ["/usr/sbin/nginx", "-c", configuration, "-e", directory / "error.log", "-g", "daemon off;"]
    )
    try:
        for _attempt in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", cache_port), 1):
                break
            time.sleep(0.1)
        yield port, cache_port
    finally:
        process.terminate()
        process.wait()


class Warm:
    """cache-warm with a job of its own."""

    def __init__(self, directory: Path, urls: Path, port: int, zones: list[dict]):
        self.state = directory / "state"
        self._runtime = directory / "run"
        self._configuration = directory / "config.json"
        for made in (self.state, self._runtime):
            made.mkdir(parents=True)
        url = f"http://127.0.0.1:{port}"
        self._configuration.write_text(
            json.dumps(
                {
                    "url": url,
                    "refresh_url": url,
                    "probe": POLICY["test_list"],
                    "routes": POLICY["routes"],
                    "zones": zones,
                    "sources": [{"name": "urls", "kind": "urls", "file": str(urls)}],
                    "concurrency": 32,
                    "sample_fraction": 0,
                    "sample_minimum": 0,
                    "state_directory": str(self.state),
                    "runtime_directory": str(self._runtime),
                }
            ),
            encoding="utf-8",
        )

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-B", "-m", "module_utils.cache_warm", "--config", self._configuration, "run"],
            env=os.environ | {"PYTHONPATH": str(PROJECT / "plugins")},
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> Run:
        """Run to the end."""
        begun = time.monotonic()
        process = self.start()
        message = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        if process.returncode:
            raise SystemExit(f"cache-warm ended with {process.returncode}: {message}")
        report = json.loads((self.state / "report.json").read_text())
        return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report)

    def run_until_killed(self, done: int) -> int:
        """Kill it when so many URLs are done; returns how many were."""
        process = self.start()
        try:
            while (at := self._done()) < done and process.poll() is None:
                time.sleep(0.05)
            # The status is written together with the journal: a kill would always come at the best moment.
            time.sleep(random.random())
            if process.poll() is not None:
                raise SystemExit(f"cache-warm ended by itself; too few URLs? {process.stderr.read()}")
            return at
        finally:
            process.kill()
            process.communicate()

    def _done(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self._runtime / "status.json").read_text()).get("done", 0)
        return 0

    def unfinish(self, forget_cursor: bool) -> None:
        """Make the journal what it was before the last moment of the job."""
        with contextlib.closing(sqlite3.connect(self.state / "journal.sqlite")) as database, database:
            database.execute("DELETE FROM job WHERE name = 'complete'")
            if forget_cursor:
                database.execute("DELETE FROM cursor WHERE source = 'urls'")


def write_urls(file: Path, count: int) -> None:
    with open(file, "w", encoding="ascii") as stream:
        for number in range(count):
            digits = f"{number * 2654435761 % (1 << 160):040x}"
            identifier = "-".join(digits[at : at + 8] for at in range(0, 40, 8))
            stream.write(f"/instances/{identifier}/rendered?width=256\n")


def asked_twice(log: Path) -> int:
    """Return how many requests for pages the log holds beyond one for each.

    Counted by sort, because the kernel counts what this process holds as the peak of those that it starts
    (getrusage(2): ru_maxrss of a child is at least its parent's size at the fork).
    """
    script = "grep ^/instances/ | LC_ALL=C sort | uniq --count --repeated | awk '{more += $1 - 1} END {print more + 0}'"
    with open(log, "rb") as stream:
        done = subprocess.run(["bash", "-c", script], stdin=stream, capture_output=True, text=True, check=True)
    return int(done.stdout)


def expect(run: Run, **wanted: int) -> None:
    """Fail where a run did something else than was to be measured."""
    found = {name: run.report[name] for name in wanted}
    if found != wanted:
        raise SystemExit(f"expected {wanted}, the report says {found}")


def main(count: int, rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_urls(directory / "urls", count)
        write_urls(directory / "some-urls", count // ZONE_SHARE)
        with nginx(directory) as (port, cache_port):
            warm = Warm(directory / "journal", directory / "urls", port, [])
            killed_at = warm.run_until_killed(count // 2)
            rest = warm.run()
            # nginx writes its log once a second.
            time.sleep(1.5)
            twice = asked_twice(directory / "asked.log")
            print(
                f"killed at {killed_at} of {count} URLs, the rest took {rest.seconds:.1f} s, "
                f"peak {rest.peak_mib:.0f} MiB; {twice} URLs were asked for twice"
            )

            zone = [{"name": "thumbnails", "directory": str(directory / "zone"), "max_size_mib": 8192}]
            zones = zone + [
                {"name": other["name"], "directory": str(directory / "none"), "max_size_mib": 1}
                for other in POLICY["zones"]
                if other["name"] != "thumbnails"
            ]
            local = Warm(directory / "local", directory / "some-urls", cache_port, zones)
            filled = local.run()
            print(f"warmed {count // ZONE_SHARE} URLs into a zone in {filled.seconds:.1f} s")
            runs: dict[str, list[Run]] = {"journal": [], "cursor": [], "zone": []}
            for _ in range(rounds):
                for side in ("journal", "cursor"):
                    warm.unfinish(forget_cursor=side == "journal")
                    runs[side].append(warm.run())
                runs["zone"].append(local.run())
                expect(runs["zone"][-1], skipped=count // ZONE_SHARE)
            time.sleep(1.5)
            again = asked_twice(directory / "asked.log") - twice - count // ZONE_SHARE
    print(f"the runs over finished URLs asked for {again} of them")
    rates = {
        side: statistics.median((count // ZONE_SHARE if side == "zone" else count) / run.seconds for run in some)
        for side, some in runs.items()
    }
    for side, rate in rates.items():
        print(
            f"by {side}: {rate:,.0f} URLs/s, {statistics.median(run.seconds for run in runs[side]):.2f} s "
            f"({statistics.median(run.processor_seconds for run in runs[side]):.2f} s of a processor), "
            f"peak {max(run.peak_mib for run in runs[side]):.0f} MiB"
        )
    peak = max(rest.peak_mib, *(run.peak_mib for some in runs.values() for run in some))
    print(f"warm_resume_by_cursor_urls_per_second: {rates['cursor']:.0f} (goal none)")
    print(f"warm_resume_by_zone_urls_per_second: {rates['zone']:.0f} (goal none)")
    print(f"warm_resume_peak_mib: {peak:.0f} (goal 200)")
    print(f"warm_resume_asked_twice_percent: {100 * twice / count:.3f} (goal 1)")
    print(f"warm_resume_urls_per_second: {rates['journal']:.0f} (goal 100000)")
    return int(rates["journal"] < 100_000 or peak > 200 or twice > count / 100)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))

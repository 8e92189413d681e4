# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The measuring part of benchmarks/warm_site.sh. usage: compare.py ROUNDS"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter

HOST = "warming-proxy"
PUBLIC_PORT = 48443
GOALS = {"warm_site_time_ratio": 1.1, "warm_site_failures": 0}
VISITS_PER_SECOND = 10
EMPTY = """
systemctl stop nginx
find /var/cache/nginx -mindepth 2 -type f -delete
systemctl start nginx
"""
ENGINE = "systemctl start --wait cache-warm"
CURL = "curl --parallel --parallel-max {concurrency} --silent --config /tmp/urls >/tmp/codes"
URLS = r"""
import json, urllib.request
since, paths = 0, []
while page := json.load(urllib.request.urlopen(f"http://127.0.0.1:8082/instances?since={since}&limit=1000")):
    paths += [f"/instances/{image}/rendered?width=256" for image in page]
    since += len(page)
with open("/tmp/urls", "w") as stream:
    for path in paths:
        stream.write(f'url = "http://127.0.0.1:8081{path}"\noutput = "/dev/null"\nwrite-out = "%{{http_code}}\\n"\n')
print(json.dumps(paths))
"""


def run(*words: str) -> str:
    """Run a command on the cache host and return what it prints."""
    return subprocess.run(["docker", "exec", HOST, *words], check=True, capture_output=True, text=True).stdout


class Visitor(threading.Thread):
    """Asks for random thumbnails in an even rhythm, as far as the answers let it, and notes how long each took."""

    def __init__(self, paths: list[str]):
        super().__init__(daemon=True)
        self.paths = paths
        self.seconds: list[float] = []
        self.failed = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("localhost", PUBLIC_PORT, context=context, timeout=60)
        due = time.monotonic()
        while not self.stopped.wait(max(0.0, due - time.monotonic())):
            started = time.monotonic()
            try:
                connection.request("GET", random.choice(self.paths))
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status != 200
            except (OSError, http.client.HTTPException):
                self.failed += 1
                connection.close()
            self.seconds.append(time.monotonic() - started)
            due += 1 / VISITS_PER_SECOND

    def __enter__(self) -> Visitor:
        self.start()
        return self

    def __exit__(self, *unused) -> None:
        self.stopped.set()
        self.join()


def percentile_95_ms(seconds: list[float]) -> float:
    return 1000 * sorted(seconds)[int(0.95 * len(seconds))]


def main() -> int:
    rounds = int(sys.argv[1])
    paths = json.loads(run("python3", "-c", URLS))
    concurrency = json.loads(run("cat", "/etc/imaging-repository/cache-warm.json"))["concurrency"]
    commands = {"cache-warm": ENGINE, "curl": CURL.format(concurrency=concurrency)}
    times: dict[str, list[float]] = {side: [] for side in commands}
    visits: dict[str, list[float]] = {side: [] for side in commands}
    failures: Counter = Counter()
    with Visitor(paths) as visitor:
        time.sleep(10)
    idle = percentile_95_ms(visitor.seconds)
    print(f"{len(paths)} thumbnails, {concurrency} requests in flight, {rounds} rounds after one that does not count")
    for number in range(rounds + 1):
        # The first of a round finds the machine as the other has left it.
        for side in list(commands)[:: 1 if number % 2 else -1]:
            run("sh", "-c", EMPTY)
            with Visitor(paths) as visitor:
                started = time.monotonic()
                run("sh", "-c", commands[side])
                seconds = time.monotonic() - started
            if side == "curl":
                failed = sum(code != "200" for code in run("cat", "/tmp/codes").split())
            else:
                failed = json.loads(run("cache-warm", "report", "--json"))["failed"]
            cached = int(run("sh", "-c", "find /var/cache/nginx/thumbnails -type f | wc -l"))
            failed = max(failed, len(paths) - cached)
            print(
                f"{side:10} {seconds:6.1f} s  {len(paths) / seconds:5.0f}/s  {failed} failed  "
                f"visitors' p95 {percentile_95_ms(visitor.seconds):4.0f} ms, {visitor.failed} of them failed"
            )
            if number:
                times[side].append(seconds)
                visits[side] += visitor.seconds
                failures[side] += failed + visitor.failed
    medians = {side: statistics.median(measured) for side, measured in times.items()}
    print(f"median: cache-warm {medians['cache-warm']:.1f} s, curl {medians['curl']:.1f} s")
    during = ", ".join(f"{side} {percentile_95_ms(seconds):.0f} ms" for side, seconds in visits.items())
    print(f"visitors' p95: {during}, nobody warming {idle:.0f} ms")
    figures = {
        "warm_site_time_ratio": round(medians["cache-warm"] / medians["curl"], 2),
        "warm_site_failures": failures["cache-warm"],
    }
    for name, figure in figures.items():
        print(f"{name}: {figure} (goal {GOALS[name]})")
    return int(any(figure > GOALS[name] for name, figure in figures.items()))


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The measuring part of benchmarks/scraper.sh. usage: measure.py WORDS FOR THIS SETTING"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
PROXY, SCRAPER, VISITORS = "warming-proxy", "warming-database", "warming-primary"
SECONDS = 30
# At most so many times what it is when it is quiet.
GOALS = {"cached": 2, "uncached": 3}
CONNECTIONS, PAUSE_MS = 100, 48
WIDTHS = (256, 512, 1024)
# Keeps asking at an even rhythm: stdin has {"address", "pages", "per_second", "seconds"}; prints [status, seconds] of each.
VISITOR = r"""
import http.client, itertools, json, ssl, sys, time
job = json.loads(sys.stdin.read())
connection = http.client.HTTPSConnection(job["address"], 443, context=ssl._create_unverified_context(), timeout=60)
found, begun = [], time.monotonic()
for number, page in enumerate(itertools.cycle(job["pages"])):
    due = begun + number / job["per_second"]
    if due > begun + job["seconds"]:
        break
    time.sleep(max(0, due - time.monotonic()))
    started = time.monotonic()
    connection.request("GET", page)
    answer = connection.getresponse()
    answer.read()
    found.append([answer.status, time.monotonic() - started])
print(json.dumps(found))
"""
IMAGES = r"""
import json, urllib.request
found = []
while page := json.load(urllib.request.urlopen(f"http://127.0.0.1:8081/instances?since={len(found)}&limit=1000")):
    found += page
print(json.dumps(found))
"""
EMPTY = "find /var/cache/nginx -mindepth 2 -type f -delete; : >/var/log/nginx/access.log"


def run(host: str, *words: str) -> str:
    """What a command on a host of the site prints."""
    return subprocess.run(["docker", "exec", host, *words], check=True, capture_output=True, text=True).stdout


def inside(host: str, *words: str, **options) -> subprocess.Popen:
    """A program of this machine in the network of a host."""
    number = subprocess.check_output(["docker", "inspect", "--format", "{{.State.Pid}}", host], text=True).strip()
    return subprocess.Popen(
        ["nsenter", "--target", number, "--net", *words], text=True, stdout=subprocess.PIPE, **options
    )


def visit(address: str, pages: list[str], per_second: float) -> subprocess.Popen:
    """Somebody who looks at pages for the whole time."""
    visitor = inside(VISITORS, sys.executable, "-c", VISITOR, stdin=subprocess.PIPE)
    visitor.stdin.write(json.dumps({"address": address, "pages": pages, "per_second": per_second, "seconds": SECONDS}))
    visitor.stdin.close()
    visitor.stdin = None
    return visitor


def percentile_95_ms(answers: list) -> float:
    seconds = sorted(seconds for _status, seconds in answers)
    return 1000 * seconds[int(0.95 * len(seconds))]


def measure(address: str, cached: list[str], uncached: list[str], crawled: Path | None) -> dict[str, float]:
    """What visitors wait for at the 95th percentile in milliseconds, and how many answers of theirs were no picture."""
    crawler = None
    if crawled:
        script = ["wrk", "--latency", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(HERE / "scraper.lua")]
        crawler = inside(SCRAPER, *script, f"https://{address}", "--", str(crawled), str(PAUSE_MS))
    visitors = {"cached": visit(address, cached, 20), "uncached": visit(address, uncached, 4)}
    found = {name: json.loads(visitor.communicate()[0]) for name, visitor in visitors.items()}
    if crawler:
        crawler.communicate()
    result = {name: percentile_95_ms(answers) for name, answers in found.items()}
    return {**result, "failed": sum(status != 200 for answers in found.values() for status, _seconds in answers)}


def main() -> int:
    images = json.loads(run(PROXY, "python3", "-c", IMAGES))
    random.Random(1).shuffle(images)
    address = run(PROXY, "hostname", "-i").split()[0]
    source = run(SCRAPER, "hostname", "-i").split()[0]
    pages = [f"/instances/{image}/rendered?width={width}" for width in WIDTHS for image in images]
    cached, quiet, busy, crawled = pages[:50], pages[50:250], pages[250:450], pages[450:]
    run(PROXY, "sh", "-c", EMPTY)
    for page in cached:
        run(PROXY, "python3", "-c", f"import urllib.request as r; r.urlopen('http://127.0.0.1:8081{page}').read()")
    before = measure(address, cached, quiet, None)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        random.Random(2).shuffle(crawled)
        file.write("\n".join(crawled))
        file.flush()
        meanwhile = measure(address, cached, busy, Path(file.name))
    lines = (json.loads(line) for line in run(PROXY, "cat", "/var/log/nginx/access.log").splitlines())
    answers = Counter(line["status"] for line in lines if line["client"] == source)
    print(
        f"{' '.join(sys.argv[1:])}: {sum(answers.values()) / SECONDS:.0f} requests of the crawler a second, answered",
        end=" ",
    )
    print(", ".join(f"{count} x {status}" for status, count in sorted(answers.items())))
    print(f"{'':10} {'quiet':>10} {'meanwhile':>10}   95th percentile of what others wait, ms")
    for name in GOALS:
        print(f"{name:10} {before[name]:10.1f} {meanwhile[name]:10.1f}   {meanwhile[name] / before[name]:.1f} times")
    print(f"{'no picture':10} {before['failed']:10} {meanwhile['failed']:10}")
    if sys.argv[1] == "without":
        return 0
    growth = {name: meanwhile[name] / before[name] for name in GOALS}
    for name, goal in GOALS.items():
        print(f"scraper_{name}_growth: {growth[name]:.2f} (goal {goal})")
    return any(growth[name] > goal for name, goal in GOALS.items())


if __name__ == "__main__":
    sys.exit(main())

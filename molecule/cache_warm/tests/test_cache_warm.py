# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a warmed cache answers; a warm that is killed, rebooted or cannot succeed says so and loses nothing."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

testinfra_hosts = ["ansible://cache"]

PROJECT = Path(__file__).parents[3]
PLAYBOOK = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "molecule/inventory", "playbooks/warm.yml"]
SUMMARY = re.compile(r"warm: (\d+) of (\d+) pages done, .*?(\d+) miss, .*?(\d+) failed")
CONFIGURATION = "/etc/imaging-repository/cache-warm.json"
ZONES = "/var/cache/nginx/thumbnails /var/cache/nginx/metadata"

# Asks for each path given on standard input and prints [status, cache status] of all.
CLIENT = r"""
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", 8081)
answers = []
for path in json.loads(sys.argv[1]):
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    answers.append([answer.status, answer.getheader("X-Cache-Status")])
print(json.dumps(answers))
"""


def play(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run([*PLAYBOOK, *options], cwd=PROJECT, capture_output=True, text=True, timeout=300)


def summary(output: str) -> tuple[int, ...]:
    """(done, total, new, failed) of the line that a warm ends with."""
    found = SUMMARY.search(output)
    assert found, output
    return tuple(map(int, found.groups()))


def start(host) -> None:
    host.check_output("systemctl start cache-warm")


def wait(host, seconds: float = 60) -> dict:
    """Wait until the service has ended for good and return the report of its last run."""
    until = time.monotonic() + seconds
    while host.check_output("systemctl show --property=ActiveState --value cache-warm") not in ("inactive", "failed"):
        assert time.monotonic() < until, host.check_output("cache-warm status")
        time.sleep(0.2)
    return json.loads(host.check_output("cache-warm report --json"))


def configured(host) -> dict:
    return json.loads(host.file(CONFIGURATION).content_string)


@contextlib.contextmanager
def settings(host, **changed):
    """Other settings for a while, as if another playbook had written them."""
    before = host.file(CONFIGURATION).content_string
    write(host, CONFIGURATION, {**json.loads(before), **changed})
    try:
        yield
    finally:
        write(host, CONFIGURATION, json.loads(before))


def write(host, path: str, content: dict) -> None:
    host.check_output(
        "python3 -c %s %s %s",
        'import sys; open(sys.argv[1], "w").write(sys.argv[2])',
        path,
        json.dumps(content, indent=4, sort_keys=True) + "\n",
    )


def ids(host, kind: str) -> list[str]:
    return json.loads(
        host.check_output(
            "python3 -c 'import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())' %s",
            f"http://127.0.0.1:8082/{kind}?since=0&limit=100",
        )
    )


def ask(host, paths: list[str]) -> list[list]:
    return json.loads(host.check_output("python3 -c %s %s", CLIENT, json.dumps(paths)))


def empty_cache(host) -> None:
    host.check_output(f"find {ZONES} -type f -delete")


def entries(host) -> set[str]:
    return set(host.check_output(f"find {ZONES} -type f").split())


def wait_for_entries(host, number: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while len(entries(host)) < number:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_everything_is_a_hit(host):
    images = ids(host, "instances")
    assert images
    answers = ask(host, [f"/instances/{image}/rendered?width=256" for image in images])
    # 415: an encoding that the image server cannot draw, and nothing to cache.
    assert all(answer[0] == 415 or answer == [200, "HIT"] for answer in answers), answers
    assert [200, "HIT"] in answers
    catalogue = json.loads(host.file("/var/lib/gallery/catalogue.json").content_string)
    pictures = [study["thumbnail"] for study in catalogue["studies"] if study["thumbnail"]]
    assert all(answer == [200, "HIT"] for answer in ask(host, pictures))
    # What the front page draws of slides, and the lightbox of each image.
    slides = [page for study in catalogue["studies"] if study.get("whole_slide") for page in study["pages"]]
    assert slides and all(answer == [200, "HIT"] for answer in ask(host, slides))
    large = ask(host, [f"/instances/{image}/preview" for image in images])
    assert all(answer[0] == 415 or answer == [200, "HIT"] for answer in large) and [200, "HIT"] in large
    metadata = [f"/instances/{image}{end}" for image in images for end in ("", "/simplified-tags")]
    metadata += [f"/{kind}/{one}" for kind in ("series", "studies") for one in ids(host, kind)]
    assert all(answer == [200, "HIT"] for answer in ask(host, metadata))


def test_status_report_and_metrics(host):
    status = json.loads(host.check_output("cache-warm status --json"))
    report = json.loads(host.check_output("cache-warm report --json"))
    assert (status["state"], status["exit_status"], status["failed"]) == ("done", 0, 0)
    assert report["done"] == report["total"] > 500 and report["coverage"] == 1
    # The idempotence run: all is there already, but what a source fetches anew.
    assert report["miss"] == 0 and report["refreshed"] > 0
    assert report["sample"]["asked"] == report["sample"]["hit"] > 0
    metrics = host.file("/var/lib/cache-warm/cache-warm.prom")
    assert metrics.mode == 0o644 and metrics.user == "www-data"
    assert re.search(r"^\w+_running 0\.0$", metrics.content_string, re.MULTILINE)
    assert re.search(r"^\w+_exit_status 0\.0$", metrics.content_string, re.MULTILINE)
    assert "done" in host.check_output("cache-warm status") and "coverage" in host.check_output("cache-warm report")


def test_service_is_ready_for_a_reboot_and_has_no_more_rights_than_it_needs(host):
    assert host.service("cache-warm-resume").is_enabled
    assert not host.service("cache-warm.timer").is_enabled
    assert not host.file("/var/lib/cache-warm/unfinished").exists
    assert (host.file(CONFIGURATION).group, host.file(CONFIGURATION).mode) == ("www-data", 0o640)
    # A root who warms by hand leaves nothing behind that the service cannot write.
    assert host.check_output("find /var/lib/cache-warm /run/cache-warm ! -user www-data") == ""


def test_metadata_that_may_have_grown_is_fetched_anew(host):
    study = f"/studies/{ids(host, 'studies')[0]}"
    key = host.check_output("printf %s | md5sum", study).split()[0]
    file = host.file(f"/var/cache/nginx/metadata/{key[-1]}/{key[-3:-1]}/{key}")
    before = file.mtime
    time.sleep(1.1)
    start(host)
    assert wait(host)["exit_status"] == 0
    assert file.mtime > before


def test_too_little_coverage_is_a_failure_with_its_causes(host):
    sources = [
        {
            "name": "studies",
            "kind": "list",
            "list": "/studies",
            "page": {"offset": "since", "count": "limit"},
            "page_size": 10,
            "urls": ["/studies/{id}", "/instances/{id}"],
            "optional_urls": [],
        }
    ]
    with settings(host):
        result = play("-e", json.dumps({"cache_warm_sources": sources, "cache_warm_catalogue": ""}))
    assert result.returncode != 0
    output = " ".join((result.stdout + result.stderr).split())
    assert "coverage 50.00 % is below minimum_coverage 99.00 %" in output
    assert "x HTTP 404, e.g. /instances/" in output


def test_every_image_server_draws_for_its_own_caches(host):
    with settings(host):
        result = play("-e", "cache_warm_readers=true")
        done, total, _, failed = summary(result.stdout)
        assert (result.returncode, done, failed) == (0, total, 0), result.stdout
        readers = configured(host)["readers"]
        assert len(readers) == 2
        # The login is nowhere else, and in no log.
        secret = readers[0]["headers"]["Authorization"].removeprefix("Basic ")
        assert secret not in result.stdout
        assert host.file(CONFIGURATION).mode == 0o640


def test_killed_in_the_middle_it_goes_on_by_itself(host):
    empty_cache(host)
    running = subprocess.Popen(PLAYBOOK, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for_entries(host, 60)
    process = host.check_output("systemctl show --property=MainPID --value cache-warm")
    # A second one is refused while the first runs.
    second = host.run("cache-warm run")
    assert second.rc == 3 and process in second.stderr, second
    cached = len(entries(host))
    host.check_output("systemctl kill --signal=KILL cache-warm")
    output = running.communicate(timeout=120)[0]
    done, total, _, failed = summary(output)
    assert (running.returncode, done, failed) == (0, total, 0), output
    report = json.loads(host.check_output("cache-warm report --json"))
    assert report["resumed"]
    # Only what the killed run had not reached was asked for, and the lists.
    assert report["requests"] - report["sample"]["asked"] <= total - cached + 40
    assert int(host.check_output("systemctl show --property=NRestarts --value cache-warm")) == 1
    assert not host.file("/var/lib/cache-warm/unfinished").exists


def test_stopped_it_has_not_failed_and_goes_on_when_it_is_started(host):
    empty_cache(host)
    with settings(host, concurrency=2):
        start(host)
        wait_for_entries(host, 30)
        host.check_output("systemctl stop cache-warm")
    assert host.check_output("systemctl show --property=ActiveState --value cache-warm") == "inactive"
    status = json.loads(host.check_output("cache-warm status --json"))
    assert (status["state"], status["exit_status"]) == ("stopped", 5)
    assert host.file("/var/lib/cache-warm/unfinished").exists
    start(host)
    report = wait(host)
    assert (report["exit_status"], report["done"], report["resumed"]) == (0, report["total"], True)


def test_a_reboot_in_the_middle_is_survived(host):
    empty_cache(host)
    with settings(host, concurrency=2):
        start(host)
        wait_for_entries(host, 60)
        restart = ["docker", "restart", "--time", "30", host.backend.host]
        subprocess.run(restart, check=True, capture_output=True, timeout=90)
        until = time.monotonic() + 60
        while host.run("test -e /var/lib/cache-warm/unfinished").rc != 1:
            assert time.monotonic() < until, host.run("systemctl status cache-warm").stdout
            time.sleep(0.2)
        report = wait(host)
    assert (report["exit_status"], report["done"], report["resumed"]) == (0, report["total"], True)


def test_check_mode_fetches_nothing(host):
    empty_cache(host)
    result = play("--check")
    assert result.returncode == 0, result.stdout
    assert re.search(r"warm: would look at \d+ pages", result.stdout)
    assert not entries(host)


def test_shares_are_disjoint_and_complete(host):
    found = []
    for index in range(2):
        empty_cache(host)
        with settings(host, share={"index": index, "count": 2}):
            start(host)
            assert wait(host)["exit_status"] == 0
        found.append(entries(host))
    start(host)
    report = wait(host)
    assert not found[0] & found[1]
    assert found[0] | found[1] == entries(host)
    assert all(len(share) > report["total"] / 4 for share in found)

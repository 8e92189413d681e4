# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The whole site through its life: run again, restarted, broken and mended, removed and deployed over its data."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[3]
INVENTORY = REPOSITORY / "molecule/site/inventory"
STATE = REPOSITORY / "state/molecule-site"
SITE = "molecule-site"
URL = "https://localhost:28443"
HOSTS = ["database", "primary", "replica1", "replica2", "proxy"]


def run(*command: str, fails: bool = False) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert bool(done.returncode) == fails, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def play(playbook: str, *arguments: str, fails: bool = False) -> str:
    return run("ansible-playbook", "-i", str(INVENTORY), f"playbooks/{playbook}", *arguments, fails=fails)


def recap(output: str) -> dict[str, dict[str, int]]:
    """The counts of each host in the last lines of a run."""
    return {
        line.split()[0]: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
        for line in output.split("PLAY RECAP")[1].splitlines()
        if " ok=" in line
    }


def ask(path: str) -> tuple[int, bytes, str]:
    """Status, body and X-Cache-Status of a public answer; status 0 where nothing answers."""
    context = ssl.create_default_context(cafile=str(STATE / "ca/ca.crt"))
    try:
        with urllib.request.urlopen(URL + path, context=context, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers.get("X-Cache-Status", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers.get("X-Cache-Status", "")
    except OSError:
        return 0, b"", ""


def fetch(path: str) -> tuple[int, bytes]:
    """Status and body of a public answer."""
    return ask(path)[:2]


def eventually(check, seconds: int = 60):
    """The value of check() as soon as it is true; the site is given this long to recover by itself."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(1)
    return value


def catalogue() -> list[dict]:
    status, body = fetch("/catalogue.json")
    assert status == 200
    return json.loads(body)["studies"]


def test_at_least_300_instances_in_4_studies_are_public():
    studies = catalogue()
    assert len(studies) >= 4
    assert sum(study["instances"] for study in studies) >= 300
    assert all(study["title"] and study["licence"] and study["source"] for study in studies)
    for study in studies:
        status, body = fetch(study["thumbnail"])
        assert status == 200 and body[:2] == b"\xff\xd8", study


def test_a_run_without_a_change_changes_nothing_takes_few_tasks_and_shows_no_secret():
    output = play("site.yml", "--check", "--diff", "-vvv")
    for host, counts in recap(output).items():
        assert counts["changed"] == 0, host
        assert counts["ok"] + counts["skipped"] <= 120, f"{host}: {counts}"
    secrets = yaml.safe_load((STATE / "secrets.yml").read_text())
    assert len(secrets) >= 4 and all(len(value) >= 32 for value in secrets.values())
    for host in HOSTS:
        output += run("docker", "exec", f"{SITE}-{host}", "sh", "-c", "cat /proc/*/cmdline")
    for name, value in secrets.items():
        assert value not in output, name


def test_the_site_survives_a_dead_replica():
    plate = max(catalogue(), key=lambda study: study["instances"])
    instances = [instance["ID"] for instance in json.loads(fetch(f"/studies/{plate['id']}/instances")[1])][:20]
    # A size that nobody warms; what the verification asked for of it is forgotten: an image server must answer each of these.
    forget = "grep -rlaZ '^KEY: .*/rendered?width=1024' /var/cache/nginx | xargs --null --no-run-if-empty rm"
    run("docker", "exec", f"{SITE}-proxy", "sh", "-c", forget)
    paths = [f"/instances/{instance}/rendered?width=1024" for instance in instances]
    run("docker", "exec", f"{SITE}-replica1", "systemctl", "stop", "orthanc")
    try:
        answers = [ask(path) for path in paths]
    finally:
        run("docker", "exec", f"{SITE}-replica1", "systemctl", "start", "orthanc")
    assert len(paths) >= 10
    assert {(status, cached) for status, _body, cached in answers} == {(200, "MISS")}


def test_restarting_every_host_brings_the_site_back_by_itself():
    before = catalogue()
    run("docker", "restart", "--time", "30", *(f"{SITE}-{host}" for host in HOSTS))
    eventually(lambda: fetch("/test")[0] == 200, 120)
    assert catalogue() == before
    # A replica that came up before the primary tries again every few seconds.
    eventually(
        lambda: (
            subprocess.run(
                ["ansible-playbook", "-i", str(INVENTORY), "playbooks/verify.yml"],
                capture_output=True,
                cwd=REPOSITORY,
                check=False,
            ).returncode
            == 0
        ),
        120,
    )
    for host in HOSTS:
        eventually(
            lambda name=host: (
                run("docker", "exec", f"{SITE}-{name}", "sh", "-c", "systemctl is-system-running || true").strip()
                == "running"
            )
        )


def test_a_site_deployed_again_over_kept_volumes_has_its_data():
    before, secrets = catalogue(), (STATE / "secrets.yml").read_bytes()
    play("destroy.yml", "-e", f"confirm={SITE}")
    assert fetch("/")[0] == 0
    play("site.yml")
    assert catalogue() == before
    assert (STATE / "secrets.yml").read_bytes() == secrets
    report = json.loads((STATE / "verify.json").read_text())
    assert report["failed"] == 0 and report["passed"] >= 25

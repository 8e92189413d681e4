# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What operators do with a running cache: playbooks/cache.yml, its figures, the rotation of its log."""

from __future__ import annotations

import json
import re
import time

import pytest
from proxy import LOOPBACK, ask, ask_many, cache_status, forget, run_ansible

testinfra_hosts = ["ansible://cache"]


def verb(request, *variables: str, options: tuple[str, ...] = (), check: bool = True) -> str:
    """Output of playbooks/cache.yml with variables."""
    words = [word for variable in variables for word in ("--extra-vars", variable)]
    return run_ansible(request, ["ansible-playbook", "playbooks/cache.yml", *options, *words], check)


def changed(output: str) -> bool:
    """Whether a run has changed something on some host."""
    return sum(map(int, re.findall(r"changed=(\d+)", output))) > 0


@pytest.fixture
def study(host, instances) -> tuple[str, list[str]]:
    """A study and paths of what is cached of it."""
    study = json.loads(ask(host, "/studies?since=0&limit=1", LOOPBACK)["text"])[0]
    series = json.loads(ask(host, f"/studies/{study}", LOOPBACK)["text"])["Series"][0]
    image = json.loads(ask(host, f"/series/{series}", LOOPBACK)["text"])["Instances"][0]
    paths = [f"/studies/{study}", f"/series/{series}", f"/instances/{image}", f"/instances/{image}/tags"]
    ask_many(host, [{"path": path} for path in paths])
    return study, paths


def statuses(host, paths: list[str]) -> list[str | None]:
    return [cache_status(answer) for answer in ask_many(host, [{"path": path} for path in paths])]


def test_a_study_is_purged_and_nothing_else(host, request, study, instances) -> None:
    name, paths = study
    other = next(f"/instances/{one}/rendered?width=256" for one in instances if f"/instances/{one}" not in paths)
    ask(host, other)
    planned = verb(request, f"purge={name}", options=("--check", "--diff"))
    assert all(path in planned for path in paths) and other not in planned
    assert statuses(host, paths) == ["HIT"] * len(paths)
    assert changed(verb(request, f"purge={name}"))
    assert statuses(host, [*paths, other]) == ["MISS"] * len(paths) + ["HIT"]


def test_what_is_the_same_after_a_refresh_is_no_change(host, request, instances) -> None:
    forget(host)
    path = f"/instances/{instances[0]}/rendered?width=256"
    assert changed(verb(request, f"refresh={path}"))
    assert statuses(host, [path]) == ["HIT"]
    output = verb(request, f"refresh=~^/instances/{instances[0]}/")
    assert not changed(output) and "1 entries fetched anew, 0 differ" in output


def test_maintenance_begins_and_ends(host, request) -> None:
    assert [changed(verb(request, "maintenance=on")) for _ in range(2)] == [True, False]
    try:
        assert ask(host, "/")["status"] == 503
    finally:
        assert changed(verb(request, "maintenance=off"))
    # nginx looks once a second.
    time.sleep(1.1)
    assert ask(host, "/")["status"] != 503


def test_an_image_server_is_drained_until_it_is_told_otherwise(host, request) -> None:
    def down() -> list[str]:
        return re.findall(r"down;  # (\S+)", host.file("/etc/nginx/nginx.conf").content_string)

    servers = list(host.ansible.get_variables()["groups"]["image_server_replica"])
    try:
        planned = verb(request, f"drain={servers[0]}", options=("--check", "--diff"))
        assert f" down;  # {servers[0]}" in planned and down() == []
        assert [changed(verb(request, f"drain={servers[0]}")), down()] == [True, servers[:1]]
        # The play of configure.yml.
        run_ansible(request, ["ansible-playbook", "molecule/cache/converge.yml"])
        assert down() == servers[:1]
        refused = verb(request, f"drain={servers[1]}", check=False)
        assert f"{servers[1]} is the last image server that serves" in refused and down() == servers[:1]
    finally:
        verb(request, f"undrain={servers[0]}")
    assert down() == []


@pytest.mark.parametrize(
    "variable, sentence",
    [
        ("stats=1 maintenance=on", "name one verb, not stats and maintenance"),
        ("purge=/system", "no route of the cache policy serves it"),
    ],
)
def test_mistakes_are_sentences(request, variable, sentence) -> None:
    output = verb(request, *variable.split(), check=False)
    assert sentence in re.sub(r"\s+", " ", output) and "Traceback" not in output


def test_visitors_are_counted_through_a_rotation_of_the_log(host, request, instances) -> None:
    def hits() -> int:
        host.check_output("systemctl start cache-metrics")
        text = host.file("/var/lib/cache-metrics/cache.prom").content_string
        found = re.search(
            r'^imaging_repository_cache_requests_total\{route="thumbnail",status="HIT",zone="thumbnails"\} (\S+)$',
            text,
            re.MULTILINE,
        )
        return int(float(found[1])) if found else 0

    path = f"/instances/{instances[0]}/rendered?width=256"
    ask(host, path)
    time.sleep(1.5)
    before = hits()
    assert host.service("cache-metrics.timer").is_enabled and host.service("cache-metrics.timer").is_running
    ask_many(host, [{"path": path}] * 5)
    # Debian's own rules rotate what the role writes; nginx goes on in the new file.
    assert "/var/log/nginx/*.log" in host.file("/etc/logrotate.d/nginx").content_string
    host.check_output("logrotate --force /etc/logrotate.d/nginx")
    ask_many(host, [{"path": path}] * 3)
    time.sleep(1.5)
    assert host.file("/var/log/nginx/access.log").size > 0
    assert hits() == before + 8
    assert hits() == before + 8
    output = verb(request, "stats=1")
    assert re.search(r"thumbnails +\d", output) and "entries" in output and not changed(output)

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What docs/drivers.md asks of each image server, of a site whose manifests hold images for all its drivers.

    pytest --ansible-inventory=<inventory> molecule/driver_contract/tests

It knows of a driver what its policy and the catalogue say, and nothing else.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils.cache_warm.sources import open_source

testinfra_hosts = ["ansible://cache"]

REPOSITORY = Path(__file__).parents[3]
ROLES = REPOSITORY / "roles"
PUBLIC, LOOPBACK = 443, 8081
# A list of millions has the same first entries.
TRIED = 5
# Sends [method, path, port] triples and prints [status, headers, bytes, text] of each answer.
CLIENT = r"""
import base64, http.client, json, ssl, sys
address, login, requests = json.loads(sys.argv[1])
answers = []
for method, path, port in requests:
    if port == 443:
        connection = http.client.HTTPSConnection(address, port, timeout=60, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection(address, port, timeout=60)
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    answers.append([answer.status, {name.lower(): value for name, value in answer.getheaders()}, len(body),
                    body.decode("utf-8", "replace") if len(body) < 5000000 else ""])
print(json.dumps(answers))
"""


@cache
def inventory(path: str) -> dict[str, Any]:
    """Return what ansible-inventory says of the site's hosts."""
    command = ["ansible-inventory", f"--inventory={path}", "--list"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    content: dict[str, Any] = json.loads(subprocess.check_output(command, text=True, env=environment, cwd=REPOSITORY))
    return content


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" in metafunc.fixturenames:
        hosts = inventory(metafunc.config.getoption("ansible_inventory"))["_meta"]["hostvars"]
        metafunc.parametrize("driver", next(iter(hosts.values()))["site_drivers"], scope="module")


@pytest.fixture(scope="module")
def site(request) -> dict[str, Any]:
    return inventory(request.config.getoption("ansible_inventory"))


@pytest.fixture(scope="module")
def variables(site) -> dict[str, Any]:
    """Return the variables of some host: those asked for here are the same on all."""
    return next(iter(site["_meta"]["hostvars"].values()))


@pytest.fixture(scope="module")
def policy(driver) -> dict[str, Any]:
    return yaml.safe_load((ROLES / f"image_server_{driver}/meta/policy.yml").read_text(encoding="utf-8"))


def ask(host, *requests: tuple[str, str, int], address: str = "127.0.0.1", login: str = "") -> list[list]:
    """Return [status, headers, bytes, text] for each (method, path, port), asked on the cache's own host."""
    return json.loads(host.check_output("python3 -c %s %s", CLIENT, json.dumps([address, login, requests])))


def get(host, path: str, port: int = PUBLIC) -> list:
    [answer] = ask(host, ("GET", path, port))
    return answer


def studies_of(host, driver: str) -> list[dict]:
    """Return what the public catalogue says of the driver's studies."""
    status, _, _, text = get(host, "/catalogue.json")
    assert status == 200
    return [study for study in json.loads(text)["studies"] if study["driver"] == driver]


def play(request, playbook: str, *options: str) -> str:
    command = [
        "ansible-playbook",
        f"--inventory={request.config.getoption('ansible_inventory')}",
        *options,
        str(REPOSITORY / "playbooks" / playbook),
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "default"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def warm_items(host, policy: dict) -> Iterator[tuple[dict, list]]:
    """Yield each warm source of the driver with its first URLs."""

    def fetch(address: str) -> bytes:
        status, _, _, text = get(host, address, LOOPBACK)
        assert status == 200, f"{address}: {status}"
        return text.encode()

    for source in policy["warm_sources"]:
        yield source, list(itertools.islice(open_source(source, fetch), TRIED))


def route_of(policy: dict, path: str) -> dict | None:
    """Return the policy's route of a path with its query."""
    bare = path.partition("?")[0]
    return next((route for route in policy["routes"] if re.search(route["match"], bare)), None)


def test_load_brings_images_to_the_driver_and_again_changes_nothing(request, host, driver) -> None:
    play(request, "load.yml")
    before = studies_of(host, driver)
    assert before, f"the site's manifests hold nothing that {driver} takes"
    output = play(request, "load.yml")
    assert ", 0 imported now in " in output
    changed = re.findall(r"^TASK.*\n(?:changed: .*\n)+", output, flags=re.M)
    assert not changed
    assert studies_of(host, driver) == before


def test_the_catalogue_says_what_the_pages_need(host, driver, policy) -> None:
    for study in studies_of(host, driver):
        assert study["id"] and study["title"]
        assert all(isinstance(study[key], str) for key in ("description", "licence", "source"))
        if study["thumbnail"]:
            route = route_of(policy, study["thumbnail"])
            assert route and route["public"], f"{study['thumbnail']}: the public cannot ask for it"
            status, headers, size, _ = get(host, study["thumbnail"])
            assert (status, headers["content-type"].partition("/")[0]) == (200, "image"), study["thumbnail"]
            assert size > 100


def test_every_image_server_is_healthy_and_wants_a_login(host, site, variables, driver, policy) -> None:
    login = ""
    # A site none of whose features has a secret has no file of secrets.
    if policy.get("user"):
        secrets = yaml.safe_load(Path(variables["site_state_directory"], "secrets.yml").read_text(encoding="utf-8"))
        login = f"{policy['user']}:{secrets['vault_image_server_cache_password']}"
    replicas = [
        name
        for name in site["image_server_replica"]["hosts"]
        if driver in site["_meta"]["hostvars"][name]["host_drivers"]
    ]
    assert replicas
    for name in replicas:
        address = site["_meta"]["hostvars"][name]["host_address"]
        health = ("GET", policy["health_path"], policy["port"])
        assert ask(host, health, address=address, login=login)[0][0] == 200, name
        if login:
            assert ask(host, health, address=address)[0][0] in (401, 403), name


def test_what_the_warm_asks_for_is_answered(host, policy) -> None:
    tried = 0
    for source, items in warm_items(host, policy):
        for item in items:
            status = get(host, item.path, LOOPBACK)[0]
            ordinary = {200, *policy.get("cannot_draw", [])} | ({404} if item.optional else set())
            assert status in ordinary, f"{source['name']}: {item.path}: {status}"
            route = route_of(policy, item.path)
            assert route, f"{item.path}: has no route, so that nothing keeps it"
            tried += status == 200
    assert tried


def test_what_is_warmed_is_kept(host, policy) -> None:
    for _source, items in warm_items(host, policy):
        for item in items:
            if get(host, item.path, LOOPBACK)[0] == 200:
                assert get(host, item.path, LOOPBACK)[1].get("x-cache-status") == "HIT", item.path
                break


def test_a_drained_image_server_is_not_missed(request, host, site, driver) -> None:
    replicas = list(site["image_server_replica"]["hosts"])
    if len(replicas) < 2:
        pytest.skip("a site of one replica has none to drain")
    pictures = [study["thumbnail"] for study in studies_of(host, driver) if study["thumbnail"]]
    assert pictures
    play(request, "cache.yml", "-e", f"drain={replicas[0]}")
    try:
        assert [get(host, picture)[0] for picture in pictures] == [200] * len(pictures)
    finally:
        play(request, "cache.yml", "-e", f"undrain={replicas[0]}")


def test_nobody_can_write_and_what_is_not_public_is_not_there(host, driver, policy) -> None:
    [study, *_] = studies_of(host, driver)
    names = dict.fromkeys(re.findall(r"\{(\w+)\}", " ".join(policy["forbidden_paths"])), study["id"])
    forbidden = [path.format(**names) for path in policy["forbidden_paths"]]
    answers = ask(host, *(("GET", path, PUBLIC) for path in forbidden))
    assert {path: answer[0] for path, answer in zip(forbidden, answers, strict=True)} == dict.fromkeys(forbidden, 404)
    path = study["thumbnail"] or "/"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(host, (method, path, PUBLIC))[0][0] in (403, 405), method


def test_lists_that_are_not_public_answer_the_warm_only(host, policy) -> None:
    hidden = {route["name"] for route in policy["routes"] if not route["public"]}
    for source in policy["warm_sources"]:
        path = urllib.parse.urlsplit(source.get("list", "")).path
        route = route_of(policy, path) if path else None
        if route and route["name"] in hidden:
            assert get(host, path)[0] == 404, path

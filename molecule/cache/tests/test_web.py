# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The open web: crawlers that ask for what is not cached, balancers before the site, viewers on other sites, IPv6."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from proxy import LOOPBACK, ask, ask_many, cache_status, run_ansible

testinfra_hosts = ["ansible://cache"]

VIEWER = "https://viewer.example.org"
# Asks for paths from one address of this machine after the other, many at a time; prints [status, X-Cache-Status,
# Retry-After] of each.
SCRAPER = r"""
import concurrent.futures, http.client, json, ssl, sys
job = json.loads(sys.argv[1])
context = ssl._create_unverified_context()
def send(pair):
    number, path = pair
    source = job["sources"][number % len(job["sources"])]
    connection = http.client.HTTPSConnection("127.0.0.1", 443, timeout=60, context=context, source_address=(source, 0))
    connection.request("GET", path, headers=job.get("headers", {}))
    answer = connection.getresponse()
    answer.read()
    return [answer.status, answer.getheader("X-Cache-Status"), answer.getheader("Retry-After")]
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(send, enumerate(job["paths"])))))
"""


def scrape(host, paths: list[str], sources: list[str], **headers: str) -> list[list]:
    """The answers to a crawler that comes from these addresses."""
    job = {"paths": paths, "sources": sources, "headers": headers}
    return json.loads(host.check_output("python3 -c %s %s", SCRAPER, json.dumps(job)))


def pages(count: int) -> list[str]:
    """Paths of pages that nobody has asked for, and that are nowhere."""
    return [f"/instances/{'-'.join(uuid.uuid4().hex[:8] for _ in range(5))}/rendered?width=256" for _ in range(count)]


@pytest.fixture(scope="module")
def configured(request) -> Iterator:
    """Configures the cache with other keys of the site file; in the end as it was."""

    def run(**variables) -> str:
        options = ["--limit", "cache,localhost", "-e", json.dumps(variables)]
        return run_ansible(request, ["ansible-playbook", "playbooks/configure/cache.yml", *options])

    yield run
    run_ansible(request, ["ansible-playbook", "playbooks/configure/cache.yml"])


@pytest.fixture(scope="module")
def narrow(configured) -> None:
    """A site that draws two pages a second for a client, a balancer at 127.0.0.9, and one foreign viewer."""
    configured(
        cache_limits={"misses_per_second": 2, "unlimited": ["127.0.7.0/24", "127.0.0.1/32"]},
        cache_trusted_proxies=["127.0.0.9/32"],
        cache_cors=[VIEWER],
    )


# --- As it is by default ---


def test_viewers_on_other_sites_read_what_is_public(host, thumbnail) -> None:
    for path in (f"{thumbnail}?width=256", "/catalogue.json", "/system"):
        headers = ask(host, path, headers={"Origin": VIEWER})["headers"]
        assert headers["access-control-allow-origin"] == "*" and headers["access-control-expose-headers"] == "*"
        assert "access-control-allow-credentials" not in headers


def test_browsers_are_answered_before_they_ask_and_image_servers_are_not_asked(host, thumbnail) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range", "Origin": VIEWER}
    answer = ask(host, f"{thumbnail}?width=256", method="OPTIONS", headers=asked)
    assert answer["status"] == 204 and cache_status(answer) is None
    assert answer["headers"]["access-control-allow-methods"] == "GET, HEAD"
    assert answer["headers"]["access-control-allow-headers"] == "range"
    for headers in ({}, {**asked, "Access-Control-Request-Method": "DELETE"}):
        assert ask(host, f"{thumbnail}?width=256", method="OPTIONS", headers=headers)["status"] == 405


def test_visitors_come_by_ipv6_too(host) -> None:
    listening = {line.split()[3] for line in host.check_output("ss -Htln").splitlines()}
    assert {"[::]:443", "[::]:80"} <= listening and not {"[::]:8081", "[::]:8082", "[::]:8083"} & listening
    # Docker takes the addresses away from its containers; only this machine's root gives one back.
    number = subprocess.check_output(["docker", "inspect", "--format", "{{.State.Pid}}", "molecule-proxy"], text=True)
    switch = "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6"
    subprocess.run(["nsenter", "--target", number.strip(), "--net", "sh", "-c", switch], check=True)
    script = (
        "import http.client, ssl; connection = http.client.HTTPSConnection('[::1]', context=ssl._create_unverified_context()); "
        "connection.request('GET', '/nothing'); print(connection.getresponse().status)"
    )
    assert host.check_output("python3 -c %s", script) == "404"


def test_programs_of_this_host_do_not_get_past_the_routes(host, instances) -> None:
    for path in ("/system", f"/instances/{instances[0]}/file"):
        headers = {"X-Image-Server": "orthanc", "X-Route": "x", "X-Real-IP": "192.0.2.1"}
        assert ask(host, path, 8083, headers=headers)["status"] == 403


# --- Limits ---


def test_a_crawler_is_refused_and_others_are_not(host, narrow, instances, thumbnail) -> None:
    cached = f"{thumbnail}?width=256"
    assert ask(host, cached)["status"] == 200
    answers = scrape(host, pages(150), ["127.0.1.1"])
    counted = Counter(status for status, _cache, _retry in answers)
    # A pile of five seconds, and what becomes free meanwhile.
    assert counted[429] >= 100 and 10 <= counted[404] <= 40, counted
    assert {retry for status, _cache, retry in answers if status == 429} == {"5"}
    # What is cached costs nothing: the same client gets it, all the time.
    assert {tuple(answer[:2]) for answer in scrape(host, [cached] * 200, ["127.0.1.1"])} == {(200, "HIT")}
    # Somebody else gets what is not.
    fresh = [f"/instances/{one}/rendered?width=512" for one in instances[:3]]
    assert {answer[0] for answer in scrape(host, fresh, ["127.0.2.1"])} == {200}


def test_a_fleet_of_one_network_is_one(host, narrow) -> None:
    answers = scrape(host, pages(600), [f"127.0.3.{number}" for number in range(1, 101)])
    counted = Counter(status for status, _cache, _retry in answers)
    # Alone, none of them would be refused.
    assert counted[429] >= 400, counted


def test_networks_of_the_site_file_are_not_limited_nor_is_warming(host, narrow) -> None:
    assert {answer[0] for answer in scrape(host, pages(150), ["127.0.7.1"])} == {404}
    assert {answer["status"] for answer in ask_many(host, [{"path": path} for path in pages(150)], LOOPBACK, 8)} == {
        404
    }


# --- Who the visitor is ---


def logged(host, path: str) -> str:
    """The address of the client that asked for a path."""
    line = host.check_output(f"sleep 1.2; grep -F '{path}' /var/log/nginx/access.log | tail -n 1")
    return json.loads(line)["client"]


def test_only_the_balancer_says_who_the_visitor_is(host, narrow) -> None:
    forged, honest = pages(2)
    scrape(host, [forged], ["127.0.5.1"], **{"X-Forwarded-For": "203.0.113.7"})
    assert logged(host, forged) == "127.0.5.1"
    scrape(host, [honest], ["127.0.0.9"], **{"X-Forwarded-For": "198.51.100.1, 203.0.113.7"})
    assert logged(host, honest) == "203.0.113.7"
    # Each visitor behind it has a limit of his own.
    busy = scrape(host, pages(150), ["127.0.0.9"], **{"X-Forwarded-For": "203.0.113.8"})
    assert Counter(answer[0] for answer in busy)[429] >= 80
    assert scrape(host, pages(1), ["127.0.0.9"], **{"X-Forwarded-For": "203.0.114.9"})[0][0] == 404


def test_an_origin_that_the_site_does_not_name_reads_nothing(host, narrow, thumbnail) -> None:
    path = f"{thumbnail}?width=256"
    known = ask(host, path, headers={"Origin": VIEWER})["headers"]
    assert (known["access-control-allow-origin"], known["vary"].split(", ")[-1]) == (VIEWER, "Origin")
    for headers in ({}, {"Origin": "https://viewer.example.org.evil.example"}):
        assert "access-control-allow-origin" not in ask(host, path, headers=headers)["headers"]


def test_http3_answers_on_the_same_port(host, configured) -> None:
    configured(cache_http3=True)
    assert "h3=" in ask(host, "/catalogue.json")["headers"]["alt-svc"]
    assert any(":443 " in line for line in host.check_output("ss -Huln").splitlines())
    host.check_output("command -v curl || apt-get install --yes --quiet curl >/dev/null 2>&1")
    said = host.check_output(
        "curl --silent --insecure --http3-only --max-time 20 -o /dev/null -w '%{http_version} %{http_code}' https://127.0.0.1/catalogue.json"
    )
    # There is no gallery yet: nginx itself answers.
    assert said == "3 404"

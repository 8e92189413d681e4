# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What nobody gets through the proxy: other paths, arguments and methods, logins, old TLS, the ports of this host.

Everything is asked from the proxy itself, as in test_cache.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from proxy import LOOPBACK, PUBLIC, REFRESH, ask, ask_many, cache_status

testinfra_hosts = ["ansible://cache"]


def test_argument_values_that_the_policy_does_not_know_are_refused(host, thumbnail) -> None:
    queries = [
        "width=257",
        "width=",
        "width",
        "width=256%0d%0aX:%201",
        "width=%32%35%36",
        "width=256x",
        "a=1&width=0256",
    ]
    answers = ask_many(host, [{"path": f"{thumbnail}?{query}"} for query in queries])
    assert {
        query: (answer["status"], cache_status(answer)) for query, answer in zip(queries, answers, strict=False)
    } == dict.fromkeys(queries, (400, None))


@pytest.mark.parametrize("port", [PUBLIC, LOOPBACK, REFRESH])
def test_visitors_only_read(host, instances, port) -> None:
    requests = [
        {"path": path, "method": method, "headers": {"Content-Length": "0"}}
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
        for path in ("/instances", f"/instances/{instances[0]}", "/", "/tools/execute-script", "/test")
    ]
    answers = ask_many(host, requests, port)
    assert {(answer["status"], answer["headers"].get("allow")) for answer in answers} == {(405, "GET, HEAD")}


# {id} is an image that exists: were one of these let through, Orthanc would answer it.
HOSTILE_PATHS = [
    "/system",
    "//system",
    "/System",
    "/system/",
    "/tools/now",
    "/modalities",
    "/app/explorer.html",
    "/changes",
    "/instances",
    "/instances/",
    "/patients",
    "/stub_status",
    "/nginx.conf",
    "/.git/config",
    "/instances/..%2fsystem",
    "/instances/%2e%2e/system",
    "/instances/x/../../system",
    "/%73ystem",
    "/instances/{id}/../../system",
    "/instances/{id}/..%2f..%2fsystem",
    "/instances/{id}/preview/../../../system",
    "/instances/{id}/file",
    "/instances/{id}/preview/",
    "/instances/{id}/preview;/x",
    "/instances/{id}%00",
    "/instances/{id}/preview%0a",
    "/instances/{id}%0d%0aX-Injected:%201",
    "/instances/{id}%0aX",
    "/instances/{id}%20",
    "/instances/{id}%3fexpand",
    "/instances/{id}/rendered%3fwidth=256",
    "/..%2f..%2fetc/passwd",
]


def test_paths_that_no_route_names_do_not_reach_the_image_servers(host, instances) -> None:
    answers = ask_many(host, [{"path": path.replace("{id}", instances[0])} for path in HOSTILE_PATHS])
    # 400 where nginx itself refuses to read the path.
    passed = {
        path: answer
        for path, answer in zip(HOSTILE_PATHS, answers, strict=False)
        if answer["status"] not in (400, 404) or cache_status(answer) or "x-injected" in answer["headers"]
    }
    assert not passed


def test_lists_of_everything_are_for_this_host_only(host, instances) -> None:
    assert ask(host, "/instances?since=0&limit=1")["status"] == 404
    assert ask(host, "/instances?since=0&limit=1", LOOPBACK)["status"] == 200


def test_answers_carry_the_security_headers(host, instances, thumbnail) -> None:
    for path in ("/", "/system", f"{thumbnail}?width=256", f"/instances/{instances[0]}"):
        headers = ask(host, path)["headers"]
        if path in ("/", "/system"):
            assert "frame-ancestors 'self'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
        else:
            # Pictures and JSON: nothing in them may run.
            assert headers["content-security-policy"] == "default-src 'none'"
        assert (headers["x-content-type-options"], headers["server"]) == ("nosniff", "nginx")
        # The site's own authority signed the certificate.
        assert "strict-transport-security" not in headers


def test_login_at_the_image_servers_stays_here(host, thumbnail) -> None:
    # A visitor's own login goes no further: a wrong one does not matter.
    answer = ask(host, f"{thumbnail}?width=256", headers={"Authorization": "Basic eDp5"})
    assert (answer["status"], cache_status(answer)) == (200, "MISS")
    assert not {"authorization", "www-authenticate", "set-cookie"} & set(answer["headers"])
    login = host.file("/etc/nginx/snippets/image-server-logins.conf")
    assert (login.mode, login.user) == (0o600, "root")
    secret = login.content_string.split('"')[1].split()[-1]
    assert host.run("grep -rqF %s /var/cache/nginx /var/log/nginx /etc/nginx/nginx.conf", secret).rc == 1


def test_tls_is_modern_and_trusted_through_the_authority(host) -> None:
    variables = host.ansible.get_variables()
    authority = Path(variables["site_state_directory"], "ca/ca.crt").read_text(encoding="utf-8")
    names = ["localhost", "127.0.0.1", variables["effective_site"]["public"]["name"]]
    handshake = """
import json, socket, ssl, sys
authority, names = json.loads(sys.argv[1])
found = []
for name in names:
    context = ssl.create_default_context(cadata=authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", 443)), server_hostname=name) as connection:
        found.append([connection.selected_alpn_protocol(), connection.version()])
old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
old.set_ciphers("ALL:@SECLEVEL=0")
old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
try:
    old.wrap_socket(socket.create_connection(("127.0.0.1", 443)))
    found.append("TLS 1.1 accepted")
except ssl.SSLError:
    pass
print(json.dumps(found))
"""
    found = json.loads(host.check_output("python3 -W ignore -c %s %s", handshake, json.dumps([authority, names])))
    assert found == [["h2", "TLSv1.3"]] * len(names)
    assert host.run('grep -rlq "BEGIN.*PRIVATE KEY" /etc/nginx /var/www').rc == 1


def test_plain_http_leads_to_the_published_address(host) -> None:
    answer = ask(host, "/study.html?id=1", 80)
    url = host.ansible.get_variables()["site_url"].rstrip("/")
    assert (answer["status"], answer["headers"]["location"]) == (301, f"{url}/study.html?id=1")


def test_loopback_ports_are_for_this_host_only(host) -> None:
    listening = host.check_output("ss --listening --tcp --numeric --no-header").splitlines()
    addresses = {line.split()[3] for line in listening}
    assert {"127.0.0.1:8081", "127.0.0.1:8082", "0.0.0.0:80", "0.0.0.0:443"} <= addresses
    assert not {"0.0.0.0:8081", "0.0.0.0:8082"} & addresses
    assert "Active connections" in ask(host, "/stub_status", LOOPBACK)["text"]


@pytest.mark.parametrize("unit", ["nginx.service", "cache-metrics.service"])
def test_the_services_are_in_a_sandbox(host, unit):
    overall = host.check_output("systemd-analyze security --no-pager %s", unit).splitlines()[-1]
    assert float(re.search(r"[0-9.]+", overall.split(":")[1])[0]) <= 4.0, overall

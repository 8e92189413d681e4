# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Stampedes, failures, parts, conditions, spellings: how nginx answers with the deployed configuration.

A second nginx on the proxy runs that configuration on other ports, before an image server of these tests that answers
as it is told and remembers what it was asked. Its cache is its own; lists are fresh for one second, so that they get old.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from proxy import LABORATORY, ask_many, cache_status

testinfra_hosts = ["ansible://cache"]

LOOPBACK, REFRESH, MISSES, IMAGE_SERVER = 18081, 18082, 18083, 18042
DIRECTORY = "/var/lib/laboratory"
IMAGE_NUMBERS = itertools.count(0x0A1B2C3D)

SERVER = r"""
import http.server, json, socketserver, sys, threading, time
seen, answer = [], {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1
    def do_PUT(self):
        global answer
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(seen).encode()
        seen.clear()
        self.reply(200, body, {})
    def do_GET(self):
        names = sorted(name.lower() for name in self.headers)
        seen.append({"method": self.command, "path": self.path, "headers": names})
        time.sleep(answer.get("delay_seconds", 0))
        body = answer.get("body", "0123456789" * 200).encode()
        self.reply(answer.get("status", 200), body, answer.get("headers", {}))
    do_HEAD = do_POST = do_GET
    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "image/jpeg", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *unused):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size, allow_reuse_address = True, 128, True
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Laboratory:
    """The second nginx and the image server behind it. Each test plays a number of steps in one go."""

    def __init__(self, host) -> None:
        self.host = host
        self.image = self.thumbnail = self.children = ""

    def begin(self) -> None:
        """Turn to an image that nobody has asked for yet."""
        self.image = "-".join([f"{next(IMAGE_NUMBERS):08x}"] * 5)
        self.thumbnail = f"/instances/{self.image}/rendered?width=256"
        self.children = f"/studies/{self.image}/series"

    def play(self, *steps: dict, parallel: int = 1) -> list[dict]:
        """The answers to the steps, one after the other or several at a time."""
        return ask_many(self.host, list(steps), LABORATORY, parallel)

    def kept(self) -> list[str]:
        """The keys of this image's entries on disk."""
        return self.host.run(f"grep -rhoaP '(?<=^KEY: ).*{self.image}.*' {DIRECTORY}/cache").stdout.splitlines()

    def start_image_server(self) -> None:
        self.host.check_output(
            "systemd-run --quiet --collect --unit laboratory-image-server python3 -c %s %s", SERVER, str(IMAGE_SERVER)
        )
        self.wait_for(IMAGE_SERVER)

    def stop_image_server(self) -> None:
        self.host.check_output("systemctl stop laboratory-image-server")

    def wait_for(self, port: int) -> None:
        """Until somebody listens there."""
        self.host.check_output(
            "for try in $(seq 100); do ss --listening --tcp --numeric --no-header | "
            f"grep -q 127.0.0.1:{port} && exit; sleep 0.1; done; exit 1"
        )


def get(path: str, port: int = LABORATORY, **more) -> dict:
    """A step: ask for a path."""
    return {"path": path, "port": port, **more}


def answer(**said) -> dict:
    """A step: tell the image server what to say from now on; its answer lists what it was asked until now."""
    return {"path": "/", "port": IMAGE_SERVER, "method": "PUT", "body": json.dumps(said)}


def asked(step: dict) -> list[dict]:
    """What the image server was asked, from the answer to the step above."""
    return json.loads(step["text"])


def seen(answers: list[dict]) -> list[tuple]:
    """Status and cache status of answers."""
    return [(one["status"], cache_status(one)) for one in answers]


@pytest.fixture(scope="module")
def started(host) -> Iterator[Laboratory]:
    host.check_output(f"mkdir -p {DIRECTORY}/log {DIRECTORY}/cache {DIRECTORY}/temporary")
    # The first image server becomes that of these tests, the others go. The preview stands for a policy that lets
    # anything through.
    host.check_output(
        "sed -e %s /etc/nginx/nginx.conf > %s",
        f"""
        s,/run/nginx.pid,{DIRECTORY}/nginx.pid,
        s,/var/log/nginx,{DIRECTORY}/log,
        s,/var/cache/nginx,{DIRECTORY}/cache,
        s,/var/lib/nginx/proxy,{DIRECTORY}/temporary,
        s,listen 443 ,listen 127.0.0.1:{LABORATORY} ,
        s,listen 80 ,listen 127.0.0.1:10080 ,
        s,127.0.0.1:8081,127.0.0.1:{LOOPBACK},
        s,127.0.0.1:8082,127.0.0.1:{REFRESH},
        s,127.0.0.1:8083,127.0.0.1:{MISSES},
        /listen \\[::]:/d
        s,valid 200 10s,valid 200 1s,
        s,/instances/\\[0-9a-f-\\]{{44}}/preview,/instances/[^/]+/preview,
        0,/^ *server [0-9.]*:/s/^ *server [0-9.]*:.*/server 127.0.0.1:{IMAGE_SERVER};/
        /^ *server [0-9.]*:/{{/:{IMAGE_SERVER};\\|:{MISSES} /!d}}""",
        f"{DIRECTORY}/nginx.conf",
    )
    laboratory = Laboratory(host)
    try:
        laboratory.start_image_server()
        host.check_output(
            f"systemd-run --quiet --collect --unit laboratory-nginx nginx -c {DIRECTORY}/nginx.conf -g 'daemon off;'"
        )
        laboratory.wait_for(LABORATORY)
        yield laboratory
    finally:
        host.run("systemctl stop laboratory-nginx laboratory-image-server")
        host.run(f"rm -rf {DIRECTORY}")


@pytest.fixture
def laboratory(started: Laboratory) -> Laboratory:
    """With an image of which nothing is cached."""
    started.begin()
    return started


def test_stampede_on_a_missing_entry_is_one_fetch(laboratory) -> None:
    laboratory.play(answer(delay_seconds=0.5))
    answers = laboratory.play(*[get(laboratory.thumbnail)] * 40, parallel=40)
    assert {(one["status"], one["bytes"]) for one in answers} == {(200, 2000)}
    assert len(asked(laboratory.play(answer())[0])) == 1


@pytest.mark.parametrize("status", [404, 415, 503])
def test_stampede_on_a_page_that_fails_is_not_a_queue(laboratory, status) -> None:
    laboratory.play(answer(status=status, delay_seconds=0.1))
    answers = laboratory.play(*[get(laboratory.thumbnail)] * 20, parallel=20)
    assert {one["status"] for one in answers} == {status}
    # Without a memory it is one every half second: 20, the last after ten seconds.
    assert len(asked(laboratory.play(answer())[0])) < 6


def test_old_entries_are_served_while_the_image_servers_fail(laboratory) -> None:
    paths = [f"{laboratory.children}?expand={value}" for value in ("", "1", "true")] + [laboratory.children]
    steps = [answer(), *map(get, paths)]
    for status, path in zip((500, 502, 503, 504), paths, strict=False):
        steps += [answer(status=status, body="broken"), get(path), get(path)]
    # Until all of them are old.
    steps[5]["pause_seconds"] = 2.1
    answers = laboratory.play(*steps)
    first = answers[1:5]
    assert [cache_status(one) for one in first] == ["MISS"] * 4
    for number, before in enumerate(first):
        old = answers[6 + 3 * number : 8 + 3 * number]
        assert {(one["status"], one["checksum"]) for one in old} == {(200, before["checksum"])}
        assert {cache_status(one) for one in old} <= {"STALE", "UPDATING"}
    laboratory.stop_image_server()
    try:
        old, missing = laboratory.play(get(paths[0]), get(laboratory.thumbnail))
        assert (old["status"], old["checksum"]) == (200, first[0]["checksum"])
        assert missing["status"] == 502
    finally:
        laboratory.start_image_server()
    # Renewed behind the visitor's back.
    answers = laboratory.play(answer(body="mended"), *[get(paths[0], pause_seconds=0.2)] * 8)
    assert answers[-1]["text"] == "mended"


@pytest.mark.parametrize("status", [400, 401, 404, 415, 500, 503])
def test_failures_are_never_kept(laboratory, status) -> None:
    path, shown = laboratory.thumbnail, 502 if status == 401 else status
    answers = laboratory.play(answer(status=status), get(path, LOOPBACK), get(path))
    assert [one["status"] for one in answers[1:]] == [shown, shown]
    assert laboratory.kept() == []
    # Visitors are told again for a moment, until it is forgotten. A refresh that fails loses no entry.
    answers = laboratory.play(
        answer(), get(path, pause_seconds=2.1), answer(status=status), get(path, REFRESH), get(path)
    )
    assert [answers[number]["status"] for number in (1, 3)] == [200, shown]
    assert seen(answers[4:]) == [(200, "HIT")]


def test_warming_believes_no_earlier_failure(laboratory) -> None:
    path = laboratory.thumbnail
    answers = laboratory.play(answer(status=415), get(path, LOOPBACK), answer(), get(path, LOOPBACK))
    assert [answers[number]["status"] for number in (1, 3)] == [415, 200]
    # Not even a visitor's, where the page is fetched anew.
    laboratory.begin()
    path = laboratory.thumbnail
    answers = laboratory.play(answer(status=415), get(path), answer(), get(path, REFRESH), get(path))
    assert [answers[number]["status"] for number in (1, 3, 4)] == [415, 200, 200]


@pytest.mark.parametrize("cached", [False, True])
def test_parts_are_parts_of_the_whole_entry(laboratory, cached) -> None:
    path = laboratory.thumbnail
    part, end, outside, several, last = laboratory.play(
        answer(),
        *[get(path)] * cached,
        *[get(path, headers={"Range": value}) for value in ("bytes=12-17", "bytes=-3", "bytes=2000-", "bytes=0-1,5-6")],
        answer(),
    )[1 + cached :]
    assert (part["status"], part["text"], part["headers"]["content-range"]) == (206, "234567", "bytes 12-17/2000")
    assert cache_status(part) == ("HIT" if cached else "MISS")
    assert (end["status"], end["text"], outside["status"]) == (206, "789", 416)
    # More than one part costs more than the whole.
    assert (several["status"], several["bytes"]) == (200, 2000)
    assert [one["path"] for one in asked(last)] == [path] and "range" not in asked(last)[0]["headers"]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    "headers, status",
    [
        ({"If-None-Match": '"one"'}, 304),
        ({"If-Modified-Since": "Wed, 21 Oct 2015 07:28:00 GMT"}, 304),
        ({"If-None-Match": '"two"'}, 200),
        ({"If-Modified-Since": "Wed, 21 Oct 2015 07:27:59 GMT"}, 200),
    ],
)
def test_conditions_are_answered_by_the_cache(laboratory, headers, status, cached) -> None:
    path = laboratory.thumbnail
    validators = {"ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    conditional, whole, last = laboratory.play(
        answer(headers=validators), *[get(path)] * cached, get(path, headers=headers), get(path), answer()
    )[1 + cached :]
    assert (conditional["status"], conditional["bytes"]) == (status, 0 if status == 304 else 2000)
    assert (cache_status(whole), whole["bytes"]) == ("HIT", 2000)
    # The image server is asked for the whole page, so that the whole page is kept.
    assert [set(one["headers"]) & {"if-none-match", "if-modified-since"} for one in asked(last)] == [set()]


def test_conditions_without_validators_get_the_whole_page(laboratory) -> None:
    conditions = {"If-None-Match": "*", "If-Modified-Since": "Wed, 21 Oct 2037 07:28:00 GMT"}
    answers = laboratory.play(answer(), *[get(laboratory.thumbnail, headers=conditions)] * 2)[1:]
    assert seen(answers) == [(200, "MISS"), (200, "HIT")]
    assert {one["bytes"] for one in answers} == {2000}


def test_head_fills_the_cache_with_the_whole_page(laboratory) -> None:
    path = laboratory.thumbnail
    _, head, whole, last = laboratory.play(answer(), get(path, method="HEAD"), get(path), answer())
    assert (head["status"], head["bytes"], head["headers"]["content-length"]) == (200, 0, "2000")
    assert (cache_status(whole), whole["bytes"]) == ("HIT", 2000)
    assert [one["method"] for one in asked(last)] == ["GET"]


def test_one_page_has_one_key_however_its_query_is_written(laboratory) -> None:
    path = laboratory.thumbnail.partition("?")[0]
    queries = [
        "width=256",
        "_=123&width=256",
        "width=256&_=124",
        "a&width=256&&b=",
        "width=256&width=256",
        "Width=9&width=256",
        "width=256&utm_source=%0d%0aX:%201",
        "width=256#top",
        "xwidth=7&width=256",
    ]
    lists = ["since=1&limit=2", "limit=2&since=1", "limit=2&_=1&since=1"]
    answers = laboratory.play(
        answer(),
        *[get(f"{path}?{query}") for query in queries],
        *[get(f"/instances?{query}", LOOPBACK) for query in lists],
        answer(),
    )
    assert [one["status"] for one in answers[1:-1]] == [200] * (len(queries) + len(lists))
    assert [one["path"] for one in asked(answers[-1])] == [laboratory.thumbnail, "/instances?since=1&limit=2"]
    assert laboratory.kept() == [laboratory.thumbnail]


def test_long_addresses_are_short_entries_or_refused(laboratory) -> None:
    path = laboratory.thumbnail
    answers = laboratory.play(
        answer(),
        get(f"{path}&_={'x' * 7000}"),
        get(path),
        get(f"{path}&_={'x' * 9000}"),
        get(f"/instances/{'a' * 9000}"),
        answer(),
    )
    assert seen(answers[1:5]) == [(200, "MISS"), (200, "HIT"), (414, None), (414, None)]
    assert [one["path"] for one in asked(answers[5])] == [path]


def test_one_page_has_one_key_however_its_path_is_encoded(laboratory) -> None:
    path = laboratory.thumbnail
    spellings = [
        path,
        path.replace("/instances", "/%69nstances"),
        path.replace(laboratory.image[:2], "%30%61", 1),
        "/" + path,
        path.replace("/rendered", "//rendered"),
        path.replace("/rendered", "/./x/../rendered"),
    ]
    answers = laboratory.play(answer(), *map(get, spellings), answer())
    assert seen(answers[1:-1]) == [(200, "MISS")] + [(200, "HIT")] * (len(spellings) - 1)
    assert [one["path"] for one in asked(answers[-1])] == [path]


def test_case_matters(laboratory) -> None:
    path = laboratory.thumbnail
    others = [
        path.replace("instances", "Instances"),
        path.replace(laboratory.image, laboratory.image.upper()),
        path.replace("rendered", "RENDERED"),
    ]
    # An argument of an unknown name is dropped.
    answers = laboratory.play(answer(), *map(get, others), get(path.replace("width", "WIDTH")), answer())
    assert [one["status"] for one in answers[1:-1]] == [404, 404, 404, 200]
    assert [one["path"] for one in asked(answers[-1])] == [path.partition("?")[0]]


def test_paths_go_to_the_image_servers_encoded(laboratory) -> None:
    path = f"/instances/{laboratory.image}%20b%0d%0ax-injected:%201%3f%25%23%c3%a4/preview"
    answers = laboratory.play(answer(), get(path), get(path), answer())
    assert seen(answers[1:3]) == [(200, "MISS"), (200, "HIT")]
    assert [one["path"].lower() for one in asked(answers[3])] == [path]
    assert "x-injected" not in asked(answers[3])[0]["headers"]


def test_tls_sessions_are_resumed(host) -> None:
    program = """
import json, socket, ssl
def connect(version, session):
    context = contexts[version]
    with context.wrap_socket(socket.create_connection(("127.0.0.1", 443)), session=session) as connection:
        connection.sendall(b"GET /nothing HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        while connection.recv(65536):
            pass
        return connection.session, connection.session_reused
contexts, found = {}, {}
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = contexts[version] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session, first = connect(version, None)
    found[version.name] = [first, connect(version, session)[1]]
print(json.dumps(found))
"""
    found = json.loads(host.check_output("python3 -c %s", program))
    assert found == {"TLSv1_2": [False, True], "TLSv1_3": [False, True]}

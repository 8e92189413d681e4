# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How pages are fetched: libcurl over real sockets, in this process and in others."""

from __future__ import annotations

import email.utils
import json
import os
import signal
import socket
import threading
import time

import pytest

from plugins.module_utils.cache_warm import transport as transport_module
from plugins.module_utils.cache_warm.transport import (
    START_BYTES,
    USER_AGENT,
    Transport,
    TransportError,
    retry_after_seconds,
)
from plugins.module_utils.cache_warm.workers import Workers
from tests.warm.conftest import until
from tests.warm.image_server import PICTURE, ImageServer

pytest.importorskip("pycurl")


@pytest.fixture
def server():
    with ImageServer() as started:
        yield started


@pytest.fixture(params=["one process", "workers"])
def make_transport(request):
    made = []

    def make(**options):
        options = {"concurrency": 8, "timeout_seconds": 2.0, **options}
        made.append(Transport(**options) if request.param == "one process" else Workers(2, **options))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def fetch(transport, *urls: str, **options) -> list:
    """Return the answers in the order of the URLs."""
    for number, url in enumerate(urls):
        transport.submit(number, url.encode(), **options)
    assert transport.in_flight == len(urls)
    answers = {}
    while transport.in_flight:
        answers.update(transport.wait(1.0))
    assert transport.wait(0.0) == []
    return [answers[number] for number in range(len(urls))]


def test_answers_are_told_apart(server, make_transport):
    base = f"http://127.0.0.1:{server.port}/images/"
    names = ("image-1", "chunked-1", "404-1", "redirect-1", "429x1after7-1")
    answers = fetch(make_transport(), *(base + name for name in names))
    assert [answer.status for answer in answers] == [200, 200, 404, 302, 429]
    assert (answers[0].size_bytes, answers[0].start, answers[0].body) == (len(PICTURE), PICTURE[:START_BYTES], b"")
    assert answers[0].content_type == "image/jpeg" and answers[0].seconds > 0
    assert answers[4].retry_after == "7"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("cutalways", "answer cut off"),
        ("cutchunked", "answer cut off"),
        ("reset", "connection reset"),
        ("close", "connection closed without an answer"),
        ("drip", "time-out"),
    ],
)
def test_errors_are_named(server, make_transport, name, error):
    transport = make_transport(timeout_seconds=0.5)
    (answer,) = fetch(transport, f"http://127.0.0.1:{server.port}/images/{name}-1")
    # How an answer in chunks is cut off, libcurl says in one of two ways.
    errors = {error, "connection reset"} if name == "cutchunked" else {error}
    assert answer.status == 0 and answer.error in errors


def test_bodies_of_lists_are_kept(server, make_transport):
    server.number_of_images = 3
    transport = make_transport()
    (answer,) = fetch(transport, f"http://127.0.0.1:{server.port}/images?since=1&limit=5", want_body=True)
    assert answer.body == b'["image-1", "image-2"]'
    # The handle is used again, for a request that wants none.
    assert fetch(transport, f"http://127.0.0.1:{server.port}/images/image-1")[0].body == b""


def test_headers_are_those_of_one_request(server, make_transport):
    transport = make_transport()
    url = f"http://127.0.0.1:{server.port}/images/image-1"
    fetch(transport, url, headers=("X-Reader: 1", "Accept: image/png"))
    sent = [server.headers[name] for name in ("X-Reader", "Accept", "User-Agent")]
    assert sent == ["1", "image/png", USER_AGENT]
    for _ in range(4):
        fetch(transport, url)
        assert "X-Reader" not in server.headers


def test_the_path_is_sent_as_it_is(server, make_transport):
    fetch(make_transport(), f"http://127.0.0.1:{server.port}/images/../images/image-%31?b=%20&a")
    assert list(server.times) == ["/images/../images/image-%31?b=%20&a"]


def test_what_is_no_url_is_an_answer(make_transport):
    (answer,) = fetch(make_transport(), "http://127.0.0.1:1/a b")
    assert answer.status == 0 and answer.error


def test_nobody_listens(make_transport):
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        (answer,) = fetch(make_transport(), f"http://127.0.0.1:{placeholder.getsockname()[1]}/")
    assert answer.error == "connection refused"


def test_waiting_for_nothing_takes_its_time_and_no_more(make_transport):
    transport = make_transport()
    began = time.monotonic()
    assert transport.wait(0.2) == []
    assert time.monotonic() - began >= 0.15


def test_a_worker_that_ends_is_replaced(server):
    server.latency_seconds = 0.5
    transport = Workers(2, concurrency=4)
    try:
        for number in range(4):
            transport.submit(number, f"http://127.0.0.1:{server.port}/images/image-{number}".encode())
        transport.wait(0.1)
        os.kill(transport._workers[0]._process, signal.SIGKILL)
        answers = {}
        while transport.in_flight:
            answers.update(transport.wait(1.0))
        assert sorted(answer.status for answer in answers.values()) == [0, 0, 200, 200]
        again = fetch(transport, *[f"http://127.0.0.1:{server.port}/images/image-9"] * 4)
        assert [answer.status for answer in again] == [200] * 4
    finally:
        transport.close()


def test_neither_end_waits_for_the_other_to_take_what_it_sends(server):
    """A large list on its way back while much is submitted: more than both sockets hold, both ways."""
    server.number_of_images = 300_000
    base = f"http://127.0.0.1:{server.port}/images"
    answers = {}

    def work():
        transport = Workers(1, concurrency=8, timeout_seconds=20.0)
        try:
            transport.submit("list", f"{base}?since=0&limit=300000".encode(), want_body=True)
            transport.wait(0.0)
            # The process has the list by now, and can send a part of it only.
            until(lambda: server.times["/images?since=0&limit=300000"])
            time.sleep(2.0)
            for number in range(500):
                transport.submit(number, f"{base}/image-{number}?{'x' * 7000}".encode())
            while transport.in_flight:
                answers.update(transport.wait(1.0))
        finally:
            transport.close()

    # Daemon, because a test that fails must end all the same.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(30.0)
    assert not worker.is_alive(), "both ends wait for each other"
    assert len(answers) == 501 and {answer.status for answer in answers.values()} == {200}
    assert len(json.loads(answers["list"].body)) == 300_000


def test_without_pycurl_the_package_is_named(monkeypatch):
    monkeypatch.setattr(transport_module, "pycurl", None)
    for make in (lambda: Transport(concurrency=1), lambda: Workers(1, concurrency=1)):
        with pytest.raises(TransportError, match="python3-pycurl"):
            make()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (email.utils.formatdate(1_000_060, usegmt=True), 60.0),
        (email.utils.formatdate(999_000, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1.5", None),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after_seconds(value, 1_000_000.0) == seconds

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What strangers send to the public port of the real nginx, and what of it reaches the image servers."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .rendered_nginx import RenderedNginx, Upstream
from .test_keys import ORTHANC, route

# Entries that are old after a second.
POLICY = ORTHANC | {
    "user": "cache",
    "zones": [{"name": "pages", "max_size_mib": 64, "mean_size_kib": 8, "inactive": "1d"}],
    "routes": [{**route("page", r"^/page/[0-9]+$", a="[0-9]*"), "valid": "1s"}],
}
MISSES = 2
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE


class Site:
    """A site whose image server counts, and who visits it from an address of this machine."""

    def __init__(self, nginx: RenderedNginx, upstream: Upstream):
        self.nginx, self.upstream = nginx, upstream

    @contextlib.contextmanager
    def connection(self, source: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
        plain = socket.create_connection(("127.0.0.1", port or self.nginx.https_port), 30, source_address=(source, 0))
        with plain if port else CONTEXT.wrap_socket(plain) as connection:
            yield connection

    def send(self, data: bytes, source: str = "127.0.0.1", port: int = 0) -> bytes:
        """All that comes back for these bytes."""
        answer = b""
        with self.connection(source, port) as connection, contextlib.suppress(ConnectionResetError, ssl.SSLError):
            connection.sendall(data)
            while part := connection.recv(65536):
                answer += part
        return answer

    def ask(self, path: str, source: str = "127.0.0.1") -> tuple[int, str]:
        """Status and X-Cache-Status of a GET."""
        answer = self.send(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode(), source)
        found = re.search(rb"\r\nX-Cache-Status: (\w+)", answer)
        return int(answer.split(b" ")[1]), found[1].decode() if found else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    upstream = Upstream()
    limits = {"misses_per_second": MISSES}
    try:
        with RenderedNginx(tmp_path_factory.mktemp("limits"), POLICY, upstream.port, cache_limits=limits) as nginx:
            yield Site(nginx, upstream)
    finally:
        upstream.close()


def test_only_misses_are_counted_and_the_image_servers_are_asked_no_more_than_that(site):
    before = site.upstream.requests
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: site.ask(f"/page/{number}", "127.0.1.1"), range(1000, 1200)))
    drawn = [answer for answer in answers if answer[0] == 200]
    assert {answer[0] for answer in answers} == {200, 429}
    # The first pile, and what became free meanwhile.
    assert MISSES * 5 <= len(drawn) <= MISSES * 5 * 4
    assert site.upstream.requests - before == len(drawn)


def test_a_client_that_is_limited_still_sees_what_was_there(site):
    assert site.ask("/page/1", "127.0.2.1") == (200, "MISS")
    time.sleep(1.1)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: site.ask(f"/page/{number}", "127.0.2.1"), range(2000, 2100)))
        answers = list(pool.map(lambda path: site.ask(path, "127.0.2.1"), ["/page/1", "/page/2"] * 4))
    # Old by now, and may not be fetched again: better than nothing.
    assert {status for status, _cache in answers[::2]} == {200}
    assert 429 in {status for status, _cache in answers[1::2]}


def test_a_body_and_headers_of_a_visitor_go_no_further(site):
    answer = site.send(
        b"GET /page/3 HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\nX-Image-Server: other\r\nX-Real-IP: 192.0.2.1\r\n"
        b"Content-Length: 21\r\nConnection: close\r\n\r\nGET /admin HTTP/1.1\r\n",
        "127.0.3.1",
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert not re.search(rb"(?i)cookie|content-length|x-image-server|x-real-ip|admin", site.upstream.received)


SMUGGLED = b"GET /page/4 HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n%b"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\nG"),
        (b"Transfer-Encoding: xchunked", b""),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
        (b"Content-Length: 5\r\nContent-Length: 6", b"hello!"),
        (b"Content-Length: -1", b""),
        (b"Content-Length: 99999999999999999999", b""),
        (b"Host: other", b""),
        (b"Bad Header: x", b""),
        (b" folded: x", b""),
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(site, headers, body):
    before = site.upstream.requests
    answer = site.send(SMUGGLED % (headers, body), "127.0.4.1")
    status = answer.split(b" ")[1:2]
    # One whole header that is none is passed over, as RFC 9112 lets a server do; nothing of it goes further.
    assert status in ([b"400"], [b"501"], [b"413"]) or (headers.startswith((b"Bad", b" folded")) and status == [b"200"])
    assert answer.count(b"HTTP/1.1 ") == 1 or status == [b"200"]
    assert site.upstream.requests - before <= 1


def test_a_flood_of_headers_is_cut(site):
    large = b"X-Large: " + b"x" * 9000
    many = b"\r\n".join(b"X-%d: %b" % (number, b"x" * 1000) for number in range(100))
    for headers in (large, many):
        answer = site.send(b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % headers, "127.0.5.1")
        assert answer.split(b" ")[1] == b"400"
    assert site.send(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n").split(b" ")[1] == b"414"


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:443@images", b"[::1", b"a b", b"../x"])
def test_a_host_header_leads_nowhere(site, host):
    answer = site.send(b"GET /x HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host, port=site.nginx.http_port)
    location = re.search(rb"\r\nLocation: (.*)\r\n", answer)
    assert answer.split(b" ")[1] == b"400" or location[1] == b"https://localhost/x"


def test_visitors_who_send_a_byte_now_and_then_hold_nobody_up(site):
    """Slow ones are cut after fifteen seconds, whatever they send; the others do not notice them."""
    site.ask("/page/5", "127.0.6.1")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(site.connection("127.0.6.2")) for _ in range(300)]
        begun, worst = time.monotonic(), 0.0
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            connection.setblocking(False)
        left = list(slow)
        while left and time.monotonic() - begun < 25:
            asked = time.monotonic()
            assert site.ask("/page/5", "127.0.6.1")[0] == 200
            worst = max(worst, time.monotonic() - asked)
            for connection in list(left):
                try:
                    connection.sendall(b"X")
                    if connection.recv(100) == b"":
                        left.remove(connection)
                except (ssl.SSLWantReadError, BlockingIOError):
                    pass
                except OSError:
                    left.remove(connection)
            time.sleep(1)
        assert not left
        print(f"300 slow visitors: gone after {time.monotonic() - begun:.0f} s, slowest page of others {worst:.3f} s")
        assert worst < 5

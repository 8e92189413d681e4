"""The warm engine over real sockets, against a small caching server that can misbehave."""
from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import socket
import struct
import threading
import urllib.parse

import pytest

from plugins.module_utils.warm import Engine, Limits, Source, Transport

pytest.importorskip("pycurl")

IMAGES = Source("images", "/images", 100, ("/images/{id}/rendered?width=256", "/images/{id}"))
PROBE = "/images?since=0&limit=1"
QUICK = Limits(concurrency=8, attempts=6, first_pause_seconds=0.02, longest_pause_seconds=0.1,
               slow_down_interval_seconds=0.05)


class Server:
    """An HTTP/1.1 server in a thread. `misbehave(path, number of times asked)` names a fault, or None."""

    def __init__(self, images, misbehave=lambda path, times: None):
        self.images = images
        self.misbehave = misbehave
        self.cached = set()
        self.times = collections.Counter()
        self.at_a_time = self.most_at_a_time = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *unused):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _connection(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            await self._requests(reader, writer)
        writer.close()

    async def _requests(self, reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1].decode()
            self.times[path] += 1
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
            await asyncio.sleep(0)
            self.at_a_time -= 1
            fault = self.misbehave(path, self.times[path])
            if fault == "reset":
                # Linger 0 makes close() send RST.
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            if fault == "close":
                return
            if fault == "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return
            if fault == "slow":
                await asyncio.sleep(2)
            status = fault if isinstance(fault, int) else 200
            body, cache = self._answer(path)
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nX-Cache-Status: {cache}\r\n\r\n"
            writer.write(head.encode() + body)
            if status == 200:
                self.cached.add(path)
            await writer.drain()

    def _answer(self, path):
        parts = urllib.parse.urlsplit(path)
        if parts.path == "/images":
            query = dict(urllib.parse.parse_qsl(parts.query))
            since, limit = int(query["since"]), int(query["limit"])
            return json.dumps([f"id-{n}" for n in range(self.images)][since:since + limit]).encode(), "BYPASS"
        return b"x" * 1000, "HIT" if path in self.cached else "MISS"


def warm(server, limits=QUICK, timeout_seconds=5.0):
    transport = Transport(server.url, server.url, concurrency=limits.concurrency, timeout_seconds=timeout_seconds)
    try:
        engine = Engine(transport, [IMAGES], probe=PROBE, limits=limits)
        return engine.run(engine.count())
    finally:
        transport.close()


def test_miss_then_hit():
    with Server(300) as server:
        first, second = warm(server), warm(server)
    assert first.by_cache_status == {"MISS": 600}
    assert second.by_cache_status == {"HIT": 600}
    assert (first.added, second.added, second.total, second.size_bytes) == (600, 0, 600, 600_000)
    assert server.most_at_a_time <= QUICK.concurrency


@pytest.mark.parametrize("fault", [503, 500, "reset", "close", "cut"])
def test_bursts_of_faults(fault):
    with Server(100, lambda path, times: fault if "rendered" in path and times <= 2 else None) as server:
        report = warm(server)
    assert (report.cached, report.failed, report.coverage) == (200, 0, 1.0)
    # libcurl itself sends a request again whose kept-alive connection turns out to be closed.
    assert report.retries > 0


@pytest.mark.parametrize(("fault", "cause"), [
    ("reset", "connection reset"), ("close", "connection closed without an answer"), ("cut", "answer cut off"),
    ("slow", "time-out"), (404, "HTTP 404"),
])
def test_cause_is_named(fault, cause):
    with Server(3, lambda path, times: fault if path == "/images/id-1" else None) as server:
        report = warm(server, Limits(concurrency=4, attempts=2, first_pause_seconds=0.01), timeout_seconds=0.3)
    assert (report.cached, report.failed) == (5, 1)
    assert report.failures == {cause: {"count": 1, "examples": ["/images/id-1"]}}


def test_415_after_a_look_at_the_server():
    with Server(10, lambda path, times: 415 if path == "/images/id-3/rendered?width=256" else None) as server:
        report = warm(server)
    assert (report.cached, report.unsupported, report.failed) == (19, 1, 0)
    assert server.times["/images/id-3/rendered?width=256"] == 2


def test_nobody_listens():
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % placeholder.getsockname()[1]
        transport = Transport(url, url, concurrency=2)
        report = Engine(transport, [IMAGES], probe=PROBE, limits=QUICK).run()
    assert "connection refused after 12 attempts" in report.stopped

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""An image server that misbehaves on purpose, as the names of its pages say."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import email.utils
import json
import socket
import struct
import threading
import time
import urllib.parse

PICTURE = b"\xff\xd8\xff\xe0" + bytes(6000)


class ImageServer:
    """An HTTP/1.1 server in a thread. What /images/<behaviour>-<anything> is answered, its name says:

    image; 404, 422, 500, 503 and other statuses; 503x2: twice 503, then an image; 429x1after2: once 429 with
    Retry-After: 2; cut, cutchunked: the connection ends within the answer, the first time; cutalways; chunked; drip: a
    byte at a time, for ever; reset, close: the first time; redirect; html; fakeimage: an error page that says it is an
    image; empty; fakeonce: an error page once, then an image.
    """

    def __init__(self, latency_seconds: float = 0.0):
        self.latency_seconds = latency_seconds
        self.number_of_images = 0
        # Answered instead of everything else, while set.
        self.everything = ""
        self.times: collections.Counter[str] = collections.Counter()
        self.asked_at: list[tuple[float, str]] = []
        self.headers: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ImageServer:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_unused) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _connection(self, reader, writer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await self._request(reader, writer):
                await writer.drain()
        writer.close()

    async def _request(self, reader, writer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        self.times[path] += 1
        self.asked_at.append((time.monotonic(), path))
        self.headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        parts = urllib.parse.urlsplit(path)
        if parts.path == "/images":
            query = dict(urllib.parse.parse_qsl(parts.query))
            since, limit = int(query["since"]), int(query["limit"])
            names = [f"image-{number}" for number in range(self.number_of_images)][since : since + limit]
            status = 503 if self.everything else 200
            _answer(writer, status, json.dumps(names).encode(), kind="application/json")
            return True
        behaviour = self.everything or parts.path.split("/")[2].split("-")[0]
        return await self._misbehave(writer, behaviour, self.times[path])

    async def _misbehave(self, writer, behaviour: str, times: int) -> bool:
        first = times == 1
        if behaviour[:3].isdigit():
            status = int(behaviour[:3])
            number, _, after = behaviour[4:].partition("after")
            if number and times > int(number):
                _answer(writer, 200, PICTURE)
            else:
                if after == "date":
                    after = email.utils.formatdate(time.time() + 2.9, usegmt=True)
                _answer(writer, status, b"no", kind="text/plain", more=f"Retry-After: {after}\r\n" if after else "")
        elif behaviour == "cutalways" or (behaviour == "cut" and first):
            _answer(writer, 200, PICTURE[:3000], length=len(PICTURE))
            return False
        elif behaviour in ("chunked", "cutchunked"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"1770\r\n" + PICTURE[:0x1770] + b"\r\n")
            if behaviour == "cutchunked" and first:
                await writer.drain()
                return False
            writer.write(b"0\r\n\r\n")
        elif behaviour == "drip":
            _answer(writer, 200, PICTURE[:10], length=len(PICTURE))
            for _ in range(100):
                await asyncio.sleep(0.1)
                writer.write(b"x")
                await writer.drain()
            return False
        elif behaviour == "reset" and first:
            # Linger 0 makes close() send RST.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        elif behaviour == "close" and first:
            return False
        elif behaviour == "redirect":
            _answer(writer, 302, b"", more="Location: http://127.0.0.1:9/elsewhere\r\n")
        elif behaviour == "html":
            _answer(writer, 200, b"<html>login</html>", kind="text/html")
        elif behaviour == "fakeimage" or (behaviour == "fakeonce" and first):
            _answer(writer, 200, b"<html>database is away</html>")
        elif behaviour == "empty":
            _answer(writer, 200, b"")
        else:
            _answer(writer, 200, PICTURE)
        return True


def _answer(
    writer, status: int, body: bytes, kind: str = "image/jpeg", length: int | None = None, more: str = ""
) -> None:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    writer.write(head.encode() + body)

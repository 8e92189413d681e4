# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The files of a zone; tests/warm/test_keys.py reads those that the real nginx writes."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from plugins.module_utils.nginx_cache.keys import Key, Routes
from plugins.module_utils.nginx_cache.zone_files import HEADER, HEADER_BYTES, Zone, cached, usage_bytes

ROUTES = Routes([{"name": "all", "match": "^/.*$", "zone": "pages"}])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n%bConnection: close\r\n\r\n"


@pytest.fixture
def zone(tmp_path) -> Zone:
    return Zone("pages", str(tmp_path / "pages"), 1 << 20)


def file_of(zone: Zone, key: Key) -> Path:
    return Path(zone.directory, key.digest[31], key.digest[29:31], key.digest)


def store(zone: Zone, key: Key, body: bytes = b"x" * 5000, length: int | None = -1, **changed) -> Path:
    """Write a file as nginx does (ngx_http_file_cache_set_header); `length`: of the header, None for none."""
    key_line = b"\nKEY: %b\n" % changed.get("key_text", key.text).encode("utf-8", "surrogateescape")
    length = len(body) if length == -1 else length
    headers = ANSWER % (b"" if length is None else b"Content-Length: %d\r\n" % length)
    start = HEADER_BYTES + len(key_line)
    now = int(time.time())
    header = struct.pack(
        "=QqqqqqIHHHB128sB",
        changed.get("version", 5),
        changed.get("valid", now + 60),
        0,
        0,
        now,
        now,
        0,
        0,
        start + changed.get("shift", 0),
        start + len(headers),
        0,
        b"",
        changed.get("vary", 0),
    )
    file = file_of(zone, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(header.ljust(HEADER_BYTES, b"\0") + key_line + headers + body)
    return file


def test_the_header_is_the_one_of_64_bits():
    assert HEADER.size == 188 and HEADER_BYTES == 336


@pytest.mark.parametrize("path", ["/a?b=1", "/" + "long" * 1500, "/%FF%C3%BC"])
@pytest.mark.parametrize("length", [-1, None])
def test_a_fresh_answer_is_cached(zone, path: str, length: int | None):
    key = ROUTES.key(path)
    assert not cached(zone, key)
    store(zone, key, length=length)
    assert cached(zone, key)


@pytest.mark.parametrize(
    "changed",
    [{"version": 3}, {"valid": 0}, {"key_text": "/b"}, {"shift": 1}, {"vary": 5}, {"length": 4999}, {"length": 5001}],
)
def test_what_nginx_would_not_answer_from_is_not_cached(zone, changed: dict):
    key = ROUTES.key("/a")
    store(zone, key, **changed)
    assert not cached(zone, key)


def test_validity_is_by_the_clock_now(zone):
    key = ROUTES.key("/a")
    now = int(time.time())
    store(zone, key, valid=now - 1)
    assert not cached(zone, key)
    store(zone, key, valid=now + 30)
    assert cached(zone, key)


def test_a_file_that_may_not_be_read_is_an_error(zone):
    key = ROUTES.key("/a")
    file_of(zone, key).mkdir(parents=True)
    with pytest.raises(OSError):
        cached(zone, key)


def test_usage_counts_blocks_of_the_answers(zone):
    assert usage_bytes(zone) == 0
    files = [store(zone, ROUTES.key(f"/{number}"), body=b"x" * number * 1000) for number in range(20)]
    # An answer that is being received is not counted yet.
    files[0].with_name(files[0].name + ".0000000001").write_bytes(b"x" * 100000)
    block = os.statvfs(zone.directory).f_bsize
    assert usage_bytes(zone) == sum(-(-file.stat().st_size // block) * block for file in files)


def test_usage_of_some_directories_tells_the_whole(zone):
    for number in range(1000):
        store(zone, ROUTES.key(f"/{number}"), body=b"x")
    assert usage_bytes(zone, leaves=4096) == usage_bytes(zone)
    # Half of 1,000 files, give or take eight standard deviations.
    assert 0.76 < usage_bytes(zone, leaves=2048) / usage_bytes(zone) < 1.24

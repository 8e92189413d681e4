# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""keys and zones against the real nginx: what it serves, under which key, and in which file.

The configuration is the role's own template, so that a change there that keys.py does not follow fails here.
"""

from __future__ import annotations

import os
import re
import socket
import urllib.parse
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings, strategies

from plugins.module_utils.nginx_cache.keys import Key, Routes
from plugins.module_utils.nginx_cache.zone_files import Zone, cached, usage_bytes

from .rendered_nginx import PROJECT, RenderedNginx, Upstream

ORTHANC = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text(encoding="utf-8"))
ID = "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af"


def route(name: str, match: str, **patterns: str) -> dict:
    return {
        "name": name,
        "match": match,
        "zone": "pages",
        "valid": "1d",
        "arguments": list(patterns),
        "argument_patterns": patterns,
        "request_headers": {"Accept": "image/jpeg"},
        "public": True,
    }


# Wide routes, so that hardly anything is refused before its key is made, and some that overlap.
WIDE = {
    "user": "cache",
    "zones": [{"name": "pages", "max_size_mib": 64, "mean_size_kib": 8, "inactive": "1d"}],
    "routes": [
        route("number", r"^/a/[0-9]+$", a="[0-9]*", b="x|y|invalid"),
        route("branches", r"/b\.c$|^/x?d$"),
        route("free", r"^/a/.*", b="[^&]*", a="|1"),
        route("spaces", r"\s|\w\W$"),
        route("rest", r"[^/]$", c=".+"),
    ],
}


class Visitor:
    """Asks one nginx in raw bytes, so that no client tidies the path."""

    def __init__(self, nginx: RenderedNginx, upstream: Upstream):
        self.upstream = upstream
        self.routes = Routes(nginx.policy["routes"])
        self.zones = {
            zone["name"]: Zone(zone["name"], str(nginx.zones / zone["name"]), 1 << 30) for zone in nginx.policy["zones"]
        }
        self._port = nginx.port

    def ask(self, path: str) -> tuple[int, str]:
        """Return (status, X-Cache-Status) of a GET."""
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            connection.sendall(
                b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path.encode("utf-8", "surrogateescape")
            )
            answer = b""
            while part := connection.recv(65536):
                answer += part
        found = re.search(rb"\r\nX-Cache-Status: (\w+)", answer)
        return int(answer.split(b" ")[1]), found[1].decode() if found else ""

    def cached(self, key: Key) -> bool:
        return cached(self.zones[key.zone], key)


def visitor_of(policy: dict, directory: Path):
    upstream = Upstream()
    try:
        with RenderedNginx(directory, policy, upstream.port) as nginx:
            yield Visitor(nginx, upstream)
    finally:
        upstream.close()


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    yield from visitor_of(ORTHANC | WIDE, tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    yield from visitor_of(ORTHANC, tmp_path_factory.mktemp("orthanc"))


def agrees(visitor: Visitor, path: str) -> None:
    """Fail where nginx and keys.py think differently of a path."""
    # nginx passes over spaces at its end, which no client sends.
    path = path.rstrip(" ")
    key = visitor.routes.key(path)
    before = visitor.cached(key) if key else False
    status, cache = visitor.ask(path)
    if key is None:
        assert status in (400, 404, 503), (path, status)
        return
    assert status == 200 and cache == ("HIT" if before else "MISS"), (path, key, status, cache)
    assert visitor.cached(key), (path, key)


# Pieces from which parsers of URLs are led astray.
PIECES = [
    "/",
    "//",
    "/a/",
    "/a/1",
    "a",
    "b",
    "1",
    "x",
    "y",
    ".",
    "..",
    "/..",
    "/.",
    "/../",
    "/./",
    "%2e",
    "%2E%2e",
    "%2F",
    "%2f..",
    "%3F",
    "%3f",
    "%23",
    "%25",
    "%2523",
    "%00",
    "%0a",
    "%0D%0A",
    "%20",
    "%09",
    "%7f",
    "%zz",
    "%4",
    "%",
    "%C3%BC",
    "%ff",
    "ü",
    "\udcff",
    "+",
    "%2B",
    "\\",
    '"',
    "'",
    "$",
    ";",
    "~",
    "(",
    "?",
    "??",
    "&",
    "&&",
    "a=",
    "b=",
    "c=",
    "&a=1",
    "&b=x",
    "&a=2&a=",
    "?a=1",
    "?b=y&a=7",
    "=",
    "invalid",
    "b=invalid",
    "&_=123",
    "a=%31",
    "#",
    "#x",
    "test",
    "/test",
    "/b.c",
    "/xd",
    "/d",
    "\x7f",
    "\x01",
    " ",
]


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.lists(strategies.sampled_from(PIECES), max_size=9).map(lambda pieces: "/" + "".join(pieces)))
@example("/")
@example("/a/../a//./b?b=1&a=1&_=7")
@example("/a/7?b=y&a=1")
@example("/a/%2e%2e/%2e%2e/b")
@example("/a/x%0a")
@example("/a/1%0a")
@example("/a/1?a=x&a=3")
@example("/a/x?b=")
# The template's word for a refused value.
@example("/a/1?b=invalid")
@example("/a/x?b=xinvalidx")
@example("/b.c")
@example("/a/x?a=1#b&a=2")
@example("/a/%3Fa=1?a=1")
def test_any_path_has_the_key_that_nginx_gives_it(wide: Visitor, path: str):
    agrees(wide, path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.text(strategies.characters(codec="utf-8"), max_size=30))
def test_any_text_in_a_path(wide: Visitor, text: str):
    agrees(wide, "/a/" + text.replace("\n", "").replace("\r", ""))
    agrees(wide, "/a/" + urllib.parse.quote(text))


@pytest.mark.parametrize(
    "path",
    [
        f"/instances/{ID}/rendered",
        f"/instances/{ID}/rendered?width=256",
        f"/instances/{ID}/rendered?_=1&width=256&x",
        f"/instances/{ID}/rendered?width=255",
        f"/instances/{ID}/rendered?width",
        f"/instances/{ID}/rendered?width=256&width=1",
        f"/instances/{ID}/rendered?width=1&width=256",
        f"/instances/{ID}/rendered?WIDTH=256",
        f"/instances/{ID}/rendered?awidth=256",
        f"/instances/{ID}/rendered%0A",
        f"/instances/{ID.upper()}",
        f"/Instances/{ID}",
        f"//instances///{ID}",
        f"/instances/%66{ID[1:]}",
        f"/x/../instances/{ID}",
        f"/instances/{ID}/",
        f"/series/{ID}",
        f"/studies/{ID}/series?expand",
        f"/studies/{ID}/series?expand=1&expand=9",
        f"/studies/{ID}/series?expand=false",
        "/instances?since=0&limit=5",
        "/instances?limit=5&since=0",
        "/instances?since=0&limit=x",
        "/instances?limit=5&&&since=00&expand=",
        "/test",
        "/%74est",
        "/stub_status",
        "/",
        "/system",
        f"/wsi/tiles/{ID}/3/12/7?token=x",
        "/instances" + "/" * 3000,
    ],
)
def test_paths_of_the_orthanc_policy(orthanc: Visitor, path: str):
    if path == "/stub_status":
        assert orthanc.routes.key(path) is None and orthanc.ask(path)[0] == 200
    else:
        agrees(orthanc, path)


def test_two_spellings_of_a_page_are_one_request(orthanc: Visitor):
    asked = orthanc.upstream.requests
    spellings = [
        f"/instances/{ID}/rendered?width=512",
        f"/instances/{ID}/rendered?x=1&width=512",
        f"/x/..//instances/{ID}/%72endered?width=512&_=5",
    ]
    assert len({orthanc.routes.key(path) for path in spellings}) == 1
    assert [orthanc.ask(path)[1] for path in spellings] == ["MISS", "HIT", "HIT"]
    assert orthanc.upstream.requests == asked + 1


def test_long_keys_and_large_bodies_are_found_in_their_files(wide: Visitor, tmp_path):
    path = "/a/" + "long" * 1900
    agrees(wide, path)
    agrees(wide, path)
    # What is cut off, as a crash leaves it, is not taken for cached.
    key = wide.routes.key(path)
    zone = wide.zones[key.zone]
    file = Path(zone.directory, key.digest[31], key.digest[29:31], key.digest)
    whole = file.read_bytes()
    copy = Zone("copy", str(tmp_path), 1 << 30)
    place = Path(copy.directory, key.digest[31], key.digest[29:31], key.digest)
    place.parent.mkdir(parents=True)
    for length in (0, 100, 336, 400, len(whole) - 1):
        place.write_bytes(whole[:length])
        assert not cached(copy, key), length
    place.write_bytes(whole)
    assert cached(copy, key)


def test_usage_is_what_the_files_take(orthanc: Visitor):
    zone = orthanc.zones["thumbnails"]
    orthanc.ask(f"/instances/{ID}/preview")
    block = os.statvfs(zone.directory).f_bsize
    files = [file for file in Path(zone.directory).rglob("*") if file.is_file()]
    # Each is smaller than a block.
    assert files and usage_bytes(zone) == len(files) * block

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Finding, purging and refreshing entries of the cache, on files as nginx writes them and a real HTTP server."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import cache_entries
from plugins.module_utils.cache_entries import (
    Cache,
    EntriesError,
    Selection,
    pages,
    purge,
    refresh,
    select,
    selection_of,
)
from plugins.module_utils.nginx_cache.keys import Routes

PROJECT = Path(__file__).parents[2]
POLICY = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text(encoding="utf-8"))
ROUTES = Routes(POLICY["routes"])
STUDY, SERIES, FIRST, SECOND, OTHER = ("-".join([letter * 8] * 5) for letter in "abcde")


def write(zone: dict, key: str, body: bytes = b"body", version: int = 5, name: str | None = None) -> Path:
    """Write an entry as nginx 1.26 does: ngx_http_file_cache_header_t, the key, the server's headers, the body."""
    headers = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    text = key.encode("utf-8", "surrogateescape")
    start = 336 + len(b"\nKEY: ") + len(text) + 1
    now = int(time.time())
    header = struct.pack(
        "=QqqqqqIHHHB128sB128s16s4x",
        version,
        now + 1000,
        0,
        0,
        0,
        now,
        0,
        0,
        start,
        start + len(headers),
        0,
        b"",
        0,
        b"",
        b"",
    )
    digest = name or hashlib.md5(text).hexdigest()
    path = Path(zone["directory"], digest[31], digest[29:31], digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + b"\nKEY: " + text + b"\n" + headers + body)
    return path


@pytest.fixture
def zones(tmp_path: Path) -> list[dict]:
    return [{"name": name, "directory": str(tmp_path / name)} for name in ("thumbnails", "metadata")]


@pytest.fixture
def filled(zones: list[dict]) -> dict[str, Path]:
    """The files of some entries by their keys."""
    thumbnails = [f"/instances/{one}/rendered?width=256" for one in (FIRST, SECOND, OTHER)]
    metadata = [f"/studies/{STUDY}", f"/series/{SERIES}", f"/instances/{FIRST}", f"/instances/{OTHER}/simplified-tags"]
    return {key: write(zone, key) for zone, keys in zip(zones, (thumbnails, metadata), strict=False) for key in keys}


def left(filled: dict[str, Path]) -> set[str]:
    return {key for key, path in filled.items() if path.exists()}


def pattern(text: str) -> Selection:
    return selection_of(f"~{text}", ROUTES, [], Cache("http://127.0.0.1:1", "http://127.0.0.1:1"))


def test_purge_removes_what_the_pattern_finds_and_nothing_else(zones, filled) -> None:
    names = set(filled)
    assert {entry.key for entry in purge(zones, pattern(r"^/instances/[^/]+/rendered"), pretend=True)} == {
        key for key in names if "/rendered" in key
    }
    assert left(filled) == names
    purged = purge(zones, pattern(r"^/instances/[^/]+/rendered"))
    assert {(entry.zone, entry.key) for entry in purged} == {("thumbnails", key) for key in names if "/rendered" in key}
    assert left(filled) == {key for key in names if "/rendered" not in key}
    assert purge(zones, pattern(r"^/instances/[^/]+/rendered")) == []


def test_purge_of_a_page_takes_this_page(zones, filled) -> None:
    key = f"/instances/{FIRST}/rendered?width=256"
    selection = selection_of(f"https://images.example.org/instances/{FIRST}/rendered?_=123&width=256", ROUTES, [], None)
    assert [entry.key for entry in purge(zones, selection)] == [key]
    assert left(filled) == set(filled) - {key}


def test_files_that_are_no_entries_stay(zones, filled, tmp_path) -> None:
    zone = zones[0]
    wrong_version = write(zone, "/instances/a/rendered", version=4)
    wrong_name = write(zone, "/instances/b/rendered", name="0123456789abcdef0123456789abcdef")
    short = Path(wrong_name.parent, "f" * 29 + wrong_name.name[29:])
    short.write_bytes(b"KEY: /instances/c/rendered\n")
    received = Path(wrong_name.parent, f"{wrong_name.name}.0000000001")
    received.write_bytes(wrong_name.read_bytes())
    above = Path(zone["directory"], "notes")
    above.write_bytes(b"/rendered")
    directory = Path(wrong_name.parent, "0" * 29 + wrong_name.name[29:])
    directory.mkdir()
    # A link to an entry elsewhere, and a directory of the zone that is a link.
    target = write({"directory": str(tmp_path / "elsewhere")}, "/instances/d/rendered")
    link = Path(zone["directory"], target.name[31], target.name[29:31], target.name)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    purge(zones, pattern("."))
    assert left(filled) == set()
    assert all(map(os.path.lexists, (wrong_version, wrong_name, short, received, above, directory, target, link)))


def test_a_directory_of_a_zone_that_is_a_link_is_not_followed(zones, tmp_path) -> None:
    target = write({"directory": str(tmp_path / "elsewhere")}, "/instances/d/rendered")
    place = Path(zones[0]["directory"], target.name[31], target.name[29:31])
    place.parent.mkdir(parents=True)
    place.symlink_to(target.parent)
    assert purge(zones, pattern(".")) == []
    assert target.exists()


def test_zones_that_do_not_exist_yet_are_empty(zones) -> None:
    assert purge(zones, pattern(".")) == []


def test_long_keys_are_read_whole(zones) -> None:
    key = "/instances/" + "x" * 7000
    path = write(zones[0], key)
    assert [entry.key for entry, _ in select(zones, pattern("x{7000}$"))] == [key]
    assert (
        cache_entries.body_checksum(next(select(zones, pattern("x")))[0], os.open(path.parent, os.O_RDONLY))
        == hashlib.sha256(b"body").hexdigest()
    )


def test_purge_that_was_killed_is_done_by_the_next(zones) -> None:
    files = [write(zones[0], f"/instances/{number}/rendered") for number in range(1000)]
    program = f"""
import json, sys, time
sys.path.insert(0, {str(PROJECT)!r})
from plugins.module_utils import cache_entries
import re
def slowly(number):
    print(number, flush=True)
    time.sleep(0.001)
zones, selection = json.loads({json.dumps(zones)!r}), cache_entries.Selection(pattern=re.compile("rendered"))
cache_entries.purge(zones, selection, seen=slowly)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    some = sum(path.exists() for path in files)
    assert 0 < some < len(files)
    assert len(purge(zones, pattern("rendered"))) == some
    assert not any(path.exists() for path in files)


# --- The pages ------------------------------------------------------------------------------------------------------


class Site:
    """A cache of answers by port and path: {'url': {path: (status, body)}, 'refresh_url': {...}}."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, tuple[int, bytes]]] = {"url": {}, "refresh_url": {}}
        self.asked: list[tuple[str, str]] = []
        site = self

        def handler(port: str) -> type:
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                # Head and body in one packet.
                wbufsize = -1

                def do_GET(self) -> None:
                    site.asked.append((port, self.path))
                    status, body = site.answers[port].get(self.path, (404, b""))
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *unused) -> None:
                    pass

            return Handler

        self.servers = {port: http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(port)) for port in self.answers}
        for server in self.servers.values():
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def cache(self) -> Cache:
        return Cache(
            **{port: f"http://127.0.0.1:{server.server_port}" for port, server in self.servers.items()},
            timeout_seconds=5,
        )

    def close(self) -> None:
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def study_pages(instances: list[str]) -> dict[str, tuple[int, bytes]]:
    """What Orthanc says of the study."""
    return {
        f"/studies/{STUDY}": (200, json.dumps({"ID": STUDY, "Series": [SERIES]}).encode()),
        f"/series/{SERIES}": (200, json.dumps({"ID": SERIES, "Instances": instances}).encode()),
    }


@pytest.mark.parametrize("known_by", ["refresh_url", "url"])
def test_a_study_is_purged_with_all_that_belongs_to_it_also_after_it_was_deleted(zones, filled, site, known_by) -> None:
    site.answers[known_by] = study_pages([FIRST, SECOND])
    selection = selection_of(STUDY, ROUTES, POLICY["study_members"], site.cache())
    purge(zones, selection)
    assert left(filled) == {f"/instances/{OTHER}/rendered?width=256", f"/instances/{OTHER}/simplified-tags"}


def test_image_servers_know_more_of_a_study_than_the_cache(site) -> None:
    site.answers = {"url": study_pages([FIRST]), "refresh_url": study_pages([FIRST, SECOND])}
    assert selection_of(STUDY, ROUTES, POLICY["study_members"], site.cache()).ids == {STUDY, SERIES, FIRST, SECOND}
    site.asked.clear()
    # Only to look: nothing is rewritten.
    selection = selection_of(STUDY, ROUTES, POLICY["study_members"], site.cache(), look_only=True)
    assert selection.ids == {STUDY, SERIES, FIRST}
    assert {port for port, _ in site.asked} == {"url"}


@pytest.mark.parametrize(
    "what, remedy",
    [
        (STUDY, "neither the image servers nor the cache know such a study"),
        ("~(", "is no regular expression"),
        ("/system", "no route of the cache policy serves it"),
        ("https://images.example.org/", "no route of the cache policy serves it"),
        (f"/instances/{FIRST}/rendered?width=3", "no route of the cache policy serves it"),
        ("two words", "neither a path, a pattern nor the id of a study"),
        ("", "neither a path, a pattern nor the id of a study"),
    ],
)
def test_what_cannot_be_meant_is_told(site, what, remedy) -> None:
    with pytest.raises(EntriesError, match=remedy) as raised:
        selection_of(what, ROUTES, POLICY["study_members"], site.cache())
    assert str(raised.value).startswith(what)


def test_refresh_says_which_pages_differ(zones, filled, site) -> None:
    changed, same = f"/instances/{FIRST}/rendered?width=256", f"/instances/{SECOND}/rendered?width=256"
    site.answers["refresh_url"] = {changed: (200, b"another body"), same: (200, b"body")}
    result = refresh(pages(zones, pattern("/rendered"), ROUTES), site.cache())
    assert (result.pages, result.changed) == (3, [changed])
    # The image servers no longer have it: it stays as it is.
    assert result.failures == {"404": [f"/instances/{OTHER}/rendered?width=256"]}
    assert left(filled) == set(filled)


def test_a_page_that_is_not_cached_is_fetched_when_it_is_named(zones, site) -> None:
    path = f"/instances/{FIRST}/rendered?width=512"
    site.answers["refresh_url"] = {path: (200, b"body")}
    selection = selection_of(path, ROUTES, [], site.cache())
    assert refresh(pages(zones, selection, ROUTES), site.cache()).changed == [path]
    write(zones[0], path)
    assert refresh(pages(zones, selection, ROUTES), site.cache()).changed == []


def test_more_pages_than_a_portion(zones, site) -> None:
    paths = [f"/instances/{number:08x}-{FIRST[9:]}/preview" for number in range(250)]
    for path in paths:
        write(zones[0], path)
    site.answers["refresh_url"] = dict.fromkeys(paths, (200, b"new"))
    seen = []
    result = refresh(
        pages(zones, pattern("."), ROUTES), site.cache(), concurrency=2, done=lambda *both: seen.append(both)
    )
    assert sorted(result.changed) == paths
    assert seen == [(number, 0) for number in range(1, 251)]


def test_entries_of_another_policy_are_not_asked_for(zones, site) -> None:
    write(zones[0], "/gone/route")
    assert list(pages(zones, pattern("."), ROUTES)) == []


def test_a_cache_that_does_not_answer_is_told(zones, filled, site) -> None:
    cache = site.cache()
    site.close()
    with pytest.raises(EntriesError, match=r"does not answer .*look at 'systemctl status nginx'"):
        refresh(pages(zones, pattern("."), ROUTES), cache)


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="/\0"), min_size=1), min_size=1, max_size=3))
def test_paths_lead_back_to_their_keys(parts: list[str]) -> None:
    routes = Routes(
        [
            {
                "name": "any",
                "zone": "any",
                "match": r"^/any/[^\0]*$",
                "arguments": ["a"],
                "argument_patterns": {"a": ".*"},
            }
        ]
    )
    key = "/any/" + "/".join(parts).encode("latin-1").decode("utf-8", "surrogateescape")
    path = cache_entries.path_of(cache_entries.Entry("any", key, "", 0, 0), routes)
    # Paths with . or .. are never a key; a decoded ? is not told from the arguments.
    assert path is None or routes.key(path).text == key
    if not {".", ".."} & set(parts) and "?" not in key:
        assert path is not None

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The pages that files name: lists of URLs and sitemaps, whole, packed, cut or long."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cache_warm_source_samples import Server, no_fetch, paths
from hypothesis import given, strategies

from plugins.module_utils.cache_warm import stream as stream_module
from plugins.module_utils.cache_warm.sources import open_source
from plugins.module_utils.cache_warm.stream import SourceError, page_path

# --- Files of URLs. ---


def urls(file: Path, cursor=None):
    return open_source({"name": "mine", "kind": "urls", "file": str(file)}, no_fetch, cursor)


def test_urls_are_paths_and_urls_without_rubbish(tmp_path):
    file = tmp_path / "urls.txt"
    file.write_bytes(
        "\ufeff# comment\n/a?width=256\r\n\n  https://Example.org/b?x=1#fragment  \nHTTP://h\n"
        "http://h?q\n/ä\nno path\nftp://h/x\n/a b\n/%zz\n/a\x01b\nhttps:///x\n".encode()
        + b"/\xff\n"
        + b"/"
        + b"x" * 70000
        + b"\n/"
        + b"y" * 9000
        + b"\n/last"
    )
    stream = urls(file)
    assert paths(stream) == ["/a?width=256", "/b?x=1", "/", "/?q", "/%C3%A4", "/last"]
    numbers = [int(sentence.split(" line ")[1].split(":")[0]) for sentence in stream.problems]
    assert numbers == [8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert all(sentence.startswith(str(file)) and sentence.endswith("; skipped") for sentence in stream.problems)


def test_problems_are_bounded(tmp_path):
    file = tmp_path / "urls.txt"
    file.write_text("rubbish\n" * 1000)
    stream = urls(file)
    assert not list(stream)
    assert len(stream.problems) == stream_module.MAX_PROBLEMS + 1
    assert stream.problems[-1] == f"mine: {1000 - stream_module.MAX_PROBLEMS} more like these"


@pytest.mark.parametrize("packed", [False, True])
def test_urls_go_on_at_their_last_line(tmp_path, packed: bool):
    file = tmp_path / "urls"
    text = b"".join(b"# x\nrubbish\n/%d\n" % number for number in range(50))
    file.write_bytes(gzip.compress(text) if packed else text)
    stream = urls(file)
    assert paths(itertools.islice(iter(stream), 20)) == [f"/{number}" for number in range(20)]
    again = urls(file, json.loads(json.dumps(stream.cursor)))
    assert paths(again) == [f"/{number}" for number in range(19, 50)]
    assert again.problems[0].startswith(f"{file} line 62: ")


def test_urls_of_a_file_that_was_written_anew_begin_anew(tmp_path):
    file = tmp_path / "urls"
    file.write_text("/a\n/b\n")
    stream = urls(file)
    list(stream)
    file.write_text("/c\n/d\n/e\n")
    assert paths(urls(file, stream.cursor)) == ["/c", "/d", "/e"]


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(SourceError, match=f"{tmp_path}/none: No such file.*; correct the path"):
        list(urls(tmp_path / "none"))
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(b"/a\n" * 100000)[:-20])
    with pytest.raises(SourceError, match="is it complete"):
        list(urls(file))


@given(strategies.text(max_size=60))
def test_what_becomes_a_path_can_be_sent(text: str):
    try:
        path = page_path(text)
    except ValueError as reason:
        assert str(reason)
    else:
        assert path.startswith("/") and path.isascii() and path.isprintable() and " " not in path and "#" not in path
        assert page_path(path) == path


# --- Sitemaps. ---

URLSET = '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="i">{}</urlset>'


def urlset(*locations: str) -> bytes:
    return URLSET.format(
        "".join(
            f"<url><loc> {location} </loc><image:image><image:loc>/no</image:loc></image:image></url>"
            for location in locations
        )
    ).encode()


def index(*locations: str) -> bytes:
    return (
        "<sitemapindex>"
        + "".join(f"<sitemap><loc>{location}</loc></sitemap>" for location in locations)
        + "</sitemapindex>"
    ).encode()


def test_sitemap_of_a_file(tmp_path):
    file = tmp_path / "sitemap.xml"
    file.write_bytes(urlset("https://h/a?x=1&amp;y=2", "/b", "no", "https://h/ü"))
    stream = open_source({"name": "map", "kind": "sitemap", "path": str(file)}, no_fetch)
    assert paths(stream) == ["/a?x=1&y=2", "/b", "/%C3%BC"]
    assert stream.problems == [f"{file}: 'no' neither a path that begins with / nor an http or https URL; skipped"]


def test_sitemap_index_of_files_packed(tmp_path):
    (tmp_path / "one.xml.gz").write_bytes(gzip.compress(urlset("/1")))
    (tmp_path / "two.xml").write_bytes(urlset("/2"))
    file = tmp_path / "sitemap.xml"
    file.write_bytes(gzip.compress(index("https://h/one.xml.gz", "https://h/two.xml", "https://h/three.xml")))
    stream = open_source(
        {"name": "map", "kind": "sitemap", "path": str(file)}, Server(documents={"https://h/three.xml": urlset("/3")})
    )
    assert paths(stream) == ["/1", "/2", "/3"]


def test_sitemap_index_by_url_goes_on_at_its_last_sitemap():
    documents = {f"https://h/{number}.xml": urlset(*(f"/{number}/{page}" for page in range(4))) for number in range(3)}
    server = Server(documents={"/sitemap.xml": index(*documents), **documents})
    entry = {"name": "map", "kind": "sitemap", "url": "/sitemap.xml"}
    stream = open_source(entry, server)
    assert len(list(itertools.islice(iter(stream), 6))) == 6
    server.asked.clear()
    rest = paths(open_source(entry, server, stream.cursor))
    assert rest == [f"/{number}/{page}" for number in (1, 2) for page in range(4)]
    assert "https://h/0.xml" not in server.asked


def test_a_broken_sitemap_of_an_index_is_reported_and_skipped():
    server = Server(
        documents={
            "/s.xml": index("https://h/cut", "https://h/none", "https://h/nested", "https://h/good"),
            "https://h/cut": urlset("/1", "/2")[:-9],
            "https://h/nested": index("/x"),
            "https://h/good": urlset("/3"),
        }
    )
    stream = open_source({"name": "map", "kind": "sitemap", "url": "/s.xml"}, server)
    assert paths(stream) == ["/1", "/2", "/3"]
    assert [sentence.split(":")[1][:9] for sentence in stream.problems] == ["//h/cut", "//h/none", "//h/neste"]


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"<html>", b"text", gzip.compress(urlset("/a"))[:-9]])
def test_what_is_no_sitemap_is_an_error(body: bytes):
    with pytest.raises(SourceError, match=r"/s.xml"):
        list(open_source({"name": "map", "kind": "sitemap", "url": "/s.xml"}, lambda address: body))


# --- Memory. ---


def test_a_long_file_takes_little_memory(tmp_path):
    """In a process of its own, whose peak is its own; bounded far below what the lines themselves would take."""
    file = tmp_path / "urls"
    with open(file, "w", encoding="ascii") as stream:
        for number in range(300_000):
            stream.write(f"/instances/{number:044}/rendered?width=256\n")
    script = (
        "import resource, sys\n"
        "from plugins.module_utils.cache_warm.sources import open_source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "stream = open_source({'name': 'a', 'kind': 'urls', 'file': sys.argv[1]}, None)\n"
        "count = sum(1 for item in stream)\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    count, kib = map(int, done.stdout.split())
    assert count == 300_000 and kib < 4096

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The streams of pages: what each kind yields, where it goes on, and what it says about rubbish."""

from __future__ import annotations

import datetime
import gzip
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies

from plugins.module_utils.cache_warm import access_log as access_log_module
from plugins.module_utils.cache_warm import source_rules
from plugins.module_utils.cache_warm import stream as stream_module
from plugins.module_utils.cache_warm.items import Item
from plugins.module_utils.cache_warm.source_rules import problems
from plugins.module_utils.cache_warm.sources import in_order, open_source
from plugins.module_utils.cache_warm.stream import NotFound, SourceError, page_path


def no_fetch(address: str) -> bytes:
    raise AssertionError(f"{address} must not be fetched")


def paths(stream) -> list[str]:
    return [item.path for item in stream]


class Server:
    """A list of ids in pages, as the image server gives it, and other documents."""

    def __init__(self, ids: list[str] = (), **documents: object):
        self.ids = list(ids)
        self.documents = documents
        self.asked: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        path, _, query = address.partition("?")
        if path == "/instances":
            arguments = dict(argument.split("=") for argument in query.split("&"))
            since = int(arguments["since"])
            return json.dumps(self.ids[since : since + int(arguments["limit"])]).encode()
        if path not in self.documents["documents"]:
            raise NotFound(f"{path}: 404")
        document = self.documents["documents"][path]
        return document if isinstance(document, bytes) else json.dumps(document).encode()


LIST = {
    "name": "instances",
    "list": "/instances",
    "page": {"offset": "since", "count": "limit"},
    "page_size": 3,
    "urls": ["/instances/{id}", "/instances/{id}/tags"],
    "optional_urls": ["/pyramids/{id}"],
}


# --- Lists of ids. ---


def test_list_yields_the_urls_of_each_id_page_by_page():
    server = Server(["a", "b/c", "d", "e"])
    items = list(open_source(LIST | {"refresh": True}, server))
    assert items[:3] == [
        Item("/instances/a", "instances", False, True),
        Item("/instances/a/tags", "instances", False, True),
        Item("/pyramids/a", "instances", True, True),
    ]
    assert items[3].path == "/instances/b%2Fc"
    assert len(items) == 12
    assert server.asked == [f"/instances?since={since}&limit=3" for since in (0, 3, 4)]


def test_list_is_read_no_further_than_it_is_asked_for():
    server = Server(map(str, range(100)))
    list(itertools.islice(open_source(LIST, server), 9))
    assert len(server.asked) == 1


@given(count=strategies.integers(0, 20), taken=strategies.integers(1, 70))
def test_list_goes_on_at_its_last_page(count: int, taken: int):
    server = Server(f"id{number}" for number in range(count))
    every = list(open_source(LIST, server))
    stream = open_source(LIST, server)
    first = list(itertools.islice(iter(stream), taken))
    rest = list(open_source(LIST, server, json.loads(json.dumps(stream.cursor))))
    # Nothing is lost, and no more than one page comes again.
    assert set(first) | set(rest) == set(every)
    assert len(first) + len(rest) <= len(every) + 3 * 3


def test_how_a_list_is_asked_for_in_pages_is_its_own_description():
    def server(address: str) -> bytes:
        asked.append(address)
        first, count = map(int, re.findall(r"[0-9]+", address))
        return json.dumps(ids[first : first + count]).encode()

    ids = ["a", "b", "c"]
    for described, expected in (
        ({"list": "/l", "page": {"offset": "from", "count": "n"}}, "/l?from={}&n=2"),
        ({"list": "/l?expand", "page": {"offset": "from", "count": "n"}}, "/l?expand&from={}&n=2"),
        ({"list": "/l/{offset}-{count}/x"}, "/l/{}-2/x"),
    ):
        asked: list[str] = []
        entry = {"name": "l", "page_size": 2, "urls": ["/i/{id}"], **described}
        assert not problems(entry)
        assert paths(open_source(entry, server)) == ["/i/a", "/i/b", "/i/c"]
        assert asked == [expected.format(offset) for offset in (0, 2, 3)]


def test_a_list_that_says_nothing_of_pages_is_asked_for_once():
    asked = []

    def server(address: str) -> bytes:
        asked.append(address)
        return b'["a", "b"]'

    assert paths(open_source({"name": "l", "list": "/l", "urls": ["/i/{id}"]}, server)) == ["/i/a", "/i/b"]
    assert asked == ["/l"]


def test_list_of_objects_names_its_field():
    entry = LIST | {"field": "Uid", "urls": ["/i/{id}"], "optional_urls": []}
    pages = iter([[{"Uid": "x"}], []])
    assert paths(open_source(entry, lambda address: json.dumps(next(pages)).encode())) == ["/i/x"]


@pytest.mark.parametrize("body", [b"<html>", b'{"a": 1}', b"[1]", b'[{"Other": "x"}]', b"7"])
def test_list_that_is_none_is_an_error(body: bytes):
    with pytest.raises(SourceError, match=r"/instances.*no JSON list of ids; correct"):
        list(open_source(LIST, lambda address: body))


def test_list_that_ignores_its_arguments_is_an_error():
    with pytest.raises(SourceError, match="same page again"):
        list(open_source(LIST, lambda address: b'["a", "b", "c"]'))


# --- The catalogue. ---


def test_catalogue_yields_the_pictures(tmp_path):
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"studies": [{"thumbnail": "/instances/a/rendered?width=256"}, {"thumbnail": None}]}))
    stream = open_source({"name": "front page", "kind": "catalogue", "path": str(file)}, no_fetch)
    assert list(stream) == [Item("/instances/a/rendered?width=256", "front page")]
    assert stream.approximate_total == 1


def test_catalogue_yields_all_pages_that_a_study_names_the_pictures_first(tmp_path):
    file = tmp_path / "catalogue.json"
    studies = [
        {"thumbnail": "/t/a", "pages": ["/tiles/a/0/0/0", "/tiles/a/0/1/0"]},
        {"thumbnail": "", "pages": []},
        {"thumbnail": "/t/b", "pages": ["/p/b"], "other": ["/o/b"]},
    ]
    file.write_text(json.dumps({"studies": studies}))
    entry = {"name": "c", "kind": "catalogue", "path": str(file)}
    stream = open_source(entry, no_fetch)
    assert paths(stream) == ["/t/a", "/t/b", "/tiles/a/0/0/0", "/tiles/a/0/1/0", "/p/b"]
    assert stream.approximate_total == 5
    assert not problems(entry | {"fields": ["other"]})
    assert paths(open_source(entry | {"fields": ["other"]}, no_fetch)) == ["/o/b"]


def test_catalogue_that_is_not_there_is_empty(tmp_path):
    assert not list(open_source({"name": "c", "kind": "catalogue", "path": str(tmp_path / "none")}, no_fetch))


def test_catalogue_that_is_none_is_an_error(tmp_path):
    file = tmp_path / "catalogue.json"
    for text in (
        "<html>",
        "[]",
        '{"studies": [1]}',
        '{"studies": [{"thumbnail": 7}]}',
        '{"studies": [{"pages": [{}]}]}',
    ):
        file.write_text(text)
        with pytest.raises(SourceError, match=r"load.yml"):
            list(open_source({"name": "c", "kind": "catalogue", "path": str(file)}, no_fetch))


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


# --- The access log. ---

TODAY = datetime.date.today()


def line(path: str, days_ago: int = 0, **fields: object) -> str:
    day = TODAY - datetime.timedelta(days=days_ago)
    return (
        json.dumps(
            {
                "time": f"{day}T12:00:00+00:00",
                "client": "192.0.2.1",
                "method": "GET",
                "path": path,
                "status": 200,
                "route": "thumbnail",
                "cache": "HIT",
                "agent": "Firefox",
                **fields,
            }
        )
        + "\n"
    )


def access_log(*files: str, **keys: object):
    return open_source({"name": "visits", "kind": "access_log", "files": list(files), **keys}, no_fetch)


def test_access_log_yields_the_most_visited_first(tmp_path):
    (tmp_path / "access.log").write_text(line("/rare") + line("/often") * 3 + line("/some") * 2)
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress((line("/some") * 5).encode()))
    stream = access_log(f"{tmp_path}/access.log*")
    assert paths(stream) == ["/some", "/often", "/rare"]
    assert stream.approximate_total == 3


def test_access_log_counts_visits_alone(tmp_path):
    (tmp_path / "access.log").write_text(
        "".join(
            [
                line("/static", route=""),
                line("/gone", status=404),
                line("/posted", method="POST"),
                line("/own", agent="imaging.repository-warm"),
                line("/old", days_ago=9),
                line("/seen", status=304),
            ]
        )
    )
    assert paths(access_log(f"{tmp_path}/access.log", days=7)) == ["/seen"]


def test_access_log_passes_over_files_that_are_too_old(tmp_path):
    file = tmp_path / "access.log.9"
    file.write_text(line("/a"))
    os.utime(file, (0, 0))
    assert not list(access_log(str(file), days=7))
    assert paths(access_log(str(file))) == ["/a"]


def test_access_log_of_another_site(tmp_path):
    day = TODAY.strftime("%d/%b/%Y")
    (tmp_path / "access.log").write_text(
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 17 "-" "Firefox"\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 17\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "GET /own HTTP/1.1" 200 17 "-" "imaging.repository-warm"\n'
        f'192.0.2.1 - - [{day}:10:00:00 +0000] "HEAD /b HTTP/1.1" 200 0 "-" "Firefox"\n'
        '192.0.2.1 - - [01/Jan/2020:10:00:00 +0000] "GET /old HTTP/1.1" 200 17 "-" "Firefox"\n'
    )
    assert paths(access_log(f"{tmp_path}/access.log", days=2)) == ["/a?x=1"]


def test_access_log_reports_rubbish(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(
        b'{"time":\nnothing\n{}\n'
        + line("/a").encode()
        + b"\x00\xff" * 10
        + b"\n"
        + line("no path").encode()
        + b"x" * 100000
        + b"\n"
        + line("/b").encode()
    )
    stream = access_log(str(file), f"{tmp_path}/none*")
    assert sorted(stream, key=lambda item: item.path) == [Item("/a", "visits"), Item("/b", "visits")]
    found = [sentence.removeprefix(f"{file} line ").split(":")[0] for sentence in stream.problems]
    assert found == ["1", "2", "3", "5", "6", "7", f"{tmp_path}/none*"]


def test_access_log_counts_in_bounded_memory_and_keeps_the_most_visited(tmp_path, monkeypatch):
    monkeypatch.setattr(access_log_module, "LOG_COUNTERS", 50)
    file = tmp_path / "access.log"
    # 20 pages with 30 visits each among 2,000 with one: more than one in 50 of the visits, or nearly.
    visits = [f"/once/{number}" for number in range(2000)]
    for number in range(20):
        visits[number::67] = [f"/often/{number:02}"] * len(visits[number::67])
    file.write_text("".join(map(line, visits)))
    found = paths(access_log(str(file)))
    assert len(found) <= 100
    assert sorted(found[:20]) == [f"/often/{number:02}" for number in range(20)]


# --- Studies. ---

STUDIES = {
    "name": "chosen",
    "kind": "studies",
    "urls": ["/studies/{id}"],
    "children": [{"list": "/studies/{id}/series", "urls": ["/series/{id}"], "optional_urls": ["/pyramids/{id}"]}],
}


def study_server() -> Server:
    return Server(
        documents={f"/studies/{number}/series": [{"ID": f"{number}{letter}"} for letter in "ab"] for number in range(4)}
    )


def test_studies_yield_their_pages_and_their_childrens():
    stream = open_source(STUDIES | {"ids": ["1", "unknown", "2"]}, study_server())
    assert paths(stream) == [
        "/studies/1",
        "/series/1a",
        "/pyramids/1a",
        "/series/1b",
        "/pyramids/1b",
        "/studies/2",
        "/series/2a",
        "/pyramids/2a",
        "/series/2b",
        "/pyramids/2b",
    ]
    assert stream.problems == ["ids of chosen: the image server has no study unknown; skipped"]


@pytest.mark.parametrize("of_a_file", [False, True])
def test_studies_go_on_at_the_last_study(tmp_path, of_a_file: bool):
    file = tmp_path / "studies"
    file.write_text("# mine\n0\n1\n\n2\nwrong\n3\n")
    entry = STUDIES | ({"file": str(file)} if of_a_file else {"ids": ["0", "1", "2", "wrong", "3"]})
    stream = open_source(entry, study_server())
    list(itertools.islice(iter(stream), 7))
    server = study_server()
    again = open_source(entry, server, json.loads(json.dumps(stream.cursor)))
    assert paths(again)[::5] == ["/studies/1", "/studies/2", "/studies/3"]
    assert "/studies/0/series" not in server.asked
    assert len(again.problems) == 1 and (f"{file} line 6" in again.problems[0]) == of_a_file


# --- Entries. ---


def test_order_is_priority_then_place():
    entries = [
        {"name": "a"},
        {"name": "b", "priority": 5},
        {"name": "c", "priority": 100},
        {"name": "d", "priority": -1},
    ]
    assert [entry["name"] for entry in in_order(entries)] == ["d", "b", "a", "c"]


GOOD = [
    LIST,
    STUDIES | {"ids": ["a"], "priority": 3, "refresh": True},
    {"name": "a", "kind": "catalogue", "path": "/x"},
    {"name": "a", "kind": "urls", "file": "/x"},
    {"name": "a", "kind": "sitemap", "url": "https://h/x"},
    {"name": "a", "kind": "sitemap", "path": "/x"},
    {"name": "a", "kind": "access_log", "files": ["/x*"], "days": 7},
]


@pytest.mark.parametrize("entry", GOOD)
def test_good_entries_have_no_problems(entry: dict):
    assert not problems(entry)


@pytest.mark.parametrize(
    "entry, found",
    [
        ("text", ["'text' is no entry"]),
        ({"name": "a", "kind": "sitmap"}, ["kind: there is no kind 'sitmap'; write one of list, "]),
        ({"kind": 7}, ["kind: there is no kind 7"]),
        (
            {},
            [
                "name: is missing",
                "list: is missing",
                "urls: is missing; give urls or optional_urls",
            ],
        ),
        ({"name": "l", "list": "/l", "urls": [], "page_size": 3}, ["page_size: nothing says how a page is asked for"]),
        ({"name": "l", "list": "/l?o={offset}&c={count}", "urls": []}, ["page_size: is missing"]),
        ({"name": "l", "list": "/l?o={offset}", "urls": [], "page_size": 3}, ["list: holds {offset} alone"]),
        (LIST | {"list": "/l?o={offset}&c={count}"}, ["page: stands beside {offset} in list"]),
        (LIST | {"page": {"offset": "since"}}, ["page: {'offset': 'since'} must be {offset: "]),
        (LIST | {"page": {"offset": "a&b", "count": "c"}}, ["page: "]),
        (LIST | {"url": []}, ["url: is unknown; did you mean urls?"]),
        (LIST | {"zzz": 1}, ["zzz: is unknown; known are name, kind, "]),
        (
            LIST | {"urls": ["/no/id"]},
            ["urls: ['/no/id'] must be a list of paths that begin with / and hold {id}; correct it"],
        ),
        (
            LIST | {"page_size": True, "refresh": "yes", "name": ""},
            ["page_size: True must be", "refresh: 'yes'", "name: ''"],
        ),
        (STUDIES, ["ids: is missing; give ids or file"]),
        (STUDIES | {"ids": ["a"], "file": "/x"}, ["file: stands beside ids; give one of them"]),
        (
            STUDIES | {"ids": ["a"], "children": [{"list": "/x"}]},
            ["children[0].list: '/x' must be a path that begins with / and holds {id}", "children[0].urls: is missing"],
        ),
        (STUDIES | {"ids": ["a"], "children": ["x"]}, ["children: ['x'] must be"]),
        ({"name": "a", "kind": "access_log", "files": "/x", "days": 0}, ["files: '/x' must be", "days: 0 must be"]),
    ],
)
def test_problems_of_entries(entry: object, found: list[str]):
    told = problems(entry)
    assert len(told) == len(found), told
    assert all(sentence.startswith(begin) for sentence, begin in zip(sorted(told), sorted(found), strict=False)), told


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=8),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(["name", "kind", "urls", "list", "ids", "children", "file", "files", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
    strategies.sampled_from([*source_rules.KINDS, None]),
)
def test_problems_never_stumble(entry: object, kind: str | None):
    if isinstance(entry, dict) and kind:
        entry["kind"] = kind
    assert all(isinstance(sentence, str) for sentence in problems(entry))


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

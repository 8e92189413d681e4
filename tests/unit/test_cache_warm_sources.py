# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The streams of pages that the image server and the catalogue name: what each yields, and where it goes on."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from cache_warm_source_samples import LIST, STUDIES, Server, no_fetch, paths
from hypothesis import given, strategies

from plugins.module_utils.cache_warm.items import Item
from plugins.module_utils.cache_warm.source_rules import problems
from plugins.module_utils.cache_warm.sources import open_source
from plugins.module_utils.cache_warm.stream import SourceError

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


# --- Studies. ---


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

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The keys of pages; tests/warm/test_keys.py asks the real nginx the same and more."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies

from plugins.module_utils.cache_warm.journal import fingerprint
from plugins.module_utils.nginx_cache.keys import Routes

PROJECT = Path(__file__).parents[2]
POLICY = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text(encoding="utf-8"))
ROUTES = Routes(POLICY["routes"])
ID = "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af"


def wide(**patterns: str) -> Routes:
    return Routes(
        [{"name": "all", "match": "^/.*$", "zone": "z", "arguments": list(patterns), "argument_patterns": patterns}]
    )


def text(path: str, routes: Routes | None = None) -> str | None:
    key = (routes or wide()).key(path)
    return key and key.text


def test_a_key_is_the_path_its_known_arguments_and_their_md5():
    key = ROUTES.key(f"/instances/{ID}/rendered?x=1&width=256&_=7")
    assert (key.route, key.zone, key.text) == ("thumbnail", "thumbnails", f"/instances/{ID}/rendered?width=256")
    assert key.digest == hashlib.md5(key.text.encode()).hexdigest()
    assert key.fingerprint == fingerprint(key.text)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/a/b", "/a/b"),
        ("/", "/"),
        ("//", "/"),
        ("/a//b/", "/a/b/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a//../b", "/b"),
        ("/..", None),
        ("/a/../../b", None),
        ("/%2e%2e/a", None),
        ("/a%2F..%2fb", "/b"),
        ("/a/...", "/a/..."),
        ("/a/..b", "/a/..b"),
        ("/a/.b", "/a/.b"),
        ("/%41%62", "/Ab"),
        ("/%C3%BC", "/ü"),
        ("/ü", "/ü"),
        ("/%FF", "/\udcff"),
        ("/a%20b+c", "/a b+c"),
        ("/a%3Fb", "/a?b"),
        ("/a%23b", "/a#b"),
        ("/a%2541", "/a%41"),
        ("/a#b?c", "/a"),
        ("/a?b#c", "/a"),
        ("/%00", None),
        ("/%4", None),
        ("/%zz", None),
        ("/a b", None),
        ("/a\nb", None),
        ("/a\x7f", None),
        ("/a?b c", None),
        ("", None),
        ("a", None),
        ("http://h/a", None),
        ("/.%23", "/.#"),
        ("/a/.%25./b", "/a/.%./b"),
    ],
)
def test_paths_are_tidied_as_nginx_does(path: str, expected: str | None):
    assert text(path) == expected


@pytest.mark.parametrize(
    "query, expected",
    [
        ("", ""),
        ("b=1&a=2", "?a=2&b=1"),
        ("a=2&b=1", "?a=2&b=1"),
        ("a=", "?a="),
        ("a", "?a="),
        ("a&b=1", "?a=&b=1"),
        ("aa=1", ""),
        ("x=a=1", ""),
        ("a=1&a=2", "?a=1"),
        ("a=9&a=2", "?a=2"),
        ("a=9", None),
        ("b=", None),
        ("b", None),
        ("a=%31", None),
        ("A=1", ""),
        ("&&a=1&", "?a=1"),
        ("_=123", ""),
        ("a=1?", None),
    ],
)
def test_arguments_are_those_of_the_policy_in_its_order(query: str, expected: str | None):
    assert text(f"/p?{query}", wide(a="|1|2", b="[0-9]+")) == (None if expected is None else f"/p{expected}")


def test_the_word_for_refused_values_is_refused():
    assert text("/p?a=invalid", wide(a=".*")) is None


@pytest.mark.parametrize("path", ["/test", "/stub_status", "/%74est", "//test", "/x/../stub_status"])
def test_locations_before_the_routes_have_no_key(path: str):
    assert text(path) is None


def test_the_first_route_that_matches_anywhere_is_taken():
    routes = Routes(
        [
            {"name": name, "match": match, "zone": name}
            for name, match in [("late", "b$"), ("early", "^/a"), ("any", "/")]
        ]
    )
    assert [routes.key(path).route for path in ("/a/b", "/ab", "/a", "/")] == ["late", "late", "early", "any"]


@pytest.mark.parametrize("path", [f"/instances/{ID}%0A", f"/instances/{ID}\n", f"/instances/{ID.upper()}", "/system"])
def test_what_no_route_serves_has_no_key(path: str):
    assert ROUTES.key(path) is None


PATHS = strategies.lists(
    strategies.sampled_from(["/", ".", "..", "a", "%2e", "%2F", "%25", "ü", "%FF", "?", "&", "a=1", "b=", "#", "%0a"]),
    max_size=12,
).map(lambda pieces: "/" + "".join(pieces))


@given(PATHS)
def test_a_key_is_tidy_and_its_own_key(path: str):
    routes = wide(a="[0-9]*", b=".*")
    key = routes.key(path)
    if key is None:
        return
    _uri, mark, arguments = path.partition("#")[0].partition("?")
    assert key.text.startswith("/") and "//" not in key.text.partition("?")[0]
    assert not re.search(r"/\.\.?(/|$)", key.text.partition("?")[0])
    # Written as a client would write it, the page has the same key.
    kept = key.text.partition("?")[2] if arguments and "?" in key.text else ""
    tidy = key.text.removesuffix(f"?{kept}") if kept else key.text
    again = urllib.parse.quote(tidy.encode("utf-8", "surrogateescape")) + (f"?{kept}" if kept else mark and "?")
    assert routes.key(again) == key


@given(PATHS)
def test_a_slash_or_an_unknown_argument_more_changes_nothing(path: str):
    routes = wide(a="[0-9]*", b="[^&]*")
    if "#" not in path:
        assert routes.key("/" + path) == routes.key(path)
        assert routes.key(path + ("&" if "?" in path else "?") + "_=1") == routes.key(path)

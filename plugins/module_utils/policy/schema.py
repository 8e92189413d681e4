# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is wrong with the policies of a site's drivers: all of it at once, as `place: what is wrong; what to do`."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..cache_warm.source_rules import problems as source_problems
from ..checked import mapping_problems, must
from .prefixes import may_meet

# What the site itself answers; a route there would hide it.
RESERVED = ("^/catalogue\\.json$", "^/drivers/", "^/js/", "^/vendor/", "^/test$", "^/test/", "^/stub_status$")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Rule(NamedTuple):
    """What a value must be: a test, the words for it, and whether it may be left out."""

    holds: Callable[[Any], bool]
    words: str
    optional: bool = False


def _text(pattern: str) -> Callable[[Any], bool]:
    full = re.compile(pattern).fullmatch
    return lambda value: isinstance(value, str) and full(value) is not None


def _whole(low: int, high: int = 2**31) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _list(test: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(test, value))


def _mapping(name: Callable[[Any], bool], test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(name(key) and test(content) for key, content in value.items())


def _is_pattern(value: Any) -> bool:
    # Patterns stand in single quotes in nginx's configuration.
    if not isinstance(value, str) or "'" in value or "\n" in value:
        return False
    try:
        re.compile(value)
    except re.error:
        return False
    return True


_NAME = _text("[a-z][a-z0-9_]*")
_PATH = _text(r"/[!#-&(-\[\]-~]*")
_TIME = _text("[1-9][0-9]*[smhd]")
_HEADERS = _mapping(_text("[A-Za-z][A-Za-z-]*"), _text("[ -&(-~]+"))
_IS_MAPPING = Rule(lambda value: isinstance(value, dict), "must be a mapping", True)
_MAPPINGS = _list(lambda value: isinstance(value, dict))

POLICY = {
    "port": Rule(_whole(1, 65535), "must be the port of the image server, 1 to 65535"),
    "user": Rule(_text("[a-z][a-z0-9_-]*"), "must be the user whom the cache logs in as", True),
    "health_path": Rule(_PATH, "must be a path that begins with /"),
    "test_list": Rule(_PATH, "must be a path that begins with /"),
    "cannot_draw": Rule(_list(_whole(400, 499)), "must be a list of statuses from 400 to 499", True),
    "examples": Rule(
        _mapping(_text(r"\w+"), lambda value: re.fullmatch("[!-~]+", str(value)) is not None),
        "must give a text for each word that stands in braces",
        True,
    ),
    "zones": Rule(_list(lambda value: isinstance(value, dict), 1), "must be a list of at least one zone"),
    "routes": Rule(_list(lambda value: isinstance(value, dict), 1), "must be a list of at least one route"),
    "pages": Rule(_mapping(_NAME, _PATH), "must give a path that begins with / for each name", True),
    "warm_sources": Rule(_MAPPINGS, "must be a list of sources"),
    "study_members": Rule(_MAPPINGS, "must be a list of path and field", True),
    "reader": _IS_MAPPING,
    "verify": _IS_MAPPING,
    "forbidden_paths": Rule(_list(_PATH), "must be a list of paths that begin with /"),
}
ZONE = {
    "name": Rule(_NAME, "must be a name of small letters"),
    "max_size_mib": Rule(_whole(1), "must be a whole number of MiB"),
    "mean_size_kib": Rule(_whole(1), "must be a whole number of KiB"),
    "inactive": Rule(_TIME, "must be a time such as 365d"),
}
ROUTE = {
    "name": Rule(_NAME, "must be a name of small letters"),
    "match": Rule(_is_pattern, "must be a regular expression without single quotes"),
    "zone": Rule(_NAME, "must be the name of a zone"),
    "valid": Rule(_TIME, "must be a time such as 365d"),
    "arguments": Rule(_list(_text("[A-Za-z0-9_-]+")), "must be a list of names of query arguments"),
    "argument_patterns": Rule(
        _mapping(_text("[A-Za-z0-9_-]+"), _is_pattern), "must give a regular expression for each argument"
    ),
    "request_headers": Rule(_HEADERS, "must be a mapping of headers"),
    "public": Rule(lambda value: isinstance(value, bool), "must be true or false", True),
}
MEMBER = {
    "path": Rule(_PATH, "must be a path that begins with /"),
    "field": Rule(_text(r"\w+"), "must be the name of a field"),
}
_ONE_PATH = Rule(_PATH, "must be a path that begins with /", True)
VERIFY = {
    "instances": Rule(_NAME, "must be the name of a warm source", True),
    "studies": Rule(_NAME, "must be the name of a warm source", True),
    "uncached": Rule(_list(_PATH), "must be a list of paths that begin with /", True),
    "metadata": _ONE_PATH,
    "tile": _ONE_PATH,
}
READER = {
    "request_headers": Rule(_HEADERS, "must be a mapping of headers"),
    "source": Rule(lambda value: isinstance(value, dict), "must be a source"),
}


def policies_problems(policies: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the policies of a site, by driver."""
    found = [problem for driver, policy in policies.items() for problem in policy_problems(driver, policy)]
    # Two policies are compared where each is sound by itself.
    return found or list(_meetings(policies))


def policy_problems(driver: str, policy: Any) -> list[str]:
    """Return what is wrong with one policy."""
    place = f"policy of driver {driver}"
    if not isinstance(policy, dict):
        return [f"{place}: is no mapping; docs/drivers.md says what it must hold"]
    found = [f"{place}.{problem}" for problem in _problems(policy, POLICY)]
    if found:
        return found
    parts: tuple[tuple[str, dict[str, Rule]], ...] = (("zones", ZONE), ("routes", ROUTE), ("study_members", MEMBER))
    for key, rules in parts:
        for index, entry in enumerate(policy.get(key, ())):
            found += [f"{place}.{key}[{index}].{problem}" for problem in _problems(entry, rules)]
        found += [f"{place}.{key}: {problem}" for problem in _twice(policy.get(key, ()))]
    for index, source in enumerate(policy["warm_sources"]):
        found += [f"{place}.warm_sources[{index}].{problem}" for problem in source_problems(source)]
    found += [f"{place}.warm_sources: {problem}" for problem in _twice(policy["warm_sources"])]
    found += [f"{place}.verify.{problem}" for problem in _problems(policy.get("verify", {}), VERIFY)]
    if "reader" in policy:
        found += [f"{place}.reader.{problem}" for problem in _problems(policy["reader"], READER)]
    return found or [f"{place}.{problem}" for problem in _together(policy)]


def _problems(entry: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    found = mapping_problems(entry, {key: must(rule.holds, rule.words) for key, rule in rules.items()})
    absent = [key for key, rule in rules.items() if not rule.optional and key not in entry]
    return found + [f"{key}: is missing; it {rules[key].words}" for key in absent]


def _twice(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    names = [entry["name"] for entry in entries if "name" in entry]
    return [f"the name {name} stands there twice; rename one" for name in dict.fromkeys(names) if names.count(name) > 1]


class _Routes:
    """The routes of a policy, asked for URLs with words in braces."""

    def __init__(self, policy: Mapping[str, Any]):
        self._policy = policy
        self._examples = policy.get("examples", {})

    def problem(self, url: str, public: bool) -> str | None:
        """Return why a URL is not served as it stands, e.g. because of an argument."""
        absent = [word for word in _PLACEHOLDER.findall(url) if word not in self._examples]
        if absent:
            return f"has {{{absent[0]}}}, of which `examples` gives none; add one"
        route = self.route(url)
        if route is None:
            return "is matched by no route; add one, or correct the URL"
        if public and not route.get("public", True):
            return f"is matched by route {route['name']}, which is not public"
        given = [argument.partition("=") for argument in self._filled(url).partition("?")[2].split("&") if argument]
        names = [name for name, _, _ in given]
        if names != [name for name in route["arguments"] if name in names]:
            return f"has arguments that route {route['name']} does not have, or in another order; correct the URL"
        for name, _, value in given:
            if not re.fullmatch(route["argument_patterns"][name], value):
                return f"has a value of {name} that route {route['name']} refuses; correct the URL"
        return None

    def route(self, url: str) -> Mapping[str, Any] | None:
        """Return the first route that matches the path of a URL."""
        path = self._filled(url).partition("?")[0]
        routes: list[Mapping[str, Any]] = self._policy["routes"]
        return next((route for route in routes if re.search(rf"(?:{route['match']})\Z", path)), None)

    def _filled(self, url: str) -> str:
        return _PLACEHOLDER.sub(lambda word: str(self._examples.get(word[1], word[0])), url)


def _together(policy: Mapping[str, Any]) -> Iterable[str]:
    """Yield where parts of a sound policy do not fit together."""
    zones = [zone["name"] for zone in policy["zones"]]
    for index, route in enumerate(policy["routes"]):
        place = f"routes[{index}] ({route['name']})"
        if route["zone"] not in zones:
            yield f"{place}.zone: there is no zone {route['zone']}; {_suggest(route['zone'], zones)}"
        if not route["match"].startswith("^/") or not route["match"].endswith("$"):
            yield f"{place}.match: {route['match']} must begin with ^/ and end with $, so that it matches whole paths"
        if set(route["arguments"]) != set(route["argument_patterns"]):
            yield f"{place}.argument_patterns: must give a regular expression for each of `arguments`, and for no other"
        for reserved in RESERVED:
            if may_meet(route["match"], reserved):
                yield f"{place}.match: could match {reserved.strip('^$')}, where the site's own pages are; begin otherwise"
    routes = _Routes(policy)
    warmed = set()
    for index, source in enumerate(policy["warm_sources"]):
        place = f"warm_sources[{index}] ({source['name']})"
        urls = _urls(source)
        warmed.update(urls)
        for url in [source[key] for key in ("list",) if key in source] + urls:
            if problem := routes.problem(url, False):
                yield f"{place}: {url} {problem}"
    for name, url in policy.get("pages", {}).items():
        if problem := routes.problem(url, True):
            yield f"pages.{name}: {url} {problem}"
        elif set(_PLACEHOLDER.findall(url)) <= {"id"} and url not in warmed:
            yield f"pages.{name}: no warm source fetches {url}, so that its first visitor waits; name it in one"
    for index, path in enumerate(policy["forbidden_paths"]):
        route = routes.route(path)
        if route is not None and route.get("public", True):
            yield f"forbidden_paths[{index}]: {path} is public by route {route['name']}; correct one of them"
    if problem := routes.problem(policy["test_list"], False):
        yield f"test_list: {policy['test_list']} {problem}"
    names = [source["name"] for source in policy["warm_sources"]]
    for name, paths in policy.get("verify", {}).items():
        if name in ("instances", "studies"):
            if paths not in names:
                yield f"verify.{name}: there is no warm source {paths}; {_suggest(paths, names)}"
            continue
        for path in paths if isinstance(paths, list) else [paths]:
            if problem := routes.problem(path, True):
                yield f"verify.{name}: {path} {problem}"


def _urls(value: Any) -> list[str]:
    """Return the URLs of each id that a source names, at whatever depth."""
    found = []
    for key, content in value.items():
        if key in ("urls", "optional_urls"):
            found += content
        elif isinstance(content, dict):
            found += _urls(content)
        elif isinstance(content, list):
            found += [url for entry in content if isinstance(entry, dict) for url in _urls(entry)]
    return found


def _suggest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(names)}"


def _meetings(policies: Mapping[str, Any]) -> Iterable[str]:
    """Yield the pairs of routes of two drivers that could match one path: only one of them would ever be asked.

    The test is about how their paths begin (prefixes.py), so that it refuses more than it must, never less.
    """
    for (one, mine), (other, others) in itertools.combinations(policies.items(), 2):
        for route, second in itertools.product(mine["routes"], others["routes"]):
            if may_meet(route["match"], second["match"]):
                yield (
                    f"site.image_server.drivers: route {route['name']} of {one} ({route['match']}) and route "
                    f"{second['name']} of {other} ({second['match']}) could match one path; let the paths of one of them "
                    "begin with a word of their own, or leave one driver out"
                )

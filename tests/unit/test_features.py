# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The folders of features: what is reported about them, and what a site gets from them."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import site as site_file
from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
KNOWN = features.read().schema
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text(encoding="utf-8"))["site"]
PREFIX = "roles/x/meta/feature.yml: "


def load(text: str) -> Any:
    return yaml.load(text, Loader=features.Loader)


def feature(name: str, text: str) -> site_file.Feature:
    found, problems = site_file.parse(name, load(text))
    assert found, problems
    return found


def schema(*more: site_file.Feature) -> site_file.Schema:
    assert site_file.feature_problems([*KNOWN.features, *more]) == []
    return site_file.Schema([*KNOWN.features, *more])


def malformed() -> list[tuple[str, list[str]]]:
    """Return the features of feature_problems.txt, each with its expected lines."""
    blocks = (Path(__file__).parent / "feature_problems.txt").read_text(encoding="utf-8").split("\n\n")[1:]
    return [(text, [line.strip() for line in lines]) for text, *lines in (block.splitlines() for block in blocks)]


@pytest.mark.parametrize(("text", "expected"), malformed())
def test_a_malformed_feature_is_reported_in_these_words(text: str, expected: list[str]) -> None:
    found, problems = site_file.parse("x", load(text))
    if found:
        problems = site_file.feature_problems([*KNOWN.features, found])
    assert problems == [PREFIX + line for line in expected]


def test_the_features_of_the_repository_are_sound() -> None:
    assert features.read().problems == []


def test_a_broken_folder_is_a_sentence(tmp_path: Path) -> None:
    for name, content in (
        ("a", "x: [\n"),
        ("b", "- x\n"),
        ("c", "\x00"),
        ("d", "description: A.\n"),
        ("e", "d: 2001-99-99"),
    ):
        (tmp_path / "roles" / name / "meta").mkdir(parents=True)
        (tmp_path / "roles" / name / "meta" / "feature.yml").write_text(content, encoding="utf-8")
    (tmp_path / "roles" / "d" / "meta" / "checks.py").write_text("1 / 0\n", encoding="utf-8")
    problems = features.read(tmp_path).problems
    assert [line.split(":")[0] for line in problems] == [
        *(f"roles/{name}/meta/feature.yml" for name in "abc"),
        "roles/d/meta/checks.py",
        "roles/e/meta/feature.yml",
    ]
    assert all(line.isprintable() and ";" in line for line in problems)


# --- Whatever YAML can hold ---

ANY_YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=9), st.integers(), st.none()), inner, max_size=4),
    ),
    max_leaves=12,
)
NAMES = ["x", "y", "cache", "database", "share.kind", "public.name", "all", "vault_x", "docker", "a.b"]


@st.composite
def shaped(draw: st.DrawFn, field: site_file.Field, depth: int = 0) -> Any:
    """Draw a value of the right shape, and now and then anything else."""
    if draw(st.integers(0, 24)) == 7 or depth > 6:
        return draw(ANY_YAML)
    if field.kind == "mapping":
        keys = draw(st.lists(st.sampled_from(list(field.keys)), unique=True, max_size=6))
        keys += [key for key, inner in field.keys.items() if inner.required and key not in keys]
        return {key: draw(shaped(field.keys[key], depth + 1)) for key in keys}
    if field.kind == "map":
        names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
        return {name: draw(shaped(field.entry, depth + 1)) for name in names}
    if field.kind == "list":
        return [draw(shaped(field.entry, depth + 1)) for _number in range(draw(st.integers(0, 2)))]
    if field.choices:
        return draw(st.sampled_from(field.choices))
    if field.kind in ("integer", "port"):
        return draw(st.integers(1, 300))
    return draw(st.booleans() if field.kind == "boolean" else st.sampled_from(NAMES))


@given(content=st.one_of(shaped(site_file.FEATURE), ANY_YAML), overrides=st.sampled_from([DEMO, {"x": 1}, {"y": {}}]))
@settings(max_examples=120, deadline=None)
def test_nothing_raises_whatever_a_feature_holds(content: Any, overrides: Any) -> None:
    found, problems = site_file.parse("x", content)
    assert (found is None) == bool(problems)
    if found:
        problems = site_file.feature_problems([*KNOWN.features, found])
    for line in problems:
        assert re.match(r"roles/\w+/meta/feature\.yml: .+; .+", line), line
        assert line.isprintable()
    if found and not problems:
        whole = site_file.Schema([*KNOWN.features, found])
        whole.problems(DEMO, overrides)
        site = whole.effective(DEMO, overrides)
        site_file.site_firewall(whole, site)
        site_file.site_ports(whole, site)


def test_a_feature_that_holds_itself_does_not_raise() -> None:
    field: dict[str, Any] = {"kind": "mapping", "description": "A."}
    field["keys"] = {"x": field}
    found, problems = site_file.parse("x", {"description": "A.", "keys": {"x": field}})
    assert found is None
    assert "is nested too deeply" in problems[0]


# --- What a site gets ---


def test_what_needs_another_feature_comes_after_it() -> None:
    assert [one.name for one in KNOWN.features] == [
        *("docker_hosts", "openstack", "static_hosts"),
        *("base", "storage", "database", "image_server", "share", "image_server_orthanc"),
        *("cache", "bastion", "gallery", "cache_warm"),
    ]


def test_a_circle_of_features_is_broken_by_name() -> None:
    circle = [feature(name, f"{{description: A., after: [{other}]}}") for name, other in (("b", "a"), ("a", "b"))]
    assert [one.name for one in site_file.Schema(circle).features] == ["a", "b"]


STATIC_IMAGES = "{description: A., driver: true, on: [image_server], extends: {image_server_replica: {listens: [%s]}}}"
LISTEN = "{port: 8090, from: [cache]}"


@functools.cache
def with_images() -> site_file.Schema:
    return schema(feature("image_server_images", STATIC_IMAGES % LISTEN))


def test_a_driver_that_does_not_exist_is_reported() -> None:
    for key in ("driver: imags", "drivers: [imags]"):
        site = load(f"{{name: lab, image_server: {{{key}}}}}")
        place = "driver" if key.startswith("driver:") else "drivers[0]"
        assert with_images().problems(DEMO, site) == [
            f"site.image_server.{place}: 'imags' is not one of images, orthanc; write images"
        ]


def test_driver_is_short_for_drivers() -> None:
    site = load("{name: lab, image_server: {driver: images, drivers: [orthanc]}}")
    assert with_images().problems(DEMO, site) == [
        "site.image_server.driver: drivers stands beside it; remove one of them"
    ]
    assert KNOWN.effective(DEMO)["image_server"] == {"drivers": ["orthanc"]}
    both = with_images().effective(DEMO, {"image_server": {"drivers": ["images", "orthanc"]}})
    assert site_file.site_drivers(with_images(), both) == ["images", "orthanc"]
    over = with_images().effective(both, {"image_server": {"driver": "images"}})
    assert over["image_server"] == {"drivers": ["images"]}
    assert KNOWN.problems(None, {**DEMO, "image_server": {}}) == [
        "site.image_server.drivers: is missing; write for example [orthanc]"
    ]
    assert KNOWN.problems(None, {**DEMO, "image_server": {"driver": "x"}}) == [
        "site.image_server.driver: 'x' is not known; write orthanc"
    ]


def test_a_driver_without_a_database_needs_none() -> None:
    no_database = {"name": "lab", "hosts": [{"name": "database", "absent": True}]}
    missing = ["site.hosts: no host is in the group database; add groups: [database] to one host"]
    assert with_images().problems(DEMO, no_database) == missing
    only_images = {**no_database, "image_server": {"driver": "images"}}
    assert with_images().problems(DEMO, only_images) == []
    assert with_images().problems(DEMO, {**no_database, "image_server": {"drivers": ["images", "orthanc"]}}) == missing


def test_the_firewall_opens_the_ports_of_the_drivers_of_the_site() -> None:
    def ports(*drivers: str) -> list[int | None]:
        site = with_images().effective(DEMO, {"image_server": {"drivers": list(drivers)}})
        return [rule["port"] for rule in site_file.firewall(with_images(), site)["image_server_replica"]]

    assert ports("images") == [8090]
    assert ports("orthanc") == [8042]
    assert ports("orthanc", "images") == [8090, 8042]


def test_a_host_runs_all_drivers_or_its_own() -> None:
    hosts = [
        {"name": "replica", "count": 1},
        {"name": "other", "groups": ["image_server_replica"], "drivers": ["images"]},
    ]
    site = {"name": "lab", "image_server": {"drivers": ["orthanc", "images"]}, "hosts": hosts}
    assert with_images().problems(DEMO, site) == []
    whole = with_images().effective(DEMO, site)
    drivers = {host["name"]: site_file.host_drivers(with_images(), whole, host) for host in whole["hosts"]}
    assert drivers == {
        "database": [],
        "primary": ["orthanc", "images"],
        "replica1": ["orthanc", "images"],
        "other": ["images"],
        "proxy": [],
    }
    other = next(host for host in whole["hosts"] if host["name"] == "other")
    names = [one.name for one in site_file.host_features(with_images(), whole, other)]
    assert names == ["base", "storage", "image_server", "share", "image_server_images"]


def test_a_host_cannot_run_a_driver_that_its_site_has_not() -> None:
    hosts = [{"name": "primary", "drivers": ["images"]}, {"name": "proxy", "drivers": ["orthanc"]}]
    assert with_images().problems(DEMO, {"name": "lab", "hosts": hosts}) == [
        "site.hosts[0] (primary).drivers: images is not among the drivers of the site; add it to image_server.drivers",
        "site.hosts[1] (proxy).drivers: the host is in no group of image servers; remove it",
    ]


def test_keys_only_with_a_value_beside_them() -> None:
    text = """
      description: A.
      keys:
        x:
          kind: mapping
          description: A.
          keys:
            mode: {kind: choice, description: A., choices: [off, on], default: off}
            level:
              {kind: integer, description: A., minimum: 1, maximum: 9, default: 5, only_with: {mode: on}}
            name: {kind: text, description: A., example: a, only_with: {mode: on}}
    """
    made = schema(feature("x", text))
    assert made.effective(DEMO)["x"] == {"mode": "off"}
    assert made.effective(DEMO, {"x": {"mode": "on"}})["x"] == {"mode": "on", "level": 5}
    assert made.problems(DEMO, {"name": "lab", "x": {"mode": "on"}}) == [
        "site.x.name: is missing although mode is on; write for example a"
    ]
    assert made.problems(DEMO, {"name": "lab", "x": {"level": 3}}) == [
        "site.x.level: is given although mode is off; write mode: on, or remove it"
    ]


def test_a_group_of_at_most_one_host_and_one_that_must_have_it() -> None:
    groups = "{one: {description: A., hosts: at most one}, must: {description: A., hosts: exactly one}}"
    made = schema(feature("x", f"{{description: A., groups: {groups}}}"))
    hosts = [{"name": "replica", "groups": ["image_server_replica", "one"]}]
    assert made.problems(DEMO, {"name": "lab", "hosts": hosts}) == [
        "site.hosts: replica1, replica2 are in the group one, which takes one host; leave one in it",
        "site.hosts: no host is in the group must; add groups: [must] to one host",
    ]


def test_a_port_of_all_hosts_is_in_the_firewall_of_the_site() -> None:
    listens = "[{port: 9100, from: [x], on: all}, {port: 9200, from: [site], protocol: udp}]"
    made = schema(feature("x", f"{{description: A., groups: {{x: {{description: A., listens: {listens}}}}}}}"))
    off = made.effective(DEMO)
    assert site_file.firewall(made, off)["site"] == site_file.firewall(KNOWN, KNOWN.effective(DEMO))["site"]
    on = made.effective(DEMO, {"hosts": [{"name": "m", "groups": ["x"]}]})
    rules = site_file.firewall(made, on)
    assert {"protocol": "tcp", "port": 9100, "sources": ["x"]} in rules["site"]
    assert rules["x"] == [{"protocol": "udp", "port": 9200, "sources": ["site"]}]


def test_two_features_of_a_host_cannot_have_one_port() -> None:
    ports = "{ports: [{port: 5432, description: the counter}], description: A., groups: {x: {description: A.}}}"
    made = schema(feature("x", ports))
    hosts = [{"name": "database", "groups": ["database", "x"]}, {"name": "proxy", "groups": ["cache", "bastion", "x"]}]
    assert made.problems(DEMO, {"name": "lab", "hosts": hosts}) == [
        "site.hosts[0] (database).groups: port 5432 is that of PostgreSQL and of the counter; put them on two hosts"
    ]


def test_paths_are_resolved_from_the_repository() -> None:
    tls = {"mode": "provided", "certificate": "a.crt", "key": "/b.key", "names": []}
    site = KNOWN.effective(DEMO, {"public": {"tls": tls}})
    found = site_file.resolved_paths(KNOWN.site, site, "/r")
    assert found["public"]["tls"] == {"mode": "provided", "certificate": "/r/a.crt", "key": "/b.key", "names": []}
    assert found["manifests"] == ["/r/samples/manifest.yml"]
    assert found["docker"]["directory"] == "/var/lib/imaging-repository"


# --- The core knows no feature ---


def texts(tree: ast.AST) -> set[str]:
    """Return the words of all texts of a module but its documentation, and its names."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            found.update(re.findall(r"[\w./-]+", node.value))
    return found


CORE = [*sorted((REPOSITORY / "plugins/module_utils/site").glob("*.py")), Path(features.__file__)]


@pytest.mark.parametrize("file", CORE, ids=lambda file: file.name)
def test_the_core_names_no_feature(file: Path) -> None:
    names = {one.name for one in KNOWN.features} | set(KNOWN.groups) | set(KNOWN.providers)
    names |= {one.driver_name for one in KNOWN.features if one.driver}
    # Ordinary words: the key `base` of a site file.
    assert texts(ast.parse(file.read_text(encoding="utf-8"))) & (names - {"base"}) == set()

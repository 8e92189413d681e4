# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of the site file: what is reported, what is merged, and that nothing makes it raise."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from plugins.module_utils import site as site_file
from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
schema = features.read().schema
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text(encoding="utf-8"))["site"]


def malformed() -> list[tuple[str, list[str]]]:
    """Return the sites of site_problems.txt, each with its expected lines."""
    blocks = (Path(__file__).parent / "site_problems.txt").read_text(encoding="utf-8").split("\n\n")[1:]
    return [(site, [line.strip() for line in lines]) for site, *lines in (block.splitlines() for block in blocks)]


@pytest.mark.parametrize(("text", "expected"), malformed())
def test_a_malformed_site_is_reported_in_these_words(text: str, expected: list[str]) -> None:
    site = yaml.safe_load(text)
    if isinstance(site, dict):
        site = {"name": "lab", **site}
    assert schema.problems(DEMO, site) == expected


def test_there_are_enough_malformed_sites() -> None:
    assert len(malformed()) >= 50
    assert all(expected for _text, expected in malformed())


def test_every_problem_names_the_place_and_the_remedy() -> None:
    for _text, expected in malformed():
        for line in expected:
            assert re.match(r"site\S*( \([\w.-]+\)\S*)*( e')?: .+; .+", line), line


@pytest.mark.parametrize("site", [{}, {"provider": "docker"}])
def test_a_site_must_say_its_own_name(site: dict[str, Any]) -> None:
    assert schema.problems(DEMO, site) == ["site.name: is missing; write the name of this site, for example idr127"]


def test_a_misspelt_name_is_reported_once() -> None:
    assert schema.problems(DEMO, {"nmae": "lab"}) == ["site.nmae: unknown key; did you mean name?"]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    site = {
        "name": "Lab",
        "provider": "dokcer",
        "public": {"https_port": "443"},
        "hosts": [{"name": "database", "volumes": [{"name": "db", "gib": "800GB", "mount": "/etc"}]}, {"name": 7}],
    }
    assert [line.split(":")[0] for line in schema.problems(DEMO, site)] == [
        "site.name",
        "site.provider",
        "site.public.https_port",
        "site.hosts[0] (database).volumes[0].gib",
        "site.hosts[0] (database).volumes[0].mount",
        "site.hosts[1].name",
    ]


def test_the_demo_is_sound_by_itself() -> None:
    assert schema.problems(DEMO, DEMO) == []
    assert schema.problems(None, DEMO) == []


# --- Unknown variables ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("site", []),
        ("vault_database_owner_password", []),
        ("ansible_user", []),
        ("confirm", []),
        ("cache_warm_concurrency", []),
        ("cache_warm_concurency", ["cache_warm_concurency: unknown variable; did you mean cache_warm_concurrency?"]),
        ("destroy_volume", ["destroy_volume: unknown variable; did you mean destroy_volumes?"]),
        ("sites", ["sites: unknown variable; did you mean site?"]),
        ("hosts", ["hosts: unknown variable; write it below site, as site.hosts"]),
        ("weather", ["weather: unknown variable; remove it; roles/*/README.md list what there is"]),
        (7, ["7: unknown variable; remove it; roles/*/README.md list what there is"]),
        (None, ["a value of another kind: unknown variable; remove it; roles/*/README.md list what there is"]),
    ],
)
def test_unknown_variables_are_reported(name: Any, expected: list[str]) -> None:
    assert schema.variable_problems([name], ["cache_warm_concurrency"]) == expected


# --- Merging ---


def test_the_demo_over_itself_is_the_demo() -> None:
    assert schema.effective(DEMO, DEMO) == schema.effective(DEMO)


def test_effective_is_complete_and_in_order() -> None:
    site = schema.effective(DEMO, {"name": "lab"})
    assert list(site) == ["name", "provider", "docker", "public", "image_server", "share", "manifests", "hosts"]
    assert [host["name"] for host in site["hosts"]] == ["database", "primary", "replica1", "replica2", "proxy"]
    assert site["public"] == {
        "name": "localhost",
        "address": "127.0.0.1",
        "https_port": 8443,
        "http_port": 8080,
        "tls": {"mode": "selfsigned"},
    }
    assert site["hosts"][0]["volumes"] == [
        {"name": "db", "gib": 2, "mount": "/var/lib/postgresql", "file_system": "xfs"}
    ]


def test_hosts_and_volumes_are_merged_by_name() -> None:
    site = schema.effective(
        DEMO,
        {
            "name": "lab",
            "hosts": [
                {
                    "name": "primary",
                    "volumes": [{"name": "data", "gib": 40}, {"name": "more", "gib": 1, "mount": "/a"}],
                },
                {"name": "proxy", "volumes": [{"name": "cache", "absent": True}]},
                {"name": "extra", "groups": ["bastion"]},
            ],
        },
    )
    hosts = {host["name"]: host for host in site["hosts"]}
    assert list(hosts) == ["database", "primary", "replica1", "replica2", "proxy", "extra"]
    assert [(volume["name"], volume["gib"]) for volume in hosts["primary"]["volumes"]] == [("data", 40), ("more", 1)]
    assert hosts["primary"]["memory_mib"] == 1024
    assert hosts["proxy"]["volumes"] == []


def test_absent_and_counted_hosts_leave_the_addresses_of_the_others() -> None:
    plain = {host["name"]: host["address"] for host in schema.effective(DEMO)["hosts"]}
    changed = schema.effective(
        DEMO,
        {"hosts": [{"name": "database", "absent": True}, {"name": "replica", "count": 9}, {"name": "extra"}]},
    )
    addresses = {host["name"]: host["address"] for host in changed["hosts"]}
    assert "database" not in addresses
    assert {name: addresses[name] for name in plain if name != "database"} == {
        name: address for name, address in plain.items() if name != "database"
    }


def test_a_base_of_another_provider_lends_hosts_but_no_sizes() -> None:
    site = schema.effective(DEMO, {"name": "lab", "provider": "openstack"})
    assert "docker" not in site
    assert site["public"] == {"https_port": 443, "http_port": 80, "tls": {"mode": "selfsigned"}}
    assert site["share"] == {"kind": "nfs"}
    assert site["hosts"][0] == {
        "name": "database",
        "groups": ["database"],
        "public": False,
        "volumes": [{"name": "db", "mount": "/var/lib/postgresql", "file_system": "xfs"}],
        "address": "192.168.77.16",
    }


def test_the_public_address_of_static_servers_is_that_of_the_public_host() -> None:
    site = schema.effective(DEMO, {"provider": "static", "hosts": [{"name": "proxy", "address": "192.0.2.80"}]})
    assert site["public"]["address"] == "192.0.2.80"


def test_a_sound_site_on_a_cloud_is_complete() -> None:
    assert schema.problems(DEMO, {"name": "idr126", **IDR126}) == []
    site = schema.effective(DEMO, {"name": "idr126", **IDR126})
    assert site["openstack"] == {
        "cloud": "a",
        "image": "b",
        "user": "debian",
        "network": {"cidr": "192.168.77.0/24", "external": "c", "dns": []},
        "ssh_from": ["198.51.100.0/24"],
        "new_address": False,
        "adopt": [],
    }
    assert [host["address"] for host in site["hosts"]] == [f"192.168.77.{16 * entry}" for entry in range(1, 5)]


def test_at_another_cloud_only_the_clouds_own_words_differ() -> None:
    overrides = {"name": "idr127", "openstack": {"cloud": "b", "image": "d", "network": {"external": "e"}}}
    there = schema.effective(schema.merged(DEMO, IDR126), overrides)
    here = schema.effective(DEMO, {**IDR126, "name": "idr127"})
    changed = {"cloud": "b", "image": "d", "network": {**here["openstack"]["network"], "external": "e"}}
    assert there == {**here, "openstack": {**here["openstack"], **changed}}


# --- Who may come in ---


def tcp(port: int, *sources: str) -> dict[str, Any]:
    return {"protocol": "tcp", "port": port, "sources": list(sources)}


def test_only_who_needs_a_port_reaches_it() -> None:
    site = schema.effective(DEMO, {"name": "idr126", **IDR126})
    assert site_file.firewall(schema, site) == {
        "site": [tcp(22, "bastion"), {"protocol": "icmp", "port": None, "sources": ["site"]}],
        "database": [tcp(5432, "image_server_primary", "image_server_replica")],
        "image_server_primary": [tcp(2049, "image_server_replica")],
        "image_server_replica": [tcp(8042, "cache")],
        "cache": [],
        "bastion": [{"protocol": "tcp", "port": 22, "cidr": "198.51.100.0/24"}],
        "public": [
            {"protocol": "tcp", "port": 443, "cidr": "0.0.0.0/0"},
            {"protocol": "tcp", "port": 80, "cidr": "0.0.0.0/0"},
        ],
    }
    hosts = {host["name"]: site_file.host_firewalls(host) for host in site["hosts"]}
    assert hosts["database"] == ["site", "database"]
    assert hosts["proxy"] == ["site", "cache", "bastion", "public"]


def test_the_firewall_follows_the_share_the_ports_and_the_operators() -> None:
    overrides = {"share": {"kind": "sshfs"}, "public": {"https_port": 8443}, "openstack": {"ssh_from": ["10.0.0.0/8"]}}
    rules = site_file.firewall(schema, schema.effective(schema.merged(DEMO, IDR126), {"name": "lab", **overrides}))
    assert rules["image_server_primary"] == [tcp(22, "image_server_replica")]
    assert [rule["port"] for rule in rules["public"]] == [8443, 80]
    assert rules["bastion"] == [{"protocol": "tcp", "port": 22, "cidr": "10.0.0.0/8"}]


def test_every_source_of_the_firewall_is_one_of_its_names() -> None:
    site = schema.effective(schema.merged(DEMO, IDR126), {"name": "lab"})
    rules = site_file.firewall(schema, site)
    sources = {source for listed in rules.values() for rule in listed for source in rule.get("sources", [])}
    assert sources <= set(rules)
    assert {name for host in site["hosts"] for name in site_file.host_firewalls(host)} == set(rules)


def test_effective_does_not_touch_its_arguments() -> None:
    base, overrides = copy.deepcopy(DEMO), {"hosts": [{"name": "replica", "count": 3}]}
    schema.effective(base, overrides)
    assert base == DEMO
    assert overrides == {"hosts": [{"name": "replica", "count": 3}]}


@pytest.mark.parametrize(
    ("public", "expected"),
    [({"name": "a.org", "https_port": 443}, "https://a.org"), ({"https_port": 8443}, "https://localhost:8443")],
)
def test_the_url_names_only_an_unusual_port(public: dict[str, Any], expected: str) -> None:
    assert site_file.url({"public": public}) == expected


# --- Whatever YAML can hold ---

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    # Python refuses to print it.
    st.builds(lambda: 10**6000),
    st.builds(lambda: "a" * 100_000),
    st.builds(lambda: "1" * 5000),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.dates(),
    st.sampled_from(["{{ x }}", "\ud800", "localhost", "10.0.0.0/8"]),
)
KEYS = st.one_of(
    st.sampled_from(sorted({key for key, _path in site_file.key_paths(schema.site, "site")})),
    st.text(max_size=8),
    st.integers(),
    st.none(),
    st.tuples(st.integers()),
)
ANY_YAML = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=30,
)


TEXTS = ["a", "b", "database", "10.0.0.1", "10.0.0.0/24", "/srv/a", "/dev/disk/by-id/a", "x.y"]


@st.composite
def shaped(draw: st.DrawFn, field: site_file.Field) -> Any:
    """Draw a value of the right shape, and now and then anything else."""
    if draw(st.integers(0, 14)) == 7:
        return draw(ANY_YAML)
    if field.kind == "mapping":
        keys = draw(st.lists(st.sampled_from(list(field.keys)), unique=True, max_size=6))
        return {key: draw(shaped(field.keys[key])) for key in keys}
    if field.kind == "list":
        return [draw(shaped(field.item)) for _number in range(draw(st.integers(0, 3)))]
    if field.choices:
        return draw(st.sampled_from(field.choices))
    if field.kind == "integer":
        return draw(st.integers(field.minimum, 300))
    return draw(st.booleans() if field.kind == "boolean" else st.sampled_from(TEXTS))


SITES = st.one_of(shaped(schema.site), ANY_YAML)


@given(base=SITES, overrides=SITES)
@settings(max_examples=300, deadline=None)
def test_nothing_raises_whatever_yaml_holds(base: Any, overrides: Any) -> None:
    for line in [*schema.problems(base, overrides), *schema.file_problems(overrides)]:
        assert re.match(r"site.*: .+; .+", line), line
        assert line.isprintable()
        assert len(line) < 1000
    site = schema.effective(base, overrides)
    assert json.loads(json.dumps(site)) == site
    site_file.url(site)


@given(names=st.lists(KEYS), known=st.lists(st.text()))
def test_no_name_of_a_variable_raises(names: list[Any], known: list[str]) -> None:
    assert all(line.isprintable() for line in schema.variable_problems(names, known))


def test_a_site_that_holds_itself_does_not_raise() -> None:
    site: dict[str, Any] = {"name": "lab", "hosts": []}
    site["hosts"].append(site)
    site["docker"] = site
    assert schema.problems(DEMO, site)
    schema.effective(DEMO, site)


@given(overrides=shaped(schema.site))
@settings(max_examples=200, deadline=None)
def test_effective_is_idempotent(overrides: Any) -> None:
    site = schema.effective(DEMO, overrides)
    names = [host["name"] for host in site["hosts"]]
    addressed = site["provider"] == "static" or all("address" in host for host in site["hosts"])
    # What problems() refuses: a name made twice, a host that found no address.
    if len(names) == len(set(names)) and addressed:
        assert schema.effective(site) == site
    if not schema.problems(DEMO, overrides):
        assert schema.problems(None, site) == []


COUNTS = st.integers(1, 15)


@given(counts=st.lists(COUNTS, min_size=1, max_size=10), grown=st.data())
@settings(deadline=None)
def test_addresses_are_unique_and_stay_when_a_count_grows(counts: list[int], grown: st.DataObject) -> None:
    def addresses(numbers: list[int]) -> dict[str, str]:
        names = "abcdefghij"
        hosts = [
            {"name": name, "groups": ["image_server_replica"], "count": number}
            for name, number in zip(names, numbers, strict=False)
        ]
        assert schema.problems(DEMO, {"name": "lab", "hosts": hosts}) == []
        return {host["name"]: host["address"] for host in schema.effective(DEMO, {"hosts": hosts})["hosts"]}

    before = addresses(counts)
    assert len(set(before.values())) == len(before)
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("172.30.77.0/24") for address in before.values())
    more = grown.draw(st.lists(COUNTS, max_size=10 - len(counts)))
    after = addresses([grown.draw(st.integers(number, 15)) for number in counts] + more)
    assert {name: after[name] for name in before} == before


# --- For editors and readers ---


def editor_problems(content: Any) -> list[str]:
    document = json.loads((REPOSITORY / "vars" / "site.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return [error.message for error in Draft202012Validator(document).iter_errors(content)]


@pytest.mark.parametrize("file", ["vars/demo.yml", "vars/openstack-example.yml", "molecule/test-site.yml"])
def test_the_editors_schema_accepts_our_sites(file: str) -> None:
    assert editor_problems(yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8"))) == []


def test_the_editors_schema_refuses_mistakes() -> None:
    site = {"name": "Lab", "provider": "dokcer", "hosts": [{"groups": ["database"], "memory": 1}]}
    assert len(editor_problems({"site": site})) == 4


IDR126 = {
    "provider": "openstack",
    "openstack": {"cloud": "a", "image": "b", "network": {"external": "c"}, "ssh_from": ["198.51.100.0/24"]},
    "public": {"name": "images.example.org", "address": "192.0.2.126"},
    "hosts": [
        {"name": name, "flavor": "m1.large", "volumes": [{"name": volume, "gib": 9}] if volume else []}
        for name, volume in (("database", "db"), ("primary", "data"), ("replica", ""), ("proxy", "cache"))
    ],
}


def test_the_examples_of_the_manual_are_sound() -> None:
    manual = (REPOSITORY / "docs" / "site-file.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)]
    assert len(examples) == 3
    for example in examples:
        base = schema.merged(DEMO, IDR126) if example["site"].get("base") == "idr126" else DEMO
        assert schema.problems(base, example["site"]) == []
        assert editor_problems(example) == []


EXAMPLE = yaml.safe_load((REPOSITORY / "vars" / "openstack-example.yml").read_text(encoding="utf-8"))["site"]


def test_the_example_of_a_site_on_a_cloud_is_sound_and_has_every_key() -> None:
    assert schema.problems(DEMO, EXAMPLE) == []
    text = (REPOSITORY / "vars" / "openstack-example.yml").read_text(encoding="utf-8")

    def keys(field: site_file.Field) -> set[str]:
        inner = [*field.keys.values(), *([field.item] if field.item else [])]
        known = {key for key, value in field.keys.items() if "openstack" in value.providers}
        return known.union(*(keys(value) for value in inner if "openstack" in value.providers))

    # What makes sense only with another value of a key, or over a base that has something to leave out.
    elsewhere = {"base", "absent", "wipe_signature", "certificate", "key"}
    assert {key for key in keys(schema.site) if f"{key}:" not in text} == elsewhere


def test_the_second_cloud_of_the_manual_takes_ten_lines() -> None:
    manual = (REPOSITORY / "docs" / "openstack.md").read_text(encoding="utf-8")
    examples = [text for text in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL) if text.startswith("site:")]
    assert [len(text.splitlines()) for text in examples] == [10]
    overrides = yaml.safe_load(examples[0])["site"]
    assert schema.problems(schema.merged(DEMO, EXAMPLE), overrides) == []
    hosts = schema.effective(schema.merged(DEMO, EXAMPLE), overrides)["hosts"]
    assert {host["flavor"] for host in hosts} == {"c2.large", "c2.small"}


def test_the_manual_has_every_port_of_the_firewall() -> None:
    manual = (REPOSITORY / "docs" / "openstack.md").read_text(encoding="utf-8")
    for name, group in schema.groups.items():
        for listen in (listen for listen in group.listens if not listen.on and listen.sources):
            row = next(line for line in manual.splitlines() if line.startswith(f"| `{name}` |"))
            assert str(listen.port) in row
            assert all(f"`{source}`" in row for source in listen.sources)

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of the site file: what is reported, what is merged, and who may come in."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from site_samples import DEMO, IDR126, schema

from plugins.module_utils import site as site_file


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


# What every site is to the open web, unless its file says otherwise.
WEB = {
    "redirects": [],
    "cors": ["*"],
    "trusted_proxies": [],
    "http3": False,
    "limits": {"misses_per_second": 30, "unlimited": []},
}


def test_effective_is_complete_and_in_order() -> None:
    site = schema.effective(DEMO, {"name": "lab"})
    assert list(site) == [
        "name",
        "provider",
        "docker",
        "public",
        "packages",
        *("image_server", "share", "manifests", "hosts"),
    ]
    assert [host["name"] for host in site["hosts"]] == ["database", "primary", "replica1", "replica2", "proxy"]
    assert site["public"] == {
        "name": "localhost",
        "address": "127.0.0.1",
        "https_port": 8443,
        "http_port": 8080,
        "tls": {"mode": "selfsigned", "names": []},
        **WEB,
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
    assert site["public"] == {"https_port": 443, "http_port": 80, "tls": {"mode": "selfsigned", "names": []}, **WEB}
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
        "config_drive": False,
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

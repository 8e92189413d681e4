# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the plan of the OpenStack provider refuses, and what of a cloud it leaves alone."""

from __future__ import annotations

import pytest
from openstack_samples import (
    PROJECT,
    SITE,
    applied,
    first,
    problems_of,
    site_with,
    steps_of,
    want_of,
)

from plugins.module_utils.openstack.plan import UNNAMED
from plugins.module_utils.openstack.shapes import LISTED, Found


@pytest.mark.parametrize(
    "path, values, kind, name, words",
    [
        ("hosts.0.volumes.0", {"gib": 19}, "volume", "demo-database-db", "never made smaller"),
        ("hosts.0.volumes.0", {"type": "fast"}, "volume", "demo-database-db", "openstack volume set --type fast"),
        ("hosts.0", {"flavor": "m1.large"}, "server", "demo-database", "openstack server resize"),
        ("hosts.0", {"boot_volume_gib": 20}, "server", "demo-database", "playbooks/switch.yml"),
        ("openstack", {"image": "Ubuntu 24.04"}, "server", "demo-database", "playbooks/switch.yml"),
        ("openstack.network", {"cidr": "10.1.0.0/24"}, "subnet", "demo", "destroy the site (its volumes stay)"),
        ("hosts.0", {"address": "192.168.77.99"}, "port", "demo-database", "keep the order of site.hosts"),
    ],
)
def test_what_would_lose_something_is_refused_and_names_the_way(path, values, kind, name, words):
    found = applied(want_of(SITE))
    site = site_with(path, **values)
    action, detail = steps_of(site, found)[kind, name]
    assert action == "refuse" and words in detail
    assert any(name in line and words in line for line in problems_of(site, found))


def test_a_renewed_image_of_the_same_name_changes_nothing():
    found = applied(want_of(SITE))
    for server in found["server"]:
        server["image"] = {"id": "image-of-last-month"}
    assert {action for action, _detail in steps_of(SITE, found).values()} == {"keep"}


def test_a_failed_server_is_reported_with_novas_reason_and_made_anew_only_by_name():
    found = applied(want_of(SITE))
    first(found, "server", "demo-database").update(status="ERROR", fault={"message": "No valid host was found. "})
    action, detail = steps_of(SITE, found)["server", "demo-database"]
    assert action == "refuse"
    assert "No valid host was found;" in detail and "-e recreate_failed=database" in detail
    steps = steps_of(SITE, found, recreate_failed=["database"])
    assert steps["server", "demo-database"][0] == "recreate"
    assert steps["attachment", "demo-database-db"][0] == "create"


def test_recreate_failed_never_touches_a_server_that_runs():
    found = applied(want_of(SITE))
    assert {action for action, _ in steps_of(SITE, found, recreate_failed=["database"]).values()} == {"keep"}


def test_a_misspelt_host_to_recreate_is_refused():
    found = applied(want_of(SITE))
    assert problems_of(SITE, found, recreate_failed=["databse"]) == [
        "recreate_failed: there is no host 'databse' in site demo; did you mean 'database'?"
    ]


@pytest.mark.parametrize(
    "kind, name, spoil",
    [
        ("key pair", "demo", {"public_key": "ssh-ed25519 AAAAother demo"}),
        ("network", "demo", {"description": ""}),
        ("subnet", "demo", {"description": "mine"}),
        ("router", "demo", {"description": ""}),
        ("security group", "demo-bastion", {"description": ""}),
        ("port", "demo-proxy", {"description": ""}),
        ("server", "demo-proxy", {"metadata": {}}),
        ("volume", "demo-proxy-cache", {"metadata": {}}),
    ],
)
def test_what_is_not_ours_is_refused_until_it_is_adopted(kind, name, spoil):
    found = applied(want_of(SITE))
    first(found, kind, name).update(spoil)
    action, detail = steps_of(SITE, found)[kind, name]
    assert action == "refuse"
    if kind == "key pair":
        assert "another site.name" in detail
    else:
        assert f"adopt: ['{name}']" in detail and first(found, kind, name)["id"] in detail
        assert steps_of(site_with("openstack", adopt=[name]), found)[kind, name] == ("change", "adopt it, as asked")


def test_the_same_name_in_another_project_is_none_of_our_business():
    found = applied(want_of(SITE))
    found["network"].append({"id": "x", "name": "demo", "description": "", "project_id": "project-2"})
    assert steps_of(SITE, found)["network", "demo"][0] == "keep"


def test_two_of_one_name_are_named_both():
    found = applied(want_of(SITE))
    twin = {**first(found, "server", "demo-proxy"), "id": "server-twin"}
    found["server"].append(twin)
    action, detail = steps_of(SITE, found)["server", "demo-proxy"]
    assert action == "refuse" and "server-twin" in detail and first(found, "server", "demo-proxy")["id"] in detail


def test_a_volume_at_another_server_is_not_taken_away():
    found = applied(want_of(SITE))
    found["server"].append({"id": "other", "name": "mine", "metadata": {}, "status": "ACTIVE"})
    first(found, "volume", "demo-database-db")["attachments"] = [{"server_id": "other"}]
    action, detail = steps_of(SITE, found)["attachment", "demo-database-db"]
    assert action == "refuse" and "attached to mine" in detail


def test_what_the_file_does_not_name_is_left_alone_and_said():
    found = applied(want_of(SITE))
    steps = steps_of({**SITE, "hosts": SITE["hosts"][1:]}, found)
    for kind, name in (
        ("server", "demo-database"),
        ("port", "demo-database"),
        ("volume", "demo-database-db"),
        ("security group", "demo-database"),
    ):
        assert steps[kind, name] == ("unknown", UNNAMED)


def test_two_sites_in_one_project_do_not_see_each_other():
    other = {**SITE, "name": "demo2"}
    found, beside = applied(want_of(SITE)), applied(want_of(other))
    both = Found(PROJECT, {kind: found[kind] + beside[kind] for kind in LISTED})
    assert steps_of(SITE, both) == steps_of(SITE, found)

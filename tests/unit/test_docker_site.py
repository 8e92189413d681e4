# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of the Docker provider: what is found and what is wanted lead to exactly the right steps."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import plan
from plugins.module_utils.docker import plan as docker_site
from plugins.module_utils.docker.site import without_links

GIB = docker_site.GIB

SITE = {
    "name": "demo",
    "docker": {"directory": "/var/lib/imaging-repository", "network": {"cidr": "172.30.77.0/24"}},
    "public": {"https_port": 8443, "http_port": 8080},
    "hosts": [
        {
            "name": "database",
            "memory_mib": 768,
            "address": "172.30.77.16",
            "volumes": [{"name": "db", "gib": 2, "mount": "/var/lib/postgresql"}],
        },
        {"name": "proxy", "memory_mib": 512, "address": "172.30.77.64", "public": True, "volumes": []},
    ],
}
FILE = "/var/lib/imaging-repository/demo/volumes/database-db.img"


def nothing() -> dict:
    return {"network": None, "packages": None, "volumes": {}, "hosts": {}}


def applied(want: dict) -> dict:
    """What a listing finds after the plan for `want` has been written."""
    return {
        "network": {"site": want["name"], "cidr": want["cidr"]},
        "packages": True,
        "volumes": {
            volume["file"]: {"bytes": volume["bytes"], "loop": f"/dev/loop{number}"}
            for number, volume in enumerate(want["volumes"])
        },
        "hosts": {
            host["name"]: {
                "site": want["name"],
                "running": True,
                "memory_bytes": host["memory_bytes"],
                "specification": json.loads(docker_site.specification_label(host["specification"])),
            }
            for host in want["hosts"]
        },
    }


def steps_of(site: dict, found: dict, replace: list[str] | None = None) -> dict:
    return {
        (step["kind"], step["name"]): (step["action"], step["detail"])
        for step in docker_site.plan(docker_site.wanted(site, replace), found)
    }


def test_a_new_site_is_created_whole():
    steps = steps_of(SITE, nothing())
    assert {action for action, _detail in steps.values()} == {"create"}
    assert set(steps) == {
        ("network", "demo"),
        ("packages", docker_site.PACKAGES_NAME),
        ("volume", "database-db"),
        ("host", "demo-database"),
        ("host", "demo-proxy"),
    }


def test_the_plan_of_an_applied_plan_keeps_everything():
    found = applied(docker_site.wanted(SITE))
    assert {action for action, _detail in steps_of(SITE, found).values()} == {"keep"}


hosts = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
            "memory_mib": st.integers(64, 4096),
            "address": st.ip_addresses(v=4, network="172.30.77.0/24").map(str),
            "public": st.booleans(),
            "volumes": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from(["a", "b", "c"]), "gib": st.integers(1, 100)}),
                unique_by=lambda volume: volume["name"],
            ),
        }
    ),
    unique_by=lambda host: host["name"],
)


@given(hosts)
def test_any_site_is_done_after_one_run_and_never_loses_anything(some_hosts):
    site = {**SITE, "hosts": some_hosts}
    want = docker_site.wanted(site)
    assert {step["action"] for step in docker_site.plan(want, nothing())} == {"create"}
    assert {step["action"] for step in docker_site.plan(want, applied(want))} == {"keep"}


@given(hosts, hosts)
def test_no_plan_of_one_site_for_another_state_ever_removes(before, after):
    found = applied(docker_site.wanted({**SITE, "hosts": before}))
    steps = docker_site.plan(docker_site.wanted({**SITE, "hosts": after}), found)
    assert "remove" not in {step["action"] for step in steps}
    assert not any(step["detail"].startswith("replace") for step in steps)


def changed_site(**host) -> dict:
    site = copy.deepcopy(SITE)
    site["hosts"][0].update(host)
    return site


def test_a_directory_below_a_link_is_known_by_its_real_path(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    site = {**SITE, "docker": {**SITE["docker"], "directory": str(tmp_path / "link" / "sites")}}
    want = docker_site.wanted(without_links(site), [])
    assert want["volumes"][0]["file"] == f"{tmp_path}/disk/sites/demo/volumes/database-db.img"
    assert without_links(SITE) == SITE


def test_a_second_site_joins_the_package_cache_of_the_first():
    assert steps_of(SITE, {**nothing(), "packages": False})["packages", docker_site.PACKAGES_NAME] == (
        "change",
        "join the network of this site",
    )


def test_a_larger_volume_grows():
    found = applied(docker_site.wanted(SITE))
    steps = steps_of(changed_site(volumes=[{"name": "db", "gib": 5}]), found)
    assert steps["volume", "database-db"] == ("change", "2 GiB -> 5 GiB")


def test_a_smaller_volume_is_refused():
    found = applied(docker_site.wanted(SITE))
    action, detail = steps_of(changed_site(volumes=[{"name": "db", "gib": 1}]), found)["volume", "database-db"]
    assert action == "refuse" and "never made smaller" in detail


def test_more_memory_is_given_in_place():
    found = applied(docker_site.wanted(SITE))
    assert steps_of(changed_site(memory_mib=1024), found)["host", "demo-database"] == (
        "change",
        "memory 768 -> 1024 MiB",
    )


def test_another_address_needs_the_users_word():
    found = applied(docker_site.wanted(SITE))
    site = changed_site(address="172.30.77.17")
    action, detail = steps_of(site, found)["host", "demo-database"]
    assert action == "refuse" and "-e replace_hosts=database" in detail
    assert steps_of(site, found, ["database"])["host", "demo-database"][0] == "change"


def test_a_reboot_of_the_machine_attaches_and_starts():
    found = applied(docker_site.wanted(SITE))
    found["volumes"][FILE]["loop"] = None
    found["hosts"]["demo-database"]["running"] = False
    steps = steps_of(SITE, found)
    assert steps["volume", "database-db"] == ("change", "attach again")
    assert steps["host", "demo-database"] == ("change", "start")


@pytest.mark.parametrize(
    "kind, name, spoil",
    [
        ("network", "demo", lambda found: found["network"].update(site=None)),
        ("network", "demo", lambda found: found["network"].update(cidr="10.0.0.0/24")),
        ("host", "demo-proxy", lambda found: found["hosts"]["demo-proxy"].update(site="other")),
    ],
)
def test_what_is_not_ours_is_refused(kind, name, spoil):
    found = applied(docker_site.wanted(SITE))
    spoil(found)
    assert steps_of(SITE, found)[kind, name][0] == "refuse"


def test_what_the_file_does_not_name_is_left_alone_and_said():
    found = applied(docker_site.wanted(SITE))
    steps = steps_of({**SITE, "hosts": SITE["hosts"][1:]}, found)
    assert steps["host", "demo-database"][0] == "unknown"
    assert steps["volume", FILE][0] == "unknown"


def test_a_removal_keeps_volumes_unless_told():
    want = docker_site.wanted(SITE)
    found = applied(want)
    kept = docker_site.removal(want, found, destroy_volumes=False)
    assert [step["name"] for step in kept if step["action"] == "remove"] == ["demo-database", "demo-proxy", "demo"]
    gone = docker_site.removal(want, found, destroy_volumes=True)
    assert [step["name"] for step in gone if step["action"] == "remove"][-1] == FILE


def test_a_removal_leaves_other_sites_alone():
    want = docker_site.wanted(SITE)
    found = applied(want)
    found["hosts"]["demo-proxy"]["site"] = None
    assert ("host", "demo-proxy") not in {
        (step["kind"], step["name"]) for step in docker_site.removal(want, found, destroy_volumes=True)
    }


def test_the_table_is_aligned():
    lines = plan.table(docker_site.plan(docker_site.wanted(SITE), nothing())).splitlines()
    assert lines[0] == "create  network   demo                         172.30.77.0/24"
    assert len({line.index(line.split()[2]) for line in lines}) == 1

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of the OpenStack provider: what is found and what is wanted lead to exactly the right steps."""

from __future__ import annotations

import copy
import datetime
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import openstack_plan as provider

KEY = "ssh-ed25519 AAAAC3Nza demo"
PROJECT = "project-1"
SITE = {
    "name": "demo",
    "provider": "openstack",
    "openstack": {
        "cloud": "embassy",
        "image": "Debian 13",
        "ssh_from": ["192.0.2.0/24"],
        "new_address": True,
        "network": {"cidr": "192.168.77.0/24", "external": "public", "dns": []},
        "adopt": [],
    },
    "public": {"https_port": 443, "http_port": 80},
    "share": {"kind": "nfs"},
    "hosts": [
        {
            "name": "database",
            "groups": ["database"],
            "flavor": "m1.small",
            "address": "192.168.77.16",
            "public": False,
            "volumes": [{"name": "db", "gib": 20, "mount": "/var/lib/postgresql"}],
        },
        {
            "name": "replica1",
            "groups": ["image_server_replica"],
            "flavor": "m1.small",
            "address": "192.168.77.32",
            "public": False,
            "volumes": [],
        },
        {
            "name": "proxy",
            "groups": ["cache", "bastion"],
            "flavor": "m1.medium",
            "address": "192.168.77.48",
            "public": True,
            "volumes": [{"name": "cache", "gib": 10, "mount": "/var/cache/nginx"}],
        },
    ],
}
FLAVORS = [
    {"id": str(number), "name": name, "vcpus": number, "ram": 1024 * number, "disk": 10 * number}
    for number, name in enumerate(("m1.small", "m1.medium", "m1.large"), 1)
]
EXTERNAL = {"id": "external-1", "name": "public"}
OFFER = {
    "image": [{"id": "image-1", "name": "Debian 13"}, {"id": "image-2", "name": "Ubuntu 24.04"}],
    "volume type": [{"id": "type-1", "name": "fast"}],
    "availability zone": [{"name": "nova"}],
    "compute limits": {},
    "volume quota": {},
    "network quota": {},
}


def nothing() -> dict:
    return {
        "project": PROJECT,
        **{kind: [] for kind in provider.LISTED},
        "flavor": FLAVORS,
        "external network": [EXTERNAL],
    }


def applied(want: dict) -> dict:
    """What a listing finds after the plan for `want` has been written."""
    number = (f"{want['name']}-{count}" for count in itertools.count(1))

    def of_neutron(name: str = "", **more) -> dict:
        return {"id": f"id-{next(number)}", "name": name, "description": want["mark"], "project_id": PROJECT, **more}

    found = nothing()
    found["key pair"] = [{"name": want["name"], "public_key": want["public_key"]}]
    found["network"] = [of_neutron(want["name"])]
    found["subnet"] = [of_neutron(want["name"], cidr=want["cidr"], dns_nameservers=list(want["dns"]))]
    router = of_neutron(want["name"], external_gateway_info={"network_id": EXTERNAL["id"]})
    found["router"] = [router]
    groups = {name: of_neutron(name) for name in want["security_groups"]}
    for name, rules in want["security_groups"].items():
        groups[name]["security_group_rules"] = [
            {
                "id": f"rule-{next(number)}",
                "direction": "ingress",
                "protocol": protocol,
                "port_range_min": first,
                "port_range_max": last,
                "remote_group_id": groups[group]["id"] if group else None,
                "remote_ip_prefix": network or None,
            }
            for protocol, first, last, group, network in rules
        ]
    found["security group"] = list(groups.values())
    if want["server_group"]:
        found["server group"] = [{"id": f"group-{next(number)}", "name": want["server_group"]}]
    subnet_id = found["subnet"][0]["id"]
    found["port"] = [
        {
            "id": f"port-{next(number)}",
            "name": "",
            "description": "",
            "device_id": router["id"],
            "network_id": found["network"][0]["id"],
            "device_owner": "network:router_interface",
            "fixed_ips": [{"subnet_id": subnet_id, "ip_address": "192.168.77.1"}],
            "security_groups": [],
        }
    ]
    for host in want["hosts"]:
        server = {
            "id": f"server-{next(number)}",
            "name": host["name"],
            "status": "ACTIVE",
            "created": "2026-11-20T10:00:00Z",
            "metadata": provider.metadata(want, host),
            "flavor": {"original_name": host["flavor"]},
            "image": {"id": "image-1"},
        }
        found["server"].append(server)
        found["port"].append(
            of_neutron(
                host["name"],
                device_id=server["id"],
                device_owner="compute:nova",
                network_id=found["network"][0]["id"],
                fixed_ips=[{"subnet_id": subnet_id, "ip_address": host["address"]}],
                security_groups=[groups[name]["id"] for name in host["security_groups"]],
            )
        )
        if host["outside"]:
            found["address"].append(
                of_neutron(
                    floating_ip_address=host["outside"]["address"] or f"address of {next(number)}",
                    floating_network_id=EXTERNAL["id"],
                    port_id=found["port"][-1]["id"],
                )
            )
    servers = {server["name"]: server["id"] for server in found["server"]}
    for volume in want["volumes"]:
        found["volume"].append(
            {
                "id": f"volume-{next(number)}",
                "name": volume["name"],
                "status": "in-use",
                "size": volume["gib"],
                "metadata": provider.volume_metadata(want, volume),
                "volume_type": volume["type"],
                "attachments": [{"server_id": servers[f"{want['name']}-{volume['host']}"]}],
            }
        )
    return found


def steps_of(site: dict, found: dict, **options) -> dict:
    return {
        (step["kind"], step["name"]): (step["action"], step["detail"])
        for step in provider.plan(provider.wanted(site, KEY, **options), found)
    }


def problems_of(site: dict, found: dict, offer: dict | None = None, **options) -> list[str]:
    want = provider.wanted(site, KEY, **options)
    return provider.problems(provider.plan(want, found), want, found, offer or OFFER)


def site_with(path: str = "", **values) -> dict:
    """SITE with some keys of `path` changed; hosts[0] is the database, hosts[2] the proxy."""
    site = copy.deepcopy(SITE)
    place = site
    for key in filter(None, path.split(".")):
        place = place[int(key) if key.isdigit() else key]
    place.update(values)
    return site


def first(found: dict, kind: str, name: str) -> dict:
    return next(resource for resource in found[kind] if resource["name"] == name)


def test_a_new_site_is_created_whole():
    steps = steps_of(SITE, nothing())
    assert {action for action, _detail in steps.values()} == {"create"}
    assert {kind for kind, _name in steps} == {
        "key pair",
        "network",
        "subnet",
        "router",
        "security group",
        "server group",
        "volume",
        "port",
        "server",
        "attachment",
        "address",
    }
    assert problems_of(SITE, nothing()) == []


def test_the_plan_of_an_applied_plan_keeps_everything():
    found = applied(provider.wanted(SITE, KEY))
    assert {action for action, _detail in steps_of(SITE, found).values()} == {"keep"}
    assert provider.asked(provider.plan(provider.wanted(SITE, KEY), found), provider.wanted(SITE, KEY)) == ()


hosts = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
            "groups": st.sets(
                st.sampled_from(["database", "image_server_primary", "image_server_replica", "cache"]), min_size=1
            ).map(sorted),
            "flavor": st.sampled_from(["m1.small", "m1.medium"]),
            "volumes": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "gib": st.integers(1, 100)}),
                unique_by=lambda volume: volume["name"],
            ),
        }
    ),
    unique_by=lambda host: host["name"],
    max_size=5,
)


def site_of(some_hosts: list[dict]) -> dict:
    gateway = {"name": "gate-way", "groups": ["bastion"], "flavor": "m1.small", "volumes": []}
    site = copy.deepcopy(SITE)
    site["hosts"] = [
        {**host, "address": f"192.168.77.{16 + number}", "public": number == 0}
        for number, host in enumerate([gateway, *some_hosts])
    ]
    return site


@given(hosts)
@settings(deadline=None)
def test_any_site_is_done_after_one_run(some_hosts):
    want = provider.wanted(site_of(some_hosts), KEY)
    assert {step["action"] for step in provider.plan(want, nothing())} == {"create"}
    assert {step["action"] for step in provider.plan(want, applied(want))} == {"keep"}


@given(hosts, hosts, st.data())
@settings(deadline=None)
def test_no_plan_of_a_site_that_shall_be_there_ever_removes(before, after, data):
    found = applied(provider.wanted(site_of(before), KEY))
    # Whatever is missing, failed or not ours:
    for kind in provider.LISTED:
        found[kind] = [resource for resource in found[kind] if data.draw(st.booleans())]
    for resource in found["server"] + found["volume"]:
        resource["status"] = data.draw(
            st.sampled_from(
                ["ACTIVE", "ERROR", "BUILD", "SHUTOFF", "available", "in-use", "error", "creating", "deleting"]
            )
        )
        if data.draw(st.booleans()):
            resource["metadata"] = {}
    want = provider.wanted(site_of(after), KEY)
    steps = provider.plan(want, found)
    assert {step["action"] for step in steps} <= {"keep", "create", "change", "refuse", "unknown"}
    provider.problems(steps, want, found, OFFER)


@given(hosts, st.sets(st.sampled_from(provider.LISTED)))
@settings(deadline=None)
def test_a_removal_of_a_half_made_site_keeps_its_data(some_hosts, missing):
    want = provider.wanted(site_of(some_hosts), KEY)
    found = {**applied(want), **{kind: [] for kind in missing}}
    removed = [step for step in provider.removal(want, found, [], NOW) if step["action"] == "remove"]
    assert not {"volume", "snapshot"} & {step["kind"] for step in removed}
    assert len([step for step in removed if step["kind"] == "server"]) == len(found["server"])


# --- Changes in place


def test_a_larger_volume_grows():
    found = applied(provider.wanted(SITE, KEY))
    site = site_with("hosts.0.volumes.0", gib=30)
    assert steps_of(site, found)["volume", "demo-database-db"] == ("change", "20 -> 30 GiB")


def test_rules_are_opened_and_closed():
    found = applied(provider.wanted(SITE, KEY))
    action, detail = steps_of(site_with("openstack", ssh_from=["203.0.113.0/24"]), found)[
        "security group", "demo-bastion"
    ]
    assert action == "change"
    assert detail == "open tcp 22 from 203.0.113.0/24, close tcp 22 from 192.0.2.0/24"


def test_a_host_in_another_group_gets_its_rules():
    found = applied(provider.wanted(SITE, KEY))
    steps = steps_of(site_with("hosts.0", groups=["database", "image_server_primary"]), found)
    assert steps["security group", "demo-image_server_primary"][0] == "create"
    assert steps["port", "demo-database"] == (
        "change",
        "security groups demo, demo-database, demo-image_server_primary",
    )


def test_other_name_servers_are_given():
    found = applied(provider.wanted(SITE, KEY))
    assert steps_of(site_with("openstack.network", dns=["192.0.2.53"]), found)["subnet", "demo"] == (
        "change",
        "dns the cloud's -> 192.0.2.53",
    )


def test_a_stopped_server_is_started():
    found = applied(provider.wanted(SITE, KEY))
    first(found, "server", "demo-proxy")["status"] = "SHUTOFF"
    assert steps_of(SITE, found)["server", "demo-proxy"] == ("change", "start")


def test_a_lost_volume_attachment_is_made_again():
    found = applied(provider.wanted(SITE, KEY))
    first(found, "volume", "demo-proxy-cache").update(status="available", attachments=[])
    steps = steps_of(SITE, found)
    assert steps["attachment", "demo-proxy-cache"] == ("create", "to demo-proxy")
    assert steps["volume", "demo-proxy-cache"][0] == "keep"


@pytest.mark.parametrize(
    "kind, name, status",
    [
        ("server", "demo-proxy", "BUILD"),
        ("volume", "demo-proxy-cache", "creating"),
        ("volume", "demo-proxy-cache", "attaching"),
    ],
)
def test_what_a_killed_run_began_is_waited_for(kind, name, status):
    found = applied(provider.wanted(SITE, KEY))
    first(found, kind, name)["status"] = status
    assert steps_of(SITE, found)[kind, name] == ("change", f"wait: {status} since an earlier run")


def test_a_router_without_its_subnet_is_connected():
    found = applied(provider.wanted(SITE, KEY))
    found["port"] = found["port"][1:]
    assert steps_of(SITE, found)["router", "demo"] == ("change", "connect the subnet")


# --- What is refused


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
    found = applied(provider.wanted(SITE, KEY))
    site = site_with(path, **values)
    action, detail = steps_of(site, found)[kind, name]
    assert action == "refuse" and words in detail
    assert any(name in line and words in line for line in problems_of(site, found))


def test_a_renewed_image_of_the_same_name_changes_nothing():
    found = applied(provider.wanted(SITE, KEY))
    for server in found["server"]:
        server["image"] = {"id": "image-of-last-month"}
    assert {action for action, _detail in steps_of(SITE, found).values()} == {"keep"}


def test_a_failed_server_is_reported_with_novas_reason_and_made_anew_only_by_name():
    found = applied(provider.wanted(SITE, KEY))
    first(found, "server", "demo-database").update(status="ERROR", fault={"message": "No valid host was found. "})
    action, detail = steps_of(SITE, found)["server", "demo-database"]
    assert action == "refuse"
    assert "No valid host was found;" in detail and "-e recreate_failed=database" in detail
    steps = steps_of(SITE, found, recreate_failed=["database"])
    assert steps["server", "demo-database"][0] == "recreate"
    assert steps["attachment", "demo-database-db"][0] == "create"


def test_recreate_failed_never_touches_a_server_that_runs():
    found = applied(provider.wanted(SITE, KEY))
    assert {action for action, _ in steps_of(SITE, found, recreate_failed=["database"]).values()} == {"keep"}


def test_a_misspelt_host_to_recreate_is_refused():
    found = applied(provider.wanted(SITE, KEY))
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
    found = applied(provider.wanted(SITE, KEY))
    first(found, kind, name).update(spoil)
    action, detail = steps_of(SITE, found)[kind, name]
    assert action == "refuse"
    if kind == "key pair":
        assert "another site.name" in detail
    else:
        assert f"adopt: ['{name}']" in detail and first(found, kind, name)["id"] in detail
        assert steps_of(site_with("openstack", adopt=[name]), found)[kind, name] == ("change", "adopt it, as asked")


def test_the_same_name_in_another_project_is_none_of_our_business():
    found = applied(provider.wanted(SITE, KEY))
    found["network"].append({"id": "x", "name": "demo", "description": "", "project_id": "project-2"})
    assert steps_of(SITE, found)["network", "demo"][0] == "keep"


def test_two_of_one_name_are_named_both():
    found = applied(provider.wanted(SITE, KEY))
    twin = {**first(found, "server", "demo-proxy"), "id": "server-twin"}
    found["server"].append(twin)
    action, detail = steps_of(SITE, found)["server", "demo-proxy"]
    assert action == "refuse" and "server-twin" in detail and first(found, "server", "demo-proxy")["id"] in detail


def test_a_volume_at_another_server_is_not_taken_away():
    found = applied(provider.wanted(SITE, KEY))
    found["server"].append({"id": "other", "name": "mine", "metadata": {}, "status": "ACTIVE"})
    first(found, "volume", "demo-database-db")["attachments"] = [{"server_id": "other"}]
    action, detail = steps_of(SITE, found)["attachment", "demo-database-db"]
    assert action == "refuse" and "attached to mine" in detail


def test_what_the_file_does_not_name_is_left_alone_and_said():
    found = applied(provider.wanted(SITE, KEY))
    steps = steps_of({**SITE, "hosts": SITE["hosts"][1:]}, found)
    for kind, name in (
        ("server", "demo-database"),
        ("port", "demo-database"),
        ("volume", "demo-database-db"),
        ("security group", "demo-database"),
    ):
        assert steps[kind, name] == ("unknown", provider.UNNAMED)


def test_two_sites_in_one_project_do_not_see_each_other():
    other = {**SITE, "name": "demo2"}
    found, beside = applied(provider.wanted(SITE, KEY)), applied(provider.wanted(other, KEY))
    both = {
        kind: resources + beside[kind] if kind in provider.LISTED else resources for kind, resources in found.items()
    }
    assert steps_of(SITE, both) == steps_of(SITE, found)


# --- Names and quotas that the cloud does not have


def test_all_unknown_names_are_reported_at_once():
    site = site_with("openstack", image="Debian13", volume_type="quick", availability_zone="mars")
    site["openstack"]["network"]["external"] = "publik"
    site["hosts"][0]["flavor"] = "m1.smal"
    assert problems_of(site, nothing()) == [
        "site.openstack.image: there is no image 'Debian13' in cloud embassy; did you mean 'Debian 13'?",
        "site.openstack.network.external: there is no external network 'publik' in cloud embassy; "
        "did you mean 'public'?",
        "site.openstack.availability_zone: there is no availability zone 'mars' in cloud embassy; there are: nova",
        "site.hosts (database).flavor: there is no flavor 'm1.smal' in cloud embassy; did you mean 'm1.small'?",
        "site.hosts (database).volumes (db).type: there is no volume type 'quick' in cloud embassy; there are: fast",
        "site.hosts (proxy).volumes (cache).type: there is no volume type 'quick' in cloud embassy; there are: fast",
    ]


def test_a_host_too_small_for_its_image_is_reported():
    offer = {**OFFER, "image": [{"id": "image-1", "name": "Debian 13", "min_disk": 15, "min_ram": 2048}]}
    site = site_with("hosts.1", boot_volume_gib=5)
    assert problems_of(site, nothing(), offer) == [
        "site.hosts (database).flavor: m1.small has a disk of 10 GiB, the image Debian 13 needs 15; "
        "choose a larger flavor, or write boot_volume_gib: 15",
        "site.hosts (database).flavor: m1.small has 1024 MiB of memory, the image Debian 13 needs 2048; "
        "choose a larger flavor",
        "site.hosts (replica1).boot_volume_gib: 5 is less than the image Debian 13 needs; write 15 or more",
        "site.hosts (replica1).flavor: m1.small has 1024 MiB of memory, the image Debian 13 needs 2048; "
        "choose a larger flavor",
    ]


def test_quotas_are_checked_for_the_whole_plan_with_numbers():
    offer = {
        **OFFER,
        "compute limits": {
            "maxTotalInstances": 10,
            "totalInstancesUsed": 8,
            "maxTotalCores": -1,
            "totalCoresUsed": 3,
            "maxTotalRAMSize": 4096,
            "totalRAMUsed": 0,
        },
        "volume quota": {
            "volumes": {"limit": 10, "in_use": 8, "reserved": 0},
            "gigabytes": {"limit": 100, "in_use": 70, "reserved": 1},
            "gigabytes_fast": {"limit": 15, "in_use": 0, "reserved": 0},
            "volumes_fast": {"limit": -1, "in_use": 0, "reserved": 0},
            "per_volume_gigabytes": {"limit": 1, "in_use": 0, "reserved": 0},
            "id": PROJECT,
        },
        "network quota": {
            "port": {"limit": 5, "used": 1, "reserved": 1},
            "floatingip": {"limit": 0, "used": 0, "reserved": 0},
        },
    }
    site = copy.deepcopy(SITE)
    site["hosts"][0]["volumes"][0]["type"] = "fast"
    assert problems_of(site, nothing(), offer) == [
        "quota of cloud embassy: the plan needs 30 more GiB of volumes, the project may have 100 and uses 71; "
        "ask the cloud for 101, or make the site smaller",
        "quota of cloud embassy: the plan needs 20 more GiB of volumes of type fast, the project may have 15 and uses 0; "
        "ask the cloud for 20, or make the site smaller",
        "quota of cloud embassy: the plan needs 1 more floating IPs, the project may have 0 and uses 0; "
        "ask the cloud for 1, or make the site smaller",
        "quota of cloud embassy: the plan needs 4 more ports, the project may have 5 and uses 2; "
        "ask the cloud for 6, or make the site smaller",
        "quota of cloud embassy: the plan needs 3 more servers, the project may have 10 and uses 8; "
        "ask the cloud for 11, or make the site smaller",
    ]


# --- Volumes that are made from others


SOURCE = {"id": "volume-old", "name": "old-db", "status": "in-use", "size": 15, "metadata": {}, "attachments": []}


def test_a_source_in_use_is_snapshot_first():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db"})
    steps = steps_of(site, {**nothing(), "volume": [SOURCE]})
    assert steps["snapshot", "demo-database-db-source"] == ("create", "of old-db, which is in-use")
    assert steps["volume", "demo-database-db"] == ("create", "20 GiB, from old-db")
    want = provider.wanted(site, KEY)
    needs = provider.needs(
        provider.plan(want, {**nothing(), "volume": [SOURCE]}), want, {**nothing(), "volume": [SOURCE]}
    )
    assert needs["GiB of volumes"] == 20 + 15 + 10 and needs["snapshots"] == 1


def test_a_source_at_rest_needs_no_snapshot():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db"})
    steps = steps_of(site, {**nothing(), "volume": [{**SOURCE, "status": "available"}]})
    assert ("snapshot", "demo-database-db-source") not in steps


def test_a_volume_must_hold_its_source():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db", "gib": 10})
    assert problems_of(site, {**nothing(), "volume": [SOURCE]}) == [
        "site.hosts (database).volumes (db).gib: 10 is less than the volume old-db has; write 15 or more"
    ]


def test_an_unknown_source_is_reported():
    site = site_with("hosts.0.volumes.0", **{"from": "old-dbb"})
    assert problems_of(site, {**nothing(), "volume": [SOURCE]}) == [
        "site.hosts (database).volumes (db).from: there is no volume or snapshot 'old-dbb' in this project of cloud "
        "embassy; did you mean 'old-db'?"
    ]


# --- Addresses


def address(number: int, **values) -> dict:
    return {
        "id": f"address-{number}",
        "floating_ip_address": f"198.51.100.{number}",
        "description": "",
        "port_id": None,
        "floating_network_id": EXTERNAL["id"],
        "project_id": PROJECT,
        **values,
    }


@pytest.mark.parametrize(
    "public, new_address, addresses, expected",
    [
        ("198.51.100.5", False, [address(5)], ("change", "198.51.100.5")),
        ("198.51.100.5", False, [address(5, port_id="ours")], ("keep", "198.51.100.5")),
        (
            "198.51.100.5",
            True,
            [address(5, port_id="other")],
            ("create", "a new one of public; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (
            "198.51.100.5",
            True,
            [address(5, port_id="other"), address(6, description="imaging.repository site demo")],
            ("change", "198.51.100.6; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (
            "198.51.100.5",
            False,
            [address(5, port_id="other"), address(6, port_id="ours")],
            ("keep", "198.51.100.6; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (None, True, [], ("create", "a new one of public")),
        (None, True, [address(5)], ("create", "a new one of public")),
        ("198.51.100.5", False, [address(5), address(6, port_id="ours")], ("change", "198.51.100.5")),
    ],
)
def test_addresses_are_used_when_free_and_never_taken(public, new_address, addresses, expected):
    site = site_with("openstack", new_address=new_address)
    site["public"]["address"] = public
    found = applied(provider.wanted(site, KEY))
    ours = first(found, "port", "demo-proxy")["id"]
    found["address"] = [
        {**entry, "port_id": ours if entry["port_id"] == "ours" else entry["port_id"]} for entry in addresses
    ]
    assert steps_of(site, found)["address", "demo-proxy"] == expected


@pytest.mark.parametrize(
    "public, addresses, words",
    [
        (
            None,
            [address(7)],
            "site.public.address: is missing; write a floating IP of the project (free: 198.51.100.7)",
        ),
        ("198.51.100.5", [], "site.public.address: 198.51.100.5 is no floating IP of this project"),
        ("198.51.100.5", [address(5, port_id="other")], "site.openstack.new_address: true"),
    ],
)
def test_a_bastion_without_an_address_is_refused(public, addresses, words):
    site = site_with("openstack", new_address=False)
    site["public"]["address"] = public
    found = {**nothing(), "address": addresses}
    problems = problems_of(site, found)
    assert len(problems) == 1 and words in problems[0]


# --- Removal


NOW = datetime.datetime(2026, 11, 22, 10, 0, tzinfo=datetime.UTC)


def removal_of(found: dict, destroy_volumes=()) -> dict:
    return {
        (step["kind"], step["name"]): (step["action"], step["detail"])
        for step in provider.removal(provider.wanted(SITE, KEY), found, destroy_volumes, NOW)
    }


def test_a_removal_tells_ages_and_keeps_volumes():
    steps = removal_of(applied(provider.wanted(SITE, KEY)))
    assert steps["server", "demo-database"] == ("remove", "ACTIVE, 2 days old")
    assert steps["volume", "demo-database-db"][0] == "keep"
    assert "-e destroy_volumes=demo-database-db" in steps["volume", "demo-database-db"][1]
    assert {kind for (kind, _name), (action, _detail) in steps.items() if action == "remove"} == {
        "server",
        "port",
        "address",
        "router",
        "subnet",
        "network",
        "security group",
        "server group",
        "key pair",
    }


def test_only_the_named_volume_goes():
    steps = removal_of(applied(provider.wanted(SITE, KEY)), ["demo-database-db"])
    assert steps["volume", "demo-database-db"] == ("remove", "20 GiB, with all data on it")
    assert steps["volume", "demo-proxy-cache"][0] == "keep"


def test_a_misspelt_volume_removes_nothing():
    action, detail = removal_of(applied(provider.wanted(SITE, KEY)), ["demo-database-bd"])["volume", "demo-database-bd"]
    assert action == "refuse" and "did you mean 'demo-database-db'?" in detail


def test_a_removal_touches_nothing_without_the_mark():
    found = applied(provider.wanted(SITE, KEY))
    first(found, "server", "demo-proxy")["metadata"] = {}
    first(found, "volume", "demo-proxy-cache")["metadata"] = {}
    first(found, "security group", "demo-cache")["description"] = ""
    steps = removal_of(found, [])
    assert not {("server", "demo-proxy"), ("volume", "demo-proxy-cache"), ("security group", "demo-cache")} & set(steps)


def test_a_network_with_a_strangers_server_stays():
    found = applied(provider.wanted(SITE, KEY))
    found["port"].append(
        {
            "id": "theirs",
            "name": "their-port",
            "description": "",
            "device_id": "x",
            "device_owner": "compute:nova",
            "network_id": found["network"][0]["id"],
            "fixed_ips": [],
            "security_groups": [first(found, "security group", "demo")["id"]],
        }
    )
    steps = removal_of(found)
    for kind in ("network", "subnet", "router", "security group"):
        assert steps[kind, "demo"] == ("keep", "stays: ports that are not this site's use it: their-port")


def test_our_address_at_another_sites_host_stays():
    found = applied(provider.wanted(SITE, KEY))
    found["address"][0]["port_id"] = "elsewhere"
    action, detail = removal_of(found)["address", found["address"][0]["floating_ip_address"]]
    assert action == "keep" and "elsewhere" in detail


@pytest.mark.parametrize(
    "created, words",
    [
        ("2026-11-22T09:59:30Z", "less than a minute old"),
        ("2026-11-22T09:00:00.000000", "1 hour old"),
        ("2026-11-12T09:00:00Z", "10 days old"),
        ("", ""),
    ],
)
def test_ages_are_words(created, words):
    assert provider.age(created, NOW) == words

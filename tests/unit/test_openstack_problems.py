# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Names and quotas that a cloud does not have, and volumes that are made from others."""

from __future__ import annotations

import copy

from openstack_samples import (
    EXTERNAL,
    FLAVORS,
    OFFER,
    PROJECT,
    SITE,
    applied,
    nothing,
    problems_of,
    site_with,
    steps_of,
    want_of,
)

from plugins.module_utils.openstack.plan import plan
from plugins.module_utils.openstack.quotas import needs
from plugins.module_utils.openstack.shapes import Found

SOURCE = {"id": "volume-old", "name": "old-db", "status": "in-use", "size": 15, "metadata": {}, "attachments": []}


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
    offer = OFFER.with_resources(image=[{"id": "image-1", "name": "Debian 13", "min_disk": 15, "min_ram": 2048}])
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
    limits = {
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
    offer = Found(PROJECT, OFFER.resources, limits)
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


def test_a_source_in_use_is_snapshot_first():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db"})
    steps = steps_of(site, nothing(volume=[SOURCE]))
    assert steps["snapshot", "demo-database-db-source"] == ("create", "of old-db, which is in-use")
    assert steps["volume", "demo-database-db"] == ("create", "20 GiB, from old-db")
    want = want_of(site)
    taken = needs(plan(want, nothing(volume=[SOURCE])), want, nothing(volume=[SOURCE]))
    assert taken["GiB of volumes"] == 20 + 15 + 10 and taken["snapshots"] == 1


def test_a_source_at_rest_needs_no_snapshot():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db"})
    steps = steps_of(site, nothing(volume=[{**SOURCE, "status": "available"}]))
    assert ("snapshot", "demo-database-db-source") not in steps


def test_a_volume_must_hold_its_source():
    site = site_with("hosts.0.volumes.0", **{"from": "old-db", "gib": 10})
    assert problems_of(site, nothing(volume=[SOURCE])) == [
        "site.hosts (database).volumes (db).gib: 10 is less than the volume old-db has; write 15 or more"
    ]


def test_an_unknown_source_is_reported():
    site = site_with("hosts.0.volumes.0", **{"from": "old-dbb"})
    assert problems_of(site, nothing(volume=[SOURCE])) == [
        "site.hosts (database).volumes (db).from: there is no volume or snapshot 'old-dbb' in this project of cloud "
        "embassy; did you mean 'old-db'?"
    ]


def test_names_that_several_have_are_refused_with_the_ids():
    images = [{"id": "image-1", "name": "Debian 13"}, {"id": "image-3", "name": "Debian 13"}]
    twice = nothing(**{"external network": [EXTERNAL, {**EXTERNAL, "id": "external-2"}]})
    assert problems_of(SITE, twice, OFFER.with_resources(image=images)) == [
        "site.openstack.image: 'Debian 13' is the name of 2 images in cloud embassy; write the id of one of them: "
        "image-1, image-3",
        "site.openstack.network.external: 'public' is the name of 2 external networks in cloud embassy; write the id of "
        "one of them: external-1, external-2",
    ]
    site = site_with("openstack.network", external="external-2")
    assert problems_of(site, twice) == []


def test_an_id_counts_before_a_name_that_looks_like_it():
    flavors = [{**FLAVORS[0], "name": "2"}, *FLAVORS[1:]]
    site = site_with("hosts.0", flavor="2")
    want = want_of(site)
    assert needs(plan(want, nothing(flavor=flavors)), want, nothing(flavor=flavors))["cores"] == 2 + 0 + 2


def test_a_router_that_leads_to_one_of_two_networks_of_a_name_is_kept():
    found = applied(want_of(SITE))
    found.resources["external network"] = [{**EXTERNAL, "id": "external-2"}, EXTERNAL]
    assert steps_of(SITE, found)["router", "demo"][0] == "keep"


def test_a_flavor_without_a_disk_needs_a_boot_volume():
    flavors = [{**flavor, "disk": 0} for flavor in FLAVORS]
    site = site_with("hosts.1", boot_volume_gib=30)
    assert problems_of(site, nothing(flavor=flavors)) == [
        f"site.hosts ({host}).flavor: {flavor} has no disk, and many clouds let no server boot without one; "
        "write boot_volume_gib: 20"
        for host, flavor in (("database", "m1.small"), ("proxy", "m1.medium"))
    ]


def test_key_pairs_and_members_of_server_groups_have_quotas_too():
    limits = {"compute limits": {"maxTotalKeypairs": 1, "maxServerGroupMembers": 2}}
    replicas = [
        {**SITE["hosts"][1], "name": f"replica{number}", "address": f"192.168.77.{60 + number}"} for number in (1, 2, 3)
    ]
    site = site_with(hosts=[SITE["hosts"][0], *replicas, SITE["hosts"][2]])
    found = nothing(**{"key pair": [{"name": "mine", "public_key": "ssh-ed25519 AAAAmine"}]})
    assert problems_of(site, found, Found(PROJECT, OFFER.resources, limits)) == [
        "quota of cloud embassy: the server group demo-image_server_replica has 3 hosts, the project may have 2 in one; "
        "ask the cloud for 3 server group members, or make the site smaller",
        "quota of cloud embassy: the plan needs 1 more key pairs, the project may have 1 and uses 1; "
        "ask the cloud for 2, or make the site smaller",
    ]
    unlimited = {"compute limits": {"maxTotalKeypairs": -1, "maxServerGroupMembers": -1}}
    assert problems_of(site, found, Found(PROJECT, OFFER.resources, unlimited)) == []

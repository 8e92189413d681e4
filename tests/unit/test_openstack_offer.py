# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What fits a new site, and that the file which is written from it is sound whatever a cloud offers."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given, settings, strategies

from plugins.module_utils.openstack import offer as module
from plugins.module_utils.openstack.shapes import Found
from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = yaml.safe_load((REPOSITORY / "roles/openstack/files/new_site.yml").read_text())
schema = features.read().schema
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text())["site"]


def image(name, **others):
    return {
        "id": f"id-{name}",
        "name": name,
        "distribution": "",
        "version": "",
        "created_at": "2026-01-01T00:00:00Z",
        "least_disk_gib": 0,
        "user": "",
        **others,
    }


def flavor(name, memory_mib, cores=2, disk_gib=20):
    return {"name": name, "memory_mib": memory_mib, "cores": cores, "disk_gib": disk_gib}


OFFER = {
    "cloud": "embassy",
    "images": [image("Ubuntu 24.04"), image("Debian 12"), image("Debian 13")],
    "flavors": [flavor("large", 8192), flavor("small", 2048), flavor("medium", 4096), flavor("huge", 65536, 16)],
    "networks": ["public"],
    "volume_types": ["bulk", "fast"],
    "volume_zones": ["nova"],
    "shared_networks": [],
    "zones": ["nova"],
    "addresses": [{"address": "172.24.4.10", "network": "public"}, {"address": "172.24.4.11", "network": "public"}],
    "quota": {},
    "controller": "172.24.4.1",
}


def written(offer):
    """Return the site file as text, rendered as Ansible renders it."""
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = lambda value, **options: json.dumps(value, **options)
    template = environment.from_string((REPOSITORY / "playbooks/templates/site_file.yml.j2").read_text())
    choice = module.choose(offer, HOSTS)
    return template.render(
        name="idr127", offer=offer, choice=choice, shortages=module.shortages(choice, offer["quota"])
    )


def problems(text):
    return schema.problems(DEMO, yaml.safe_load(text)["site"])


def test_a_cloud_that_has_all_makes_a_sound_file():
    text = written(OFFER)
    assert problems(text) == []
    assert "MISSING" not in text
    site = schema.effective(DEMO, yaml.safe_load(text)["site"])
    assert [(host["name"], host["flavor"]) for host in site["hosts"]] == [
        ("database", "large"),
        ("primary", "large"),
        ("replica1", "large"),
        ("replica2", "large"),
        ("proxy", "medium"),
    ]
    assert site["openstack"]["image"] == "Debian 13"
    assert site["public"]["address"] == "172.24.4.10"
    assert site["openstack"]["ssh_from"] == ["172.24.4.1/32"]
    assert "172.24.4.11" in text and '"bulk", "fast"' in text


@pytest.mark.parametrize(
    ("key", "value", "missing", "said"),
    [
        ("images", [image("Debian 12")], "site.openstack.image", "no image of Debian 13"),
        ("networks", [], "site.openstack.network.external", "no external network"),
        ("controller", "", "site.openstack.ssh_from", "This machine's own address"),
        ("flavors", [flavor("tiny", 512)], "flavor", "no flavor has 1024 MiB"),
    ],
)
def test_what_the_cloud_does_not_offer_is_said_and_not_invented(key, value, missing, said):
    text = written({**OFFER, key: value})
    assert said in text
    assert any(missing in line for line in problems(text))


def test_a_cloud_without_floating_ips_lends_a_network_of_its_own():
    shared = [{"name": "campus", "cidr": "10.20.0.0/24"}]
    text = written({**OFFER, "networks": [], "addresses": [], "shared_networks": shared})
    assert problems(text) == [] and "MISSING" not in text
    site = schema.effective(DEMO, yaml.safe_load(text)["site"])
    assert site["openstack"]["network"] == {"existing": "campus", "cidr": "10.20.0.0/24", "dns": []}
    assert [host.get("address") for host in site["hosts"]] == [None] * 5


@pytest.mark.parametrize(
    ("zones", "volume_zones", "zone"),
    [
        (["nova"], ["nova"], None),
        (["hall"], ["hall", "nova"], "hall"),
        (["a", "b"], ["b"], "b"),
        (["a", "b"], ["nova"], None),
        ([], [], None),
    ],
)
def test_a_zone_is_named_where_the_clouds_own_choices_may_differ(zones, volume_zones, zone):
    text = written({**OFFER, "zones": zones, "volume_zones": volume_zones})
    assert yaml.safe_load(text)["site"]["openstack"].get("availability_zone") == zone


def test_without_a_free_address_one_is_allocated_where_the_quota_has_one():
    offer = {**OFFER, "addresses": []}
    assert yaml.safe_load(written(offer))["site"]["openstack"]["new_address"] is True
    none_left = {**offer, "quota": {"floating IPs": 0}}
    text = written(none_left)
    assert "no free floating IP and no quota" in text and "1 floating IPs needed, 0 left" in text
    assert any("site.public.address" in line for line in problems(text))


@pytest.mark.parametrize(
    ("images", "value"),
    [
        ([image("debian-13-genericcloud")], "debian-13-genericcloud"),
        ([image("Debian 13 old", created_at="2024"), image("Debian 13 new", created_at="2026")], "Debian 13 new"),
        ([image("base", distribution="debian", version="13.1")], "base"),
        ([image("Debian Trixie")], "Debian Trixie"),
        ([image("Debian 13", id="a", created_at="1"), image("Debian 13", id="b", created_at="2")], "b"),
        ([image("Debian 12"), image("debian", version="12")], None),
        ([image("Ubuntu 13")], None),
        ([], None),
    ],
)
def test_the_newest_debian_13_is_chosen(images, value):
    chosen = module.choose_image(images)
    assert (chosen and chosen["value"]) == value


def test_a_flavor_without_a_disk_boots_from_a_volume_as_large_as_the_image_needs():
    flavors = [flavor("diskless", 8192, disk_gib=0)]
    offer = {**OFFER, "flavors": flavors, "images": [image("Debian 13", least_disk_gib=15)]}
    assert module.choose(offer, HOSTS)["boot_volume_gib"] == 15
    assert module.choose(OFFER, HOSTS)["boot_volume_gib"] is None


def test_a_small_quota_makes_a_small_site():
    quota = {"MiB of memory": 20000, "GiB of volumes": 300}
    choice = module.choose({**OFFER, "quota": quota}, HOSTS)
    assert choice["scale"] == 2
    assert module.shortages(choice, quota) == []
    assert sum(volume["gib"] for host in choice["hosts"] for volume in host["volumes"]) <= 300


def test_a_quota_that_is_too_small_is_named_with_its_numbers():
    quota = {"servers": 3, "MiB of memory": 1024, "GiB of volumes": 4}
    text = written({**OFFER, "quota": quota})
    for line in (
        "5 servers needed, 3 left",
        "10240 MiB of memory needed, 1024 left",
        "8 GiB of volumes needed, 4 left",
    ):
        assert line in text
    assert problems(text) == []


@pytest.mark.parametrize(
    ("own", "remote", "seen"),
    [
        ("172.17.0.1", "172.17.0.2", "172.17.0.1"),
        ("193.62.1.2", "193.62.9.9", "193.62.1.2"),
        ("192.168.1.5", "193.62.9.9", ""),
        ("127.0.0.1", "127.0.0.1", ""),
        ("2001:db8::1", "2001:db8::2", ""),
        ("", "", ""),
    ],
)
def test_only_an_address_that_is_not_translated_is_written(own, remote, seen):
    assert module.without_translation(own, remote) == seen


def test_an_offer_is_read_from_what_the_services_list():
    resources = {
        "image": [
            {
                "id": "1",
                "name": "Debian 13",
                "status": "active",
                "created_at": "2026",
                "min_disk": 3,
                "virtual_size": 4 * 1024**3 + 1,
                "os_distro": "debian",
                "os_admin_user": "admin",
            },
            {"id": "2", "name": "Debian 13", "status": "deactivated", "created_at": "2027"},
        ],
        "flavor": [
            {"name": "small", "ram": 2048, "vcpus": 1, "disk": 20},
            {"name": "old", "ram": 1, "vcpus": 1, "disk": 1, "OS-FLV-DISABLED:disabled": True},
        ],
        "external network": [{"id": "n", "name": "public"}],
        "volume type": [{"name": "__DEFAULT__"}, {"name": "fast"}],
        "availability zone": [{"name": "nova"}],
        "volume zone": [{"name": "nova"}],
        "any network": [
            {"id": "n", "name": "public", "shared": False},
            {"id": "m", "name": "campus", "shared": True},
        ],
        "any subnet": [
            {"network_id": "m", "cidr": "10.20.0.0/24", "ip_version": 4},
            {"network_id": "m", "cidr": "fd00:20::/64", "ip_version": 6},
        ],
        "address": [
            {"floating_ip_address": address, "floating_network_id": "n", "port_id": port}
            for address, port in (("172.24.4.100", None), ("172.24.4.20", None), ("172.24.4.3", "p"))
        ],
    }
    limits = {
        "compute limits": {"maxTotalInstances": 10, "totalInstancesUsed": 4, "maxTotalCores": -1, "totalCoresUsed": 9},
        "volume quota": {"volumes": {"limit": 3, "in_use": 5, "reserved": 0}},
        "network quota": {"floatingip": {"limit": 8, "used": 2, "reserved": 1}},
    }
    offer = module.read("embassy", Found("project-1", resources, limits), "192.0.2.7")
    assert [(image["id"], image["least_disk_gib"], image["user"]) for image in offer["images"]] == [("1", 5, "admin")]
    assert offer["flavors"] == [{"name": "small", "memory_mib": 2048, "cores": 1, "disk_gib": 20}]
    assert offer["volume_types"] == ["fast"]
    assert offer["shared_networks"] == [{"name": "campus", "cidr": "10.20.0.0/24"}]
    assert [entry["address"] for entry in offer["addresses"]] == ["172.24.4.20", "172.24.4.100"]
    assert offer["quota"] == {"servers": 6, "volumes": 0, "floating IPs": 5}


NAMES = strategies.text(
    strategies.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="{"), min_size=1, max_size=20
)
OFFERS = strategies.fixed_dictionaries(
    {
        "cloud": NAMES,
        "images": strategies.lists(
            strategies.builds(image, NAMES | strategies.just("Debian 13"), created_at=NAMES), max_size=4
        ),
        "flavors": strategies.lists(
            strategies.builds(
                flavor, NAMES, strategies.integers(64, 100_000), strategies.integers(1, 64), strategies.integers(0, 80)
            ),
            max_size=6,
            unique_by=lambda entry: entry["name"],
        ),
        "networks": strategies.lists(NAMES, max_size=3, unique=True),
        "volume_types": strategies.lists(NAMES, max_size=3, unique=True),
        "zones": strategies.lists(NAMES, max_size=3, unique=True),
        "volume_zones": strategies.lists(NAMES, max_size=3, unique=True),
        "shared_networks": strategies.lists(
            strategies.fixed_dictionaries({"name": NAMES, "cidr": strategies.just("10.20.0.0/24")}), max_size=2
        ),
        "addresses": strategies.just([]) | strategies.just(OFFER["addresses"]),
        "quota": strategies.fixed_dictionaries(
            {},
            optional={
                name: strategies.integers(0, 100_000)
                for name in (
                    "servers",
                    "cores",
                    "MiB of memory",
                    "volumes",
                    "GiB of volumes",
                    "networks",
                    "routers",
                    "floating IPs",
                )
            },
        ),
        "controller": strategies.sampled_from(["", "192.0.2.7"]),
    }
)


@settings(deadline=None, max_examples=60)
@given(offer=OFFERS)
def test_any_offer_makes_yaml_whose_only_problems_are_what_is_said_to_be_missing(offer):
    text = written(copy.deepcopy(offer))
    found = problems(text)
    assert all(" is missing; " in line for line in found), found
    assert bool(found) <= ("MISSING" in text)


@settings(deadline=None, max_examples=60)
@given(offer=OFFERS)
def test_a_choice_that_is_not_said_to_be_too_small_fits_the_quota(offer):
    choice = module.choose(offer, HOSTS)
    flavors = [host["flavor"] for host in choice["hosts"]]
    if choice["scale"] is not None:
        assert module.fits(flavors, offer["quota"], HOSTS)
        for host in choice["hosts"]:
            assert host["flavor"]["memory_mib"] >= max(host["memory_mib"] // choice["scale"], host["least_mib"])

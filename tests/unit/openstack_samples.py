# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A site, a cloud that has nothing or all of it, and the plan between the two, for the tests of the provider."""

from __future__ import annotations

import copy
import itertools

from hypothesis import strategies as st

from plugins.module_utils.firewall import Firewall
from plugins.module_utils.openstack.plan import plan
from plugins.module_utils.openstack.problems import problems
from plugins.module_utils.openstack.shapes import LISTED, Found, Want
from plugins.module_utils.openstack.wanted import metadata, volume_metadata, wanted

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


OFFER = Found(
    PROJECT,
    {
        "image": [
            {"id": "image-1", "name": "Debian 13", "status": "active"},
            {"id": "image-2", "name": "Ubuntu 24.04", "status": "active"},
        ],
        "any image": [],
        "hidden image": [],
        "volume type": [{"id": "type-1", "name": "fast"}],
        "availability zone": [{"name": "nova"}],
    },
)


def firewall_of(site: dict) -> Firewall:
    """Return a table like the one of the inventory: it opens something for each of a few groups that have hosts."""
    used = sorted({group for host in site["hosts"] for group in host["groups"]})
    opened = {
        "database": [{"protocol": "tcp", "port": 5432, "sources": [name for name in used if "server" in name]}],
        "image_server_replica": [
            {"protocol": "tcp", "port": 8042, "sources": [name for name in used if name == "cache"]}
        ],
        "bastion": [{"protocol": "tcp", "port": 22, "cidr": network} for network in site["openstack"]["ssh_from"]],
    }
    return {
        "groups": {
            "site": [
                {"protocol": "tcp", "port": 22, "sources": ["bastion"]},
                {"protocol": "icmp", "port": None, "sources": ["site"]},
            ],
            **{name: opened.get(name, []) for name in used},
            "public": [
                {"protocol": "tcp", "port": site["public"][port], "cidr": "0.0.0.0/0"}
                for port in ("https_port", "http_port")
            ],
        },
        "hosts": {
            host["name"]: ["site", *host["groups"], *(["public"] if host["public"] else [])] for host in site["hosts"]
        },
    }


def want_of(site: dict, recreate_failed: tuple[str, ...] | list[str] = ()) -> Want:
    """Return what a site needs; its bastion is the host of the group of that name."""
    bastion = next((host["name"] for host in site["hosts"] if "bastion" in host["groups"]), "")
    return wanted(site, firewall_of(site), KEY, recreate_failed, ["image_server_replica"], bastion)


def nothing(**kinds: list[dict]) -> Found:
    """Return a cloud that has nothing of a site, but for what is given."""
    empty: dict[str, list[dict]] = {kind: [] for kind in LISTED}
    return Found(PROJECT, {**empty, "flavor": list(FLAVORS), "external network": [EXTERNAL], **kinds})


def applied(want: Want) -> Found:
    """What a listing finds after the plan for `want` has been written."""
    number = (f"{want['name']}-{count}" for count in itertools.count(1))

    def of_neutron(name: str = "", **more) -> dict:
        return {"id": f"id-{next(number)}", "name": name, "description": want["mark"], "project_id": PROJECT, **more}

    found = nothing().resources
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
    found["server group"] = [{"id": f"group-{next(number)}", "name": name} for name in want["server_groups"]]
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
            "metadata": metadata(want, host),
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
                "metadata": volume_metadata(want, volume),
                "volume_type": volume["type"],
                "attachments": [{"server_id": servers[f"{want['name']}-{volume['host']}"]}],
            }
        )
    return Found(PROJECT, found)


def steps_of(site: dict, found: Found, **options) -> dict:
    return {
        (step["kind"], step["name"]): (step["action"], step["detail"]) for step in plan(want_of(site, **options), found)
    }


def problems_of(site: dict, found: Found, offer: Found | None = None, **options) -> list[str]:
    want = want_of(site, **options)
    return problems(plan(want, found), want, found, offer or OFFER)


def site_with(path: str = "", **values) -> dict:
    """SITE with some keys of `path` changed; hosts[0] is the database, hosts[2] the proxy."""
    site = copy.deepcopy(SITE)
    place = site
    for key in filter(None, path.split(".")):
        place = place[int(key) if key.isdigit() else key]
    place.update(values)
    return site


def first(found: Found, kind: str, name: str) -> dict:
    return next(resource for resource in found[kind] if resource["name"] == name)


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

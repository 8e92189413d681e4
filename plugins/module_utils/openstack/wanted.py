# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a site needs of a cloud, out of its site file and its firewall.

What belongs to a site carries its mark from the call that creates it: servers, volumes and snapshots in their metadata,
what neutron has in its description. Key pairs and server groups take no mark: a key pair is known by its key, a server
group by its name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ..firewall import ALL_HOSTS, Firewall, FirewallRule
from .shapes import Host, Outside, Rule, Volume, Want

MARK = "imaging.repository site "
SITE, HOST, VOLUME = "imaging_repository_site", "imaging_repository_host", "imaging_repository_volume"
# What a server was made from: the cloud shows neither the image's name nor the size of a volume that nova made.
IMAGE, BOOT_VOLUME = "imaging_repository_image", "imaging_repository_boot_volume_gib"
# The subnet hands out these few addresses itself (routers, DHCP); the hosts' addresses come after them.
AUTOMATIC_ADDRESSES = (2, 15)

# Neutron has a rule for each family of addresses.
EVERYBODY = ("0.0.0.0/0", "::/0")


def mark(site_name: str) -> str:
    """Return the description of what neutron has of a site."""
    return MARK + site_name


def group_name(site_name: str, name: str) -> str:
    """Return the name of the security group of one of the firewalls of a site."""
    return site_name if name == ALL_HOSTS else f"{site_name}-{name}"


def wanted(
    site: Mapping[str, Any],
    firewall: Firewall,
    public_key: str = "",
    recreate_failed: Iterable[str] = (),
    spread: Iterable[str] = (),
    bastion: str = "",
) -> Want:
    """Return what an effective site needs.

    The cloud puts the hosts of each group of `spread` on different machines where it can. `bastion` is the short name
    of the host through which operators reach the others, or "".
    """
    name, cloud = site["name"], site["openstack"]
    existing = cloud["network"].get("existing", "")
    again = set(recreate_failed)
    apart = [group for group in spread if any(group in host["groups"] for host in site["hosts"])]
    hosts: list[Host] = []
    volumes: list[Volume] = []
    for host in site["hosts"]:
        full_name, path = f"{name}-{host['name']}", f"site.hosts ({host['name']})"
        outside: Outside | None = None
        address = host.get("address")
        if existing:
            # An address of another network leads here by what others have set up.
            if host["public"] and _is_in(site["public"].get("address"), cloud["network"]["cidr"]):
                address = address or site["public"]["address"]
        elif host["public"]:
            outside = {"path": "site.public.address", "address": site["public"].get("address")}
        elif host["name"] == bastion:
            outside = {"path": "site.openstack.bastion_address", "address": cloud.get("bastion_address")}
        hosts.append(
            {
                "name": full_name,
                "host": host["name"],
                "path": path,
                "flavor": host["flavor"],
                "address": address,
                "security_groups": sorted(group_name(name, entry) for entry in firewall["hosts"][host["name"]]),
                "boot_volume_gib": host.get("boot_volume_gib", cloud.get("boot_volume_gib")),
                "volume_type": cloud.get("volume_type"),
                # A server is in one server group at most.
                "server_group": next((f"{name}-{group}" for group in apart if group in host["groups"]), ""),
                "recreate": host["name"] in again,
                "bastion": host["name"] == bastion,
                "outside": outside,
            }
        )
        volumes += [
            {
                "name": f"{full_name}-{volume['name']}",
                "host": host["name"],
                "volume": volume["name"],
                "path": f"{path}.volumes ({volume['name']})",
                "gib": volume["gib"],
                "type": volume.get("type", cloud.get("volume_type")),
                "from": volume.get("from"),
            }
            for volume in host.get("volumes") or []
        ]
    return {
        "name": name,
        "mark": mark(name),
        "public_key": public_key,
        "cloud": cloud["cloud"],
        "image": cloud["image"],
        "existing": existing,
        "external": cloud["network"].get("external", ""),
        "cidr": cloud["network"]["cidr"],
        "dns": list(cloud["network"].get("dns") or []),
        "zone": cloud.get("availability_zone"),
        "config_drive": cloud.get("config_drive", False),
        "new_address": cloud.get("new_address", False),
        "adopt": set(cloud.get("adopt") or []),
        "security_groups": {
            group_name(name, entry): security_group(name, rules) for entry, rules in firewall["groups"].items()
        },
        "server_groups": [f"{name}-{group}" for group in apart],
        "all_server_groups": [f"{name}-{group}" for group in spread],
        "hosts": hosts,
        "volumes": volumes,
        "recreate": again,
    }


def _is_in(address: str | None, cidr: str) -> bool:
    return address is not None and ipaddress.IPv4Address(address) in ipaddress.IPv4Network(cidr)


def security_group(site_name: str, rules: Iterable[FirewallRule]) -> list[Rule]:
    """Return the rules of one firewall as neutron has them: one for each source."""
    made: set[Rule] = set()
    for rule in rules:
        # Echo requests are ICMP type 8, code 0; neutron writes type and code where others have ports.
        first, last = (8, 0) if rule["protocol"] == "icmp" else (rule["port"], rule["port"])
        if "cidr" in rule:
            networks = EVERYBODY if rule["cidr"] in EVERYBODY else (rule["cidr"],)
            made.update(Rule(rule["protocol"], first, last, "", network) for network in networks)
        else:
            sources = [group_name(site_name, source) for source in rule["sources"]]
            made.update(Rule(rule["protocol"], first, last, source, "") for source in sources)
    return sorted(made)


def metadata(want: Want, host: Host) -> dict[str, str]:
    """Return the metadata of a server of the site."""
    marks = {SITE: want["name"], HOST: host["host"], IMAGE: want["image"]}
    return {**marks, BOOT_VOLUME: str(host["boot_volume_gib"])} if host["boot_volume_gib"] else marks


def volume_metadata(want: Want, volume: Volume) -> dict[str, str]:
    """Return the metadata of a volume of the site, and of the snapshot that it is made from."""
    return {SITE: want["name"], HOST: volume["host"], VOLUME: volume["volume"]}


def automatic_pool(cidr: str) -> dict[str, str]:
    """Return the subnet's own addresses, so that none of them is the one of a host that is made later."""
    network = ipaddress.IPv4Network(cidr)
    return {"start": str(network[AUTOMATIC_ADDRESSES[0]]), "end": str(network[AUTOMATIC_ADDRESSES[1]])}

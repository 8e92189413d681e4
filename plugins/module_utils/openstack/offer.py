# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What fits a new site out of what a cloud offers.

Pure functions: the module openstack_offer lists, this file chooses, playbooks/templates/site_file.yml.j2 writes.

An offer has the shape ::

    {"images": [{"id", "name", "distribution", "version", "created_at", "least_disk_gib", "user"}],
     "flavors": [{"name", "memory_mib", "cores", "disk_gib"}],
     "networks": [name of an external network], "volume_types": [name], "zones": [name],
     "volume_zones": [name of a zone of block storage],
     "shared_networks": [{"name", "cidr"}],   # of the cloud, in which the project may have ports
     "addresses": [{"address", "network"}],   # floating IPs of the project that nobody uses
     "quota": {resource: what is left},   # by the words of quotas.quotas(); without what has no limit
     "controller": address from which this machine reaches the cloud, or ""}

A choice that the cloud does not allow is None.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from .image_choice import least_disk_gib
from .quotas import quotas
from .shapes import Found

# A Debian with the services of the largest host and room for logs.
BOOT_GIB = 10
# Kinds of cloud.Cloud.find().
ASKED = (
    "image",
    "flavor",
    "external network",
    "volume type",
    "availability zone",
    "volume zone",
    "any network",
    "any subnet",
    "address",
    "compute limits",
    "volume quota",
    "network quota",
)
# The release that the roles are made for.
DEBIAN_VERSION = "13"
DEBIAN_NAME = "trixie"


class WantedVolume(TypedDict):
    """A volume of a new site: how large it is wanted, how large it must be, and what it is for."""

    name: str
    gib: int
    least_gib: int
    why: str


class WantedHost(TypedDict):
    """A host of a new site: how many of it, the memory that it is wanted to have and at least needs, and why."""

    name: str
    count: int
    memory_mib: int
    least_mib: int
    why: str
    volumes: list[WantedVolume]


def choose(offer: Mapping[str, Any], hosts: Sequence[WantedHost]) -> dict[str, Any]:
    """Return the choices for a new site with these hosts: image, hosts with flavors and volumes, networks and addresses."""
    image = choose_image(offer["images"])
    flavors, scale = choose_flavors(offer["flavors"], offer["quota"], hosts)
    boot_gib = max(BOOT_GIB, image["least_disk_gib"] if image else 0)
    diskless = [flavor["name"] for flavor in flavors if flavor and flavor["disk_gib"] < boot_gib]
    addresses = [entry for entry in offer["addresses"] if entry["network"] in offer["networks"]]
    network = addresses[0]["network"] if addresses else next(iter(offer["networks"]), None)
    return {
        "image": image,
        "scale": scale,
        "boot_volume_gib": boot_gib if diskless else None,
        "diskless": sorted(set(diskless)),
        "network": network,
        # For clouds without floating IPs.
        "existing": None if network else next(iter(offer["shared_networks"]), None),
        "zone": choose_zone(offer["zones"], offer["volume_zones"]),
        "address": addresses[0]["address"] if addresses else None,
        "ssh_from": f"{offer['controller']}/32" if offer["controller"] else None,
        "hosts": [
            {**host, "flavor": flavor, "volumes": volumes}
            for host, flavor, volumes in zip(
                hosts, flavors, choose_volumes(offer["quota"], boot_gib if diskless else 0, hosts), strict=True
            )
        ],
    }


def read(cloud: str, found: Found, controller: str) -> dict[str, Any]:
    """Return the offer of a cloud; `found` is what cloud.Cloud.find() returns for the kinds of ASKED."""
    networks = {network["id"]: network["name"] for network in found["external network"]}
    return {
        "cloud": cloud,
        "images": [
            {
                "id": image["id"],
                "name": image.get("name") or image["id"],
                "distribution": image.get("os_distro") or "",
                "version": image.get("os_version") or "",
                "created_at": image["created_at"],
                "user": image.get("os_admin_user") or "",
                "least_disk_gib": least_disk_gib(image),
            }
            for image in found["image"]
            if image["status"] == "active"
        ],
        "flavors": [
            {"name": flavor["name"], "memory_mib": flavor["ram"], "cores": flavor["vcpus"], "disk_gib": flavor["disk"]}
            for flavor in found["flavor"]
            if not flavor.get("OS-FLV-DISABLED:disabled")
        ],
        "networks": sorted(networks.values()),
        # Cinder's own stand-in for a cloud without types begins with underscores.
        "volume_types": sorted(entry["name"] for entry in found["volume type"] if not entry["name"].startswith("__")),
        "zones": sorted(zone["name"] for zone in found["availability zone"]),
        "volume_zones": sorted(zone["name"] for zone in found["volume zone"]),
        "shared_networks": sorted(
            (
                {"name": entry["name"], "cidr": subnet["cidr"]}
                for entry in found["any network"]
                for subnet in found["any subnet"]
                if entry.get("shared") and subnet["network_id"] == entry["id"] and subnet["ip_version"] == 4
            ),
            key=lambda entry: (entry["name"], entry["cidr"]),
        ),
        "addresses": sorted(
            (
                {"address": entry["floating_ip_address"], "network": networks.get(entry["floating_network_id"], "")}
                for entry in found["address"]
                if not entry["port_id"]
            ),
            key=lambda entry: ipaddress.ip_address(entry["address"]),
        ),
        "quota": {resource: max(0, limit - used) for resource, (limit, used) in quotas(found).items()},
        "controller": controller,
    }


def is_debian(image: Mapping[str, Any]) -> bool:
    """Tell whether an image is a Debian, by its property os_distro or by its name."""
    return image["distribution"].lower() == "debian" or "debian" in image["name"].lower()


def is_supported(image: Mapping[str, Any]) -> bool:
    """Tell whether an image is the Debian release that the roles are made for."""
    version, name = image["version"], image["name"].lower()
    return is_debian(image) and (
        version.split(".")[0] == DEBIAN_VERSION
        or DEBIAN_NAME in name
        or (not version and DEBIAN_VERSION in re.findall(r"\d+", name))
    )


def choose_image(images: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the newest image of the supported Debian, or None; its "value" is what the site file says."""
    images = list(images)
    fitting = sorted(
        (image for image in images if is_supported(image)), key=lambda image: (image["created_at"], image["id"])
    )
    if not fitting:
        return None
    image = fitting[-1]
    unique = sum(other["name"] == image["name"] for other in images) == 1
    return {**image, "value": image["name"] if unique else image["id"]}


def choose_zone(zones: Sequence[str], volume_zones: Sequence[str]) -> str | None:
    """Return the zone that the site file must name, or None where the cloud's own choice does.

    Left to the cloud, a volume can be in another zone than its server, and some clouds attach within a zone only.
    """
    both = sorted(set(zones) & set(volume_zones))
    return both[0] if both and len({*zones, *volume_zones}) > 1 else None


def choose_flavors(
    flavors: Iterable[Mapping[str, Any]], quota: Mapping[str, int], hosts: Sequence[WantedHost]
) -> tuple[list[Mapping[str, Any] | None], int | None]:
    """Return a flavor for each host, and by what the wanted memory was divided so that all fit the quota.

    The divisor is None where not even the smallest fit; the flavors are then the smallest that do the work, or None.
    """
    flavors = sorted(
        flavors, key=lambda flavor: (flavor["memory_mib"], flavor["cores"], -flavor["disk_gib"], flavor["name"])
    )
    divisor = 1
    while True:
        wanted = [max(host["memory_mib"] // divisor, host["least_mib"]) for host in hosts]
        chosen = [next((flavor for flavor in flavors if flavor["memory_mib"] >= memory), None) for memory in wanted]
        known = [flavor for flavor in chosen if flavor]
        if len(known) == len(chosen) and fits(known, quota, hosts):
            return chosen, divisor
        if all(memory == host["least_mib"] for memory, host in zip(wanted, hosts, strict=True)):
            return chosen, None
        divisor *= 2


def servers(hosts: Iterable[WantedHost]) -> int:
    """Return how many servers the hosts are."""
    return sum(host["count"] for host in hosts)


def needs(flavors: Iterable[Mapping[str, Any]], hosts: Sequence[WantedHost]) -> dict[str, int]:
    """Return what the servers of the hosts take of the quota with these flavors."""
    pairs = list(zip(hosts, flavors, strict=True))
    return {
        "servers": servers(hosts),
        "cores": sum(host["count"] * flavor["cores"] for host, flavor in pairs),
        "MiB of memory": sum(host["count"] * flavor["memory_mib"] for host, flavor in pairs),
    }


def fits(flavors: Iterable[Mapping[str, Any]], quota: Mapping[str, int], hosts: Sequence[WantedHost]) -> bool:
    """Tell whether the servers of the hosts with these flavors are within what is left of the quota."""
    return all(count <= quota.get(resource, count) for resource, count in needs(flavors, hosts).items())


def choose_volumes(quota: Mapping[str, int], boot_gib: int, hosts: Sequence[WantedHost]) -> list[list[WantedVolume]]:
    """Return the volumes of each of the hosts: as large as wanted, or what the quota has after the boot volumes."""
    left = quota.get("GiB of volumes", math.inf)
    divisor = 1
    while True:
        result: list[list[WantedVolume]] = [
            [{**volume, "gib": max(volume["gib"] // divisor, volume["least_gib"])} for volume in host["volumes"]]
            for host in hosts
        ]
        volumes = [volume for volumes in result for volume in volumes]
        total = sum(volume["gib"] for volume in volumes) + servers(hosts) * boot_gib
        if total <= left or all(volume["gib"] == volume["least_gib"] for volume in volumes):
            return result
        divisor *= 2


def shortages(choice: Mapping[str, Any], quota: Mapping[str, int]) -> list[str]:
    """Return one line for each quota that the chosen site is over: what it needs and what is left."""
    flavors = [host["flavor"] for host in choice["hosts"]]
    volumes = [volume for host in choice["hosts"] for volume in host["volumes"]]
    boot_gib = choice["boot_volume_gib"] or 0
    count_of_servers = servers(choice["hosts"])
    need = {
        **(needs(flavors, choice["hosts"]) if all(flavors) else {"servers": count_of_servers}),
        "volumes": len(volumes) + (count_of_servers if boot_gib else 0),
        "GiB of volumes": sum(volume["gib"] for volume in volumes) + count_of_servers * boot_gib,
        **({} if choice["existing"] else {"networks": 1, "routers": 1}),
        "floating IPs": 0 if choice["address"] or choice["existing"] else 1,
    }
    return [
        f"{count} {resource} needed, {quota[resource]} left"
        for resource, count in need.items()
        if count > quota.get(resource, count)
    ]


def without_translation(own: str, remote: str) -> str:
    """Return the own address of a connection if the other side sees it too, else "".

    A private address that talks to a public one is translated on the way.
    """
    try:
        own_address, remote_address = ipaddress.ip_address(own), ipaddress.ip_address(remote)
    except ValueError:
        return ""
    if own_address.version != 4 or own_address.is_loopback or own_address.is_private != remote_address.is_private:
        return ""
    return own

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the inventory says of a site and of each of its hosts: variables, by the provider of the site."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ..module_utils import site as site_file
from ..module_utils.openstack.wanted import HOST, SITE, VOLUME
from ..module_utils.site import Schema

REPOSITORY = Path(__file__).resolve().parents[2]
DEVICE_LINK = "/dev/disk/by-id/imaging-repository-{}"
# nova's oldest disks know only so much of the id of their volume.
DISK_ID_LENGTH = 20
# Where a host finds this machine's way out: a SOCKS proxy at the end of the SSH connections, on its own loopback.
PACKAGES_PORT = 3142


def known(
    site_name: str, servers: list[dict[str, Any]], volumes: list[dict[str, Any]], addresses: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what the inventory needs of a cloud's lists, by the names of the site's hosts.

    Each is `{"address", "floating_ip", "volumes": {name: id}}` with "" for an address that it does not have. The lists
    are those of https://docs.openstack.org/api-ref/: compute, block storage and network.
    """
    floating = {
        (address.get("port_details") or {}).get("device_id"): address["floating_ip_address"] for address in addresses
    }
    hosts = {}
    for server in servers:
        marks = server["metadata"]
        if marks.get(SITE) == site_name and HOST in marks:
            entries = [entry for network in server["addresses"].values() for entry in network]
            # The hosts speak IPv4 to each other.
            own = [entry["addr"] for entry in entries if entry["version"] == 4]
            public = floating.get(server["id"], "")
            hosts[marks[HOST]] = {
                "address": next((address for address in own if address != public), ""),
                "floating_ip": public,
                "volumes": {},
            }
    for volume in volumes:
        marks = volume["metadata"]
        if marks.get(SITE) == site_name and marks.get(HOST) in hosts and VOLUME in marks:
            hosts[marks[HOST]]["volumes"][marks[VOLUME]] = volume["id"]
    return hosts


def site_variables(schema: Schema, site: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that all hosts of an effective site share; `cloud` is what it knows, or {}."""
    entries = [name for name, group in schema.groups.items() if group.entry]
    bastion = next((host["name"] for host in site["hosts"] if set(entries).intersection(host["groups"])), "")
    if site["provider"] == "openstack":
        public = next(host for host in site["hosts"] if host["public"])
        inside = {name: host["address"] for name, host in cloud.get("hosts", {}).items()}
        # In a network of others a host is reached at the address that it has there.
        entrance = inside if site_file.existing_network(site) else {}
        addresses = {
            # Never what the public name leads to: until the switch that is another site.
            "site_public_address": floating_ip(cloud, public["name"])
            or inside.get(public["name"])
            or public.get("address", ""),
            "site_bastion_address": floating_ip(cloud, bastion) or entrance.get(bastion, ""),
            "site_cloud_problem": cloud.get("problem", ""),
        }
    else:
        addresses = {"site_public_address": site["public"].get("address", "")}
    return addresses | {
        "effective_site": site,
        "site_network_cidr": site_file.site_network(site),
        "site_url": site_file.url(site),
        "site_state_directory": str(REPOSITORY / "state" / site["name"]),
        # The short name of the host where operators enter, or "".
        "site_bastion": bastion,
        "site_drivers": site_file.site_drivers(schema, site),
        "site_firewall": site_file.site_firewall(schema, site),
        # Each role has the same task files: main, check, reach, hosts, image, destroy.
        "site_provider": next(
            {"role": feature.name, "makes": feature.provider.makes, "publishes": feature.provider.publishes}
            for feature in schema.features
            if feature.provider and feature.provider.name == site["provider"]
        ),
        # What `packages.proxy: controller` means to apt.
        "site_packages_proxy": f"socks5h://127.0.0.1:{PACKAGES_PORT}",
        "site_ports": site_file.site_ports(schema, site),
        "site_secrets": site_file.site_secrets(schema, site),
        # Groups whose hosts a cloud puts on different machines where it can.
        "site_spread": [name for name, group in schema.groups.items() if group.spread],
        "site_users": site_file.site_users(schema, site),
    }


def floating_ip(cloud: dict[str, Any], host: str) -> str:
    """Return the floating IP of a host, or ""."""
    address: str = cloud.get("hosts", {}).get(host, {}).get("floating_ip", "")
    return address


def host_variables(schema: Schema, site: dict[str, Any], host: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of one host of an effective site; `cloud` is what it knows, or {}."""
    features = site_file.host_features(schema, site, host)
    takeover = site_file.value_at(site, f"{site['provider']}.takeover")
    volumes = [storage_volume(schema, volume) for volume in host["volumes"]]
    variables: dict[str, Any] = {
        "host_name": host["name"],
        "host_volumes": volumes,
        "host_features": [feature.name for feature in features],
        "host_verbs": site_file.verbs(features),
        "host_packages": list(dict.fromkeys(package for feature in features for package in feature.packages)),
        # What a feature replaces on a server that others may use; of hosts that are made all is the site's.
        "host_replaces": [
            {"path": path, "feature": feature.name, "takeover": path in takeover}
            for feature in features
            for path in feature.replaces
            if takeover is not None
        ],
        "host_drivers": site_file.host_drivers(schema, site, host),
    }
    if site["provider"] == "docker":
        variables |= {
            "ansible_connection": "community.docker.docker",
            "ansible_host": f"{site['name']}-{host['name']}",
            # Already root: become costs no sudo.
            "ansible_user": "root",
            "host_address": host["address"],
            "host_memory_mib": host["memory_mib"],
            "host_volumes": [{**volume, "device": DEVICE_LINK.format(volume["name"])} for volume in volumes],
        }
    elif site["provider"] == "openstack":
        server = cloud.get("hosts", {}).get(host["name"], {})
        configuration = REPOSITORY / "state" / site["name"] / "ssh" / "config"
        variables |= {
            # A name of that configuration, which role openstack writes.
            "ansible_host": f"{site['name']}-{host['name']}",
            "ansible_ssh_common_args": " ".join([f"-F {shlex.quote(str(configuration))}", *packages_arguments(site)]),
            "host_address": server.get("address") or host.get("address", ""),
            "host_volumes": [
                openstack_volume(volume, server.get("volumes", {}).get(volume["name"])) for volume in volumes
            ],
        }
    elif site["provider"] == "static":
        variables |= {
            "ansible_host": host["address"],
            "ansible_user": site["static"]["user"],
            "host_address": host.get("private_address", host["address"]),
        }
        variables |= static_ssh_variables(site, host)
    return variables


def storage_volume(schema: Schema, volume: dict[str, Any]) -> dict[str, Any]:
    """Return what a host needs to know of a volume: not what only its provider does, but whether it is a copy."""
    providers = {key for feature in schema.features if feature.provider for key in feature.volume_keys}
    known = {key: value for key, value in volume.items() if key not in providers or key == "device"}
    return known | {"copy": True} if "from" in volume else known


def openstack_volume(volume: dict[str, Any], identity: str | None) -> dict[str, Any]:
    """Return a volume with its device; without one while the cloud does not know the volume."""
    return {**volume, "device": f"/dev/disk/by-id/*{identity[:DISK_ID_LENGTH]}*"} if identity else volume


def packages_arguments(site: dict[str, Any]) -> list[str]:
    """Return the arguments of SSH that let a host fetch packages through this machine, where the site says so."""
    through = site_file.value_at(site, "packages.proxy") == "controller"
    return [f"-o RemoteForward=127.0.0.1:{PACKAGES_PORT}"] if through else []


def static_ssh_variables(site: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """Return how SSH reaches a server that exists: by which configuration, through which host."""
    static, arguments = site["static"], []
    if "ssh_config" in static:
        # ssh hands it on to the connection to the bastion; options of the command line it does not.
        arguments.append(f"-F {shlex.quote(static['ssh_config'])}")
    arguments += packages_arguments(site)
    bastion = static.get("bastion", host["name"])
    if host["name"] != bastion:
        jump = next(other["address"] for other in site["hosts"] if other["name"] == bastion)
        # ProxyJump would hand the path of the configuration on without quotes.
        entrance = f"{static['user']}@{jump}"
        way = f"ProxyJump={entrance}"
        if "ssh_config" in static:
            way = f"ProxyCommand=ssh {arguments[0].replace('%', '%%')} -W [%h]:%p {entrance}"
        arguments.append(f"-o {shlex.quote(way)}")
    return {"ansible_ssh_common_args": " ".join(arguments)} if arguments else {}

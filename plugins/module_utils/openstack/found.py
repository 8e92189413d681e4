# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is found in a cloud, and which of it is a site's."""

from __future__ import annotations

import difflib

from .shapes import BY_METADATA, Found, Resource, Rule, Server, Volume, Want
from .wanted import HOST, SITE, VOLUME


def full_name(kind: str, resource: Resource) -> str:
    """Return the name of a resource; of one that is marked in its metadata, the name that it must have."""
    if kind in BY_METADATA:
        marks = resource.get("metadata") or {}
        parts = [marks[key] for key in (SITE, HOST, VOLUME) if key in marks]
        if SITE in marks and len(parts) > 1:
            return "-".join(parts) + ("-source" if kind == "snapshot" else "")
    return resource.get("name") or ""


def is_ours(kind: str, resource: Resource, want: Want, project: str) -> bool:
    """Return whether a resource carries the mark of the site."""
    if kind in BY_METADATA:
        return (resource.get("metadata") or {}).get(SITE) == want["name"]
    if kind == "key pair":
        return _key(resource["public_key"]) == _key(want["public_key"]) != []
    if kind == "server group":
        return True
    return resource.get("description") == want["mark"] and resource.get("project_id", project) == project


def _key(public_key: str) -> list[str]:
    """Return the type and key of an OpenSSH public key, without its comment."""
    return public_key.split()[:2]


def named(kind: str, name: str, found: Found) -> list[Resource]:
    """Return the resources of a kind and name in this project."""
    return [
        resource
        for resource in found[kind]
        if full_name(kind, resource) == name and resource.get("project_id", found.project) == found.project
    ]


def match(kind: str, name: str, want: Want, found: Found) -> tuple[Resource | None, str]:
    """Return the resource of that name and why it cannot be used: ``(None, "")`` where there is none.

    One that is not ours is only returned where the site file adopts it by name.
    """
    same = named(kind, name, found)
    ours = [resource for resource in same if is_ours(kind, resource, want, found.project)]
    if len(ours) > 1:
        return None, (f"exists {len(ours)} times: {identifiers(ours)}; remove those that the site does not use")
    if ours:
        return ours[0], ""
    if len(same) == 1 and name in want["adopt"] and kind != "key pair":
        return same[0], ""
    if kind == "key pair" and same:
        return None, (
            "a key pair of this name exists whose key is not this site's; bring the site's own key back to "
            "its state directory, choose another site.name, or remove the key pair yourself"
        )
    if same:
        return None, (
            f"exists as {identifiers(same)} and is not ours: it does not carry the mark of this site; "
            f"choose another site.name, or say that it is meant: site.openstack.adopt: ['{name}']"
        )
    return None, ""


def identifiers(resources: list[Resource]) -> str:
    """Return the ids of resources for people."""
    return ", ".join(sorted(resource.get("id") or resource["name"] for resource in resources))


def instead(name: str, names: list[str]) -> str:
    """Return what to write instead of a name that is not there."""
    near = difflib.get_close_matches(name.lower(), {other.lower(): other for other in names}, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{next(other for other in names if other.lower() == near[0])}'?"
    if not names:
        return "this project sees none"
    return f"there are: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"


def picks(name: str, resources: list[Resource]) -> list[Resource]:
    """Return the one with that id, or else all with that name."""
    same_id = [resource for resource in resources if resource.get("id") == name]
    return same_id or [resource for resource in resources if resource.get("name") == name]


def external_networks(want: Want, found: Found) -> list[str]:
    """Return the ids of what the site file names as the outside: none where it is not seen, several of one name."""
    return [network["id"] for network in picks(want["external"], found["external network"])]


def existing_network(want: Want, found: Found) -> tuple[Resource | None, list[Resource]]:
    """Return the network of others that the servers get ports in, and those of its subnets that they get addresses of.

    That is the one IPv4 subnet that the site file names, and all for IPv6.
    """
    network = pick("network", want["existing"], found["any network"])
    subnets = [entry for entry in found["any subnet"] if network and entry["network_id"] == network["id"]]
    return network, [entry for entry in subnets if entry["ip_version"] == 6 or entry["cidr"] == want["cidr"]]


def port_addresses(port: Resource) -> list[str]:
    """Return the addresses of a port, those for IPv4 first."""
    return sorted((fixed["ip_address"] for fixed in port["fixed_ips"]), key=lambda address: ":" in address)


def pick(kind: str, name: str, resources: list[Resource]) -> Resource | None:
    """Return the one with that id, or else the first with that name."""
    return next(iter(picks(name, resources)), None)


def security_group_rules(group: Resource, names: dict[str, str]) -> dict[Rule, str]:
    """Return the rules of a security group for what comes in: rule -> its id. ``names`` is id -> name."""
    rules = {}
    for rule in group.get("security_group_rules", []):
        if rule["direction"] == "ingress":
            remote = rule["remote_group_id"] or ""
            first, last = rule["port_range_min"], rule["port_range_max"]
            # Neutron leaves the code of an ICMP rule out where it was given as any.
            key = Rule(
                rule["protocol"] or "",
                first,
                0 if rule["protocol"] == "icmp" and last is None else last,
                names.get(remote, remote),
                rule["remote_ip_prefix"] or "",
            )
            rules[key] = rule["id"]
    return rules


def source(volume: Volume, found: Found) -> tuple[str, Resource | None]:
    """Return the kind and resource of what a volume is made from, by name or id; ``("", None)`` where there is none."""
    for kind in ("volume", "snapshot"):
        matching = [resource for resource in found[kind] if volume["from"] in (resource["id"], resource.get("name"))]
        if matching:
            return kind, matching[0]
    return "", None


def interface(router: Resource, subnet: Resource | None, found: Found) -> Resource | None:
    """Return the port that connects the subnet to the router."""
    return next(
        (
            port
            for port in found["port"]
            if subnet
            and port["device_id"] == router["id"]
            and any(fixed["subnet_id"] == subnet["id"] for fixed in port["fixed_ips"])
        ),
        None,
    )


def attached_to(volume: Resource) -> list[str]:
    """Return the ids of the servers that have the volume."""
    return [attachment["server_id"] for attachment in volume.get("attachments") or []]


def fault(server: Resource) -> str:
    """Return Nova's words for what went wrong with a server."""
    return " ".join(((server.get("fault") or {}).get("message") or "nova gives no reason").split()).rstrip(".")


def holder(address: Resource, found: Found) -> str:
    """Return who has a floating IP, for people."""
    port = pick("port", address["port_id"], found["port"])
    return (port or {}).get("name") or f"port {address['port_id']}"


def result(want: Want, found: Found) -> dict[str, Server]:
    """Return the servers of the site by the short names of their hosts."""
    servers: dict[str, Server] = {}
    for host in want["hosts"]:
        server, _refusal = match("server", host["name"], want, found)
        if server:
            port, _refusal = match("port", host["name"], want, found)
            outside = [
                entry["floating_ip_address"] for entry in found["address"] if port and entry["port_id"] == port["id"]
            ]
            volumes = {
                volume["volume"]: actual["id"]
                for volume in want["volumes"]
                if volume["host"] == host["host"]
                for actual in [match("volume", volume["name"], want, found)[0]]
                if actual
            }
            servers[host["host"]] = {
                "id": server["id"],
                "address": port_addresses(port)[0] if port else host["address"] or "",
                "status": server["status"],
                "floating_ip": (outside or [""])[0],
                "volumes": volumes,
            }
    return servers

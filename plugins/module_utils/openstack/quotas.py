# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a plan takes of the quotas of a project, and what they allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..plan import Step
from .found import match, pick, source
from .shapes import Found, Want

NO_LIMIT = -1
# Kinds that neutron counts, with its names for their quotas.
NETWORK_QUOTAS = {
    "network": "network",
    "subnet": "subnet",
    "router": "router",
    "port": "port",
    "security group": "security_group",
    "security group rule": "security_group_rule",
    "address": "floatingip",
}
# What cinder counts, by our names.
VOLUME_QUOTAS = {"volumes": "volumes", "gigabytes": "GiB of volumes", "snapshots": "snapshots"}


def plural(kind: str) -> str:
    """Return the name of the quota of a kind, for people."""
    return {"address": "floating IPs"}.get(kind, f"{kind}s")


def needs(steps: list[Step], want: Want, found: Found) -> Counter[str]:
    """Return what the plan takes of each quota."""
    created = {(entry["kind"], entry["name"]) for entry in steps if entry["action"] == "create"}
    needed: Counter[str] = Counter()
    for kind in (*NETWORK_QUOTAS, "key pair", "server group", "snapshot"):
        needed[plural(kind)] = sum(created_kind == kind for created_kind, _name in created)
    # The router has a port in the subnet. Each new group comes with two rules for what goes out.
    needed["ports"] += ("router", want["name"]) in created
    needed["security group rules"] = sum(
        len(rules) + 2 for name, rules in want["security_groups"].items() if ("security group", name) in created
    )
    for host in want["hosts"]:
        if ("server", host["name"]) in created:
            flavor = pick("flavor", host["flavor"], found["flavor"]) or {"vcpus": 0, "ram": 0}
            needed.update({"servers": 1, "cores": flavor["vcpus"], "MiB of memory": flavor["ram"]})
            if host["boot_volume_gib"]:
                needed.update(_storage(1, host["boot_volume_gib"], host["volume_type"]))
    for volume in want["volumes"]:
        actual, _refusal = match("volume", volume["name"], want, found)
        if ("volume", volume["name"]) in created:
            needed.update(_storage(1, volume["gib"], volume["type"]))
        elif actual:
            needed.update(_storage(0, max(0, volume["gib"] - actual["size"]), actual.get("volume_type")))
        if ("snapshot", f"{volume['name']}-source") in created:
            _kind, origin = source(volume, found)
            needed["GiB of volumes"] += origin["size"] if origin else 0
    return needed


def _storage(volumes: int, gib: int, volume_type: str | None) -> dict[str, int]:
    """Return what volumes take of the quotas of the project and of their type."""
    return {
        f"{name}{kind}": count
        for kind in {"", _of_type(volume_type)}
        for name, count in (("volumes", volumes), ("GiB of volumes", gib))
    }


def _of_type(volume_type: str | None) -> str:
    return f" of type {volume_type}" if volume_type else ""


def quotas(offer: Found) -> dict[str, tuple[int, int]]:
    """Return what the project may have and has of each quota: ``{quota: (limit, used)}``, without what has no limit."""
    absolute = offer.limits.get("compute limits", {})
    limits = {
        name: (absolute.get(limit, NO_LIMIT), absolute.get(used, 0))
        for name, limit, used in (
            ("servers", "maxTotalInstances", "totalInstancesUsed"),
            ("cores", "maxTotalCores", "totalCoresUsed"),
            ("MiB of memory", "maxTotalRAMSize", "totalRAMUsed"),
            ("server groups", "maxServerGroups", "totalServerGroupsUsed"),
        )
    }
    for key, entry in offer.limits.get("volume quota", {}).items():
        # gigabytes is for all, gigabytes_<type> for volumes of that type.
        name, _separator, volume_type = key.partition("_")
        if name in VOLUME_QUOTAS:
            limits[VOLUME_QUOTAS[name] + _of_type(volume_type)] = (entry["limit"], entry["in_use"] + entry["reserved"])
    network = offer.limits.get("network quota", {})
    for kind, name in NETWORK_QUOTAS.items():
        if name in network:
            limits[plural(kind)] = (network[name]["limit"], network[name]["used"] + int(network[name]["reserved"]))
    return {name: limit for name, limit in limits.items() if limit[0] != NO_LIMIT}


def quota_problems(steps: list[Step], want: Want, found: Found, offer: Found) -> Iterator[str]:
    needed, limits = needs(steps, want, found), quotas(offer)
    absolute = offer.limits.get("compute limits", {})
    # Nova says how many there may be, not how many there are.
    if absolute.get("maxTotalKeypairs", NO_LIMIT) != NO_LIMIT:
        limits["key pairs"] = (absolute["maxTotalKeypairs"], len(found["key pair"]))
    members = absolute.get("maxServerGroupMembers", NO_LIMIT)
    for group in want["server_groups"] if members != NO_LIMIT else []:
        hosts = sum(host["server_group"] == group for host in want["hosts"])
        if hosts > members:
            yield (
                f"quota of cloud {want['cloud']}: the server group {group} has {hosts} hosts, the project may have "
                f"{members} in one; ask the cloud for {hosts} server group members, or make the site smaller"
            )
    for name, count in sorted(needed.items()):
        if name in limits and count > limits[name][0] - limits[name][1]:
            limit, used = limits[name]
            yield (
                f"quota of cloud {want['cloud']}: the plan needs {count} more {name}, the project may have {limit} "
                f"and uses {used}; ask the cloud for {used + count}, or make the site smaller"
            )

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of a site that shall be gone."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping

from ..plan import Step, step
from .found import attached_to, full_name, holder, instead, is_ours, named
from .shapes import LISTED, Found, Resource, Want


def removal(want: Want, found: Found, destroy_volumes: Iterable[str], now: datetime.datetime) -> list[Step]:
    """Return the steps that remove all that carries the mark of a site; of its data only what is named."""
    chosen = set(destroy_volumes)
    ours: dict[str, list[Resource]] = {}
    for kind in LISTED:
        if kind in found and kind not in ("flavor", "external network", "server group"):
            resources = (resource for resource in found[kind] if is_ours(kind, resource, want, found.project))
            ours[kind] = sorted(resources, key=functools.partial(full_name, kind))
    ours["key pair"] = [entry for entry in ours["key pair"] if entry["name"] == want["name"]]
    ours["server group"] = [entry for name in want["all_server_groups"] for entry in named("server group", name, found)]
    steps = []
    for kind in (
        "server",
        "port",
        "address",
        "router",
        "subnet",
        "network",
        "security group",
        "server group",
        "key pair",
    ):
        for resource in ours[kind]:
            reason = _removal_refusal(kind, resource, ours, found)
            steps.append(
                step(
                    kind,
                    label(kind, resource),
                    "keep" if reason else "remove",
                    reason or _removal_detail(kind, resource, found, now),
                )
            )
    for kind in ("snapshot", "volume"):
        for resource in ours[kind]:
            steps.append(_remove_data(kind, resource, chosen, ours, found, now))
    known = sorted({full_name(kind, resource) for kind in ("volume", "snapshot") for resource in ours[kind]})
    steps += [
        step(
            "volume",
            name,
            "refuse",
            f"destroy_volumes: this site has no volume or snapshot '{name}'; {instead(name, known)}",
        )
        for name in sorted(chosen - set(known))
    ]
    return steps


def label(kind: str, resource: Resource) -> str:
    """Return the name of a resource in the plan of a removal."""
    return resource["floating_ip_address"] if kind == "address" else full_name(kind, resource)


def _removal_refusal(kind: str, resource: Resource, ours: Mapping[str, list[Resource]], found: Found) -> str:
    """Return why something of the site must stay: others use it."""
    our_ports = {port["id"] for port in ours["port"]}
    our_routers = {router["id"] for router in ours["router"]}
    if kind == "address" and resource["port_id"] and resource["port_id"] not in our_ports:
        return f"stays: it is at {holder(resource, found)}"
    strangers = [port for port in found["port"] if port["id"] not in our_ports]
    if kind in ("network", "subnet", "router"):
        networks = {network["id"] for network in ours["network"]}
        strangers = [
            port
            for port in strangers
            if port["network_id"] in networks
            and port["device_id"] not in our_routers
            and not port["device_owner"].startswith("network:dhcp")
        ]
    elif kind == "security group":
        strangers = [port for port in strangers if resource["id"] in port["security_groups"]]
    else:
        return ""
    if strangers:
        users = ", ".join(sorted(port.get("name") or port["id"] for port in strangers))
        return f"stays: ports that are not this site's use it: {users}"
    return ""


def _removal_detail(kind: str, resource: Resource, found: Found, now: datetime.datetime) -> str:
    words = [age(resource.get("created") or resource.get("created_at") or "", now)]
    if kind == "server":
        words = [resource["status"], *words]
    if kind == "address":
        words = ["allocated by this site", *words]
    return ", ".join(word for word in words if word)


def _remove_data(
    kind: str,
    resource: Resource,
    chosen: set[str],
    ours: Mapping[str, list[Resource]],
    found: Found,
    now: datetime.datetime,
) -> Step:
    name = full_name(kind, resource)
    words = ", ".join(filter(None, (f"{resource['size']} GiB", age(resource.get("created_at") or "", now))))
    if name not in chosen:
        return step(kind, name, "keep", f"{words}; its data stays; remove it as well with -e destroy_volumes={name}")
    if kind == "volume":
        snapshots = [
            full_name("snapshot", entry)
            for entry in found["snapshot"]
            if entry["volume_id"] == resource["id"] and full_name("snapshot", entry) not in chosen
        ]
        if snapshots:
            return step(
                kind,
                name,
                "refuse",
                f"has the snapshots {', '.join(sorted(snapshots))}; cinder removes them "
                "first: name them too, or keep the volume",
            )
        strangers = set(attached_to(resource)) - {server["id"] for server in ours["server"]}
        if strangers:
            return step(
                kind,
                name,
                "refuse",
                f"is attached to {', '.join(sorted(strangers))}, which is no server of "
                "this site; detach it there first",
            )
    return step(kind, name, "remove", f"{words}, with all data on it")


def age(created: str, now: datetime.datetime) -> str:
    """Return how long ago an API's time was, in words; "" where the API tells none. Without a zone it is UTC."""
    if not created:
        return ""
    made = datetime.datetime.fromisoformat(created.replace("Z", "+00:00"))
    if made.tzinfo is None:
        made = made.replace(tzinfo=datetime.UTC)
    seconds = max(0, int((now - made).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' * (count > 1)} old"
    return "less than a minute old"

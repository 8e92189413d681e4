# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""All that keeps a plan from being carried out, a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..plan import Step
from .found import existing_network, identifiers, instead, pick, picks, source
from .image_choice import IMAGES, choose_image, image_problems, least_disk_gib
from .quotas import NETWORK_QUOTAS, quota_problems
from .shapes import Found, Host, Resource, Volume, Want

# Enough for a Debian with the packages of any host and their logs.
USUAL_BOOT_VOLUME_GIB = 20


def asked(steps: list[Step], want: Want) -> tuple[str, ...]:
    """Return what must be known beyond the listing to judge the plan: nothing where all is kept."""
    actions = {(entry["kind"], entry["action"]) for entry in steps}
    servers = ("server", "create") in actions or ("server", "recreate") in actions
    blocks = {("volume", "create"), ("volume", "change"), ("snapshot", "create")} & actions
    boots = servers and any(host["boot_volume_gib"] for host in want["hosts"])
    needed = {
        **dict.fromkeys(IMAGES, servers),
        "availability zone": servers and bool(want["zone"]),
        "compute limits": servers or ("server group", "create") in actions,
        "volume zone": ("volume", "create") in actions and bool(want["zone"]),
        "volume type": boots or ("volume", "create") in actions,
        "volume quota": bool(blocks) or boots,
        "network quota": any((action == "create" and kind in NETWORK_QUOTAS) for kind, action in actions),
    }
    return tuple(kind for kind, is_needed in needed.items() if is_needed)


def problems(steps: list[Step], want: Want, found: Found, offer: Found) -> list[str]:
    """Return all that keeps the plan from being carried out, a sentence each: `path: what is wrong; what to do`."""
    lines = [
        entry["detail"] if entry["kind"] == "address" else f"{entry['kind']} {entry['name']}: {entry['detail']}"
        for entry in steps
        if entry["action"] == "refuse"
    ]
    return [*_unknown_things(steps, want, found, offer), *lines, *quota_problems(steps, want, found, offer)]


def _unknown_things(steps: list[Step], want: Want, found: Found, offer: Found) -> Iterator[str]:
    def unclear(path: str, kind: str, name: str, resources: list[Resource]) -> Iterator[str]:
        same = picks(name, resources)
        if not same:
            names = sorted({resource["name"] for resource in resources if resource.get("name")})
            yield f"{path}: there is no {kind} '{name}' in cloud {want['cloud']}; {instead(name, names)}"
        elif len(same) > 1:
            yield (
                f"{path}: '{name}' is the name of {len(same)} {kind}s in cloud {want['cloud']}; write the id of one of "
                f"them: {identifiers(same)}"
            )

    action = {(entry["kind"], entry["name"]): entry["action"] for entry in steps}
    if "image" in offer:
        yield from image_problems(want["image"], offer, want["cloud"])
    if want["existing"]:
        yield from _existing_network_problems(steps, want, found, unclear)
    elif action["router", want["name"]] == "create" or "create" in {
        action["address", host["name"]] for host in want["hosts"] if host["outside"]
    }:
        yield from unclear(
            "site.openstack.network.external", "external network", want["external"], found["external network"]
        )
    if want["zone"] and "availability zone" in offer:
        yield from unclear(
            "site.openstack.availability_zone", "availability zone", want["zone"], offer["availability zone"]
        )
    for host in want["hosts"]:
        if action["server", host["name"]] in ("create", "recreate"):
            yield from unclear(f"{host['path']}.flavor", "flavor", host["flavor"], found["flavor"])
            yield from _too_small(host, want, found, offer)
    short = {host["host"] for host in want["hosts"]}
    for name in sorted(want["recreate"] - short):
        yield f"recreate_failed: there is no host '{name}' in site {want['name']}; {instead(name, sorted(short))}"
    for volume in want["volumes"]:
        if action["volume", volume["name"]] == "create":
            if volume["type"]:
                yield from unclear(f"{volume['path']}.type", "volume type", volume["type"], offer["volume type"])
            if volume["from"]:
                yield from _source_problems(volume, want, found)


def _existing_network_problems(
    steps: list[Step], want: Want, found: Found, unclear: Callable[[str, str, str, list[Resource]], Iterator[str]]
) -> Iterator[str]:
    """Yield why servers cannot get ports in a network of others."""
    path, name = "site.openstack.network", want["existing"]
    yield from unclear(f"{path}.existing", "network", name, found["any network"])
    network, subnets = existing_network(want, found)
    if network is None or len(picks(name, found["any network"])) > 1:
        return
    if not any(subnet["ip_version"] == 4 for subnet in subnets):
        own = [entry for entry in found["any subnet"] if entry["network_id"] == network["id"]]
        there = sorted(entry["cidr"] for entry in own if entry["ip_version"] == 4)
        yield (
            f"{path}.cidr: {want['cidr']} is no subnet of the network {name}; "
            + (f"write one of {', '.join(there)}" if there else "it has none for IPv4 that this project sees")
        )
    creates = any((entry["kind"], entry["action"]) == ("port", "create") for entry in steps)
    if creates and network.get("port_security_enabled") is False:
        yield (
            f"{path}.existing: the network {name} has port security off, so that no security group would protect the "
            "servers; name another network, or have it switched on"
        )


def _too_small(host: Host, want: Want, found: Found, offer: Found) -> Iterator[str]:
    """Yield what of a new host is less than its image demands."""
    image, flavor = choose_image(want["image"], offer), pick("flavor", host["flavor"], found["flavor"])
    if image is None or flavor is None:
        return
    disk, memory = least_disk_gib(image), image.get("min_ram") or 0
    if host["boot_volume_gib"] and host["boot_volume_gib"] < disk:
        yield (
            f"{host['path']}.boot_volume_gib: {host['boot_volume_gib']} is less than the image {want['image']} "
            f"needs; write {disk} or more"
        )
    elif not host["boot_volume_gib"] and flavor["disk"] == 0:
        yield (
            f"{host['path']}.flavor: {host['flavor']} has no disk, and many clouds let no server boot without one; "
            f"write boot_volume_gib: {max(disk, USUAL_BOOT_VOLUME_GIB)}"
        )
    elif not host["boot_volume_gib"] and flavor["disk"] < disk:
        yield (
            f"{host['path']}.flavor: {host['flavor']} has a disk of {flavor['disk']} GiB, the image {want['image']} "
            f"needs {disk}; choose a larger flavor, or write boot_volume_gib: {disk}"
        )
    if flavor["ram"] < memory:
        yield (
            f"{host['path']}.flavor: {host['flavor']} has {flavor['ram']} MiB of memory, the image {want['image']} "
            f"needs {memory}; choose a larger flavor"
        )


def _source_problems(volume: Volume, want: Want, found: Found) -> Iterator[str]:
    kind, origin = source(volume, found)
    path = f"{volume['path']}.from"
    if origin is None:
        names = sorted({entry["name"] for entry in found["volume"] + found["snapshot"] if entry.get("name")})
        yield (
            f"{path}: there is no volume or snapshot '{volume['from']}' in this project of cloud {want['cloud']}; "
            f"{instead(volume['from'] or '', names)}"
        )
        return
    same = [
        entry for entry in found["volume"] + found["snapshot"] if volume["from"] in (entry["id"], entry.get("name"))
    ]
    if len(same) > 1:
        yield f"{path}: '{volume['from']}' is the name of {len(same)} of them; write an id: {identifiers(same)}"
    elif origin["status"].startswith("error"):
        yield f"{path}: the {kind} {volume['from']} is in state {origin['status']}; repair it, or name another one"
    if origin["size"] > volume["gib"]:
        yield (
            f"{volume['path']}.gib: {volume['gib']} is less than the {kind} {volume['from']} has; write "
            f"{origin['size']} or more"
        )

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of the hosts of a site: volumes, ports, servers and what is attached to what."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan import Step, step
from .found import attached_to, existing_network, fault, match, pick, port_addresses, source
from .shapes import Found, Host, Resource, Volume, Want
from .steps import adoption, changed, simple
from .wanted import BOOT_VOLUME, IMAGE

PASSING_SERVER = frozenset(
    {"BUILD", "REBOOT", "HARD_REBOOT", "REBUILD", "PASSWORD", "MIGRATING", "RESIZE", "REVERT_RESIZE"}
)

STEADY_SERVER = frozenset({"ACTIVE", "SHUTOFF", "VERIFY_RESIZE"})
STEADY_VOLUME = frozenset({"available", "in-use"})


def plan_volume(volume: Volume, want: Want, found: Found) -> list[Step]:
    """Return the step of a volume, before it that of the snapshot which it is made from, where one is needed."""
    name, gib = volume["name"], f"{volume['gib']} GiB"
    actual, refusal = match("volume", name, want, found)
    if actual is None:
        words = filter(None, (gib, volume["type"], volume["from"] and f"from {volume['from']}"))
        this = simple("volume", name, actual, refusal, ", ".join(words))
        return [*_plan_snapshot(volume, want, found), this] if volume["from"] and not refusal else [this]
    return [_plan_existing_volume(volume, actual, want, found)]


def _plan_existing_volume(volume: Volume, actual: Resource, want: Want, found: Found) -> Step:
    name, gib = volume["name"], f"{volume['gib']} GiB"
    if actual["status"].startswith("error") or actual["status"] == "deleting":
        return step(
            "volume",
            name,
            "refuse",
            f"is in state {actual['status']} ({actual['id']}); look at it with "
            f"openstack volume show {actual['id']}, repair or remove it, and run this again",
        )
    if actual["size"] > volume["gib"]:
        return step(
            "volume",
            name,
            "refuse",
            f"has {actual['size']} GiB, the site file says {gib}; volumes are never "
            "made smaller: set gib back, or move the data to a new volume",
        )
    if volume["type"] and actual.get("volume_type") != volume["type"]:
        return step(
            "volume",
            name,
            "refuse",
            f"has the type {actual.get('volume_type')}, the site file says {volume['type']}; its data would "
            "have to be copied: set type back, or do it with openstack volume set --type "
            f"{volume['type']} --retype-policy on-demand {name}",
        )
    changes = adoption("volume", actual, want, found)
    if actual["status"] not in STEADY_VOLUME:
        changes.append(f"wait: {actual['status']} since an earlier run")
    if actual["size"] < volume["gib"]:
        changes.append(f"{actual['size']} -> {gib}")
    return changed("volume", name, changes, gib)


def _plan_snapshot(volume: Volume, want: Want, found: Found) -> list[Step]:
    name = f"{volume['name']}-source"
    kind, origin = source(volume, found)
    exists, refusal = match("snapshot", name, want, found)
    if refusal:
        return [step("snapshot", name, "refuse", refusal)]
    if exists and exists["status"].startswith("error"):
        return [
            step(
                "snapshot",
                name,
                "refuse",
                f"is in state {exists['status']} ({exists['id']}); remove it with "
                f"openstack snapshot delete {exists['id']} and run this again",
            )
        ]
    if exists:
        changes = [] if exists["status"] == "available" else [f"wait: {exists['status']} since an earlier run"]
        return [changed("snapshot", name, changes, f"of {volume['from']}")]
    if kind == "volume" and origin and origin["status"] != "available":
        return [step("snapshot", name, "create", f"of {volume['from']}, which is {origin['status']}")]
    return []


def plan_port(host: Host, want: Want, found: Found) -> Step:
    name = host["name"]
    port, refusal = match("port", name, want, found)
    if port is None:
        return simple("port", name, port, refusal, host["address"] or f"an address of {want['existing']}")
    addresses = port_addresses(port)
    if want["existing"]:
        network, _subnets = existing_network(want, found)
        if network and port["network_id"] != network["id"]:
            return step(
                "port",
                name,
                "refuse",
                f"is in another network than {want['existing']}, and servers do not move between networks; set "
                "site.openstack.network back, or destroy the site (its volumes stay) and deploy it again",
            )
    if host["address"] and host["address"] not in addresses:
        return step(
            "port",
            name,
            "refuse",
            f"has the address {', '.join(addresses)}, the site file says "
            f"{host['address']}; an address is given when a host is made: keep the order of site.hosts, or "
            f"write {host['path']}.address: {addresses[0] if addresses else host['address']}",
        )
    server, _refusal = match("server", name, want, found)
    if port["device_id"] and port["device_id"] != (server or {}).get("id") and not _is_router_port(port):
        return step(
            "port",
            name,
            "refuse",
            f"is plugged into the server {port['device_id']}, which is not "
            f"{name}; unplug it, or remove that server if it is left over",
        )
    changes = adoption("port", port, want, found)
    names = {group["id"]: group["name"] for group in found["security group"]}
    if sorted(names.get(group, group) for group in port["security_groups"]) != host["security_groups"]:
        changes.append("security groups " + ", ".join(host["security_groups"]))
    return changed("port", name, changes, ", ".join(addresses))


def _is_router_port(port: Resource) -> bool:
    return str(port.get("device_owner", "")).startswith(("network:", "neutron:"))


def plan_server(host: Host, want: Want, found: Found) -> Step:
    name = host["name"]
    server, refusal = match("server", name, want, found)
    words = ", ".join(filter(None, (host["flavor"], host["address"])))
    if server is None:
        return simple("server", name, server, refusal, words)
    if server.get("OS-EXT-STS:task_state") == "deleting":
        return step("server", name, "refuse", "is being removed; run this again in a minute")
    if server["status"] == "ERROR":
        if host["recreate"]:
            return step("server", name, "recreate", f"{fault(server)}; made anew, as asked; its volumes stay")
        return step(
            "server",
            name,
            "refuse",
            f"is in ERROR: {fault(server)}; run this again with "
            f"-e recreate_failed={host['host']} to make it anew (its volumes stay)",
        )
    refusals = list(_server_refusals(host, server, want, found))
    if refusals:
        return step("server", name, "refuse", "; ".join(refusals))
    changes = adoption("server", server, want, found)
    if server["status"] in PASSING_SERVER:
        changes.append(f"wait: {server['status']} since an earlier run")
    elif not _plugged(host, server, want, found):
        changes.append("plug it into its port")
    if server["status"] == "SHUTOFF":
        changes.append("start")
    return changed("server", name, changes, words)


def _plugged(host: Host, server: Resource, want: Want, found: Found) -> bool:
    port, _refusal = match("port", host["name"], want, found)
    return port is not None and bool(port["device_id"] == server["id"])


def _server_refusals(host: Host, server: Resource, want: Want, found: Found) -> Iterator[str]:
    """Yield what of a server cannot be adapted without loss or interruption."""
    marks, name = server["metadata"], host["name"]
    anew = "or make a new site with it (playbooks/new_site.yml) and move the visitors there (playbooks/switch.yml)"
    image = (server.get("image") or {}).get("id")
    if marks.get(IMAGE, want["image"]) != want["image"] and image != want["image"]:
        yield (
            f"was made from the image {marks[IMAGE]}, the site file says {want['image']}; what is not on its "
            f"volumes would be lost: set site.openstack.image back, {anew}"
        )
    before, now = marks.get(BOOT_VOLUME, ""), str(host["boot_volume_gib"] or "")
    if IMAGE in marks and before != now:
        yield (
            f"boots from {_boot(before)}, the site file says {_boot(now)}; what is not on its volumes would be "
            f"lost: set boot_volume_gib back, {anew}"
        )
    actual = server["flavor"].get("original_name", "")
    flavor = pick("flavor", host["flavor"], found["flavor"])
    if host["flavor"] != actual and (flavor is None or flavor["name"] != actual):
        yield (
            f"has the flavor {actual}, the site file says {host['flavor']}; that stops the server: set flavor back, "
            f"or do it when it suits: openstack server resize --wait --flavor {host['flavor']} {name} && "
            f"openstack server resize confirm {name}"
        )
    if server["status"] not in PASSING_SERVER | STEADY_SERVER:
        yield (f"is {server['status']}; bring it back to ACTIVE (openstack server show {name}), then run this again")


def _boot(gib: str) -> str:
    return f"a volume of {gib} GiB" if gib else "the flavor's own disk"


def plan_attachment(volume: Volume, want: Want, found: Found) -> Step:
    host_name = f"{want['name']}-{volume['host']}"
    actual, _refusal = match("volume", volume["name"], want, found)
    server, _refusal = match("server", host_name, want, found)
    holders = attached_to(actual) if actual else []
    if not holders or (server and server["status"] == "ERROR"):
        return step("attachment", volume["name"], "create", f"to {host_name}")
    if server and server["id"] in holders:
        return step("attachment", volume["name"], "keep", f"to {host_name}")
    names = {entry["id"]: entry["name"] for entry in found["server"]}
    return step(
        "attachment",
        volume["name"],
        "refuse",
        f"the volume is attached to {', '.join(names.get(holder, holder) for holder in holders)}; detach it "
        f"there, or name it otherwise, to have it at {host_name}",
    )

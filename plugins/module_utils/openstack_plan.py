# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a site needs of an OpenStack cloud, what is there, and the plan between the two.

Pure functions: openstack_cloud.py lists and writes, this file decides. The steps of a plan are those of plan.py.

``found`` is ``{"project": id of the project, kind: [resource, ...]}`` with the resources as the APIs list them (the
references at https://docs.openstack.org/api-ref/: compute 2.67, block storage 3.42, network v2.0). The kinds are those
of LISTED. ``offer`` has the same shape, with what is asked for only where something is to be made: see asked().

What belongs to a site carries its mark from the call that creates it: servers, volumes and snapshots in their metadata,
what neutron has in its description. Key pairs and server groups take no mark: a key pair is known by its key, a server
group by its name.
"""

from __future__ import annotations

import datetime
import difflib
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from .openstack_firewall import ALL_HOSTS, firewall, host_firewalls
from .plan import step

MARK = "imaging.repository site "
SITE, HOST, VOLUME = "imaging_repository_site", "imaging_repository_host", "imaging_repository_volume"
# What a server was made from: the cloud shows neither the image's name nor the size of a volume that nova made.
IMAGE, BOOT_VOLUME = "imaging_repository_image", "imaging_repository_boot_volume_gib"

LISTED = (
    "key pair",
    "network",
    "external network",
    "subnet",
    "router",
    "security group",
    "server group",
    "port",
    "server",
    "volume",
    "snapshot",
    "address",
    "flavor",
)
BY_METADATA = frozenset({"server", "volume", "snapshot"})
# The subnet hands out these few addresses itself (routers, DHCP); the hosts' addresses come after them.
AUTOMATIC_ADDRESSES = (2, 15)
PASSING_SERVER = frozenset(
    {"BUILD", "REBOOT", "HARD_REBOOT", "REBUILD", "PASSWORD", "MIGRATING", "RESIZE", "REVERT_RESIZE"}
)
STEADY_SERVER = frozenset({"ACTIVE", "SHUTOFF", "VERIFY_RESIZE"})
STEADY_VOLUME = frozenset({"available", "in-use"})
NO_LIMIT = -1
UNNAMED = "the site file does not name it; left alone"


# --- What is wanted -----------------------------------------------------------------------------------------------


def mark(site_name: str) -> str:
    """The description of what neutron has of a site."""
    return MARK + site_name


def group_name(site_name: str, name: str) -> str:
    """Name of the security group of one of the firewalls of site.firewall()."""
    return site_name if name == ALL_HOSTS else f"{site_name}-{name}"


def wanted(site: dict, public_key: str = "", recreate_failed: Iterable[str] = ()) -> dict:
    """What the effective site needs.

    Returns ``{"name", "mark", "public_key", "cloud", "image", "external", "cidr", "dns", "zone", "new_address",
    "adopt", "security_groups": {name: [rule]}, "server_group": name or "", "hosts", "volumes"}``, where a rule is
    ``(protocol, first port, last port, name of the remote group, remote network)`` in neutron's terms; hosts are
    ``{"name", "host", "path", "flavor", "address", "security_groups", "boot_volume_gib", "volume_type", "grouped",
    "recreate", "outside": None or {"path", "address"}}`` and volumes ``{"name", "host", "volume", "path", "gib",
    "type", "from"}``, each with its full name in ``name``.
    """
    name, cloud = site["name"], site["openstack"]
    again = set(recreate_failed)
    hosts, volumes = [], []
    for host in site["hosts"]:
        full_name, path = f"{name}-{host['name']}", f"site.hosts ({host['name']})"
        outside = None
        if host["public"]:
            outside = {"path": "site.public.address", "address": site["public"].get("address")}
        elif "bastion" in host["groups"]:
            outside = {"path": "site.openstack.bastion_address", "address": cloud.get("bastion_address")}
        hosts.append(
            {
                "name": full_name,
                "host": host["name"],
                "path": path,
                "flavor": host["flavor"],
                "address": host["address"],
                "security_groups": sorted(group_name(name, group) for group in host_firewalls(host)),
                "boot_volume_gib": host.get("boot_volume_gib", cloud.get("boot_volume_gib")),
                "volume_type": cloud.get("volume_type"),
                "grouped": "image_server_replica" in host["groups"],
                "recreate": host["name"] in again,
                "bastion": "bastion" in host["groups"],
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
        "external": cloud["network"]["external"],
        "cidr": cloud["network"]["cidr"],
        "dns": list(cloud["network"].get("dns") or []),
        "zone": cloud.get("availability_zone"),
        "new_address": cloud.get("new_address", False),
        "adopt": set(cloud.get("adopt") or []),
        "security_groups": _security_groups(site),
        "server_group": f"{name}-image_server_replica" if any(host["grouped"] for host in hosts) else "",
        "hosts": hosts,
        "volumes": volumes,
        "recreate": again,
    }


def _security_groups(site: dict) -> dict[str, list[tuple]]:
    groups: dict[str, list[tuple]] = {}
    for name, rules in firewall(site).items():
        made = set()
        for rule in rules:
            # Echo requests are ICMP type 8, code 0; neutron writes type and code where others have ports.
            ports = (8, 0) if rule["protocol"] == "icmp" else (rule["port"], rule["port"])
            remotes = (
                [("", rule["cidr"])]
                if "cidr" in rule
                else [(group_name(site["name"], source), "") for source in rule["sources"]]
            )
            made.update((rule["protocol"], *ports, *remote) for remote in remotes)
        groups[group_name(site["name"], name)] = sorted(made)
    return groups


def metadata(want: dict, host: dict) -> dict[str, str]:
    """The metadata of a server of the site."""
    marks = {SITE: want["name"], HOST: host["host"], IMAGE: want["image"]}
    return {**marks, BOOT_VOLUME: str(host["boot_volume_gib"])} if host["boot_volume_gib"] else marks


def volume_metadata(want: dict, volume: dict) -> dict[str, str]:
    """The metadata of a volume of the site, and of the snapshot that it is made from."""
    return {SITE: want["name"], HOST: volume["host"], VOLUME: volume["volume"]}


def automatic_pool(cidr: str) -> dict[str, str]:
    """The subnet's own addresses, so that none of them is the one of a host that is made later."""
    network = ipaddress.IPv4Network(cidr)
    return {"start": str(network[AUTOMATIC_ADDRESSES[0]]), "end": str(network[AUTOMATIC_ADDRESSES[1]])}


# --- What is found ------------------------------------------------------------------------------------------------


def full_name(kind: str, resource: dict) -> str:
    """The name of a resource; of one that is marked in its metadata, the name that it must have."""
    if kind in BY_METADATA:
        marks = resource.get("metadata") or {}
        parts = [marks[key] for key in (SITE, HOST, VOLUME) if key in marks]
        if SITE in marks and len(parts) > 1:
            return "-".join(parts) + ("-source" if kind == "snapshot" else "")
    return resource.get("name") or ""


def is_ours(kind: str, resource: dict, want: dict, project: str) -> bool:
    """Whether a resource carries the mark of the site."""
    if kind in BY_METADATA:
        return (resource.get("metadata") or {}).get(SITE) == want["name"]
    if kind == "key pair":
        return _key(resource["public_key"]) == _key(want["public_key"]) != []
    if kind == "server group":
        return True
    return resource.get("description") == want["mark"] and resource.get("project_id", project) == project


def _key(public_key: str) -> list[str]:
    """Type and key of an OpenSSH public key, without its comment."""
    return public_key.split()[:2]


def _named(kind: str, name: str, found: dict) -> list[dict]:
    return [
        resource
        for resource in found[kind]
        if full_name(kind, resource) == name and resource.get("project_id", found["project"]) == found["project"]
    ]


def match(kind: str, name: str, want: dict, found: dict) -> tuple[dict | None, str]:
    """The resource of that name and why it cannot be used: ``(None, "")`` where there is none.

    One that is not ours is only returned where the site file adopts it by name.
    """
    named = _named(kind, name, found)
    ours = [resource for resource in named if is_ours(kind, resource, want, found["project"])]
    if len(ours) > 1:
        return None, (f"exists {len(ours)} times: {_identifiers(ours)}; remove those that the site does not use")
    if ours:
        return ours[0], ""
    if len(named) == 1 and name in want["adopt"] and kind != "key pair":
        return named[0], ""
    if kind == "key pair" and named:
        return None, (
            "a key pair of this name exists whose key is not this site's; bring the site's own key back to "
            "its state directory, choose another site.name, or remove the key pair yourself"
        )
    if named:
        return None, (
            f"exists as {_identifiers(named)} and is not ours: it does not carry the mark of this site; "
            f"choose another site.name, or say that it is meant: site.openstack.adopt: ['{name}']"
        )
    return None, ""


def _identifiers(resources: list[dict]) -> str:
    return ", ".join(sorted(resource.get("id") or resource["name"] for resource in resources))


def pick(kind: str, name: str, resources: list[dict]) -> dict | None:
    """The one with that name or id."""
    return next((resource for resource in resources if name in (resource.get("id"), resource.get("name"))), None)


def security_group_rules(group: dict, names: dict[str, str]) -> dict[tuple, str]:
    """The rules of a security group for what comes in: rule as in wanted() -> its id. ``names`` is id -> name."""
    rules = {}
    for rule in group.get("security_group_rules", []):
        if rule["direction"] == "ingress":
            remote = rule["remote_group_id"] or ""
            first, last = rule["port_range_min"], rule["port_range_max"]
            # Neutron leaves the code of an ICMP rule out where it was given as any.
            key = (
                rule["protocol"] or "",
                first,
                0 if rule["protocol"] == "icmp" and last is None else last,
                names.get(remote, remote),
                rule["remote_ip_prefix"] or "",
            )
            rules[key] = rule["id"]
    return rules


def _rule_words(rule: tuple) -> str:
    protocol, first, last, group, network = rule
    ports = {"icmp": "echo"}.get(protocol, f"{first}" if first == last else f"{first}-{last}")
    return f"{protocol or 'anything'} {ports} from {group or network or 'anywhere'}"


def source(volume: dict, found: dict) -> tuple[str, dict | None]:
    """Kind and resource of what a volume is made from, by name or id; ``("", None)`` where there is none."""
    for kind in ("volume", "snapshot"):
        matching = [resource for resource in found[kind] if volume["from"] in (resource["id"], resource.get("name"))]
        if matching:
            return kind, matching[0]
    return "", None


# --- The plan -----------------------------------------------------------------------------------------------------


def plan(want: dict, found: dict) -> list[dict]:
    """The steps that lead from what was found to what is wanted. Never a removal."""
    steps = [
        _plan_key_pair(want, found),
        _plan_network(want, found),
        _plan_subnet(want, found),
        _plan_router(want, found),
    ]
    steps += [_plan_security_group(name, want, found) for name in want["security_groups"]]
    if want["server_group"]:
        exists, refusal = match("server group", want["server_group"], want, found)
        steps.append(_simple("server group", want["server_group"], exists, refusal, "soft-anti-affinity"))
    for volume in want["volumes"]:
        steps += _plan_volume(volume, want, found)
    steps += [_plan_port(host, want, found) for host in want["hosts"]]
    steps += [_plan_server(host, want, found) for host in want["hosts"]]
    steps += [_plan_attachment(volume, want, found) for volume in want["volumes"]]
    steps += [_plan_address(host, want, found) for host in want["hosts"] if host["outside"]]
    return steps + list(_plan_unnamed(want, found))


def _simple(kind: str, name: str, exists: dict | None, refusal: str, detail: str) -> dict:
    if refusal:
        return step(kind, name, "refuse", refusal)
    return step(kind, name, "keep" if exists else "create", detail)


def _adoption(kind: str, resource: dict, want: dict, found: dict) -> list[str]:
    return [] if is_ours(kind, resource, want, found["project"]) else ["adopt it, as asked"]


def _changed(kind: str, name: str, changes: list[str], otherwise: str) -> dict:
    return step(kind, name, "change" if changes else "keep", ", ".join(changes) or otherwise)


def _plan_key_pair(want: dict, found: dict) -> dict:
    exists, refusal = match("key pair", want["name"], want, found)
    return _simple("key pair", want["name"], exists, refusal, " ".join(want["public_key"].split()[:1]))


def _plan_network(want: dict, found: dict) -> dict:
    network, refusal = match("network", want["name"], want, found)
    if network is None:
        return _simple("network", want["name"], network, refusal, "")
    return _changed("network", want["name"], _adoption("network", network, want, found), "")


def _plan_subnet(want: dict, found: dict) -> dict:
    subnet, refusal = match("subnet", want["name"], want, found)
    if subnet is None:
        return _simple("subnet", want["name"], subnet, refusal, want["cidr"])
    if subnet["cidr"] != want["cidr"]:
        return step(
            "subnet",
            want["name"],
            "refuse",
            f"exists as {subnet['cidr']}, the site file says {want['cidr']}; set site.openstack.network.cidr "
            "back, or destroy the site (its volumes stay) and deploy it again",
        )
    changes = _adoption("subnet", subnet, want, found)
    if sorted(subnet["dns_nameservers"]) != sorted(want["dns"]):
        changes.append(f"dns {_words(subnet['dns_nameservers'])} -> {_words(want['dns'])}")
    return _changed("subnet", want["name"], changes, want["cidr"])


def _words(values: Iterable[str]) -> str:
    return ", ".join(values) or "the cloud's"


def interface(router: dict, subnet: dict | None, found: dict) -> dict | None:
    """The port that connects the subnet to the router."""
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


def _plan_router(want: dict, found: dict) -> dict:
    router, refusal = match("router", want["name"], want, found)
    if router is None:
        return _simple("router", want["name"], router, refusal, f"to {want['external']}")
    changes = _adoption("router", router, want, found)
    external = pick("external network", want["external"], found["external network"])
    gateway = (router.get("external_gateway_info") or {}).get("network_id")
    if gateway is None:
        changes.append(f"connect it to {want['external']}")
    elif external and gateway != external["id"]:
        return step(
            "router",
            want["name"],
            "refuse",
            f"leads to another network than {want['external']}, and addresses do not move between networks; "
            "set site.openstack.network.external back, or destroy the site (its volumes stay) and deploy it "
            "again",
        )
    subnet, _refusal = match("subnet", want["name"], want, found)
    if interface(router, subnet, found) is None:
        changes.append("connect the subnet")
    return _changed("router", want["name"], changes, f"to {want['external']}")


def _plan_security_group(name: str, want: dict, found: dict) -> dict:
    group, refusal = match("security group", name, want, found)
    rules = want["security_groups"][name]
    if group is None:
        return _simple("security group", name, group, refusal, "; ".join(_rule_words(rule) for rule in rules))
    changes = _adoption("security group", group, want, found)
    names = {entry["id"]: entry["name"] for entry in found["security group"]}
    actual = security_group_rules(group, names)
    changes += [f"open {_rule_words(rule)}" for rule in rules if rule not in actual]
    changes += [f"close {_rule_words(rule)}" for rule in actual if rule not in rules]
    return _changed("security group", name, changes, f"{len(rules)} rules")


def _plan_volume(volume: dict, want: dict, found: dict) -> list[dict]:
    """The step of a volume, before it that of the snapshot which it is made from, where one is needed."""
    name, gib = volume["name"], f"{volume['gib']} GiB"
    actual, refusal = match("volume", name, want, found)
    if actual is None:
        words = [gib] + [volume["type"]] * bool(volume["type"]) + [f"from {volume['from']}"] * bool(volume["from"])
        this = _simple("volume", name, actual, refusal, ", ".join(words))
        return [*_plan_snapshot(volume, want, found), this] if volume["from"] and not refusal else [this]
    return [_plan_existing_volume(volume, actual, want, found)]


def _plan_existing_volume(volume: dict, actual: dict, want: dict, found: dict) -> dict:
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
    changes = _adoption("volume", actual, want, found)
    if actual["status"] not in STEADY_VOLUME:
        changes.append(f"wait: {actual['status']} since an earlier run")
    if actual["size"] < volume["gib"]:
        changes.append(f"{actual['size']} -> {gib}")
    return _changed("volume", name, changes, gib)


def _plan_snapshot(volume: dict, want: dict, found: dict) -> list[dict]:
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
        return [_changed("snapshot", name, changes, f"of {volume['from']}")]
    if kind == "volume" and origin["status"] != "available":
        return [step("snapshot", name, "create", f"of {volume['from']}, which is {origin['status']}")]
    return []


def _plan_port(host: dict, want: dict, found: dict) -> dict:
    name = host["name"]
    port, refusal = match("port", name, want, found)
    if port is None:
        return _simple("port", name, port, refusal, host["address"])
    addresses = [fixed["ip_address"] for fixed in port["fixed_ips"]]
    if host["address"] not in addresses:
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
    changes = _adoption("port", port, want, found)
    names = {group["id"]: group["name"] for group in found["security group"]}
    if sorted(names.get(group, group) for group in port["security_groups"]) != host["security_groups"]:
        changes.append("security groups " + ", ".join(host["security_groups"]))
    return _changed("port", name, changes, host["address"])


def _is_router_port(port: dict) -> bool:
    return port.get("device_owner", "").startswith(("network:", "neutron:"))


def _plan_server(host: dict, want: dict, found: dict) -> dict:
    name = host["name"]
    server, refusal = match("server", name, want, found)
    words = f"{host['flavor']}, {host['address']}"
    if server is None:
        return _simple("server", name, server, refusal, words)
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
    changes = _adoption("server", server, want, found)
    if server["status"] in PASSING_SERVER:
        changes.append(f"wait: {server['status']} since an earlier run")
    elif not _plugged(host, server, want, found):
        changes.append("plug it into its port")
    if server["status"] == "SHUTOFF":
        changes.append("start")
    return _changed("server", name, changes, words)


def _plugged(host: dict, server: dict, want: dict, found: dict) -> bool:
    port, _refusal = match("port", host["name"], want, found)
    return bool(port) and port["device_id"] == server["id"]


def _server_refusals(host: dict, server: dict, want: dict, found: dict) -> Iterator[str]:
    """What of a server cannot be adapted without loss or interruption."""
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


def fault(server: dict) -> str:
    """Nova's words for what went wrong with a server."""
    return " ".join(((server.get("fault") or {}).get("message") or "nova gives no reason").split()).rstrip(".")


def attached_to(volume: dict) -> list[str]:
    """Ids of the servers that have the volume."""
    return [attachment["server_id"] for attachment in volume.get("attachments") or []]


def _plan_attachment(volume: dict, want: dict, found: dict) -> dict:
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


def _plan_unnamed(want: dict, found: dict) -> Iterator[dict]:
    """What carries the mark of the site and is not in the file."""
    hosts, volumes = {host["name"] for host in want["hosts"]}, {volume["name"] for volume in want["volumes"]}
    for kind, names in (
        ("server", hosts),
        ("port", hosts),
        ("volume", volumes),
        ("security group", set(want["security_groups"])),
    ):
        for resource in sorted(found[kind], key=lambda resource: full_name(kind, resource)):
            if is_ours(kind, resource, want, found["project"]) and full_name(kind, resource) not in names:
                yield step(kind, full_name(kind, resource), "unknown", UNNAMED)


# --- Public addresses ---------------------------------------------------------------------------------------------


def choose_address(host: dict, want: dict, found: dict) -> tuple[str, dict | None, str]:
    """The floating IP of a host that is reached from outside: ``(action, floating IP or None, reason)``.

    Actions are ``keep`` (it has one), ``associate``, ``allocate`` (a new one), ``none`` (it goes without) and
    ``refuse``. An address that is at another port is never taken: only switch.yml moves those.
    """
    named, path = host["outside"]["address"], host["outside"]["path"]
    port, _refusal = match("port", host["name"], want, found)
    here = next((entry for entry in found["address"] if port and entry["port_id"] == port["id"]), None)
    chosen = next((entry for entry in found["address"] if named and entry["floating_ip_address"] == named), None)
    taken = ""
    if named and chosen is None:
        return (
            "refuse",
            None,
            (
                f"{path}: {named} is no floating IP of this project in cloud {want['cloud']}; write "
                f"one that it has{_free(want, found)}, or set site.openstack.new_address: true"
            ),
        )
    if chosen and chosen["port_id"] and chosen is not here:
        taken = f"{named} stays at {_holder(chosen, found)}; playbooks/switch.yml moves it"
    if here and (chosen is None or chosen is here or taken):
        return "keep", here, taken
    if chosen and not taken:
        return "associate", chosen, ""
    if want["new_address"]:
        spare = [
            entry
            for entry in found["address"]
            if is_ours("address", entry, want, found["project"]) and not entry["port_id"]
        ]
        return ("associate", spare[0], taken) if spare else ("allocate", None, taken)
    if taken and not host["bastion"]:
        return "none", None, taken
    if taken:
        return (
            "refuse",
            None,
            (
                f"{path}: {taken}; until then this site needs one of its own, or nobody reaches its "
                "bastion: set site.openstack.new_address: true"
            ),
        )
    return (
        "refuse",
        None,
        (
            f"{path}: is missing; write a floating IP of the project{_free(want, found)}, or set "
            "site.openstack.new_address: true to have one allocated"
        ),
    )


def _holder(address: dict, found: dict) -> str:
    port = pick("port", address["port_id"], found["port"])
    return (port or {}).get("name") or f"port {address['port_id']}"


def _free(want: dict, found: dict) -> str:
    external = pick("external network", want["external"], found["external network"])
    free = sorted(
        entry["floating_ip_address"]
        for entry in found["address"]
        if not entry["port_id"] and external and entry["floating_network_id"] == external["id"]
    )
    return f" (free: {', '.join(free)})" if free else " (none is free)"


def _plan_address(host: dict, want: dict, found: dict) -> dict:
    action, address, reason = choose_address(host, want, found)
    text = address["floating_ip_address"] if address else ""
    if action == "refuse":
        return step("address", host["name"], "refuse", reason)
    if action == "none":
        return step("address", host["name"], "keep", f"none: {reason}")
    if action == "keep":
        return step("address", host["name"], "keep", "; ".join(filter(None, (text, reason))))
    if action == "allocate":
        return step(
            "address", host["name"], "create", "; ".join(filter(None, (f"a new one of {want['external']}", reason)))
        )
    return step("address", host["name"], "change", "; ".join(filter(None, (text, reason))))


# --- Problems -----------------------------------------------------------------------------------------------------


def asked(steps: list[dict], want: dict) -> tuple[str, ...]:
    """What must be known beyond the listing to say whether the plan can be carried out: nothing where all is kept."""
    actions = {(entry["kind"], entry["action"]) for entry in steps}
    servers = ("server", "create") in actions or ("server", "recreate") in actions
    blocks = {("volume", "create"), ("volume", "change"), ("snapshot", "create")} & actions
    boots = servers and any(host["boot_volume_gib"] for host in want["hosts"])
    needed = {
        "image": servers,
        "availability zone": servers and bool(want["zone"]),
        "compute limits": servers or ("server group", "create") in actions,
        "volume type": boots or ("volume", "create") in actions,
        "volume quota": bool(blocks) or boots,
        "network quota": any((action == "create" and kind in NETWORK_QUOTAS) for kind, action in actions),
    }
    return tuple(kind for kind, is_needed in needed.items() if is_needed)


def problems(steps: list[dict], want: dict, found: dict, offer: dict) -> list[str]:
    """All that keeps the plan from being carried out, a sentence each: `path: what is wrong; what to do`."""
    lines = [
        entry["detail"] if entry["kind"] == "address" else f"{entry['kind']} {entry['name']}: {entry['detail']}"
        for entry in steps
        if entry["action"] == "refuse"
    ]
    return [*_unknown_things(steps, want, found, offer), *lines, *_quota_problems(steps, want, found, offer)]


def _unknown_things(steps: list[dict], want: dict, found: dict, offer: dict) -> Iterator[str]:
    def absent(path: str, kind: str, name: str, resources: list[dict]) -> Iterator[str]:
        if pick(kind, name, resources) is None:
            names = sorted({resource["name"] for resource in resources if resource.get("name")})
            yield f"{path}: there is no {kind} '{name}' in cloud {want['cloud']}; {_instead(name, names)}"

    action = {(entry["kind"], entry["name"]): entry["action"] for entry in steps}
    if "image" in offer:
        yield from absent("site.openstack.image", "image", want["image"], offer["image"])
        same = [image for image in offer["image"] if image["name"] == want["image"]]
        if len(same) > 1:
            yield (
                f"site.openstack.image: '{want['image']}' is the name of {len(same)} images in cloud "
                f"{want['cloud']}; write the id of one of them: {_identifiers(same)}"
            )
    if action["router", want["name"]] == "create" or "create" in {
        action["address", host["name"]] for host in want["hosts"] if host["outside"]
    }:
        yield from absent(
            "site.openstack.network.external", "external network", want["external"], found["external network"]
        )
    if "availability zone" in offer:
        yield from absent(
            "site.openstack.availability_zone", "availability zone", want["zone"], offer["availability zone"]
        )
    for host in want["hosts"]:
        if action["server", host["name"]] in ("create", "recreate"):
            yield from absent(f"{host['path']}.flavor", "flavor", host["flavor"], found["flavor"])
            yield from _too_small(host, want, found, offer)
    short = {host["host"] for host in want["hosts"]}
    for name in sorted(want["recreate"] - short):
        yield f"recreate_failed: there is no host '{name}' in site {want['name']}; {_instead(name, sorted(short))}"
    for volume in want["volumes"]:
        if action["volume", volume["name"]] == "create":
            if volume["type"]:
                yield from absent(f"{volume['path']}.type", "volume type", volume["type"], offer["volume type"])
            if volume["from"]:
                yield from _source_problems(volume, want, found)


def _too_small(host: dict, want: dict, found: dict, offer: dict) -> Iterator[str]:
    """What of a new host is less than its image demands."""
    image, flavor = pick("image", want["image"], offer["image"]), pick("flavor", host["flavor"], found["flavor"])
    if image is None or flavor is None:
        return
    disk, memory = image.get("min_disk") or 0, image.get("min_ram") or 0
    if host["boot_volume_gib"] and host["boot_volume_gib"] < disk:
        yield (
            f"{host['path']}.boot_volume_gib: {host['boot_volume_gib']} is less than the image {want['image']} "
            f"needs; write {disk} or more"
        )
    elif not host["boot_volume_gib"] and 0 < flavor["disk"] < disk:
        yield (
            f"{host['path']}.flavor: {host['flavor']} has a disk of {flavor['disk']} GiB, the image {want['image']} "
            f"needs {disk}; choose a larger flavor, or write boot_volume_gib: {disk}"
        )
    if flavor["ram"] < memory:
        yield (
            f"{host['path']}.flavor: {host['flavor']} has {flavor['ram']} MiB of memory, the image {want['image']} "
            f"needs {memory}; choose a larger flavor"
        )


def _source_problems(volume: dict, want: dict, found: dict) -> Iterator[str]:
    kind, origin = source(volume, found)
    path = f"{volume['path']}.from"
    if origin is None:
        names = sorted({entry["name"] for entry in found["volume"] + found["snapshot"] if entry.get("name")})
        yield (
            f"{path}: there is no volume or snapshot '{volume['from']}' in this project of cloud {want['cloud']}; "
            f"{_instead(volume['from'], names)}"
        )
        return
    same = [
        entry for entry in found["volume"] + found["snapshot"] if volume["from"] in (entry["id"], entry.get("name"))
    ]
    if len(same) > 1:
        yield f"{path}: '{volume['from']}' is the name of {len(same)} of them; write an id: {_identifiers(same)}"
    elif origin["status"].startswith("error"):
        yield f"{path}: the {kind} {volume['from']} is in state {origin['status']}; repair it, or name another one"
    if origin["size"] > volume["gib"]:
        yield (
            f"{volume['path']}.gib: {volume['gib']} is less than the {kind} {volume['from']} has; write "
            f"{origin['size']} or more"
        )


def _instead(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), {other.lower(): other for other in names}, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{next(other for other in names if other.lower() == near[0])}'?"
    if not names:
        return "this project sees none"
    return f"there are: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"


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
    """The name of the quota of a kind, for people."""
    return {"address": "floating IPs"}.get(kind, f"{kind}s")


def needs(steps: list[dict], want: dict, found: dict) -> Counter:
    """What the plan takes of each quota."""
    created = {(entry["kind"], entry["name"]) for entry in steps if entry["action"] == "create"}
    needed: Counter = Counter()
    for kind in (*NETWORK_QUOTAS, "server group", "snapshot"):
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
            needed["GiB of volumes"] += source(volume, found)[1]["size"]
    return needed


def _storage(volumes: int, gib: int, volume_type: str | None) -> dict[str, int]:
    """What volumes take of the quotas of the project and of their type."""
    return {
        f"{name}{kind}": count
        for kind in {"", _of_type(volume_type)}
        for name, count in (("volumes", volumes), ("GiB of volumes", gib))
    }


def _of_type(volume_type: str | None) -> str:
    return f" of type {volume_type}" if volume_type else ""


def quotas(offer: dict) -> dict[str, tuple[int, int]]:
    """What the project may have and has of each quota: ``{quota: (limit, used)}``, without what has no limit."""
    absolute = offer.get("compute limits") or {}
    limits = {
        name: (absolute.get(limit, NO_LIMIT), absolute.get(used, 0))
        for name, limit, used in (
            ("servers", "maxTotalInstances", "totalInstancesUsed"),
            ("cores", "maxTotalCores", "totalCoresUsed"),
            ("MiB of memory", "maxTotalRAMSize", "totalRAMUsed"),
            ("server groups", "maxServerGroups", "totalServerGroupsUsed"),
        )
    }
    for key, entry in (offer.get("volume quota") or {}).items():
        # gigabytes is for all, gigabytes_<type> for volumes of that type.
        name, _separator, volume_type = key.partition("_")
        if name in VOLUME_QUOTAS:
            limits[VOLUME_QUOTAS[name] + _of_type(volume_type)] = (entry["limit"], entry["in_use"] + entry["reserved"])
    network = offer.get("network quota") or {}
    for kind, name in NETWORK_QUOTAS.items():
        if name in network:
            limits[plural(kind)] = (network[name]["limit"], network[name]["used"] + int(network[name]["reserved"]))
    return {name: limit for name, limit in limits.items() if limit[0] != NO_LIMIT}


def _quota_problems(steps: list[dict], want: dict, found: dict, offer: dict) -> Iterator[str]:
    needed, limits = needs(steps, want, found), quotas(offer)
    for name, count in sorted(needed.items()):
        if name in limits and count > limits[name][0] - limits[name][1]:
            limit, used = limits[name]
            yield (
                f"quota of cloud {want['cloud']}: the plan needs {count} more {name}, the project may have {limit} "
                f"and uses {used}; ask the cloud for {used + count}, or make the site smaller"
            )


# --- The removal --------------------------------------------------------------------------------------------------


def removal(want: dict, found: dict, destroy_volumes: Iterable[str], now: datetime.datetime) -> list[dict]:
    """The steps that remove a site: all that carries its mark; of its volumes and snapshots those that are named."""
    named = set(destroy_volumes)
    ours = {
        kind: sorted(
            (resource for resource in found[kind] if is_ours(kind, resource, want, found["project"])),
            key=lambda resource, kind=kind: full_name(kind, resource),
        )
        for kind in LISTED
        if kind in found and kind not in ("flavor", "external network", "server group")
    }
    ours["key pair"] = [entry for entry in ours["key pair"] if entry["name"] == want["name"]]
    ours["server group"] = _named("server group", want["name"] + "-image_server_replica", found)
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
            steps.append(_remove_data(kind, resource, named, ours, found, now))
    known = sorted({full_name(kind, resource) for kind in ("volume", "snapshot") for resource in ours[kind]})
    steps += [
        step(
            "volume",
            name,
            "refuse",
            f"destroy_volumes: this site has no volume or snapshot '{name}'; {_instead(name, known)}",
        )
        for name in sorted(named - set(known))
    ]
    return steps


def label(kind: str, resource: dict) -> str:
    """The name of a resource in the plan of a removal."""
    return resource["floating_ip_address"] if kind == "address" else full_name(kind, resource)


def _removal_refusal(kind: str, resource: dict, ours: dict, found: dict) -> str:
    """Why something of the site must stay: others use it."""
    our_ports = {port["id"] for port in ours["port"]}
    our_routers = {router["id"] for router in ours["router"]}
    if kind == "address" and resource["port_id"] and resource["port_id"] not in our_ports:
        return f"stays: it is at {_holder(resource, found)}"
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


def _removal_detail(kind: str, resource: dict, found: dict, now: datetime.datetime) -> str:
    words = [age(resource.get("created") or resource.get("created_at") or "", now)]
    if kind == "server":
        words = [resource["status"], *words]
    if kind == "address":
        words = ["allocated by this site", *words]
    return ", ".join(word for word in words if word)


def _remove_data(kind: str, resource: dict, named: set[str], ours: dict, found: dict, now: datetime.datetime) -> dict:
    name = full_name(kind, resource)
    words = ", ".join(filter(None, (f"{resource['size']} GiB", age(resource.get("created_at") or "", now))))
    if name not in named:
        return step(kind, name, "keep", f"{words}; its data stays; remove it as well with -e destroy_volumes={name}")
    if kind == "volume":
        snapshots = [
            full_name("snapshot", entry)
            for entry in found["snapshot"]
            if entry["volume_id"] == resource["id"] and full_name("snapshot", entry) not in named
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
    """How long ago an API's time was, in words; "" where the API tells none. Without a zone it is UTC."""
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


def result(want: dict, found: dict) -> dict[str, Any]:
    """The servers of the site as the inventory wants them: ``{host: {"id", "address", "floating_ip", "status",
    "volumes": {name: id}}}``."""
    servers = {}
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
                "address": host["address"],
                "status": server["status"],
                "floating_ip": (outside or [""])[0],
                "volumes": volumes,
            }
    return servers

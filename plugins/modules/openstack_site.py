#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_site
short_description: Makes the hosts of a site exist as servers of an OpenStack cloud
version_added: 0.2.0
description:
  - Makes all that a site with O(site.provider=openstack) needs of its cloud exist, in one call. That is the key pair,
    network, subnet, router, security groups, ports, servers, volumes and the public address.
  - It logs in once, lists each kind of resource once, plans, and carries the plan out with as much overlap as it
    allows.
  - What belongs to the site is known by its name and by a mark that it carries from the call that creates it. So a run
    that was killed is finished by the next, and what others made is never touched.
  - Nothing that exists is replaced or made smaller. Where the site file asks for that, nothing at all is written and
    all such places are reported, together with names that the cloud does not know and quotas that do not suffice.
options:
  site:
    description: The effective site, as the inventory gives it.
    type: dict
    required: true
  state:
    description: V(absent) removes all that carries the mark of the site, except volumes and snapshots.
    type: str
    choices: [present, absent]
    default: present
  public_key:
    description: The site's public SSH key, which new servers let in. With O(state=absent) it tells the site's key pair.
    type: str
  user_data:
    description: Configuration for cloud-init, short host name to text. Used for new servers only.
    type: dict
    default: {}
  recreate_failed:
    description: Short names of hosts whose server is in ERROR and is thrown away and made anew. Their volumes stay.
    type: list
    elements: str
    default: []
  destroy_volumes:
    description: With O(state=absent), full names of the volumes and snapshots to remove as well, with all data on them.
    type: list
    elements: str
    default: []
  wait_seconds:
    description: How long one server, volume or attachment may take.
    type: int
    default: 600
  clone_timeout_seconds:
    description: How long a volume that is made from another may take.
    type: int
    default: 86400
  parallel:
    description: Requests at the same time.
    type: int
    default: 10
  lock_file:
    description:
      - A file that keeps two runs on this machine from writing at the same time.
      - It also tells that a run was killed while it wrote. The cloud may still carry out what that run had asked for,
        so the next one lets a few seconds pass before it looks, and makes nothing twice.
    type: path
  progress_file:
    description: Where to write how far volumes that are made from others are.
    type: path
attributes:
  check_mode:
    description: Reads only; returns the plan, and fails with all that is wrong with it.
    support: full
  diff_mode:
    description: Shows the plan, a line a resource.
    support: full
requirements:
  - openstacksdk >= 4
  - clouds.yaml with O(site.openstack.cloud)
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Make the hosts of the site exist
  imaging.repository.openstack_site:
    site: "{{ effective_site }}"
    public_key: "{{ lookup('ansible.builtin.file', site_state_directory ~ '/ssh/id_ed25519.pub') }}"
    lock_file: "{{ site_state_directory }}/openstack.lock"

- name: Show what would be removed
  imaging.repository.openstack_site:
    site: "{{ effective_site }}"
    state: absent
  check_mode: true
"""

RETURN = r"""
plan:
  description: One step a resource.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        key pair, network, subnet, router, security group, server group, snapshot, volume, port, server, attachment or
        address.
      type: str
    name: {description: Name of the resource., type: str}
    action: {description: 'keep, create, change, refuse, unknown, recreate or remove.', type: str}
    detail: {description: What is changed or why it is refused., type: str}
table:
  description: The plan for people.
  returned: success
  type: str
missing_hosts:
  description: Inventory names of hosts that do not exist yet, which is possible in check mode only.
  returned: success
  type: list
  elements: str
servers:
  description: >-
    Short host name to C(id), C(address), C(floating_ip) (empty where there is none), C(status) and C(volumes), which
    are name to id.
  returned: success
  type: dict
strangers:
  description: Names of servers that carry the mark of the site and are not in the site file.
  returned: success
  type: list
  elements: str
api_calls:
  description: Requests by method. The logins are counted apart.
  returned: always
  type: dict
seconds:
  description: How long the module took.
  returned: always
  type: float
"""

import base64
import contextlib
import datetime
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils import openstack_plan, plan
from ansible_collections.imaging.repository.plugins.module_utils.openstack_cloud import (
    HAS_OPENSTACK,
    Cloud,
    CloudError,
    Until,
    Work,
)
from ansible_collections.imaging.repository.plugins.module_utils.progress import Progress

PORTS_PER_CALL = 4


def server_is_ready(server: dict | None) -> bool:
    """Whether a server runs. Raises CloudError with nova's reason where it never will."""
    if server and server["status"] == "ERROR":
        raise CloudError(
            f"is in ERROR: {openstack_plan.fault(server)}; run this again with recreate_failed to make it "
            "anew (its volumes stay)"
        )
    return bool(server) and server["status"] in ("ACTIVE", "VERIFY_RESIZE")


def is_steady(resource: dict | None) -> bool:
    """Whether a volume or snapshot is at rest. Raises CloudError where it failed."""
    if resource and resource["status"].startswith("error"):
        raise CloudError(
            f"is in state {resource['status']} ({resource['id']}); the cloud's operators know why: look "
            "at it, remove or repair it, then run this again"
        )
    return bool(resource) and resource["status"] in openstack_plan.STEADY_VOLUME


def is_gone(resource: dict | None) -> bool:
    """Whether it is listed no more."""
    return resource is None


def is_detached(volume: dict | None) -> bool:
    """Whether no server has the volume any more."""
    return volume is None or volume["status"] not in ("in-use", "detaching", "attaching", "reserved")


class Provision:
    """Carries out the plan of a site that shall be there."""

    def __init__(self, cloud: Cloud, want: dict, found: dict, offer: dict, steps: list[dict], parameters: dict):
        self.cloud, self.want, self.found, self.offer, self.parameters = cloud, want, found, offer, parameters
        self.action = {(entry["kind"], entry["name"]): entry["action"] for entry in steps}
        self.clones = {
            ("clone", volume["name"])
            for volume in want["volumes"]
            if volume["from"] and self.action["volume", volume["name"]] == "create"
        }
        self.work = Work(cloud, parameters["parallel"], self._watch)
        self.progress = Progress(parameters["progress_file"] if self.clones else None, len(self.clones))

    def run(self) -> dict:
        """Returns what is there afterwards, in the shape of the listing."""
        site = self.want["name"]
        for volume in self.want["volumes"]:
            if ("clone", volume["name"]) in self.clones:
                self._add_volume(volume)
        self._add("key pair", site, lambda: self._create("key pair", public_key=self.want["public_key"]))
        self._add("network", site, lambda: self._create("network"), self._adopt_by_description)
        self._add_router()
        self._add_security_groups()
        self._add("subnet", site, self._create_subnet, self._change_subnet, needs=[("network", site)])
        if self.want["server_group"]:
            self._add("server group", self.want["server_group"], self._create_server_group)
        self._add_ports()
        for host in self.want["hosts"]:
            self._add_server(host)
        for volume in self.want["volumes"]:
            self._add_attachment(volume)
        for host in self.want["hosts"]:
            if host["outside"]:
                self._add_address(host)
        for volume in self.want["volumes"]:
            if ("clone", volume["name"]) not in self.clones:
                self._add_volume(volume)
        with self.progress:
            self.work.run()
        return self._found_now()

    def _found_now(self) -> dict:
        """The listing, with what was made and changed since."""
        now = dict(self.found)
        for (kind, _name), resource in self.work.results.items():
            if kind in ("server", "port", "volume", "attachment", "address") and resource:
                kind = "volume" if kind == "attachment" else kind
                now[kind] = [entry for entry in now[kind] if entry["id"] != resource["id"]] + [resource]
        return now

    def _watch(self, waiting: dict) -> None:
        if self.clones:
            done = sum(key in self.work.results for key in self.clones)
            text = ", ".join(
                f"{key[1]} since {datetime.timedelta(seconds=int(seconds))}"
                for key, (_resource, seconds) in sorted(waiting.items())
                if key in self.clones
            )
            self.progress.update(done, text=text or self.progress.text)

    # --- Shared ---------------------------------------------------------------------------------------------------

    def _existing(self, kind: str, name: str) -> dict | None:
        return openstack_plan.match(kind, name, self.want, self.found)[0]

    def _id(self, kind: str, name: str) -> str:
        return self.work.results[kind, name]["id"]

    def _until(self, kind: str, ready: Callable[[dict | None], bool]) -> Until:
        return Until(kind, ready, self.parameters["wait_seconds"])

    def _add(
        self,
        kind: str,
        name: str,
        create: Callable[[], dict],
        change: Callable[[str, dict], dict] | None = None,
        needs: list | tuple = (),
        until: Until | None = None,
    ) -> None:
        """Adds the step of a resource as the plan says."""
        action, existing = self.action[kind, name], self._existing(kind, name)
        if action == "keep":
            self.work.have((kind, name), existing)
        elif action == "change":
            self.work.add((kind, name), lambda: change(kind, existing), needs, until)
        else:
            self.work.add((kind, name), create, needs, until)

    def _create(self, kind: str, name: str = "", **body) -> dict:
        """Makes what takes no more than a name and its mark."""
        if kind not in ("key pair", "server group"):
            body["description"] = self.want["mark"]
        return self.cloud.create(kind, {"name": name or self.want["name"], **body})

    def _adopt_by_description(self, kind: str, existing: dict) -> dict:
        return self.cloud.update(kind, existing["id"], {"description": self.want["mark"]})

    def _pick(self, kind: str, name: str) -> str:
        """The id of what the site file names and the cloud offers."""
        return openstack_plan.pick(kind, name, {**self.found, **self.offer}[kind])["id"]

    # --- Network --------------------------------------------------------------------------------------------------

    def _create_subnet(self) -> dict:
        return self._create(
            "subnet",
            network_id=self._id("network", self.want["name"]),
            ip_version=4,
            cidr=self.want["cidr"],
            dns_nameservers=self.want["dns"],
            allocation_pools=[openstack_plan.automatic_pool(self.want["cidr"])],
        )

    def _change_subnet(self, kind: str, existing: dict) -> dict:
        return self.cloud.update(
            kind, existing["id"], {"description": self.want["mark"], "dns_nameservers": self.want["dns"]}
        )

    def _gateway(self) -> dict:
        return {"network_id": self._pick("external network", self.want["external"])}

    def _add_router(self) -> None:
        site = self.want["name"]

        def change(kind: str, existing: dict) -> dict:
            body = {"description": self.want["mark"]}
            if not existing.get("external_gateway_info"):
                body["external_gateway_info"] = self._gateway()
            return self.cloud.update(kind, existing["id"], body)

        self._add("router", site, lambda: self._create("router", external_gateway_info=self._gateway()), change)
        router = self._existing("router", site)
        port = router and openstack_plan.interface(router, self._existing("subnet", site), self.found)
        if port:
            self.work.have(("interface", site), port)
        else:
            self.work.add(("interface", site), self._connect, [("router", site), ("subnet", site)])

    def _connect(self) -> dict:
        site = self.want["name"]
        try:
            return self.cloud.put(
                "network",
                f"/routers/{self._id('router', site)}/add_router_interface",
                {"subnet_id": self._id("subnet", site)},
            )
        except CloudError as error:
            # The answer of the first try was lost.
            if "already has a port" not in str(error):
                raise
            return {}

    def _add_security_groups(self) -> None:
        """All groups with one call, the rules of each with another; ports need the groups, nothing waits for rules."""
        site = self.want["name"]
        names = list(self.want["security_groups"])
        if all(self.action["security group", name] == "keep" for name in names):
            self.work.have(("security groups", site), self._security_groups(names))
            return
        self.work.add(("security groups", site), lambda: self._make_security_groups(names))
        for name in names:
            if self.action["security group", name] != "keep":
                self.work.add(("rules", name), lambda name=name: self._make_rules(name), [("security groups", site)])

    def _security_groups(self, names: list[str]) -> dict[str, dict]:
        groups = {name: self._existing("security group", name) for name in names}
        return {name: group for name, group in groups.items() if group}

    def _make_security_groups(self, names: list[str]) -> dict[str, dict]:
        groups = self._security_groups(names)
        for group in groups.values():
            if group["description"] != self.want["mark"]:
                self._adopt_by_description("security group", group)
        missing = [{"name": name, "description": self.want["mark"]} for name in names if name not in groups]
        if missing:
            groups.update((group["name"], group) for group in self.cloud.create_many("security group", missing))
        return groups

    def _make_rules(self, name: str) -> dict:
        groups = self.work.results["security groups", self.want["name"]]
        wanted = self.want["security_groups"][name]
        names = {group["id"]: group["name"] for group in groups.values()}
        actual = openstack_plan.security_group_rules(groups[name], names)
        bodies = [
            {
                "security_group_id": groups[name]["id"],
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": protocol,
                "port_range_min": first,
                "port_range_max": last,
                "remote_group_id": groups[remote]["id"] if remote else None,
                "remote_ip_prefix": network or None,
            }
            for protocol, first, last, remote, network in (rule for rule in wanted if rule not in actual)
        ]
        for rule, identifier in actual.items():
            if rule not in wanted:
                self.cloud.delete("security group rule", identifier)
        if bodies:
            self.cloud.create_many("security group rule", bodies)
        return {}

    def _port_groups(self, host: dict) -> list[str]:
        groups = self.work.results["security groups", self.want["name"]]
        return [groups[name]["id"] for name in host["security_groups"]]

    def _add_ports(self) -> None:
        """New ports a few with each call: fewer calls, and the first servers need not wait for the last port."""
        site = self.want["name"]
        needs = [("subnet", site), ("security groups", site)]
        new = [host for host in self.want["hosts"] if self.action["port", host["name"]] == "create"]
        calls = {}
        for start in range(0, len(new), PORTS_PER_CALL):
            some = new[start : start + PORTS_PER_CALL]
            calls.update((host["name"], ("ports", some[0]["name"])) for host in some)
            self.work.add(("ports", some[0]["name"]), lambda some=some: self._create_ports(some), needs)
        for host in self.want["hosts"]:
            name, call = host["name"], calls.get(host["name"])
            self._add(
                "port",
                name,
                lambda name=name, call=call: self.work.results[call][name],
                lambda kind, existing, host=host: self.cloud.update(
                    kind, existing["id"], {"description": self.want["mark"], "security_groups": self._port_groups(host)}
                ),
                [call] if call else needs,
            )

    def _create_ports(self, hosts: list[dict]) -> dict[str, dict]:
        site = self.want["name"]
        subnet, network = self._id("subnet", site), self._id("network", site)
        made = self.cloud.create_many(
            "port",
            [
                {
                    "name": host["name"],
                    "description": self.want["mark"],
                    "network_id": network,
                    "fixed_ips": [{"subnet_id": subnet, "ip_address": host["address"]}],
                    "security_groups": self._port_groups(host),
                }
                for host in hosts
            ],
        )
        return {port["name"]: port for port in made}

    def _add_address(self, host: dict) -> None:
        site, name = self.want["name"], host["name"]
        action, address, _reason = openstack_plan.choose_address(host, self.want, self.found)
        if action in ("keep", "none"):
            self.work.have(("address", name), address)
            return

        def give() -> dict:
            port = self._id("port", name)
            here = next((entry for entry in self.found["address"] if entry["port_id"] == port), None)
            if here:
                # A port takes one at a time.
                self.cloud.update("address", here["id"], {"port_id": None})
            if address:
                return self.cloud.update("address", address["id"], {"port_id": port})
            return self.cloud.create(
                "address",
                {
                    "description": self.want["mark"],
                    "port_id": port,
                    "floating_network_id": self._gateway()["network_id"],
                },
            )

        self.work.add(("address", name), give, [("port", name), ("interface", site)])

    # --- Servers --------------------------------------------------------------------------------------------------

    def _create_server_group(self) -> dict:
        return self._create("server group", self.want["server_group"], policy="soft-anti-affinity")

    def _add_server(self, host: dict) -> None:
        name, needs = host["name"], [("port", host["name"]), ("key pair", self.want["name"])]
        if host["grouped"]:
            needs.append(("server group", self.want["server_group"]))
        if self.action["server", name] == "recreate":
            failed = self._existing("server", name)
            self.work.add(("failed server", name), lambda: self._discard(failed), until=self._until("server", is_gone))
            needs.append(("failed server", name))
        self._add(
            "server",
            name,
            lambda: self._create_server(host),
            lambda _kind, server: self._change_server(host, server),
            needs,
            self._until("server", server_is_ready),
        )

    def _discard(self, server: dict) -> dict:
        self.cloud.delete("server", server["id"])
        return server

    def _create_server(self, host: dict) -> dict:
        image = self._pick("image", self.want["image"])
        body: dict[str, Any] = {
            "name": host["name"],
            "flavorRef": self._pick("flavor", host["flavor"]),
            "key_name": self.want["name"],
            "networks": [{"port": self._id("port", host["name"])}],
            "metadata": openstack_plan.metadata(self.want, host),
        }
        if host["boot_volume_gib"]:
            boot = {
                "uuid": image,
                "source_type": "image",
                "destination_type": "volume",
                "boot_index": 0,
                "volume_size": host["boot_volume_gib"],
                "delete_on_termination": True,
            }
            if host["volume_type"]:
                boot["volume_type"] = host["volume_type"]
            body["block_device_mapping_v2"] = [boot]
        else:
            body["imageRef"] = image
        if self.want["zone"]:
            body["availability_zone"] = self.want["zone"]
        user_data = self.parameters["user_data"].get(host["host"])
        if user_data:
            body["user_data"] = base64.b64encode(user_data.encode()).decode()
        beside = {}
        if host["grouped"]:
            beside["os:scheduler_hints"] = {"group": self._id("server group", self.want["server_group"])}
        return self.cloud.create("server", body, **beside)

    def _change_server(self, host: dict, server: dict) -> dict:
        if server["metadata"].get(openstack_plan.SITE) != self.want["name"]:
            self.cloud.post(
                "compute",
                f"/servers/{server['id']}/metadata",
                {"metadata": openstack_plan.metadata(self.want, host)},
                lambda: None,
            )
        port = self.work.results["port", host["name"]]
        if port["device_id"] != server["id"] and server["status"] in openstack_plan.STEADY_SERVER:
            self.cloud.post(
                "compute",
                f"/servers/{server['id']}/os-interface",
                {"interfaceAttachment": {"port_id": port["id"]}},
                lambda: None,
            )
        if server["status"] == "SHUTOFF":
            self.cloud.post(
                "compute",
                f"/servers/{server['id']}/action",
                {"os-start": None},
                lambda: next(
                    (
                        entry
                        for entry in self.cloud.list("server")
                        if entry["id"] == server["id"] and entry["status"] == "ACTIVE"
                    ),
                    None,
                ),
            )
        return server

    # --- Volumes --------------------------------------------------------------------------------------------------

    def _add_volume(self, volume: dict) -> None:
        name, needs, snapshot = volume["name"], [], f"{volume['name']}-source"
        if ("snapshot", snapshot) in self.action:
            needs = [("snapshot", snapshot)]
            self._add(
                "snapshot",
                snapshot,
                lambda: self._create_snapshot(volume, snapshot),
                lambda _kind, existing: existing,
                until=self._until("snapshot", is_steady),
            )
        until, existing = self._until("volume", is_steady), self._existing("volume", name)
        large = self._until("volume", lambda now: is_steady(now) and now["size"] >= volume["gib"])
        if ("clone", name) in self.clones:
            clone = ("clone", name)
            self.work.add(clone, lambda: self._create_volume(volume), needs, self._until_copied())
            self.work.add(
                ("volume", name), lambda: self._change_volume(volume, self.work.results[clone]), [clone], large
            )
            return
        if existing and existing["status"] not in openstack_plan.STEADY_VOLUME:
            needs = [("settled volume", name)]
            self.work.add(needs[0], lambda: existing, until=self._until_copied())
        if existing and existing["size"] < volume["gib"]:
            until = large
        self._add(
            "volume",
            name,
            lambda: self._create_volume(volume),
            lambda _kind, _existing: self._change_volume(volume, existing),
            needs,
            until,
        )

    def _until_copied(self) -> Until:
        return Until("volume", is_steady, self.parameters["clone_timeout_seconds"])

    def _create_snapshot(self, volume: dict, name: str) -> dict:
        _kind, origin = openstack_plan.source(volume, self.found)
        return self.cloud.create(
            "snapshot",
            {
                "name": name,
                "volume_id": origin["id"],
                "force": True,
                "metadata": openstack_plan.volume_metadata(self.want, volume),
            },
        )

    def _create_volume(self, volume: dict) -> dict:
        body: dict[str, Any] = {
            "name": volume["name"],
            "size": volume["gib"],
            "metadata": openstack_plan.volume_metadata(self.want, volume),
        }
        if volume["type"]:
            body["volume_type"] = volume["type"]
        if volume["from"]:
            # As large as its source at first: not every back end enlarges what it copies (cinder's NFS does not).
            kind, origin = openstack_plan.source(volume, self.found)
            body["size"] = origin["size"]
            snapshot = self.work.results.get(("snapshot", f"{volume['name']}-source"))
            if snapshot:
                body.update(size=snapshot["size"], snapshot_id=snapshot["id"])
            else:
                body["source_volid" if kind == "volume" else "snapshot_id"] = origin["id"]
        return self.cloud.create("volume", body)

    def _change_volume(self, volume: dict, existing: dict) -> dict:
        path = f"/volumes/{existing['id']}"
        if existing["metadata"].get(openstack_plan.SITE) != self.want["name"]:
            self.cloud.post(
                "block_storage",
                f"{path}/metadata",
                {"metadata": openstack_plan.volume_metadata(self.want, volume)},
                lambda: None,
            )

        def extended() -> dict | None:
            now = next((entry for entry in self.cloud.list("volume") if entry["id"] == existing["id"]), None)
            return now if now and (now["status"] == "extending" or now["size"] >= volume["gib"]) else None

        if existing["size"] < volume["gib"]:
            self.cloud.post("block_storage", f"{path}/action", {"os-extend": {"new_size": volume["gib"]}}, extended)
        return existing

    def _add_attachment(self, volume: dict) -> None:
        name, host = volume["name"], f"{self.want['name']}-{volume['host']}"
        if self.action["attachment", name] == "keep":
            return

        def attach() -> dict:
            server, now = self._id("server", host), self.work.results["volume", name]
            if server not in openstack_plan.attached_to(now):
                self.cloud.post(
                    "compute",
                    f"/servers/{server}/os-volume_attachments",
                    {"volumeAttachment": {"volumeId": now["id"]}},
                    lambda: self._attaching(now["id"]),
                )
            return now

        def is_attached(now: dict | None) -> bool:
            if now and now["status"] == "available":
                # Nova reserves a volume before it answers, and gives it back where it fails.
                raise CloudError(
                    f"nova could not attach it to {host}; openstack server event list {host} says when, "
                    "the cloud's operators know why; run this again to try it again"
                )
            return is_steady(now) and self._id("server", host) in openstack_plan.attached_to(now)

        self.work.add(
            ("attachment", name), attach, [("volume", name), ("server", host)], self._until("volume", is_attached)
        )

    def _attaching(self, identifier: str) -> dict | None:
        return next(
            (
                entry
                for entry in self.cloud.list("volume")
                if entry["id"] == identifier and entry["status"] != "available"
            ),
            None,
        )


class Removal:
    """Carries out the plan of a site that shall be gone."""

    def __init__(self, cloud: Cloud, want: dict, found: dict, steps: list[dict], parameters: dict):
        self.cloud, self.want, self.found, self.seconds = cloud, want, found, parameters["wait_seconds"]
        self.names = {
            kind: {entry["name"] for entry in steps if (entry["kind"], entry["action"]) == (kind, "remove")}
            for kind in openstack_plan.LISTED
        }
        self.work = Work(cloud, parameters["parallel"])

    def run(self) -> None:
        """Removes in the order in which one thing needs the other."""
        servers = self._add("server", [], waits=True)
        addresses = self._add("address", [])
        ports = self._add("port", servers)
        interfaces = self._add_interfaces([*ports, *addresses])
        self._add("router", interfaces)
        self._add("network", [*ports, *interfaces])
        self._add("security group", ports)
        self._add("server group", servers)
        self._add("key pair", [])
        snapshots = self._add("snapshot", [], waits=True)
        self._add("volume", [*servers, *snapshots], waits=True)
        self.work.run()

    def _resources(self, kind: str) -> list[dict]:
        """What the plan removes of a kind."""
        return [
            resource
            for resource in self.found[kind]
            if openstack_plan.is_ours(kind, resource, self.want, self.found["project"])
            and openstack_plan.label(kind, resource) in self.names[kind]
        ]

    def _add(self, kind: str, needs: list, waits: bool = False) -> list[tuple[str, str]]:
        keys = []
        for resource in self._resources(kind):
            identifier = resource["name"] if kind == "key pair" else resource["id"]
            # Two of one name may be ours, so that the name alone is no key.
            keys.append((kind, f"{openstack_plan.label(kind, resource)} ({identifier})"))
            before = needs
            if kind == "volume":
                # It is free a moment after its server is gone.
                before = [("detached volume", keys[-1][1])]
                self.work.add(
                    before[0], lambda resource=resource: resource, needs, Until("volume", is_detached, self.seconds)
                )
            self.work.add(
                keys[-1],
                lambda identifier=identifier: self._remove(kind, identifier),
                before,
                Until(kind, is_gone, self.seconds) if waits else None,
            )
        return keys

    def _remove(self, kind: str, identifier: str) -> dict:
        self.cloud.delete(kind, identifier)
        return {"id": identifier}

    def _add_interfaces(self, needs: list) -> list[tuple[str, str]]:
        """Unplugs the routers, which cannot be removed before."""
        keys = []
        for router in self._resources("router"):
            for port in self.found["port"]:
                if port["device_id"] == router["id"] and port["device_owner"].startswith("network:router_interface"):
                    keys.append(("interface", port["id"]))
                    self.work.add(keys[-1], lambda router=router, port=port: self._unplug(router, port), needs)
        return keys

    def _unplug(self, router: dict, port: dict) -> dict:
        try:
            return self.cloud.put(
                "network", f"/routers/{router['id']}/remove_router_interface", {"port_id": port["id"]}
            )
        except CloudError as error:
            if error.status != 404:
                raise
            return {}


def kinds_of(want: dict, state: str) -> list[str]:
    """The kinds to list: no more than the plan of this site looks at."""
    unused = set()
    if state == "present":
        if not want["server_group"]:
            unused.add("server group")
        if not any(volume["from"] for volume in want["volumes"]):
            unused.add("snapshot")
    else:
        unused |= {"flavor", "external network"}
    return [kind for kind in openstack_plan.LISTED if kind not in unused]


# As long as a request that the cloud has taken may need to show in its listings.
SETTLE_SECONDS = 5


@contextlib.contextmanager
def only_writer(lock_file: str | None) -> Iterator[Callable[[], None]]:
    """Keeps other runs away; what it yields is called before the first write.

    The file holds something while a run writes: whoever finds it so comes after a killed run.
    """
    if lock_file is None:
        yield lambda: None
        return
    with open(lock_file, "a+", encoding="ascii") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"{lock_file}: another run works on this site; wait until it has finished") from None
        if os.fstat(handle.fileno()).st_size:
            time.sleep(SETTLE_SECONDS)

        def write() -> None:
            handle.write("writing\n")
            handle.flush()

        try:
            yield write
        finally:
            handle.truncate(0)


def run(module: AnsibleModule, result: dict) -> None:
    """Lists, plans, and writes unless in check mode. ``result`` is filled as far as it comes."""
    parameters = module.params
    with only_writer(None if module.check_mode else parameters["lock_file"]) as write:
        plan_and_apply(module, result, write)


def plan_and_apply(module: AnsibleModule, result: dict, write: Callable[[], None]) -> None:
    """What run() does within the lock."""
    parameters = module.params
    site = parameters["site"]
    want = openstack_plan.wanted(site, parameters["public_key"] or "", parameters["recreate_failed"])
    cloud = Cloud(want["cloud"])
    result["api_calls"] = cloud.calls
    kinds = kinds_of(want, parameters["state"])
    found = {**{kind: [] for kind in openstack_plan.LISTED}, **cloud.find(kinds)}
    if parameters["state"] == "absent":
        steps = openstack_plan.removal(want, found, parameters["destroy_volumes"], datetime.datetime.now(datetime.UTC))
        problems = [entry["detail"] for entry in steps if entry["action"] == "refuse"]
    else:
        steps = openstack_plan.plan(want, found)
        offer = cloud.find(openstack_plan.asked(steps, want))
        problems = openstack_plan.problems(steps, want, found, offer)
    table = plan.table(steps)
    result.update(
        plan=steps,
        table=table,
        changed=plan.writes(steps),
        servers=openstack_plan.result(want, found),
        strangers=[entry["name"] for entry in steps if (entry["kind"], entry["action"]) == ("server", "unknown")],
    )
    result["missing_hosts"] = [host["name"] for host in want["hosts"] if host["host"] not in result["servers"]]
    if problems:
        raise CloudError("nothing was changed:\n" + "\n".join(problems))
    if result["changed"]:
        result["diff"] = {"before": "", "after": table, "before_header": "now", "after_header": "plan"}
    if module.check_mode or not result["changed"]:
        return
    write()
    if parameters["state"] == "absent":
        Removal(cloud, want, found, steps, parameters).run()
        result["servers"] = {}
    else:
        now = Provision(cloud, want, found, offer, steps, parameters).run()
        result.update(servers=openstack_plan.result(want, now), missing_hosts=[])


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            # It is public.
            "public_key": {"type": "str", "no_log": False},
            "user_data": {"type": "dict", "default": {}, "no_log": True},
            "recreate_failed": {"type": "list", "elements": "str", "default": []},
            "destroy_volumes": {"type": "list", "elements": "str", "default": []},
            "wait_seconds": {"type": "int", "default": 600},
            "clone_timeout_seconds": {"type": "int", "default": 86400},
            "parallel": {"type": "int", "default": 10},
            "lock_file": {"type": "path"},
            "progress_file": {"type": "path"},
        },
        required_if=[("state", "present", ["public_key"])],
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"))
    result: dict[str, Any] = {
        "changed": False,
        "plan": [],
        "table": "",
        "missing_hosts": [],
        "servers": {},
        "strangers": [],
        "api_calls": {},
    }
    failure = ""
    try:
        run(module, result)
    except (CloudError, OSError) as error:
        failure = str(error)
    result["seconds"] = round(time.monotonic() - started, 2)
    result["api_calls"] = {
        method: result["api_calls"].get(method, 0) for method in ("GET", "POST", "PUT", "DELETE", "logins")
    }
    if failure:
        # Ansible prints all of a failure: the plan would bury what is wrong.
        told = {key: result[key] for key in ("changed", "api_calls", "seconds", "diff") if key in result}
        module.fail_json(msg=failure, **told)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

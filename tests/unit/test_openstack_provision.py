# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Carrying out a plan, on a cloud in memory: afterwards the plan keeps everything. tests/cloud has the real one."""

from __future__ import annotations

import copy
import datetime
import itertools
import threading
from typing import Any

import pytest
from openstack_samples import EXTERNAL, KEY, OFFER, PROJECT, SITE, firewall_of, nothing, site_with, want_of

from plugins.module_utils.openstack.plan import plan
from plugins.module_utils.openstack.provision import Provision
from plugins.module_utils.openstack.removal import removal
from plugins.module_utils.openstack.removing import Removing
from plugins.module_utils.openstack.run import Settings
from plugins.module_utils.openstack.shapes import Found
from plugins.module_utils.openstack.wanted import wanted

NOW = datetime.datetime(2026, 11, 22, 10, 0, tzinfo=datetime.UTC)


class Memory:
    """A cloud that does at once what it is asked for."""

    def __init__(self, found: Found):
        self.found, self.lock, self.numbers = found, threading.Lock(), itertools.count(1)

    def list(self, kind: str) -> list[dict]:
        with self.lock:
            return copy.deepcopy(self.found[kind])

    def one(self, kind: str, identifier: str) -> dict:
        return next(resource for resource in self.found[kind] if resource["id"] == identifier)

    def create(self, kind: str, body: dict, **_beside) -> dict:
        with self.lock:
            made: dict[str, Any] = {"id": f"{kind} {next(self.numbers)}", "project_id": PROJECT, **body}
            if kind == "security group":
                made["security_group_rules"] = []
            elif kind == "router":
                made["external_gateway_info"] = body["external_gateway_info"]
            elif kind == "port":
                made |= {"device_id": "", "device_owner": ""}
            elif kind == "volume":
                made |= {"status": "available", "attachments": []}
            elif kind == "snapshot":
                made |= {"status": "available", "size": self.one("volume", body["volume_id"])["size"]}
            elif kind == "server":
                flavor = next(entry for entry in self.found["flavor"] if entry["id"] == body["flavorRef"])
                made |= {"status": "ACTIVE", "flavor": {"original_name": flavor["name"]}, "image": {}}
                self.one("port", body["networks"][0]["port"])["device_id"] = made["id"]
            elif kind == "address":
                made["floating_ip_address"] = f"198.51.100.{next(self.numbers)}"
            self.found[kind].append(made)
            return copy.deepcopy(made)

    def create_many(self, kind: str, bodies: list[dict]) -> list[dict]:
        if kind != "security group rule":
            return [self.create(kind, body) for body in bodies]
        for body in bodies:
            group = self.one("security group", body["security_group_id"])
            group["security_group_rules"].append({"id": f"rule {next(self.numbers)}", **body})
        return bodies

    def update(self, kind: str, identifier: str, body: dict) -> dict:
        self.one(kind, identifier).update(body)
        return copy.deepcopy(self.one(kind, identifier))

    def delete(self, kind: str, identifier: str) -> None:
        if kind == "security group rule":
            for group in self.found["security group"]:
                rules = group["security_group_rules"]
                group["security_group_rules"] = [rule for rule in rules if rule["id"] != identifier]
            return
        self.found.resources[kind] = [
            resource for resource in self.found[kind] if identifier not in (resource["id"], resource.get("name"))
        ]
        if kind == "network":
            self.found.resources["subnet"] = []
        for volume in self.found["volume"] if kind == "server" else []:
            kept = [entry for entry in volume["attachments"] if entry["server_id"] != identifier]
            volume.update(attachments=kept, status="in-use" if kept else "available")

    def put(self, _service: str, path: str, body: dict) -> dict:
        _empty, _routers, router, action = path.split("/")
        if action == "remove_router_interface":
            self.delete("port", body["port_id"])
            return {}
        network = self.one("subnet", body["subnet_id"])["network_id"]
        fixed = [{"subnet_id": body["subnet_id"], "ip_address": "192.168.77.1"}]
        port = {"name": "", "description": "", "network_id": network, "fixed_ips": fixed, "security_groups": []}
        made = self.create("port", port)
        return self.update("port", made["id"], {"device_id": router, "device_owner": "network:router_interface"})

    def post(self, _service: str, path: str, body: dict, _done) -> dict:
        _empty, _kind, identifier, action = path.split("/")
        if action == "os-volume_attachments":
            volume = self.one("volume", body["volumeAttachment"]["volumeId"])
            volume.update(status="in-use", attachments=[{"server_id": identifier}])
        elif "os-extend" in body:
            self.one("volume", identifier)["size"] = body["os-extend"]["new_size"]
        elif "os-start" in body:
            self.one("server", identifier)["status"] = "ACTIVE"
        elif action == "metadata":
            kind = "server" if "/servers/" in path else "volume"
            self.one(kind, identifier)["metadata"].update(body["metadata"])
        return {}


def carried_out(cloud: Memory, site: dict) -> None:
    """Make the site; a second plan must keep everything, in the cloud and in what the run returned."""
    want = want_of(site)
    now = Provision(cloud, want, copy.deepcopy(cloud.found), OFFER, plan(want, cloud.found), Settings()).run()
    left = [step for step in plan(want, cloud.found) if step["action"] != "keep"]
    assert left == []
    assert {server["name"] for server in now["server"]} == {host["name"] for host in want["hosts"]}


def test_a_site_is_made_and_then_kept():
    carried_out(Memory(nothing()), SITE)


def test_a_site_of_boot_volumes_grows_and_its_rules_change():
    cloud = Memory(nothing())
    carried_out(cloud, site_with("openstack", boot_volume_gib=20, volume_type="fast"))
    grown = site_with("hosts.0.volumes.0", gib=30)
    grown["openstack"] |= {"boot_volume_gib": 20, "volume_type": "fast", "ssh_from": ["203.0.113.0/24"]}
    carried_out(cloud, grown)
    assert next(volume for volume in cloud.found["volume"] if volume["name"] == "demo-database-db")["size"] == 30


@pytest.mark.parametrize("status", ["available", "in-use"])
def test_a_volume_is_made_from_another_one_and_enlarged(status):
    old = {"id": "old", "name": "old-db", "status": status, "size": 15, "metadata": {}, "attachments": []}
    cloud = Memory(nothing(volume=[old]))
    carried_out(cloud, site_with("hosts.0.volumes.0", **{"from": "old-db"}))
    made = next(volume for volume in cloud.found["volume"] if volume["name"] == "demo-database-db")
    assert made["size"] == 20
    assert ("snapshot_id" in made) == (status == "in-use") and ("source_volid" in made) == (status == "available")


def test_what_a_killed_run_left_is_finished():
    cloud = Memory(nothing())
    carried_out(cloud, SITE)
    cloud.found.resources["server"] = cloud.found["server"][1:]
    for volume in cloud.found["volume"]:
        volume.update(status="available", attachments=[])
    cloud.found["port"][-1]["security_groups"] = []
    for port in cloud.found["port"]:
        if port["device_id"] not in {server["id"] for server in cloud.found["server"]} and port["name"]:
            port["device_id"] = ""
    carried_out(cloud, SITE)


def test_a_site_is_removed_but_for_its_data():
    cloud = Memory(nothing())
    carried_out(cloud, SITE)
    want = want_of(SITE)
    Removing(cloud, want, copy.deepcopy(cloud.found), removal(want, cloud.found, [], NOW), Settings()).run()
    left = {kind for kind, resources in cloud.found.resources.items() if resources}
    assert left == {"volume", "flavor", "external network"}


def test_no_spread_means_no_server_group_and_another_group_may_spread():
    site, firewall = SITE, firewall_of(SITE)
    assert wanted(site, firewall, KEY)["server_groups"] == []
    want = wanted(site, firewall, KEY, spread=["database", "compute"])
    assert want["server_groups"] == ["demo-database"]
    assert {host["host"]: host["server_group"] for host in want["hosts"]} == {
        "database": "demo-database",
        "replica1": "",
        "proxy": "",
    }
    assert EXTERNAL in nothing()["external network"]


@pytest.mark.parametrize("zones, zone", [(["nova", "north"], "north"), (["nova"], None), ([], None)])
def test_volumes_are_made_in_the_zone_of_the_servers_where_block_storage_has_it(zones, zone):
    site = site_with("openstack", availability_zone="north")
    site["hosts"][2]["volumes"][0]["from"] = "old"
    old = {"id": "old", "name": "old", "status": "available", "size": 5, "metadata": {}, "attachments": []}
    cloud, want = Memory(nothing(volume=[old])), want_of(site)
    offer = OFFER.with_resources(**{"volume zone": [{"name": name} for name in zones]})
    Provision(cloud, want, copy.deepcopy(cloud.found), offer, plan(want, cloud.found), Settings()).run()
    made = {volume["name"]: volume.get("availability_zone") for volume in cloud.found["volume"]}
    # A copy stays where its source is.
    assert made == {"old": None, "demo-database-db": zone, "demo-proxy-cache": None}

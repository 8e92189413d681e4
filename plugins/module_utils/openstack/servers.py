# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the servers of a site."""

from __future__ import annotations

import base64
from typing import Any

from .cloud import CloudError
from .found import fault
from .plan_hosts import STEADY_SERVER
from .run import Run, is_gone
from .shapes import Host, Resource
from .wanted import SITE, metadata


def server_is_ready(server: Resource | None) -> bool:
    """Return whether a server runs. Raises CloudError with nova's reason where it never will."""
    if server and server["status"] == "ERROR":
        raise CloudError(
            f"is in ERROR: {fault(server)}; run this again with recreate_failed to make it anew (its volumes stay)"
        )
    return server is not None and server["status"] in ("ACTIVE", "VERIFY_RESIZE")


class Servers:
    """The steps of the servers of a site."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def add_group(self, name: str) -> None:
        """Add the step of a server group, which keeps hosts apart."""
        self.run.add("server group", name, lambda: self.run.create("server group", name, policy="soft-anti-affinity"))

    def add(self, host: Host) -> None:
        """Add the step of a server."""
        name, needs = host["name"], [("port", host["name"]), ("key pair", self.run.want["name"])]
        if host["server_group"]:
            needs.append(("server group", host["server_group"]))
        if self.run.action["server", name] == "recreate":
            failed = self.run.there("server", name)
            self.run.work.add(
                ("failed server", name), lambda: self._discard(failed), until=self.run.until("server", is_gone)
            )
            needs.append(("failed server", name))
        self.run.add(
            "server",
            name,
            lambda: self._create_server(host),
            lambda _kind, server: self._change_server(host, server),
            needs,
            self.run.until("server", server_is_ready),
        )

    def _discard(self, server: Resource) -> Resource:
        self.run.cloud.delete("server", server["id"])
        return server

    def _create_server(self, host: Host) -> Resource:
        image = self.run.image()
        body: dict[str, Any] = {
            "name": host["name"],
            "flavorRef": self.run.pick("flavor", host["flavor"]),
            "key_name": self.run.want["name"],
            "networks": [{"port": self.run.id("port", host["name"])}],
            "metadata": metadata(self.run.want, host),
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
        if self.run.want["config_drive"]:
            body["config_drive"] = True
        if self.run.want["zone"]:
            body["availability_zone"] = self.run.want["zone"]
        user_data = self.run.settings.user_data.get(host["host"])
        if user_data:
            body["user_data"] = base64.b64encode(user_data.encode()).decode()
        beside = {}
        if host["server_group"]:
            beside["os:scheduler_hints"] = {"group": self.run.id("server group", host["server_group"])}
        return self.run.cloud.create("server", body, **beside)

    def _change_server(self, host: Host, server: Resource) -> Resource:
        if server["metadata"].get(SITE) != self.run.want["name"]:
            self.run.cloud.post(
                "compute",
                f"/servers/{server['id']}/metadata",
                {"metadata": metadata(self.run.want, host)},
                lambda: None,
            )
        port = self.run.work.results["port", host["name"]]
        if port["device_id"] != server["id"] and server["status"] in STEADY_SERVER:
            self.run.cloud.post(
                "compute",
                f"/servers/{server['id']}/os-interface",
                {"interfaceAttachment": {"port_id": port["id"]}},
                lambda: None,
            )
        if server["status"] == "SHUTOFF":
            self.run.cloud.post(
                "compute",
                f"/servers/{server['id']}/action",
                {"os-start": None},
                lambda: next(
                    (
                        entry
                        for entry in self.run.cloud.list("server")
                        if entry["id"] == server["id"] and entry["status"] == "ACTIVE"
                    ),
                    None,
                ),
            )
        return server

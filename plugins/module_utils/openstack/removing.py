# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Carries out the plan of a site that shall be gone."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ..plan import Step
from .cloud import Cloud, CloudError
from .found import is_ours
from .removal import label
from .run import Settings, is_gone
from .shapes import LISTED, Found, Resource, Want
from .work import Key, Until, Work


def is_detached(volume: Resource | None) -> bool:
    """Return whether no server has the volume any more."""
    return volume is None or volume["status"] not in ("in-use", "detaching", "attaching", "reserved")


class Removing:
    """The steps that remove what the plan names."""

    def __init__(self, cloud: Cloud, want: Want, found: Found, steps: Sequence[Step], settings: Settings) -> None:
        self._cloud, self._want, self._found, self._seconds = cloud, want, found, settings.wait_seconds
        self._names = {
            kind: {entry["name"] for entry in steps if (entry["kind"], entry["action"]) == (kind, "remove")}
            for kind in LISTED
        }
        self._work = Work(cloud, settings.parallel)

    def run(self) -> None:
        """Remove in the order in which one thing needs the other."""
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
        self._work.run()

    def _resources(self, kind: str) -> list[Resource]:
        """Return what the plan removes of a kind."""
        return [
            resource
            for resource in self._found[kind]
            if is_ours(kind, resource, self._want, self._found.project) and label(kind, resource) in self._names[kind]
        ]

    def _add(self, kind: str, needs: list[Key], waits: bool = False) -> list[Key]:
        keys: list[Key] = []
        for resource in self._resources(kind):
            identifier = resource["name"] if kind == "key pair" else resource["id"]
            # Two of one name may be ours, so that the name alone is no key.
            key = (kind, f"{label(kind, resource)} ({identifier})")
            before = needs
            if kind == "volume":
                # It is free a moment after its server is gone.
                before = [("detached volume", key[1])]
                self._work.add(
                    before[0], functools.partial(dict, resource), needs, Until("volume", is_detached, self._seconds)
                )
            self._work.add(
                key,
                functools.partial(self._remove, kind, identifier),
                before,
                Until(kind, is_gone, self._seconds) if waits else None,
            )
            keys.append(key)
        return keys

    def _remove(self, kind: str, identifier: str) -> Resource:
        self._cloud.delete(kind, identifier)
        return {"id": identifier}

    def _add_interfaces(self, needs: list[Key]) -> list[Key]:
        """Unplug the routers, which cannot be removed before."""
        keys: list[Key] = []
        for router in self._resources("router"):
            for port in self._found["port"]:
                if port["device_id"] == router["id"] and port["device_owner"].startswith("network:router_interface"):
                    keys.append(("interface", port["id"]))
                    self._work.add(keys[-1], functools.partial(self._unplug, router, port), needs)
        return keys

    def _unplug(self, router: Resource, port: Resource) -> Resource:
        try:
            answer: Resource = self._cloud.put(
                "network", f"/routers/{router['id']}/remove_router_interface", {"port_id": port["id"]}
            )
        except CloudError as error:
            if error.status != 404:
                raise
            return {}
        return answer

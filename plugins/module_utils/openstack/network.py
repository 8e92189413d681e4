# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the network of a site: router, subnet, security groups, ports and public addresses."""

from __future__ import annotations

import functools

from .address import choose_address
from .cloud import CloudError
from .found import existing_network, interface, security_group_rules
from .run import Run
from .shapes import Host, Resource
from .wanted import automatic_pool
from .work import Key

PORTS_PER_CALL = 4


class Network:
    """The steps of the network of a site."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def add(self) -> None:
        """Add network, router, security groups and subnet."""
        site = self.run.want["name"]
        if self.run.want["existing"]:
            self._add_security_groups()
            self.run.work.have(("subnet", site), {})
            return
        self.run.add("network", site, lambda: self.run.create("network"), self.run.adopt_by_description)
        self._add_router()
        self._add_security_groups()
        self.run.add("subnet", site, self._create_subnet, self._change_subnet, needs=[("network", site)])

    def _create_subnet(self) -> Resource:
        return self.run.create(
            "subnet",
            network_id=self.run.id("network", self.run.want["name"]),
            ip_version=4,
            cidr=self.run.want["cidr"],
            dns_nameservers=self.run.want["dns"],
            allocation_pools=[automatic_pool(self.run.want["cidr"])],
        )

    def _change_subnet(self, kind: str, existing: Resource) -> Resource:
        return self.run.cloud.update(
            kind, existing["id"], {"description": self.run.want["mark"], "dns_nameservers": self.run.want["dns"]}
        )

    def _add_router(self) -> None:
        site = self.run.want["name"]

        def change(kind: str, existing: Resource) -> Resource:
            body: Resource = {"description": self.run.want["mark"]}
            if not existing.get("external_gateway_info"):
                body["external_gateway_info"] = self.run.gateway()
            return self.run.cloud.update(kind, existing["id"], body)

        self.run.add(
            "router", site, lambda: self.run.create("router", external_gateway_info=self.run.gateway()), change
        )
        router = self.run.existing("router", site)
        port = router and interface(router, self.run.existing("subnet", site), self.run.found)
        if port:
            self.run.work.have(("interface", site), port)
        else:
            self.run.work.add(("interface", site), self._connect, [("router", site), ("subnet", site)])

    def _connect(self) -> Resource:
        site = self.run.want["name"]
        try:
            answer: Resource = self.run.cloud.put(
                "network",
                f"/routers/{self.run.id('router', site)}/add_router_interface",
                {"subnet_id": self.run.id("subnet", site)},
            )
        except CloudError as error:
            # The answer of the first try was lost.
            if "already has a port" not in str(error):
                raise
            return {}
        return answer

    def _add_security_groups(self) -> None:
        """Make all groups with one call, the rules of each with another. Ports need groups, nothing waits for rules."""
        site = self.run.want["name"]
        names = list(self.run.want["security_groups"])
        if all(self.run.action["security group", name] == "keep" for name in names):
            self.run.work.have(("security groups", site), self._security_groups(names))
            return
        self.run.work.add(("security groups", site), lambda: self._make_security_groups(names))
        for name in names:
            if self.run.action["security group", name] != "keep":
                self.run.work.add(
                    ("rules", name), functools.partial(self._make_rules, name), [("security groups", site)]
                )

    def _security_groups(self, names: list[str]) -> dict[str, Resource]:
        groups = {name: self.run.existing("security group", name) for name in names}
        return {name: group for name, group in groups.items() if group}

    def _make_security_groups(self, names: list[str]) -> dict[str, Resource]:
        groups = self._security_groups(names)
        for group in groups.values():
            if group["description"] != self.run.want["mark"]:
                self.run.adopt_by_description("security group", group)
        missing = [{"name": name, "description": self.run.want["mark"]} for name in names if name not in groups]
        if missing:
            groups.update((group["name"], group) for group in self.run.cloud.create_many("security group", missing))
        return groups

    def _make_rules(self, name: str) -> Resource:
        groups = self.run.work.results["security groups", self.run.want["name"]]
        wanted = self.run.want["security_groups"][name]
        names = {group["id"]: group["name"] for group in groups.values()}
        actual = security_group_rules(groups[name], names)
        bodies = [
            {
                "security_group_id": groups[name]["id"],
                "direction": "ingress",
                "ethertype": "IPv6" if ":" in network else "IPv4",
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
                self.run.cloud.delete("security group rule", identifier)
        if bodies:
            self.run.cloud.create_many("security group rule", bodies)
        return {}

    def _port_groups(self, host: Host) -> list[str]:
        groups = self.run.work.results["security groups", self.run.want["name"]]
        return [groups[name]["id"] for name in host["security_groups"]]

    def add_ports(self) -> None:
        """Add the ports, new ones a few with each call.

        That is fewer calls, and the first servers need not wait for the last port.
        """
        site = self.run.want["name"]
        needs: list[Key] = [("subnet", site), ("security groups", site)]
        new = [host for host in self.run.want["hosts"] if self.run.action["port", host["name"]] == "create"]
        calls: dict[str, Key] = {}
        for start in range(0, len(new), PORTS_PER_CALL):
            some = new[start : start + PORTS_PER_CALL]
            calls.update((host["name"], ("ports", some[0]["name"])) for host in some)
            self.run.work.add(("ports", some[0]["name"]), functools.partial(self._create_ports, some), needs)
        for host in self.run.want["hosts"]:
            name, call = host["name"], calls.get(host["name"])
            self.run.add(
                "port",
                name,
                functools.partial(self._created_port, call, name),
                functools.partial(self._change_port, host),
                [call] if call else needs,
            )

    def _created_port(self, call: Key | None, name: str) -> Resource:
        port: Resource = self.run.work.results[call][name] if call else self.run.there("port", name)
        return port

    def _change_port(self, host: Host, kind: str, existing: Resource) -> Resource:
        return self.run.cloud.update(
            kind, existing["id"], {"description": self.run.want["mark"], "security_groups": self._port_groups(host)}
        )

    def _create_ports(self, hosts: list[Host]) -> dict[str, Resource]:
        network, subnets = self._place()
        bodies = [
            {
                "name": host["name"],
                "description": self.run.want["mark"],
                "network_id": network,
                "fixed_ips": [
                    {"subnet_id": subnet, **({"ip_address": host["address"]} if host["address"] and first else {})}
                    for subnet, first in subnets
                ],
                "security_groups": self._port_groups(host),
            }
            for host in hosts
        ]
        if any(not first for _subnet, first in subnets):
            # Neutron answers 500 where one call makes ports in a subnet whose IPv6 addresses follow from their MAC.
            made = [self.run.cloud.create("port", body) for body in bodies]
        else:
            made = self.run.cloud.create_many("port", bodies)
        return {port["name"]: port for port in made}

    def _place(self) -> tuple[str, list[tuple[str, bool]]]:
        """Return the network of the ports and its subnets, of each whether the hosts' own addresses are in it."""
        site = self.run.want["name"]
        if not self.run.want["existing"]:
            return self.run.id("network", site), [(self.run.id("subnet", site), True)]
        network, subnets = existing_network(self.run.want, self.run.found)
        if network is None:
            raise CloudError(f"network {self.run.want['existing']}: was removed meanwhile; run this again")
        return network["id"], [(subnet["id"], subnet["ip_version"] == 4) for subnet in subnets]

    def add_address(self, host: Host) -> None:
        """Add the step that gives a host the address that it is reached at from outside."""
        site, name = self.run.want["name"], host["name"]
        action, address, _reason = choose_address(host, self.run.want, self.run.found)
        if action in ("keep", "none"):
            self.run.work.have(("address", name), address)
            return

        def give() -> Resource:
            port = self.run.id("port", name)
            here = next((entry for entry in self.run.found["address"] if entry["port_id"] == port), None)
            if here:
                # A port takes one at a time.
                self.run.cloud.update("address", here["id"], {"port_id": None})
            if address:
                return self.run.cloud.update("address", address["id"], {"port_id": port})
            return self.run.cloud.create(
                "address",
                {
                    "description": self.run.want["mark"],
                    "port_id": port,
                    "floating_network_id": self.run.gateway()["network_id"],
                },
            )

        self.run.work.add(("address", name), give, [("port", name), ("interface", site)])

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of a site that shall be there: its network, and the order of all steps. Never a removal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..plan import Step, step
from .address import plan_address
from .found import external_networks, full_name, interface, is_ours, match, security_group_rules
from .plan_hosts import plan_attachment, plan_port, plan_server, plan_volume
from .shapes import Found, Rule, Want
from .steps import adoption, changed, simple

UNNAMED = "the site file does not name it; left alone"


def plan(want: Want, found: Found) -> list[Step]:
    """Return the steps that lead from what was found to what is wanted. Never a removal."""
    steps = [plan_key_pair(want, found)]
    if not want["existing"]:
        steps += [plan_network(want, found), plan_subnet(want, found), plan_router(want, found)]
    steps += [plan_security_group(name, want, found) for name in want["security_groups"]]
    for name in want["server_groups"]:
        exists, refusal = match("server group", name, want, found)
        steps.append(simple("server group", name, exists, refusal, "soft-anti-affinity"))
    for volume in want["volumes"]:
        steps += plan_volume(volume, want, found)
    steps += [plan_port(host, want, found) for host in want["hosts"]]
    steps += [plan_server(host, want, found) for host in want["hosts"]]
    steps += [plan_attachment(volume, want, found) for volume in want["volumes"]]
    steps += [plan_address(host, want, found) for host in want["hosts"] if host["outside"]]
    return steps + list(_plan_unnamed(want, found))


def plan_key_pair(want: Want, found: Found) -> Step:
    exists, refusal = match("key pair", want["name"], want, found)
    return simple("key pair", want["name"], exists, refusal, " ".join(want["public_key"].split()[:1]))


def plan_network(want: Want, found: Found) -> Step:
    network, refusal = match("network", want["name"], want, found)
    if network is None:
        return simple("network", want["name"], network, refusal, "")
    return changed("network", want["name"], adoption("network", network, want, found), "")


def plan_subnet(want: Want, found: Found) -> Step:
    subnet, refusal = match("subnet", want["name"], want, found)
    if subnet is None:
        return simple("subnet", want["name"], subnet, refusal, want["cidr"])
    if subnet["cidr"] != want["cidr"]:
        return step(
            "subnet",
            want["name"],
            "refuse",
            f"exists as {subnet['cidr']}, the site file says {want['cidr']}; set site.openstack.network.cidr "
            "back, or destroy the site (its volumes stay) and deploy it again",
        )
    changes = adoption("subnet", subnet, want, found)
    if sorted(subnet["dns_nameservers"]) != sorted(want["dns"]):
        changes.append(f"dns {_words(subnet['dns_nameservers'])} -> {_words(want['dns'])}")
    return changed("subnet", want["name"], changes, want["cidr"])


def _words(values: Iterable[str]) -> str:
    return ", ".join(values) or "the cloud's"


def plan_router(want: Want, found: Found) -> Step:
    router, refusal = match("router", want["name"], want, found)
    if router is None:
        return simple("router", want["name"], router, refusal, f"to {want['external']}")
    changes = adoption("router", router, want, found)
    external = external_networks(want, found)
    gateway = (router.get("external_gateway_info") or {}).get("network_id")
    if gateway is None:
        changes.append(f"connect it to {want['external']}")
    elif external and gateway not in external:
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
    return changed("router", want["name"], changes, f"to {want['external']}")


def plan_security_group(name: str, want: Want, found: Found) -> Step:
    group, refusal = match("security group", name, want, found)
    rules = want["security_groups"][name]
    if group is None:
        return simple("security group", name, group, refusal, "; ".join(_rule_words(rule) for rule in rules))
    changes = adoption("security group", group, want, found)
    names = {entry["id"]: entry["name"] for entry in found["security group"]}
    actual = security_group_rules(group, names)
    changes += [f"open {_rule_words(rule)}" for rule in rules if rule not in actual]
    changes += [f"close {_rule_words(rule)}" for rule in actual if rule not in rules]
    return changed("security group", name, changes, f"{len(rules)} rules")


def _rule_words(rule: Rule) -> str:
    protocol, first, last, group, network = rule
    ports = {"icmp": "echo"}.get(protocol, f"{first}" if first == last else f"{first}-{last}")
    return f"{protocol or 'anything'} {ports} from {group or network or 'anywhere'}"


def _plan_unnamed(want: Want, found: Found) -> Iterator[Step]:
    """Yield what carries the mark of the site and is not in the file."""
    hosts, volumes = {host["name"] for host in want["hosts"]}, {volume["name"] for volume in want["volumes"]}
    for kind, names in (
        ("server", hosts),
        ("port", hosts),
        ("volume", volumes),
        ("security group", set(want["security_groups"])),
    ):
        for resource in sorted(found[kind], key=lambda resource: full_name(kind, resource)):
            if is_ours(kind, resource, want, found.project) and full_name(kind, resource) not in names:
                yield step(kind, full_name(kind, resource), "unknown", UNNAMED)

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Addresses of hosts, and who may come in to them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..firewall import ALL_HOSTS, Firewall, FirewallRule
from . import derive
from .feature import Listen
from .feature_schema import ANYWHERE
from .fields import value_at

if TYPE_CHECKING:
    from .schema import Schema

# Each entry of hosts owns this many addresses, so that none moves when another entry grows. The first ones are the
# network's own: a cloud's router and its DHCP servers take some of them.
ADDRESSES_PER_ENTRY = 16
ENTRIES = 15
# The firewall of the public host.
PUBLIC_HOST = "public"
WORLD = "0.0.0.0/0"


def expand(schema: Schema, site: dict[str, Any]) -> dict[str, Any]:
    """Count out the hosts of a filled site, give them their addresses and drop what is absent."""
    provider = schema.providers.get(site.get("provider", ""))
    hosts = []
    for position, entry in enumerate(site["hosts"]):
        if entry.get("absent"):
            continue
        for replica in range(entry.get("count", 1)):
            host = {key: value for key, value in entry.items() if key not in ("count", "absent")}
            if "count" in entry:
                host["name"] = f"{entry['name']}{replica + 1}"
            cidr = site_network(site) if provider and provider.makes and not existing_network(site) else None
            address = chosen_address(cidr, position, replica) if cidr else None
            if address:
                host.setdefault("address", address)
            host["volumes"] = [
                {key: value for key, value in volume.items() if key != "absent"}
                for volume in entry["volumes"]
                if not volume.get("absent")
            ]
            hosts.append(host)
    result = {key: value for key, value in site.items() if key not in ("base", "hosts")}
    public = [host["address"] for host in hosts if host["public"] and "address" in host]
    if provider and not provider.makes and public:
        result["public"] = {**site["public"], "address": site["public"].get("address", public[0])}
    return {**result, "hosts": hosts}


def site_network(site: Mapping[str, Any]) -> str | None:
    """Return the network of a filled site: the key network.cidr of its provider."""
    found = value_at(site, f"{site.get('provider')}.network.cidr")
    return found if isinstance(found, str) else None


def existing_network(site: Mapping[str, Any]) -> str | None:
    """Return the network that a provider does not make but finds, which then gives the addresses: network.existing."""
    found = value_at(site, f"{site.get('provider')}.network.existing")
    return found if isinstance(found, str) else None


@lru_cache(maxsize=4096)
def chosen_address(cidr: str, position: int, replica: int) -> str | None:
    """Return the address of a host, or None where the network or the entry is too small."""
    network = ipaddress.IPv4Network(cidr)
    offset = ADDRESSES_PER_ENTRY * (position + 1) + replica
    if replica >= ADDRESSES_PER_ENTRY or position >= ENTRIES or offset >= network.num_addresses - 1:
        return None
    return str(network.network_address + offset)


def url(site: Mapping[str, Any]) -> str:
    """Return the address of the gallery, without a slash at its end."""
    public = site.get("public", {})
    port = public.get("https_port", 443)
    return f"https://{public.get('name', 'localhost')}" + ("" if port == 443 else f":{port}")


def site_firewall(schema: Schema, site: Mapping[str, Any]) -> Firewall:
    """Return what may come in to the hosts of an effective site, by name and by host."""
    return {
        "groups": firewall(schema, site),
        "hosts": {host["name"]: host_firewalls(host) for host in site["hosts"]},
    }


def firewall(schema: Schema, site: Mapping[str, Any]) -> dict[str, list[FirewallRule]]:
    """Return what may come in to the hosts of an effective site; everything else is closed.

    A firewall per group that has hosts, before them ALL_HOSTS and after them PUBLIC_HOST; see host_firewalls().
    """
    used = [name for name in schema.groups if any(name in host["groups"] for host in site["hosts"])]
    rules: dict[str, list[FirewallRule]] = {name: [] for name in (ALL_HOSTS, *used, PUBLIC_HOST)}
    active = {feature.name for feature in derive.features_on(schema, site)}
    for name, group in schema.groups.items():
        for listen in group.listens:
            if listen.feature not in active or not _holds(listen, site):
                continue
            homes = {"all": [ALL_HOSTS], "public": [PUBLIC_HOST]}.get(
                listen.on, [other for other in used if schema.is_in(other, name)]
            )
            for home in homes:
                rules[home] += _rules(schema, site, listen, used)
    rules[ALL_HOSTS].append({"protocol": "icmp", "port": None, "sources": [ALL_HOSTS]})
    return rules


def _holds(listen: Listen, site: Mapping[str, Any]) -> bool:
    return all(value_at(site, path) == value for path, value in listen.when.items())


def _rules(schema: Schema, site: Mapping[str, Any], listen: Listen, used: list[str]) -> list[FirewallRule]:
    """Return the rules of one open port: one for all groups that reach it, one for each network."""
    port = derive.port_number(site, listen.port)
    if port is None:
        return []
    result: list[FirewallRule] = []
    sources = [other for other in used if any(schema.is_in(other, source) for source in listen.sources)]
    if ALL_HOSTS in listen.sources:
        sources = [ALL_HOSTS]
    # Named although it has no hosts, so that the rule says that nobody comes in.
    if listen.sources:
        result.append({"protocol": listen.protocol, "port": port, "sources": sources})
    if listen.networks == ANYWHERE:
        networks = [WORLD]
    elif listen.networks:
        found = value_at(site, network_path(listen.networks, site.get("provider", "")))
        networks = found if isinstance(found, list) else []
    else:
        networks = []
    return result + [{"protocol": listen.protocol, "port": port, "cidr": cidr} for cidr in networks]


def network_path(path: str, provider: str) -> str:
    """Return the path of a list of networks, with the provider's own mapping for `provider`."""
    return f"{provider}.{path.removeprefix('provider.')}" if path.startswith("provider.") else path


def host_firewalls(host: Mapping[str, Any]) -> list[str]:
    """Return the names of the firewalls of one host of an effective site."""
    return [ALL_HOSTS, *host["groups"], *([PUBLIC_HOST] if host["public"] else [])]

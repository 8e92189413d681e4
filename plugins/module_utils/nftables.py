# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The nftables rules of one host, out of the table of what may come in to the hosts of a site.

Pure functions: the module host_firewall loads the rules, this file writes them. They are one table of their own, so
that the tables of others stay as they are: a packet must pass all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .firewall import Firewall, FirewallRule

TABLE = "inet imaging_repository"
ANYWHERE = "0.0.0.0/0"
# Without these no IPv6 works: neighbours, routers, and the size of packets.
ICMPV6 = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, mld-listener-query, "
    "nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert"
)
HEAD = f"""\
#!/usr/sbin/nft -f
# Made by imaging.repository out of the site file; what is changed here is lost.
# Replaced in one transaction: at no moment is the host open, or closed to those who may come in.
table {TABLE}
delete table {TABLE}
table {TABLE} {{
	chain input {{
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		icmp type echo-request accept
		icmpv6 type {{ {ICMPV6} }} accept
		ip6 saddr fe80::/10 udp dport 546 accept
"""
TAIL = "\t}\n}\n"


class Opening(NamedTuple):
    """A port that is open to some networks; to everybody where they hold ANYWHERE."""

    protocol: str
    port: int
    networks: tuple[str, ...]


def addresses(hosts: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return all addresses from which each host of an effective site may be seen, by its short name."""
    keys = ("address", "private_address")
    return {host["name"]: list(dict.fromkeys(host[key] for key in keys if host.get(key))) for host in hosts}


def openings(firewall: Firewall, host: str, known: Mapping[str, Sequence[str]]) -> list[Opening]:
    """Return what the table opens on one host: each port once, with the addresses of the hosts that may reach it.

    `known` has the addresses of each host by its short name.
    """
    found: dict[tuple[str, int], set[str]] = {}
    for name in firewall["hosts"][host]:
        for rule in firewall["groups"].get(name, []):
            # Echo requests are answered on every host.
            if rule["port"] is not None:
                networks = found.setdefault((rule["protocol"], rule["port"]), set())
                networks.update(_sources(firewall, rule, known))
    return [Opening(*key, _merged(networks)) for key, networks in sorted(found.items()) if networks]


def _sources(firewall: Firewall, rule: FirewallRule, known: Mapping[str, Sequence[str]]) -> Iterable[str]:
    if "cidr" in rule:
        return [rule["cidr"]]
    wanted = set(rule["sources"])
    return [
        address for name, groups in firewall["hosts"].items() if wanted.intersection(groups) for address in known[name]
    ]


def _merged(networks: Iterable[str]) -> tuple[str, ...]:
    """Return networks without those that others hold; nftables takes no set whose elements overlap."""
    parsed = [ipaddress.ip_network(network) for network in networks]
    merged: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    merged += ipaddress.collapse_addresses(network for network in parsed if network.version == 4)
    merged += ipaddress.collapse_addresses(network for network in parsed if network.version == 6)
    return tuple(
        str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
        for network in merged
    )


def holds(networks: Iterable[str], address: str) -> bool:
    """Return whether one of the networks holds the address."""
    wanted = ipaddress.ip_address(address)
    return any(wanted in ipaddress.ip_network(network) for network in networks)


def rules(opened: Iterable[Opening]) -> list[str]:
    """Return the lines of the rules that open ports."""
    lines: list[str] = []
    for protocol, port, networks in opened:
        if ANYWHERE in networks:
            lines.append(f"{protocol} dport {port} accept")
            continue
        for family, mark in (("ip", "."), ("ip6", ":")):
            members = [network for network in networks if mark in network]
            if members:
                source = members[0] if len(members) == 1 else f"{{ {', '.join(members)} }}"
                lines.append(f"{family} saddr {source} {protocol} dport {port} accept")
    return lines


def with_ssh(opened: Sequence[Opening], ports: Iterable[int], networks: Iterable[str]) -> list[Opening]:
    """Return the openings with the operators' way in: SSH at these ports from these networks."""
    result = {opening[:2]: set(opening.networks) for opening in opened}
    for port in ports:
        result.setdefault(("tcp", port), set()).update(networks)
    return [Opening(*key, _merged(sources)) for key, sources in sorted(result.items()) if sources]


def render(opened: Iterable[Opening]) -> str:
    """Return the file for nft(8): it replaces the table of this site, and touches no other one."""
    return HEAD + "".join(f"\t\t{line}\n" for line in rules(opened)) + TAIL

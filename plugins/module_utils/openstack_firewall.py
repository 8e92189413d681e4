# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Stands in for the inventory's site_firewall until the module openstack_site takes it as a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Listen:
    """A TCP port on which hosts of a group answer hosts of other groups."""

    port: int
    sources: tuple[str, ...]
    # Only with this kind of share; "" with each.
    share: str = ""


@dataclass(frozen=True)
class Group:
    """What hosts of a group are for, what the group needs to work, and who reaches it at which port.

    What everybody may reach, and SSH, are not here: see firewall().
    """

    description: str
    parent: str = "site"
    needs: tuple[str, ...] = ()
    exactly_one: bool = False
    takes_hosts: bool = True
    listens: tuple[Listen, ...] = ()


GROUPS: dict[str, Group] = {
    "database": Group(
        "PostgreSQL, the index of all images.",
        exactly_one=True,
        listens=(Listen(5432, ("image_server_primary", "image_server_replica")),),
    ),
    "image_server": Group("All image servers.", takes_hosts=False),
    "image_server_primary": Group(
        "The image server that writes: images are loaded here, its data volume holds the pixels.",
        parent="image_server",
        needs=("database",),
        exactly_one=True,
        listens=(
            Listen(22, ("image_server_replica",), share="sshfs"),
            Listen(2049, ("image_server_replica",), share="nfs"),
        ),
    ),
    "image_server_replica": Group(
        "Read-only image servers that answer the public; the more, the more visitors.",
        parent="image_server",
        needs=("image_server_primary",),
        listens=(Listen(8042, ("cache",)),),
    ),
    "cache": Group("nginx: TLS, the cache and the public gallery.", needs=("image_server_replica",)),
    "bastion": Group("The one host that operators reach by SSH from outside; the others are reached through it."),
}


# Names of the firewalls that are no group: the one of all hosts, and that of the public host.
ALL_HOSTS = "site"
PUBLIC_HOST = "public"
ANYWHERE = "0.0.0.0/0"


def firewall(site: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return what may come in to the hosts of an effective site; everything else is closed.

    A firewall per group that has hosts, before them ALL_HOSTS and after them PUBLIC_HOST; see host_firewalls(). Each
    rule is `{"protocol": "tcp", "port": 22, ...}` or `{"protocol": "icmp", "port": None, ...}` (echo requests), from
    either `"sources"`, a list of names of firewalls, or `"cidr"`, one network.
    """
    used = [name for name in GROUPS if any(name in host["groups"] for host in site["hosts"])]
    rules: dict[str, list[dict[str, Any]]] = {
        ALL_HOSTS: [
            {"protocol": "tcp", "port": 22, "sources": ["bastion"]},
            {"protocol": "icmp", "port": None, "sources": [ALL_HOSTS]},
        ]
    }
    for name in used:
        rules[name] = [
            {"protocol": "tcp", "port": listen.port, "sources": [group for group in used if group in listen.sources]}
            for listen in GROUPS[name].listens
            if listen.share in ("", site["share"]["kind"])
        ]
    rules["bastion"] += [{"protocol": "tcp", "port": 22, "cidr": network} for network in site["openstack"]["ssh_from"]]
    rules[PUBLIC_HOST] = [
        {"protocol": "tcp", "port": site["public"][port], "cidr": ANYWHERE} for port in ("https_port", "http_port")
    ]
    return rules


def host_firewalls(host: Mapping[str, Any]) -> list[str]:
    """Return the names of the firewalls of one host of an effective site."""
    return [ALL_HOSTS, *host["groups"], *([PUBLIC_HOST] if host["public"] else [])]

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What this machine must be like to hold the hosts of a site: its Docker engine and its routes."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

# proc_pid_net(5)
ROUTES = "/proc/net/route"
UP = 0x1


class Route(NamedTuple):
    """A way that this machine knows to a network."""

    network: ipaddress.IPv4Network
    interface: str


def routes(table: str) -> Iterator[Route]:
    """Yield the routes in the text of /proc/net/route, without the default one."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and int(words[3], 16) & UP:
            address, mask = (socket.inet_ntoa(struct.pack("<L", int(words[column], 16))) for column in (1, 7))
            network = ipaddress.IPv4Network(f"{address}/{mask}")
            if network.prefixlen:
                yield Route(network, words[0])


def shadowed(cidr: str, known: Iterable[Route]) -> list[Route]:
    """Return the routes that a new network of this machine would take addresses from, such as those of a VPN."""
    wanted = ipaddress.IPv4Network(cidr)
    return [route for route in known if route.network.overlaps(wanted)]


def route_problem(cidr: str, table: str) -> str:
    """Return why a network cannot be made here, "" where it can."""
    found = shadowed(cidr, routes(table))
    if not found:
        return ""
    ways = ", ".join(f"{route.network} by {route.interface}" for route in found)
    return (
        f"site.docker.network.cidr: {cidr} would hide addresses that this machine reaches otherwise ({ways}); write another "
        "private network"
    )


def engine_problem(info: Mapping[str, Any]) -> str:
    """Return why an engine cannot run hosts, by what it says of itself (docker info); "" where it can."""
    if any(option.split(",")[0] == "name=rootless" for option in info.get("SecurityOptions") or []):
        return (
            "site.provider: this Docker engine is rootless, and gives its containers neither loop devices nor mounts; use an "
            "engine of root (docker context use default)"
        )
    if info.get("OSType", "linux") != "linux":
        return f"site.provider: this Docker engine runs containers of {info['OSType']}; switch it to Linux containers"
    return ""

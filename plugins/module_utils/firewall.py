# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The table of what may come in to the hosts of a site, as the inventory hands it to the providers.

The inventory variable ``site_firewall`` has this shape. Everything that the table does not open is closed.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

# The firewall of all hosts; the others are named after groups, and one after the public host.
ALL_HOSTS = "site"


class FirewallRule(TypedDict):
    """What may come in: a port of tcp or udp, or echo requests (icmp, without a port).

    It comes from the hosts of other firewalls (``sources``, their names) or from one network (``cidr``).
    """

    protocol: str
    port: int | None
    sources: NotRequired[list[str]]
    cidr: NotRequired[str]


class Firewall(TypedDict):
    """The rules of each firewall by its name, and the firewalls of each host by its short name."""

    groups: dict[str, list[FirewallRule]]
    hosts: dict[str, list[str]]

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of resources that a cloud has: where the APIs list them, and by what one that was made is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .shapes import Resource


@dataclass(frozen=True)
class Kind:
    """How one kind of resource is listed and made; ``same`` names the fields by which one that was made is known."""

    service: str
    path: str
    plural: str
    singular: str
    detail: str = ""
    of_project: bool = False
    parameters: tuple[tuple[str, Any], ...] = ()
    paged: bool = True
    same: tuple[str, ...] = ("name", "description")


KINDS = {
    "server": Kind("compute", "/servers", "servers", "server", "/detail", same=("name", "metadata")),
    "flavor": Kind("compute", "/flavors", "flavors", "flavor", "/detail"),
    "key pair": Kind("compute", "/os-keypairs", "keypairs", "keypair", same=("name",)),
    "server group": Kind("compute", "/os-server-groups", "server_groups", "server_group", paged=False, same=("name",)),
    "availability zone": Kind("compute", "/os-availability-zone", "availabilityZoneInfo", "", paged=False),
    "volume zone": Kind("block_storage", "/os-availability-zone", "availabilityZoneInfo", "", paged=False),
    "volume": Kind("block_storage", "/volumes", "volumes", "volume", "/detail", same=("name", "metadata")),
    "snapshot": Kind("block_storage", "/snapshots", "snapshots", "snapshot", "/detail", same=("name", "metadata")),
    "volume type": Kind("block_storage", "/types", "volume_types", "volume_type"),
    "network": Kind("network", "/networks", "networks", "network", of_project=True),
    "external network": Kind("network", "/networks", "networks", "network", parameters=(("router:external", True),)),
    # Also those of the cloud and of other projects that this one may use.
    "any network": Kind("network", "/networks", "networks", "network"),
    "any subnet": Kind("network", "/subnets", "subnets", "subnet"),
    "subnet": Kind("network", "/subnets", "subnets", "subnet", of_project=True),
    "router": Kind("network", "/routers", "routers", "router", of_project=True),
    "security group": Kind("network", "/security-groups", "security_groups", "security_group", of_project=True),
    "security group rule": Kind(
        "network",
        "/security-group-rules",
        "security_group_rules",
        "security_group_rule",
        of_project=True,
        same=(
            "security_group_id",
            "direction",
            "protocol",
            "port_range_min",
            "port_range_max",
            "remote_group_id",
            "remote_ip_prefix",
        ),
    ),
    "port": Kind("network", "/ports", "ports", "port", of_project=True),
    "address": Kind(
        "network", "/floatingips", "floatingips", "floatingip", of_project=True, same=("description", "port_id")
    ),
    "image": Kind("image", "/images", "images", "image", parameters=(("status", "active"),)),
    # Also what others have published or shared, and what nobody may use any more.
    "any image": Kind(
        "image",
        "/images",
        "images",
        "image",
        parameters=(("visibility", "all"), ("member_status", "all"), ("status", "in:active,deactivated")),
    ),
    "hidden image": Kind(
        "image",
        "/images",
        "images",
        "image",
        parameters=(("visibility", "all"), ("member_status", "all"), ("os_hidden", "true")),
    ),
}


def agrees(resource: Resource, body: Resource, fields: Iterable[str]) -> bool:
    """Return whether a listed resource is the one that a create call with that body made."""
    for field in fields:
        if field not in body:
            continue
        actual, meant = resource.get(field), body[field]
        # Cinder adds metadata of its own.
        if isinstance(meant, dict) and not meant.items() <= (actual or {}).items():
            return False
        if not isinstance(meant, dict) and actual != meant:
            return False
    return True

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The shapes of which everything about a cloud speaks: what is wanted and what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

# A resource as the API lists it; the references are at https://docs.openstack.org/api-ref/ (compute 2.67, block storage
# 3.42, network v2.0).
Resource = dict[str, Any]

# The kinds that a plan looks at.
LISTED = (
    "key pair",
    "network",
    "external network",
    "subnet",
    "router",
    "security group",
    "server group",
    "port",
    "server",
    "volume",
    "snapshot",
    "address",
    "flavor",
)

# Kinds that carry the mark of their site in their metadata.
BY_METADATA = frozenset({"server", "volume", "snapshot"})


class Rule(NamedTuple):
    """One rule for what comes in, in neutron's terms: it names the other group or the network, or "" for neither."""

    protocol: str
    first_port: int | None
    last_port: int | None
    group: str
    network: str


class Outside(TypedDict):
    """Where the site file says by which floating IP a host is reached, and what it says there."""

    path: str
    address: str | None


class Host(TypedDict):
    """A host that is wanted; ``name`` is its full name, ``host`` the short one, ``path`` its place in the site file."""

    name: str
    host: str
    path: str
    flavor: str
    # None where the network chooses it.
    address: str | None
    security_groups: list[str]
    boot_volume_gib: int | None
    volume_type: str | None
    # Full name of the server group that keeps it apart from others, or "".
    server_group: str
    recreate: bool
    # Whether operators reach the other hosts through this one.
    bastion: bool
    outside: Outside | None


# A volume that is wanted; the names are as those of Host. "from" is a volume or snapshot that it is made from.
Volume = TypedDict(
    "Volume",
    {
        "name": str,
        "host": str,
        "volume": str,
        "path": str,
        "gib": int,
        "type": "str | None",
        "from": "str | None",
    },
)


class Want(TypedDict):
    """All that a site needs of its cloud."""

    name: str
    # The description of what neutron has of the site.
    mark: str
    public_key: str
    cloud: str
    image: str
    # A network that is not the site's own but gets its ports, or "". Without one, the outside of the site's router.
    existing: str
    external: str
    cidr: str
    dns: list[str]
    zone: str | None
    # Whether servers get what cloud-init reads on a disk, and need no metadata service.
    config_drive: bool
    new_address: bool
    adopt: set[str]
    security_groups: dict[str, list[Rule]]
    # Full names of the server groups that hosts are in, and of all that the site may ever have had.
    server_groups: list[str]
    all_server_groups: list[str]
    hosts: list[Host]
    volumes: list[Volume]
    recreate: set[str]


@dataclass
class Found:
    """What a cloud answers: the project, the resources of the kinds that were asked for, and the quotas by their name.

    An offer has the same shape, with what is asked for only where something is to be made: see problems.asked().
    """

    project: str
    resources: dict[str, list[Resource]] = field(default_factory=dict)
    limits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getitem__(self, kind: str) -> list[Resource]:
        return self.resources[kind]

    def __contains__(self, kind: str) -> bool:
        return kind in self.resources

    def with_resources(self, **kinds: list[Resource]) -> Found:
        """Return the same with other resources of some kinds."""
        return Found(self.project, {**self.resources, **kinds}, self.limits)


class Server(TypedDict):
    """A server of the site as the inventory wants it; ``floating_ip`` is "" where there is none."""

    id: str
    address: str
    status: str
    floating_ip: str
    volumes: dict[str, str]

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in a site on a cloud."""

from __future__ import annotations

from typing import Any


def addresses(site: dict[str, Any], report: Any) -> None:
    """Check how the site is reached: at the public host, and through its one bastion."""
    existing = site["openstack"]["network"].get("existing")
    bastions = report.hosts_in(site, "bastion")
    at_public = any("bastion" in entry.get("groups", []) for _path, entry in report.entries(site) if entry["public"])
    public, bastion = site["public"].get("address"), site["openstack"].get("bastion_address")
    allocates = site["openstack"]["new_address"]
    if not bastions:
        report.problem("site.hosts", "no host is in the group bastion; add groups: [cache, bastion] to the public host")
    elif len(bastions) > 1:
        text = f"{', '.join(bastions)} are in the group bastion; with openstack leave one in it"
        report.problem("site.hosts", text)
    elif existing:
        # The network gives each host its address.
        return
    elif bastion and at_public:
        text = f"is useless, because the bastion {bastions[0]} is the public host; remove it"
        report.problem("site.openstack.bastion_address", text)
    elif bastion and bastion == public:
        text = f"'{bastion}' is the public address too; write another floating IP"
        report.problem("site.openstack.bastion_address", text)
    elif not (bastion or at_public or allocates):
        text = f"is missing for {bastions[0]}; write a floating IP of the project, or site.openstack.new_address: true"
        report.problem("site.openstack.bastion_address", text)
    if not (public or allocates or existing):
        text = "is missing; write a floating IP of the project, or site.openstack.new_address: true to allocate one"
        report.problem("site.public.address", text)


def outside(site: dict[str, Any], report: Any) -> None:
    """Check that one network of the cloud is named."""
    if not {"external", "existing"}.intersection(site["openstack"]["network"]):
        text = "is missing; write for example public, or network.existing where the cloud has no floating IPs"
        report.problem("site.openstack.network.external", text)


CHECKS = (
    (outside, frozenset({"openstack", "network", "external", "existing"})),
    (
        addresses,
        frozenset({"openstack", "hosts", "groups", "count", "absent", "public", "address"})
        | {"bastion_address", "new_address", "network", "existing"},
    ),
)

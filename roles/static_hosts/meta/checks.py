# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in a site of servers that exist."""

from __future__ import annotations

from typing import Any


def bastion(site: dict[str, Any], report: Any) -> None:
    """Refuse a bastion that is no host of the site."""
    name, names = site["static"].get("bastion"), report.host_names(site)
    if name is not None and name not in names:
        report.problem("site.static.bastion", f"there is no host {name}; {report.one_of(name, names)}")


def takeover(site: dict[str, Any], report: Any) -> None:
    """Refuse paths that nothing of a site replaces."""
    known = sorted({path for feature in report.schema.features for path in feature.replaces})
    for path in site["static"]["takeover"]:
        if path not in known:
            report.problem("site.static.takeover", f"nothing of a site replaces '{path}'; {report.one_of(path, known)}")


def private(site: dict[str, Any], report: Any) -> None:
    """Refuse to send unencrypted what others could listen to."""
    network = site["static"]["network"]
    if not network["private"] and len(report.host_names(site)) > 1:
        text = (
            f"is not true, and image servers answer the cache unencrypted in {network.get('cidr', 'it')}; write "
            "true where nobody else can listen, as in a VLAN of their own or a VPN such as WireGuard"
        )
        report.problem("site.static.network.private", text)


CHECKS = (
    (private, frozenset({"hosts", "absent", "count", "network", "cidr", "private"})),
    (bastion, frozenset({"hosts", "absent", "bastion"})),
    (takeover, frozenset({"takeover"})),
)

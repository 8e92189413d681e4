# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in the image servers of a site."""

from __future__ import annotations

from typing import Any


def drivers(site: dict[str, Any], report: Any) -> None:
    """Refuse drivers of a host that its site does not have, or that nothing there runs."""
    image_servers = report.hosts_in(site, "image_server")
    for path, entry in report.entries(site):
        for driver in entry.get("drivers", []):
            if not set(report.names(entry)) & set(image_servers):
                report.problem(f"{path}.drivers", "the host is in no group of image servers; remove it")
                break
            if driver not in site["image_server"].get("drivers", []):
                text = f"{driver} is not among the drivers of the site; add it to image_server.drivers"
                report.problem(f"{path}.drivers", text)


CHECKS = ((drivers, frozenset({"drivers", "driver", "image_server", "hosts", "groups", "count", "absent"})),)

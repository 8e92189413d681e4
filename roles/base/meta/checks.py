# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must be right about where hosts get their packages."""

from __future__ import annotations

import re
from typing import Any

CONTROLLER = "controller"


def packages(site: dict[str, Any], report: Any) -> None:
    """Refuse what is no address, and a way through the controller where hosts are not reached by SSH."""
    given = site["packages"]
    proxy = given.get("proxy", CONTROLLER)
    if proxy == CONTROLLER and "proxy" in given and report.schema.providers[site["provider"]].publishes:
        text = f"'{CONTROLLER}' is a way over SSH, and hosts of provider {site['provider']} are not reached by it; remove it"
        report.problem("site.packages.proxy", text)
    elif proxy != CONTROLLER and not re.fullmatch(r"(https?|socks5h)://[^\s\"/]+/?", proxy):
        text = f"'{proxy}' is no address of a proxy; write for example http://proxy.example.org:3128, or {CONTROLLER}"
        report.problem("site.packages.proxy", text)
    for key in ("mirror", "security_mirror"):
        if key in given and not re.fullmatch(r"https?://[^\s\"]+[^\s\"/]", given[key]):
            text = f"'{given[key]}' is no address without a slash at its end; write for example http://mirror.example.org/debian"
            report.problem(f"site.packages.{key}", text)
    if "security_mirror" in given and "mirror" not in given:
        report.problem("site.packages.security_mirror", "is given without a mirror; write site.packages.mirror too")


CHECKS = ((packages, frozenset({"packages", "proxy", "mirror", "security_mirror", "provider"})),)

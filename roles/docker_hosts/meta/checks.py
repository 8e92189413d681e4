# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in a site of containers."""

from __future__ import annotations

import ipaddress
from typing import Any


def public_address(site: dict[str, Any], report: Any) -> None:
    """Refuse a public address that this machine does not keep to itself."""
    address = site["public"].get("address")
    if address is not None and not ipaddress.IPv4Address(address).is_loopback:
        report.problem("site.public.address", f"'{address}' is not on the loopback of this machine; write 127.0.0.1")


CHECKS = ((public_address, frozenset({"provider"})),)

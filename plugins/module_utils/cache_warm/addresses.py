# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Where pages are asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Where nginx answers on its own host, and where it fetches an answer anew; URLs without a / at their end.

    `probe`: a path that answers 200, not from the cache, only while the image servers and their database are well.
    """

    cache: str
    refresh: str
    probe: str

    def page(self, path: str, refresh: bool = False) -> bytes:
        """Return the URL of a page."""
        return ((self.refresh if refresh else self.cache) + path).encode("utf-8", "surrogateescape")

    def of(self, address: str) -> bytes:
        """Return the URL of an address of a source: a path at the refresh port, a URL where it says."""
        base = self.refresh if address.startswith("/") else ""
        return (base + address).encode("utf-8", "surrogateescape")

# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which pages this host warms, where several cache hosts share them."""

from __future__ import annotations

from dataclasses import dataclass

from ..nginx_cache.keys import Key


@dataclass(frozen=True)
class Share:
    """The pages whose key, as a number, modulo `count` is `index`."""

    index: int = 0
    count: int = 1

    def holds(self, key: Key) -> bool:
        """Return whether this host warms the page of a key."""
        return self.count == 1 or int.from_bytes(key.md5, "big") % self.count == self.index

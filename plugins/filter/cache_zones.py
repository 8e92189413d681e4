# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Filters about the sizes of the cache's zones; what they compute is in module_utils.nginx_cache.sizes.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cache_zones
short_description: Sizes of the cache's zones on a volume
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Sizes the zones of a cache policy for a volume, and their keys for the number of entries they are expected to hold.
  - Two more filters take its result, C(cache_zone_problems) and C(cache_zone_warnings), and return lists of sentences.
options:
  _input:
    description: The policy's zones, each with C(name), C(max_size_mib), C(mean_size_kib) and C(inactive).
    type: list
    elements: dict
    required: true
  volume_gib:
    description: Size of the volume; 0 takes the sizes of the policy as they are.
    type: int
    default: 0
  volume_percent:
    description: How much of the volume the zones fill together.
    type: int
    default: 85
  expected_entries:
    description: How many entries a zone will have, by its name, where that is known.
    type: dict
    default: {}
  keys_size_mib:
    description: Sizes of keys zones that are not to be computed, by the name of the zone.
    type: dict
    default: {}
"""

EXAMPLES = r"""
zones: "{{ cache_policy.zones | imaging.repository.cache_zones(volume_gib=100) }}"
"""

RETURN = r"""
_value:
  description:
    - The zones, each with C(name), C(directory), C(max_size_mib), C(mean_size_kib), C(entries) (how many it holds),
      C(keys_size_mib), C(inactive) and C(min_free_mib).
  type: list
  elements: dict
"""

from collections.abc import Callable

from ..module_utils.nginx_cache.sizes import cache_zones, zone_problems, zone_warnings


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable]:
        """Return them by name."""
        return {
            "cache_zones": cache_zones,
            "cache_zone_problems": zone_problems,
            "cache_zone_warnings": zone_warnings,
        }

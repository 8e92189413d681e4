# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Filters over the policies of a site's drivers; what they compute is in module_utils/policy."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_policy
short_description: One cache policy of all drivers of a site
version_added: 0.2.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Makes one cache policy of those of all drivers of a site. Each route, warm source and study member then has a key
    C(driver); zones of one name are one; the whole policies stand under C(drivers).
  - Three more filters take the same input. C(policy_problems) returns a list of sentences, C(gallery_data) what the
    gallery's scripts read, and C(gallery_sources), with the directory of the roles, where these scripts are.
options:
  _input:
    description: The policies by driver, which the vars plugin offers as C(image_server_policies).
    type: dict
    required: true
"""

EXAMPLES = r"""
policy: "{{ image_server_policies | imaging.repository.site_policy }}"
"""

RETURN = r"""
_value:
  description: The policy of the site.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ..module_utils.policy.merge import gallery_data, gallery_sources, merged
from ..module_utils.policy.schema import policies_problems


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {
            "site_policy": merged,
            "policy_problems": policies_problems,
            "gallery_data": gallery_data,
            "gallery_sources": gallery_sources,
        }

#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module verify_cache."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_cache
short_description: Checks what a cache host lists and has cached
version_added: 0.2.0
description:
  - Asks the image servers through the cache for their studies, and looks which part of a sample of images is cached.
  - Fills nothing into the cache.
  - Never fails itself and changes nothing. For the verb verify a feature appends RV(lines) to the host variable
    C(verify_lines); a host that does not answer is a line as well.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  policies:
    description: The cache policies of the site's image servers by driver.
    type: dict
    required: true
  image_servers:
    description: By the address of each image server that serves the public the list of its drivers.
    type: dict
    required: true
  password:
    description: Password of the C(user) of a policy.
    type: str
  minimum_fraction:
    description: Which fraction of the images that can be drawn must be cached.
    type: float
    default: 0.95
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: Only reads.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Check what is cached
  imaging.repository.verify_cache:
    name: "{{ host_name }}"
    policies: "{{ image_server_policies }}"
    image_servers: {10.0.0.4: [static_images], 10.0.0.5: [static_images]}
    password: "{{ vault_image_server_cache_password }}"
  register: result
- name: Append the lines
  ansible.builtin.set_fact:
    verify_lines: "{{ verify_lines | default([]) + result.lines }}"
"""

RETURN = r"""
lines:
  description: One dictionary C(name), C(ok), C(detail), C(remedy) per check.
  returned: always
  type: list
  elements: dict
found:
  description: By driver C(studies), the ids of all of them, and C(instances), those of some images chosen at random.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.verify.cache import Cache
from ..module_utils.verify.lines import check

# Enough for what is asked of the public address.
KEPT_INSTANCES = 50


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "policies": {"type": "dict", "required": True},
            "image_servers": {"type": "dict", "required": True},
            "password": {"type": "str", "no_log": True},
            "minimum_fraction": {"type": "float", "default": 0.95},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    host, password, minimum = (parameters[key] for key in ("name", "password", "minimum_fraction"))
    lines, found = [], {}
    for driver, policy in parameters["policies"].items():
        addresses = [address for address, drivers in parameters["image_servers"].items() if driver in drivers]
        cache = Cache(host, driver, policy, addresses, password, minimum)
        suffix = f" ({driver})" if len(parameters["policies"]) > 1 else ""
        lines.append(check(f"{host}: image servers through the cache{suffix}", cache.check_ids))
        lines.append(check(f"{host}: images cached{suffix}", cache.check_fraction))
        found[driver] = {"instances": cache.instances[:KEPT_INSTANCES], "studies": cache.studies}
    module.exit_json(changed=False, lines=lines, found=found)


if __name__ == "__main__":
    main()

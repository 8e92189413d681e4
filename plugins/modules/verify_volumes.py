#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module verify_volumes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_volumes
short_description: Checks the file systems of a host
version_added: 0.2.0
description:
  - Looks whether there is room on the host's own file system, and how its volumes are mounted.
  - Never fails itself and changes nothing. For the verb verify a feature appends RV(lines) to the host variable
    C(verify_lines); a host that does not answer is a line as well.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  volumes:
    description: The host's volumes, as the inventory gives them in C(host_volumes).
    type: list
    elements: dict
    default: []
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
- name: Check the file systems of this host
  imaging.repository.verify_volumes:
    name: "{{ host_name }}"
    volumes: "{{ host_volumes }}"
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
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.verify.lines import check
from ..module_utils.verify.volumes import check_root, check_volume


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "volumes": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    host = parameters["name"]
    lines = [check(f"{host}: own file system", check_root)]
    lines += [
        check(f"{host}: volume {volume['name']}", lambda volume=volume: check_volume(host, volume))
        for volume in parameters["volumes"]
    ]
    module.exit_json(changed=False, lines=lines)


if __name__ == "__main__":
    main()

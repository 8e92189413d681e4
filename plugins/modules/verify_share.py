#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module verify_share."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_share
short_description: Checks that a host reads the shared files of its site
version_added: 0.2.0
description:
  - Looks whether the share is mounted, read-only, and that of this site.
  - Never fails itself and changes nothing. For the verb verify a feature appends RV(lines) to the host variable
    C(verify_lines); a host that does not answer is a line as well.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  mount:
    description: The mount point of the share.
    type: path
    required: true
  site:
    description: Name of the site, the content of the share's file C(.imaging-repository).
    type: str
    required: true
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
- name: Check the share
  imaging.repository.verify_share:
    name: "{{ host_name }}"
    mount: /srv/images
    site: demo
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
from ..module_utils.verify.share import check_share


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "mount": {"type": "path", "required": True},
            "site": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    host, mount, site = (parameters[key] for key in ("name", "mount", "site"))
    module.exit_json(changed=False, lines=[check(f"{host}: share", lambda: check_share(host, mount, site))])


if __name__ == "__main__":
    main()

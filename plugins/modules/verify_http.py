#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module verify_http."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_http
short_description: Checks that a service answers HTTP
version_added: 0.2.0
description:
  - Asks a URL from the host itself, without a proxy.
  - Never fails itself and changes nothing. For the verb verify a feature appends RV(lines) to the host variable
    C(verify_lines); a host that does not answer is a line as well.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  what:
    description: What is checked, for the table.
    type: str
    required: true
  url:
    description: What is asked for.
    type: str
    required: true
  user:
    description: Whom to log in as; nobody by default.
    type: str
  password:
    description: Password of O(user).
    type: str
  status:
    description: The status of a service that is well.
    type: int
    default: 200
  detail:
    description: What the table says of a service that is well.
    type: str
    default: answers
  remedy:
    description: What the table says is to be done where it is not well.
    type: str
    default: see the journal of the host
  timeout_seconds:
    description: How long the answer may take.
    type: int
    default: 5
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
- name: Check the image server
  imaging.repository.verify_http:
    name: "{{ host_name }}"
    what: image server
    url: "http://{{ host_address }}:8070/pictures"
    user: operator
    password: "{{ vault_image_server_operator_password }}"
    detail: answers with its database
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

from ..module_utils.verify.http import check_http
from ..module_utils.verify.lines import check


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "what": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "status": {"type": "int", "default": 200},
            "detail": {"type": "str", "default": "answers"},
            "remedy": {"type": "str", "default": "see the journal of the host"},
            "timeout_seconds": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    name = f"{parameters['name']}: {parameters['what']}"
    asked = ("url", "user", "password", "status", "detail", "remedy", "timeout_seconds")
    line = check(name, lambda: check_http(**{key: parameters[key] for key in asked}))
    module.exit_json(changed=False, lines=[line])


if __name__ == "__main__":
    main()

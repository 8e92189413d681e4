#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module verify_postgresql."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_postgresql
short_description: Checks a PostgreSQL database and a role that must only read
version_added: 0.2.0
description:
  - Asks the server on the host itself, as user C(postgres), for the size of a database and for the rights of a role.
  - Never fails itself and changes nothing. For the verb verify a feature appends RV(lines) to the host variable
    C(verify_lines); a host that does not answer is a line as well.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  database:
    description: The database.
    type: str
    required: true
  reader:
    description: The role that must read all tables and write none.
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
- name: Check the database
  imaging.repository.verify_postgresql:
    name: "{{ host_name }}"
    database: image_server
    reader: image_server_reader
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
from ..module_utils.verify.postgresql import check_database, check_reader


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "database": {"type": "str", "required": True},
            "reader": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    host, database, reader = (parameters[key] for key in ("name", "database", "reader"))
    lines = [
        check(f"{host}: database", lambda: check_database(host, database)),
        check(f"{host}: database role of the replicas", lambda: check_reader(database, reader)),
    ]
    module.exit_json(changed=False, lines=lines)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module orthanc_catalogue."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_catalogue
short_description: Read the catalogue of studies from Orthanc
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Reads what the public pages show of each study from the Orthanc of the host it runs on, so that nothing but Orthanc
    needs to be kept to have it again. Changes nothing.
options:
  url:
    description: Where Orthanc answers on this host.
    type: str
    default: http://127.0.0.1:8042
  user:
    description: A user of Orthanc.
    type: str
    default: operator
  password:
    description: The password of I(user).
    type: str
    required: true
  workers:
    description: How many studies are read at a time.
    type: int
    default: 4
attributes:
  check_mode:
    support: full
    description: Reads the same; where Orthanc does not answer, the catalogue is empty.
  diff_mode:
    support: none
    description: Nothing changes.
"""

EXAMPLES = r"""
- name: Read the catalogue
  imaging.repository.orthanc_catalogue:
    password: "{{ vault_image_server_operator_password }}"
  register: catalogue
"""

RETURN = r"""
studies:
  description: The studies by title, each with C(id), C(title), C(description), C(licence), C(source), C(thumbnail)
    (a URL path), C(series) and C(instances) (counts), C(modalities) and C(whole_slide).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.orthanc import Client, OrthancError
from ..module_utils.orthanc_catalogue import catalogue


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8042"},
            "user": {"type": "str", "default": "operator"},
            "password": {"type": "str", "required": True, "no_log": True},
            "workers": {"type": "int", "default": 4},
        },
        supports_check_mode=True,
    )
    options = module.params
    client = Client(options["url"], options["user"], options["password"], retry_seconds=0 if module.check_mode else 60)
    try:
        studies = catalogue(client, options["workers"])
    except OrthancError as error:
        if not module.check_mode:
            module.fail_json(msg=f"catalogue: {error}")
        studies = []
    module.exit_json(changed=False, studies=studies)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_offer
short_description: Asks an OpenStack cloud what it offers, and chooses what fits a new site
version_added: 0.1.0
description:
  - Lists images, flavors, external networks, volume types, zones, free floating IPs and what is left of the quotas, and
    chooses what fits the hosts of a new site. Only reads.
options:
  cloud:
    description: Name of the cloud in C(clouds.yaml).
    type: str
    required: true
  name:
    description: Name of the new site, refused here if it cannot be one.
    type: str
    required: true
  hosts:
    description: The hosts of the new site.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the host., type: str, required: true}
      count: {description: How many there are., type: int, required: true}
      memory_mib: {description: The memory that one is wanted to have., type: int, required: true}
      least_mib: {description: The memory without which it does not work., type: int, required: true}
      why: {description: What it is for., type: str, required: true}
      volumes:
        description: Its volumes, each with C(name), C(gib), C(least_gib) and C(why).
        type: list
        elements: dict
        required: true
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Only reads.
    support: none
requirements:
  - openstacksdk >= 4.5
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Ask the cloud what it offers
  imaging.repository.openstack_offer:
    cloud: embassy
    name: idr127
    hosts:
      - {name: replica, count: 2, memory_mib: 8192, least_mib: 1024, why: render for visitors, volumes: []}
  register: offered
"""

RETURN = r"""
offer:
  description: What there is, C(images), C(flavors), C(networks), C(volume_types), C(zones), C(volume_zones), C(shared_networks),
      C(addresses), C(quota).
  returned: success
  type: dict
choice:
  description: What fits a new site; null for what the cloud does not have.
  returned: success
  type: dict
shortages:
  description: A line for each quota that the chosen site is over.
  returned: success
  type: list
  elements: str
  sample: ["5 servers needed, 3 left"]
"""

import socket
import urllib.parse

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils.openstack import offer as offers
from ansible_collections.imaging.repository.plugins.module_utils.openstack.cloud import HAS_OPENSTACK, Cloud, CloudError
from ansible_collections.imaging.repository.plugins.module_utils.site import name_problems


def controller_address(login_url: str) -> str:
    """Return the address of this machine as the cloud sees it, or "" where it is translated on the way. Sends nothing."""
    url = urllib.parse.urlsplit(login_url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((url.hostname or "", url.port or 443))
            return offers.without_translation(probe.getsockname()[0], probe.getpeername()[0])
    except OSError:
        return ""


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "cloud": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "count": {"type": "int", "required": True},
                    "memory_mib": {"type": "int", "required": True},
                    "least_mib": {"type": "int", "required": True},
                    "why": {"type": "str", "required": True},
                    "volumes": {"type": "list", "elements": "dict", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"))
    problems = name_problems(module.params["name"])
    if problems:
        module.fail_json(msg="; ".join(problems).replace("site.name", "name"))
    try:
        cloud = Cloud(module.params["cloud"])
        found = cloud.find(offers.ASKED)
    except CloudError as error:
        module.fail_json(msg=str(error).replace("site.openstack.cloud", "cloud"))
    offer = offers.read(cloud.name, found, controller_address(cloud.login_url))
    choice = offers.choose(offer, module.params["hosts"])
    module.exit_json(changed=False, offer=offer, choice=choice, shortages=offers.shortages(choice, offer["quota"]))


if __name__ == "__main__":
    main()

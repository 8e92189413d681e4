#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: docker_site
short_description: Makes the hosts of a site exist as systemd containers on this machine
version_added: 0.1.0
description:
  - Makes the network, the volumes and the hosts of a site with C(site.provider=docker) exist, in one call.
  - Volumes are sparse files on loop devices that appear as block devices in the containers. A device is found by its
    file, never by its number, so that everything is attached again after a reboot of the machine.
  - Nothing that exists is replaced or made smaller. Where the site file asks for that, nothing at all is written and
    all such places are reported.
  - A container is no wall here. systemd needs the capability C(SYS_ADMIN), no filter of system calls, and the control
    groups of this machine, writable. With these, root of a container can become root of this machine. It is meant for
    your own software on a machine of your own.
  - A container that the engine of another site shares, C(imaging-repository-packages), caches Debian packages.
options:
  site:
    description: The effective site, as the inventory gives it.
    type: dict
    required: true
  state:
    description: V(absent) removes all containers and the network of the site.
    type: str
    choices: [present, absent]
    default: present
  image:
    description: Docker image of a Debian 13 with systemd. Used for new hosts only.
    type: str
  replace_hosts:
    description: Short names of hosts whose container is thrown away and made anew. Their volumes stay.
    type: list
    elements: str
    default: []
  destroy_volumes:
    description: With O(state=absent), removes the volumes and all data on them as well.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reads only; returns the plan.
    support: full
  diff_mode:
    description: Shows the plan, a line a resource.
    support: full
requirements:
  - docker (Python) >= 7.1
  - root, for loop devices
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Make the hosts of the site exist
  imaging.repository.docker_site:
    site: "{{ effective_site }}"
    image: imaging-repository-host:1

- name: Show what would be removed
  imaging.repository.docker_site:
    site: "{{ effective_site }}"
    state: absent
  check_mode: true
"""

RETURN = r"""
plan:
  description: One step a resource.
  returned: always
  type: list
  elements: dict
  contains:
    kind: {description: "network, packages, volume or host.", type: str}
    name: {description: Name of the resource., type: str}
    action: {description: "keep, create, change, refuse, unknown or remove.", type: str}
    detail: {description: What is changed or why it is refused., type: str}
table:
  description: The plan for people.
  returned: always
  type: str
missing_hosts:
  description: Inventory names of hosts that do not run yet, which is possible in check mode only.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils.docker.devices import SiteError
from ansible_collections.imaging.repository.plugins.module_utils.docker.engine import HAS_DOCKER
from ansible_collections.imaging.repository.plugins.module_utils.docker.site import run


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "image": {"type": "str"},
            "replace_hosts": {"type": "list", "elements": "str", "default": []},
            "destroy_volumes": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["image"])],
        supports_check_mode=True,
    )
    if not HAS_DOCKER:
        module.fail_json(msg=missing_required_lib("docker"))
    try:
        answer = run(module.params, module.check_mode)
    except (SiteError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()

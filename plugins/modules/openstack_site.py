#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_site
short_description: Makes the hosts of a site exist as servers of an OpenStack cloud
version_added: 0.2.0
description:
  - Makes all that a site with C(site.provider=openstack) needs of its cloud exist, in one call. That is the key pair,
    network, subnet, router, security groups, ports, servers, volumes and the public address.
  - It logs in once, lists each kind of resource once, plans, and carries the plan out with as much overlap as it
    allows.
  - What belongs to the site is known by its name and by a mark that it carries from the call that creates it. So a run
    that was killed is finished by the next, and what others made is never touched.
  - Nothing that exists is replaced or made smaller. Where the site file asks for that, nothing at all is written and
    all such places are reported, together with names that the cloud does not know and quotas that do not suffice.
options:
  site:
    description: The effective site, as the inventory gives it.
    type: dict
    required: true
  state:
    description: V(absent) removes all that carries the mark of the site, except volumes and snapshots.
    type: str
    choices: [present, absent]
    default: present
  firewall:
    description:
      - What may come in to the hosts, as the inventory gives it in C(site_firewall). Everything else is closed.
      - Needed with O(state=present).
    type: dict
    suboptions:
      groups:
        description: The rules of each security group by the name of its firewall.
        type: dict
        required: true
      hosts:
        description: The names of the firewalls of each host by its short name.
        type: dict
        required: true
  spread:
    description:
      - Names of groups of which the cloud puts each host on another machine where it can (soft anti-affinity).
      - With O(state=absent) it tells the names of the site's server groups, which carry no mark.
    type: list
    elements: str
    default: []
  bastion:
    description: Short name of the host through which operators reach the others.
    type: str
    default: ""
  public_key:
    description: The site's public SSH key, which new servers let in. With O(state=absent) it tells the site's key pair.
    type: str
  user_data:
    description: Configuration for cloud-init, short host name to text. Used for new servers only.
    type: dict
    default: {}
  recreate_failed:
    description: Short names of hosts whose server is in ERROR and is thrown away and made anew. Their volumes stay.
    type: list
    elements: str
    default: []
  destroy_volumes:
    description: With O(state=absent), full names of the volumes and snapshots to remove as well, with all data on them.
    type: list
    elements: str
    default: []
  wait_seconds:
    description: How long one server, volume or attachment may take.
    type: int
    default: 600
  clone_timeout_seconds:
    description: How long a volume that is made from another may take.
    type: int
    default: 86400
  parallel:
    description: Requests at the same time.
    type: int
    default: 10
  lock_file:
    description:
      - A file that keeps two runs on this machine from writing at the same time.
      - It also tells that a run was killed while it wrote. The cloud may still carry out what that run had asked for,
        so the next one lets a few seconds pass before it looks, and makes nothing twice.
    type: path
  progress_file:
    description: Where to write how far volumes that are made from others are.
    type: path
attributes:
  check_mode:
    description: Reads only; returns the plan, and fails with all that is wrong with it.
    support: full
  diff_mode:
    description: Shows the plan, a line a resource.
    support: full
requirements:
  - openstacksdk >= 4
  - clouds.yaml with C(site.openstack.cloud)
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Make the hosts of the site exist
  imaging.repository.openstack_site:
    site: "{{ effective_site }}"
    firewall: "{{ site_firewall }}"
    spread: "{{ site_spread }}"
    bastion: proxy
    public_key: "{{ lookup('ansible.builtin.file', site_state_directory ~ '/ssh/id_ed25519.pub') }}"
    lock_file: "{{ site_state_directory }}/openstack.lock"

- name: Show what would be removed
  imaging.repository.openstack_site:
    site: "{{ effective_site }}"
    state: absent
  check_mode: true
"""

RETURN = r"""
plan:
  description: One step a resource.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        key pair, network, subnet, router, security group, server group, snapshot, volume, port, server, attachment or
        address.
      type: str
    name: {description: Name of the resource., type: str}
    action: {description: 'keep, create, change, refuse, unknown, recreate or remove.', type: str}
    detail: {description: What is changed or why it is refused., type: str}
table:
  description: The plan for people.
  returned: success
  type: str
missing_hosts:
  description: Inventory names of hosts that do not exist yet, which is possible in check mode only.
  returned: success
  type: list
  elements: str
servers:
  description: >-
    Short host name to C(id), C(address), C(floating_ip) (empty where there is none), C(status) and C(volumes), which
    are name to id.
  returned: success
  type: dict
strangers:
  description: Names of servers that carry the mark of the site and are not in the site file.
  returned: success
  type: list
  elements: str
api_calls:
  description: Requests by method. The logins are counted apart.
  returned: always
  type: dict
seconds:
  description: How long the module took.
  returned: always
  type: float
"""

import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils.firewall import Firewall
from ansible_collections.imaging.repository.plugins.module_utils.openstack.cloud import HAS_OPENSTACK, CloudError
from ansible_collections.imaging.repository.plugins.module_utils.openstack.run import Settings
from ansible_collections.imaging.repository.plugins.module_utils.openstack.site import Answer, Request, run


def request_of(module: AnsibleModule) -> Request:
    """Return what the parameters ask for."""
    parameters = module.params
    absent = parameters["state"] == "absent"
    # A removal goes by marks and looks at no rule.
    nothing: Firewall = {"groups": {}, "hosts": {host["name"]: [] for host in parameters["site"]["hosts"]}}
    return Request(
        site=parameters["site"],
        firewall=parameters["firewall"] or nothing,
        absent=absent,
        public_key=parameters["public_key"] or "",
        recreate_failed=parameters["recreate_failed"],
        destroy_volumes=parameters["destroy_volumes"],
        spread=parameters["spread"],
        bastion=parameters["bastion"],
        lock_file=parameters["lock_file"],
        check_mode=module.check_mode,
        settings=Settings(
            wait_seconds=parameters["wait_seconds"],
            clone_timeout_seconds=parameters["clone_timeout_seconds"],
            parallel=parameters["parallel"],
            progress_file=parameters["progress_file"],
            user_data=parameters["user_data"],
        ),
    )


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "firewall": {
                "type": "dict",
                "options": {
                    "groups": {"type": "dict", "required": True},
                    "hosts": {"type": "dict", "required": True},
                },
            },
            "spread": {"type": "list", "elements": "str", "default": []},
            "bastion": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            # It is public.
            "public_key": {"type": "str", "no_log": False},
            "user_data": {"type": "dict", "default": {}, "no_log": True},
            "recreate_failed": {"type": "list", "elements": "str", "default": []},
            "destroy_volumes": {"type": "list", "elements": "str", "default": []},
            "wait_seconds": {"type": "int", "default": 600},
            "clone_timeout_seconds": {"type": "int", "default": 86400},
            "parallel": {"type": "int", "default": 10},
            "lock_file": {"type": "path"},
            "progress_file": {"type": "path"},
        },
        required_if=[("state", "present", ["public_key", "firewall"])],
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"))
    answer: Answer = {
        "changed": False,
        "plan": [],
        "table": "",
        "missing_hosts": [],
        "servers": {},
        "strangers": [],
        "api_calls": {},
    }
    failure = ""
    try:
        run(request_of(module), answer)
    except (CloudError, OSError) as error:
        failure = str(error)
    answer["seconds"] = round(time.monotonic() - started, 2)
    answer["api_calls"] = {
        method: answer["api_calls"].get(method, 0) for method in ("GET", "POST", "PUT", "DELETE", "logins")
    }
    for sentence in answer.pop("warnings", []):
        module.warn(sentence)
    if failure:
        # Ansible prints all of a failure: the plan would bury what is wrong.
        told = {key: answer[key] for key in ("changed", "api_calls", "seconds", "diff") if key in answer}
        module.fail_json(msg=failure, **told)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()

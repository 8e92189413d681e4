#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: host_firewall
short_description: Closes all ports of a host but those that the site opens
version_added: 0.2.0
description:
  - Keeps one nftables table of its own, C(inet imaging_repository). Tables of others are not touched.
  - New rules are loaded on trial, in one transaction. Unless a second call with O(state=confirmed) follows in time, the
    host returns to the rules before, so that rules which cut Ansible off do not last. A reboot does the same.
  - Refuses a host on which ufw or firewalld works, and rules that would close SSH to the address that Ansible came from.
options:
  state:
    description:
      - V(trial) loads the rules where they are not in place.
      - V(confirmed) keeps those that are on trial and loads them at boot.
    type: str
    choices: [trial, confirmed]
    default: trial
  firewall:
    description: What may come in to the hosts, as the inventory gives it in C(site_firewall).
    type: dict
    suboptions:
      groups: {description: The rules of each firewall by its name., type: dict, required: true}
      hosts: {description: The names of the firewalls of each host by its short name., type: dict, required: true}
  host:
    description: Short name of this host.
    type: str
  hosts:
    description: All hosts of the site, each with C(name), C(address) and, where it has one, C(private_address).
    type: list
    elements: dict
    default: []
  bastion:
    description: Short name of the host through which Ansible reaches the others; SSH stays open to it.
    type: str
    default: ""
  ssh_from:
    description: Networks from which SSH stays open, beside what O(firewall) says.
    type: list
    elements: str
    default: []
  revert_seconds:
    description: How long rules may be on trial.
    type: int
    default: 60
attributes:
  check_mode:
    description: Says whether the rules would be loaded.
    support: full
  diff_mode:
    description: Shows the file of the rules.
    support: full
requirements:
  - nftables
  - systemd
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Load the rules on trial
  imaging.repository.host_firewall:
    firewall: "{{ site_firewall }}"
    host: "{{ host_name }}"
    hosts: "{{ effective_site.hosts }}"
    ssh_from: [198.51.100.0/24]

- name: Keep them
  imaging.repository.host_firewall:
    state: confirmed
"""

RETURN = r"""
on_trial:
  description: Whether rules wait to be confirmed.
  returned: success
  type: bool
in_place:
  description: Whether the rules were loaded already as they shall be, and would be at the next boot.
  returned: with O(state=trial)
  type: bool
open:
  description: The ports that are open.
  returned: with O(state=trial)
  type: list
  elements: dict
  contains:
    protocol: {description: tcp or udp., type: str}
    port: {description: The port., type: int}
    networks: {description: Networks and addresses that may come in., type: list, elements: str}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.repository.plugins.module_utils import host_firewall as host
from ansible_collections.imaging.repository.plugins.module_utils import nftables

SSH = 22


def wanted(parameters: dict[str, Any]) -> list[nftables.Opening]:
    """Return what shall be open. Raises FirewallError where that would close SSH to who runs this."""
    came = host.operator()
    ports = {SSH, came[1]} if came else {SSH}
    known = nftables.addresses(parameters["hosts"])
    opened = nftables.openings(parameters["firewall"], parameters["host"], known)
    opened = nftables.with_ssh(opened, ports, [*parameters["ssh_from"], *known.get(parameters["bastion"], [])])
    if came:
        networks = next((entry.networks for entry in opened if entry[:2] == ("tcp", came[1])), ())
        if not nftables.holds(networks, came[0]):
            raise host.FirewallError(
                f"site.static.ssh_from: Ansible came to this host from {came[0]}, and no network of the list holds that "
                f"address, so SSH would be closed to you; add {came[0]}/32"
            )
    return opened


def try_out(module: AnsibleModule) -> dict[str, Any]:
    """Load the rules where they are not in place."""
    other = host.others()
    if other:
        raise host.FirewallError(host.refusal(other))
    opened = wanted(module.params)
    text = nftables.render(opened)
    changed = not host.is_in_place(text)
    if changed and not module.check_mode:
        host.try_out(text, module.params["revert_seconds"])
    return {
        "changed": changed,
        "on_trial": changed and not module.check_mode,
        "in_place": not changed,
        "open": [entry._asdict() for entry in opened],
        "diff": {
            "before": host.read(host.RULES),
            "after": text,
            "before_header": str(host.RULES),
            "after_header": str(host.RULES),
        },
    }


def main() -> None:
    """Run the module; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["trial", "confirmed"], "default": "trial"},
            "firewall": {
                "type": "dict",
                "options": {
                    "groups": {"type": "dict", "required": True},
                    "hosts": {"type": "dict", "required": True},
                },
            },
            "host": {"type": "str"},
            "hosts": {"type": "list", "elements": "dict", "default": []},
            "bastion": {"type": "str", "default": ""},
            "ssh_from": {"type": "list", "elements": "str", "default": []},
            "revert_seconds": {"type": "int", "default": 60},
        },
        required_if=[("state", "trial", ["firewall", "host"])],
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "trial":
            result = try_out(module)
        else:
            if not module.check_mode:
                host.confirm()
            result = {"changed": True, "on_trial": False}
    except (host.FirewallError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

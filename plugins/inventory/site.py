# Copyright (c) 2026, the imaging.repository authors
# BSD 2-Clause License (see LICENSE or https://opensource.org/licenses/BSD-2-Clause)
"""Inventory plugin that makes the hosts of a site out of its site file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site
short_description: Hosts of an image repository, from its site file
description:
  - Reads C(site) from the extra variables (C(-e @vars/<site>.yml)) or from O(site_file), merges it over its base and
    offers the hosts in their groups, before any of them exists.
  - Never fails on a wrong site file. It then offers only C(localhost) with C(site_problems), and the role C(site),
    first in every verb, reports them.
author: The imaging.repository authors (@imaging-repository)
options:
  plugin:
    description: Marks an inventory file as one for this plugin.
    type: str
    required: true
    choices: [imaging.repository.site]
  site_file:
    description:
      - A site file that holds when the extra variables have no C(site), relative to the inventory file.
      - Its other variables become variables of all hosts.
    type: str
"""

EXAMPLES = r"""
# inventory/site.yml: ansible-playbook -e @vars/<site>.yml playbooks/site.yml
plugin: imaging.repository.site
"""

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.imaging.repository.plugins.module_utils import site as schema

REPOSITORY = Path(__file__).resolve().parents[2]
DEVICE_LINK = "/dev/disk/by-id/imaging-repository-{}"


class InventoryModule(BaseInventoryPlugin):
    """Offers the hosts of one site."""

    NAME = "imaging.repository.site"

    def verify_file(self, path: str) -> bool:
        """Accept the YAML files that `plugin: imaging.repository.site` marks."""
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory from the site file."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        extra = load_extra_vars(loader)
        base = self._read(REPOSITORY / "vars" / "demo.yml")
        given = extra
        if "site" not in extra and self.get_option("site_file"):
            given = self._read((Path(path).parent / self.get_option("site_file")).resolve())
            for name, value in given.items():
                if name != "site":
                    inventory.set_variable("all", name, value)
        problems = []
        if "site" not in given:
            problems = ["site: no site file given; pass -e @vars/<site>.yml"]
        site = schema.effective(base.get("site"), given.get("site"))
        self._groups()
        self._localhost()
        for name, value in {
            "effective_site": site,
            "site_network_cidr": site[site["provider"]]["network"].get("cidr"),
            "site_url": schema.url(site),
            "site_state_directory": str(REPOSITORY / "state" / site["name"]),
            "site_problems": problems,
        }.items():
            inventory.set_variable("all", name, trusted(value))
        for host in [] if problems else site["hosts"]:
            self._host(site, host)

    def _read(self, path: Path) -> dict[str, Any]:
        content = self.loader.load_from_file(str(path), trusted_as_template=True)
        return content if isinstance(content, dict) else {}

    def _groups(self) -> None:
        self.inventory.add_group("site")
        for name, group in schema.GROUPS.items():
            self.inventory.add_group(name)
            self.inventory.add_child(group.parent, name)

    def _localhost(self) -> None:
        self.inventory.add_host("localhost")
        self.inventory.set_variable("localhost", "ansible_connection", trusted("local"))
        self.inventory.set_variable("localhost", "ansible_python_interpreter", trusted(sys.executable))

    def _host(self, site: dict[str, Any], host: dict[str, Any]) -> None:
        full_name = f"{site['name']}-{host['name']}"
        self.inventory.add_host(full_name, group="site")
        for group in host["groups"]:
            self.inventory.add_child(group, full_name)
        for name, value in host_variables(site, host).items():
            self.inventory.set_variable(full_name, name, trusted(value))


def trusted(value: Any) -> Any:
    """Mark texts as Ansible marks its own files'. The schema refuses templates, so none can hide in them."""
    if isinstance(value, dict):
        return {key: trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) else value


def host_variables(site: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of one host of an effective site."""
    variables = {"host_name": host["name"], "host_volumes": host["volumes"]}
    if site["provider"] == "docker":
        variables |= {
            "ansible_connection": "community.docker.docker",
            "ansible_host": f"{site['name']}-{host['name']}",
            "ansible_user": "root",
            "host_address": host.get("address"),
            "host_memory_mib": host["memory_mib"],
            "host_volumes": [{**volume, "device": DEVICE_LINK.format(volume["name"])} for volume in host["volumes"]],
        }
    if site["provider"] == "static":
        variables |= {
            "ansible_host": host["address"],
            "ansible_user": site["static"]["user"],
            "host_address": host.get("private_address", host["address"]),
        }
    return variables
